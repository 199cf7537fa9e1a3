"""Real doubt: which measures follow the disagreement of several annotators, without having seen it.

The networks are cross-fitted by patient to the majority masks. What a measure then
says of a case is held against

    disagreement = 1 - mean pairwise IoU of its raters

by Spearman's correlation, once as it is, and once with the size of the structure and
the number of slices held fixed, since raters of small structures disagree the more
and a measure of size would seem to know. A good measure has r > 0, high suspicion
where raters disagree. Measures, directions and settings are those of the catalogue:
nothing is chosen by the raters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.bench.benching import machine
from aleaseg.bench.draw import Draw, fit_draw
from aleaseg.bench.opening import FEWEST, begin_bench, usable
from aleaseg.bench.settings import BenchSettings
from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.metrics.agreement import rater_disagreement
from aleaseg.metrics.correlation import Correlation, partial_spearman, spearman
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.numbers import with_interval
from aleaseg.pages.tables import frame_table
from aleaseg.readers import open_dataset
from aleaseg.run import Run, now, versions, write_aside, write_frame
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.stated import masks_of_raters
from aleaseg.work import Progress

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REFERENCES", "SIZES", "RatersResult", "follow_raters", "run_raters", "write_raters"]


REFERENCES = ("oof_dice", "softmin", "label_doubt", "doubt")
"""Measures that see the majority mask, and with it a part of what the raters did: for comparison only."""
SIZES = ("volume_voxels", "slices")
"""What is held fixed; by ranks, so that their logarithms would give the same numbers."""


@dataclass(frozen=True)
class RatersResult:
    """What follows the raters.

    Attributes:
        about: for the head of the page: dataset, cases, left_out (case -> why), patients, raters, folds, steps, seed,
            command, date, machine, versions.
        cases: one row per case: case, group, disagreement, n_raters, volume_voxels (mean over the
            raters), slices, and a column per measure, high = bad, NaN where it does not apply.
        measures: one row per label-free measure, then per reference: measure, sees, eye, n, raw, raw_low,
            raw_high, raw_p, adjusted, adjusted_low, adjusted_high, adjusted_p: Spearman's correlation of suspicion and
            disagreement, high = good, its 95% interval, cases resampled by patient, and p for independent cases.
        sizes: of each of `SIZES` its own Spearman with the disagreement: size, n, spearman, low, high, p.
    """

    about: Mapping[str, Any]
    cases: pd.DataFrame
    measures: pd.DataFrame
    sizes: pd.DataFrame


def run_raters(
    settings: BenchSettings,
    out: Run,
    progress: Progress = lambda stage, done, total: None,
    *,
    command: str = "",
) -> RatersResult:
    """Cross-fit on the majority masks, measure every case, and hold the measures against the raters.

    One fit, with the seed `first`; draws and share of the settings mean nothing here. Killed and
    started again it goes on where it was.

    Args:
        settings: as of any bench; its cases have several raters each.
        out: a folder of its own.
        progress: called with stage, done, total.
        command: as it was typed, for the page.

    Raises:
        UsageError: no such data set, fewer than 20 usable cases, or `classes` were asked for.
    """
    settings = settings.settled()
    dataset, left_out = _open(settings)
    begin_bench(out, settings, dataset, "raters")
    run = Run(out.path / "draws" / str(settings.first))
    fit_draw(
        Draw(settings.first, run, dataset, {}, (), dataset), settings.crossfit(settings.first), progress
    )
    cases = _cases(run, dataset)
    measures, sizes = follow_raters(cases, seed=settings.first)
    fitted = run.manifest["crossfit"]
    about = {
        "dataset": dataset.name,
        "cases": len(cases),
        "left_out": left_out,
        "patients": int(cases["group"].nunique()),
        "raters": sorted({int(n) for n in cases["n_raters"]}),
        "folds": len(fitted["folds"]),
        "steps": fitted["steps"],
        "seed": settings.first,
        "command": command,
        "date": now()[:10],
        "machine": f"{machine()}, {settings.device}",
        "versions": versions(),
    }
    return RatersResult(about, cases, measures, sizes)


def _open(settings: BenchSettings) -> tuple[Dataset, dict[str, str]]:
    """The usable cases of several raters, twins in one group; and why others are left out."""
    for name, why in (
        ("classes", "one, foreground"),
        ("image", "a layout of their own"),
        ("label", "one each"),
    ):
        if (given := getattr(settings, name)) is not None:
            raise UsageError(f"{name} is {given!r}; cases of several raters have {why}; leave it away")
    dataset, left_out = usable(open_dataset(settings.dataset, **settings.reading))
    rated = [case for case in dataset.cases if case.read_raters is not None]
    if dataset.cases and not rated:
        raise UsageError(
            f"{settings.dataset} has one mask a case; expected several raters, as npz/CASE.npz with image and raters, "
            "or raters/CASE/RATER.nii.gz"
        )
    if len(rated) < FEWEST:
        raise UsageError(
            f"{settings.dataset} has {len(rated)} usable cases; a bench needs at least {FEWEST}"
        )
    return dataset.with_cases(rated), left_out


def _cases(run: Run, dataset: Dataset) -> pd.DataFrame:
    """One row per case: what its raters did, and what each measure says."""
    import pandas as pd

    numbers = Numbers.of(run.records(), list(dataset.classes))
    rows = [_row(dataset, case_id) for case_id in numbers.cases]
    columns = {name: measure.suspicion(numbers, measure.fit(numbers)) for name, measure in MEASURES.items()}
    return pd.concat([pd.DataFrame(rows), pd.DataFrame(columns)], axis=1)


def _row(dataset: Dataset, case_id: str) -> dict[str, Any]:
    case = dataset[case_id]
    raters = masks_of_raters(case)
    return {
        "case": case_id,
        "group": case.group,
        "disagreement": rater_disagreement(raters) if len(raters) > 1 else np.nan,
        "n_raters": len(raters),
        "volume_voxels": np.count_nonzero(raters) / len(raters),
        "slices": raters.shape[1] if raters.ndim == 4 else 1,
    }


def follow_raters(cases: pd.DataFrame, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`measures` and `sizes` of a `RatersResult`, from its cases; the seed is that of the bootstrap."""
    import pandas as pd

    disagreement, group = cases["disagreement"].to_numpy(), cases["group"].to_numpy()
    held = cases[list(SIZES)].to_numpy()
    label_free = [name for name, measure in MEASURES.items() if measure.sees == "image"]
    rows = []
    for name in (*label_free, *REFERENCES):
        measure, suspicion = MEASURES[name], cases[name].to_numpy()
        raw = spearman(suspicion, disagreement, group, seed=seed)
        adjusted = partial_spearman(suspicion, disagreement, held, group, seed=seed)
        rows.append(
            {"measure": name, "sees": measure.sees, "eye": measure.eye, "n": raw.n}
            | _cells("raw", raw)
            | _cells("adjusted", adjusted)
        )
    sizes = []
    for size in SIZES:
        found = spearman(cases[size].to_numpy(), disagreement, group, seed=seed)
        sizes.append({"size": size, "n": found.n} | _cells("spearman", found))
    return pd.DataFrame(rows), pd.DataFrame(sizes)


def _cells(name: str, found: Correlation) -> dict[str, float]:
    return {name: found.r, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_p": found.p}


# -- what is written ------------------------------------------------------------------------------

_READ = (
    "Spearman's correlation of suspicion and disagreement, 1 less the mean pairwise IoU of the raters. Above 0 = "
    "good: high suspicion where raters disagree. In brackets the 95% interval, cases resampled by patient. "
    "“Adjusted” holds the ranks of the mean volume of the raters' masks and of the number of slices fixed. p is of "
    "one test among all that stand here, and takes cases for independent: where patients have several, trust the "
    "interval.",
    "The networks learnt from the majority masks of other patients: at least half of the raters, so that a tie of "
    "two to two counts as inside. Which way a measure points was settled before, and nothing was tuned here. "
    "Spacing is not known: volumes are counts of voxels.",
    "Where crops were cut to the slices that any rater marked, as in crops of LIDC-IDRI, the number of slices tells of "
    "the raters even to a measure that sees the image alone: read the adjusted column.",
)


_SIZES = {"size": "size", "n": "n", "spearman": "spearman", "spearman_p": "p"}


def write_raters(result: RatersResult, out: str | Path) -> None:
    """Write what was found into a folder.

    raters.csv (the measures), raters_sizes.csv, raters_cases.csv, and raters.md, which is written
    anew each time: a conclusion that was put there belongs into a copy.
    """
    folder = Path(out)
    write_frame(folder / "raters.csv", result.measures)
    write_frame(folder / "raters_sizes.csv", result.sizes)
    write_frame(folder / "raters_cases.csv", result.cases)
    write_aside(folder / "raters.md", _page(result).encode("utf-8", "surrogatepass"))


def _page(result: RatersResult) -> str:
    measures = result.measures.assign(
        sees=[MEASURES[name].sight for name in result.measures["measure"]],
        raw=_with_intervals(result.measures, "raw"),
        adjusted=_with_intervals(result.measures, "adjusted"),
    )
    order = result.measures["adjusted"].sort_values(ascending=False, kind="stable").index
    apart = measures["measure"].isin(REFERENCES)
    shown = {name: name for name in ("measure", "sees", "eye", "n", "raw", "adjusted")}
    shown |= {"raw_p": "p, raw", "adjusted_p": "p, adjusted"}
    forms = {"raw_p": "p", "adjusted_p": "p"}
    sizes = result.sizes.assign(spearman=_with_intervals(result.sizes, "spearman"))
    constant = measures.loc[result.measures["raw"].isna(), "measure"]
    lines = [
        f"# Real doubt: the disagreement of raters in {markdown_text(result.about['dataset'])}",
        "",
        *(f"- {title}: {markdown_text(text)}" for title, text in _head(result.about)),
        *(line for text in _READ for line in ("", text)),
        "",
        "## Measures that see the image alone",
        "",
        "The highest adjusted correlation first.",
        "",
        *table_markdown(frame_table(measures.loc[order][~apart[order]], shown, forms)),
        "",
        f"“–”: no number, or the same one for every case ({', '.join(constant) or 'none'}); under “adjusted” also "
        "what the sizes tell entirely.",
        "",
        "## For comparison: measures that see the majority mask as well",
        "",
        "The majority mask holds a part of what the raters did.",
        "",
        *table_markdown(frame_table(measures[apart], shown, forms)),
        "",
        "## The confound: disagreement and size",
        "",
        *table_markdown(frame_table(sizes, _SIZES, {"spearman_p": "p"})),
        "",
        "## Conclusion",
        "",
        "(to be written by who has read the tables)",
        "",
    ]
    return "\n".join(lines)


def _with_intervals(frame: pd.DataFrame, name: str) -> list[str]:
    cells = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
    return [with_interval(r, low, high, "+.3f") if np.isfinite(r) else "" for r, low, high in cells]


def _head(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = "; ".join(f"{case} ({why})" for case, why in about["left_out"].items())
    return [
        ("cases", f"{about['cases']} of {about['patients']} patients"),
        ("left out", told or "none"),
        ("raters of a case", " or ".join(map(str, about["raters"]))),
        ("folds", f"{about['folds']}, by patient"),
        ("steps of each fold", str(about["steps"])),
        ("seed", str(about["seed"])),
        ("command", about["command"]),
        ("machine", about["machine"]),
        ("date", about["date"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())),
    ]
