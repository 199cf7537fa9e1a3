"""What a bench found, as one page that opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aleaseg.bench.charts import SERIES, panel_svg, series_svg
from aleaseg.bench.result import BenchResult
from aleaseg.bench.shown import TARGETS, best, rows_by, swapped
from aleaseg.bench.tables import bench_tables, dice_tables
from aleaseg.bench.words import CAPTIONS, MEASURED, ON_THE_PAGE, READ, head
from aleaseg.pages.files import copy_assets
from aleaseg.pages.tables import quantity
from aleaseg.pages.templates import write_html
from aleaseg.scoring.catalogue import MEASURES

__all__ = ["write_page"]


def write_page(result: BenchResult, out: Path) -> Path:
    """Write index.html and its assets; returns the path of the first."""
    copy_assets(out, "aleaseg.bench", "bench.css", shared=("drawings.css", "tables.js"))
    return write_html(
        out / "index.html",
        "aleaseg.bench",
        template="bench.html.j2",
        styles=["drawings.css", "bench.css"],
        name=str(result.about.get("dataset", "")),
        head=dict(head(result)),
        captions={name: f"{text} {ON_THE_PAGE.get(name, '')}".strip() for name, text in CAPTIONS.items()},
        measured=MEASURED,
        read=READ,
        numbers=_numbers(result),
        dice=dice_tables(result),
        # The page draws what Markdown lists.
        **{**bench_tables(result), "swap_in": _swap_in(result)},
    )


def _numbers(result: BenchResult) -> list[dict[str, Any]]:
    """What stands large at the top."""
    rows = rows_by(result.detection, "measure", "target")
    found = []
    for target in TARGETS:
        if ("doubt", target) in rows:
            row = rows["doubt", target]
            cell = quantity(row["auroc"], ".3f", row["auroc_low"], row["auroc_high"])
            kind = {"masks": "is-label", "images": "is-image"}.get(target, "")
            title = f"AUROC of doubt, {target}"
            found.append({"title": title, "kind": kind, "text": cell.text, "note": " ".join(cell.notes)})
    name = best(result.detection).get("both")
    if name:
        text = quantity(rows[name, "both"]["auroc"], ".3f").text
        found.append({"title": "Best published, both", "kind": "", "text": text, "note": name})
    return found


def _swap_in(result: BenchResult) -> dict[str, Any]:
    panels: dict[str, list[dict[str, Any]]] = {}
    for axis, fault, rows in swapped(result):
        svg = panel_svg(fault, rows_by(rows, "measure", "level"))
        counted = dict.fromkeys((int(rows["n"].min()), int(rows["n"].max())))
        panel = {"fault": fault, "picture": svg, "n": " to ".join(map(str, counted))}
        panels.setdefault(axis, []).append(panel)
    key = [{"name": name, "eye": MEASURES[name].eye, "picture": series_svg(name)} for name in SERIES]
    return {"panels": panels, "key": key}
