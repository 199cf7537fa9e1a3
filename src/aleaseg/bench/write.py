"""One folder with what a bench found: tables, a page that opens from disk, and Markdown to commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.bench.charts import detection_figure, swap_in_figure
from aleaseg.bench.markdown import bench_markdown
from aleaseg.bench.page import write_page
from aleaseg.bench.result import BenchResult
from aleaseg.bench.shown import ranked, rows_by, swapped
from aleaseg.pages.files import write_if_changed
from aleaseg.pages.numbers import interval, number
from aleaseg.run import write_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEW", "TARGETS", "faulty_counts", "summary_rows", "too_few", "write_bench"]

_TABLES = ("cases", "detection", "differences", "swap_in", "ranks", "dice", "confounds")


def write_bench(result: BenchResult, out: Path, images_beside: bool = False) -> Path:
    """Write what a bench found, and return the path of `OUT/index.html`.

    `OUT/cases.csv`, `detection.csv`, `differences.csv`, `swap_in.csv`, `ranks.csv`, `dice.csv` and
    `confounds.csv`, `OUT/bench.md`, and `OUT/index.html` with its assets. With `images_beside` also
    auroc.svg and swap_in.svg, shown in bench.md; without it bench.md stands alone.
    """
    for name in _TABLES:
        frame: pd.DataFrame = getattr(result, name)
        if name == "ranks":
            frame = frame.rename_axis("measure").reset_index()
        write_frame(out / f"{name}.csv", frame)
    if images_beside:
        for name, figure in _figures(result).items():
            write_if_changed(out / f"{name}.svg", figure)
    write_if_changed(out / "bench.md", bench_markdown(result, images_beside))
    return write_page(result, out)


def _figures(result: BenchResult) -> dict[str, str]:
    rows = rows_by(result.detection, "measure", "target")
    found = {"auroc": detection_figure(ranked(result.detection), rows)}
    panels = {fault: rows_by(those, "measure", "level") for _, fault, those in swapped(result)}
    return {**found, "swap_in": swap_in_figure(panels)} if panels else found


TARGETS = ("masks", "images", "both")
FEW = 20
"""Faulty cases: an AUROC over fewer says little."""


def summary_rows(result: BenchResult) -> list[tuple[str, ...]]:
    """What to print at the end: measure, AUROC of masks, of images, of both, each with its 95% interval.

    High = finds the faults. The twelve best measures by both, then `auv` where it is not among them.
    """
    rows, order = rows_by(result.detection, "measure", "target"), ranked(result.detection)
    shown = order[:12]
    shown += [name for name in ("auv",) if name in order and name not in shown]
    return [(name, *(_auroc(rows.get((name, target), {})) for target in TARGETS)) for name in shown]


def _auroc(row: Mapping[str, Any]) -> str:
    spread = interval(row.get("auroc_low"), row.get("auroc_high"), ".2f")
    return f"{number(row.get('auroc'), '.2f')}{f' ({spread})' if spread else ''}"


def faulty_counts(result: BenchResult) -> dict[str, int]:
    """Target -> how many faulty cases its AUROC is over, in all draws together; the most of any measure."""
    most = result.detection.groupby("target")["n_faulty"].max()
    return {target: int(most.get(target, 0)) for target in TARGETS}


def too_few(counts: Mapping[str, int]) -> str | None:
    """A warning where a column of the summary is over few faulty cases.

    >>> too_few({"masks": 5, "images": 24, "both": 29})
    'Few faulty cases (masks: 5): an AUROC over fewer than 20 says little, even where it is 1.000; more --draws help.'
    >>> too_few({"masks": 20, "images": 20, "both": 40}) is None
    True
    """
    few = ", ".join(f"{target}: {count}" for target, count in counts.items() if 0 < count < FEW)
    if not few:
        return None
    return (
        f"Few faulty cases ({few}): an AUROC over fewer than {FEW} says little, even where it is 1.000; "
        "more --draws help."
    )
