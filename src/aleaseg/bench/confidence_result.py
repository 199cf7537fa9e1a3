"""What the cells of `bench confidence` say together: means, differences, and who wins where.

Numbers are means over the seeds of a case, then over cases, then over classes. A difference is a row less another on
the same cases and seeds. Where nobody reaches a reference in a case the case has no number there, for every row
alike: else a model that rightly predicts nothing would lose a case that one who predicts something keeps.

A difference is claimed where all of several seeds agree in sign, its interval over cases (resampled by group) leaves
out 0, and Holm's p of the signed-rank test over groups, corrected for all differences of its table, is below .05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.confidence_design import DESIGN, SIZES, Cell, Design, cells_of
from aleaseg.errors import UsageError
from aleaseg.evaluation.columns import metrics_at
from aleaseg.measures.column import Column
from aleaseg.metrics.bootstrap import Resamples
from aleaseg.metrics.paired import (
    case_resamples,
    holm,
    mean_over_cases,
    mean_with_interval,
    repeated_difference,
    signed_rank,
)
from aleaseg.run import Run, read_json, read_table
from aleaseg.training.targets import parse_strategy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ELSEWHERE", "PARTS", "ConfidenceResult", "Scores", "read_confidence_bench", "result_rows"]

PARTS = ("all", "small", "large")
"""All cases; the half with the smaller structures (by the sum of q, class by class), and the other half."""
ELSEWHERE = "dice elsewhere"
"""Mean Dice at the references that neither of two rows learnt."""
_DICE = "dice@"
_SOFT = ("soft_dice", "brier", "brier_image", "ece_q", "ece_q_image", "ged", "ncc")
_CLAIMED = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Every number of every row.

    Attributes:
        values: row -> column -> (seeds, classes, cases); NaN where there is none.
        group: (cases,).
        halves: `small` and `large` -> (classes, cases), whether the case is in that half by size; who does not have
            the class is in neither.
    """

    values: Mapping[str, Mapping[str, Array]]
    group: NDArray[np.str_]
    halves: Mapping[str, NDArray[np.bool_]]

    @cached_property
    def resamples(self) -> Resamples:
        """Of the cases, shared by all means."""
        return case_resamples(self.group)

    def of(self, row: str, column: str, part: str = "all") -> Array:
        """(seeds, classes, cases) of a part of the cases."""
        found = self.values[row][column]
        return found if part == "all" else np.where(self.halves[part], found, np.nan)

    def elsewhere(self, row: str, at: Iterable[float], part: str = "all") -> Array:
        """Mean Dice over references; over those that somebody reaches, of each case."""
        found = np.stack([self.of(row, f"{_DICE}{t:g}", part) for t in at])
        known = ~np.isnan(found)
        count = known.sum(axis=0)
        total = np.where(known, found, 0).sum(axis=0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


@dataclass(frozen=True)
class ConfidenceResult:
    """What was found.

    Attributes:
        about: the manifest, and `seeds` (that all rows have), `cells` (done), `wanted`, `failed` (row -> why),
            `seconds` (of the processor, all cells together), `patch`, `batch`, `steps`.
        design: what was compared.
        cases: a row per way, seed, case and class: every metric.
        scores: the same as arrays, of complete seeds.
    """

    about: Mapping[str, Any]
    design: Design
    cases: pd.DataFrame
    scores: Scores

    @property
    def rows(self) -> list[str]:
        """Those that could be learnt, in order."""
        return [row for row in self.design.rows if row in self.scores.values]

    @cached_property
    def columns(self) -> dict[str, Column]:
        """What stands in the matrix, in order: Dice at every reference, then what is measured against q itself."""
        known = metrics_at(self.design.at)
        there = self.scores.values[self.design.baseline]
        names = [*(f"{_DICE}{t:g}" for t in self.design.at), *_SOFT]
        return {name: known[name] for name in names if not np.isnan(there[name]).all()}

    @property
    def thresholds(self) -> dict[str, float]:
        """Rows that learn one threshold of q as it is -> the threshold, rising."""
        ways = {row: parse_strategy(row) for row in self.rows}
        plain = {
            row: way.thresholds[0]
            for row, way in ways.items()
            if way.kind == "threshold" and not way.rater_norm
        }
        return dict(sorted(plain.items(), key=lambda item: item[1]))

    def mean(self, row: str, column: str, part: str = "all") -> dict[str, Any]:
        """mean, low, high, cases, groups; and `seeds`, the mean of each."""
        found, drawn = self.scores.of(row, column, part), self.scores.resamples
        mean = mean_with_interval(found.mean(axis=0), self.scores.group, drawn)
        return {**mean._asdict(), "seeds": [mean_over_cases(one, drawn).point for one in found]}

    def difference(self, first: str, second: str, column: str, part: str = "all") -> dict[str, Any]:
        """The second row less the first: difference, low, high, signs, p, and whether the second is `better`."""
        if column == ELSEWHERE:
            at = self.others(first, second)
            if not at:
                unknown = dict.fromkeys(("difference", "low", "high", "p"), np.nan)
                return {**unknown, "signs": "", "says": "no claim"}
            x, y = (self.scores.elsewhere(row, at, part) for row in (first, second))
            sign = 1
        else:
            x, y = (self.scores.of(row, column, part) for row in (first, second))
            sign = 1 if self.columns[column].higher_is_better else -1
        # Told with high = good, shown as the numbers are.
        found = repeated_difference(sign * x, sign * y, self.scores.group, self.scores.resamples)
        ends = sorted((sign * found.low, sign * found.high))
        says = {"helps": "better", "harms": "worse"}.get(found.claim, "no claim")
        p = signed_rank((y - x).mean(axis=0), self.scores.group)
        return {
            "difference": sign * found.difference,
            "low": ends[0],
            "high": ends[1],
            "signs": found.signs.translate(str.maketrans("+-", "+−" if sign > 0 else "−+")),
            "p": p,
            "says": says,
        }

    def others(self, first: str, second: str) -> list[float]:
        """References that neither row learnt as its own."""
        own = {self.thresholds.get(row) for row in (first, second)}
        return [t for t in self.design.at if t not in own]

    def compared(self, pairs: Iterable[tuple[str, str, str]], part: str = "all") -> pd.DataFrame:
        """A table of differences: (first, second, column) each; claims corrected for their number."""
        import pandas as pd

        found = [
            {"row": second, "baseline": first, "column": column, "part": part}
            | self.difference(first, second, column, part)
            for first, second, column in pairs
        ]
        if not found:
            return pd.DataFrame()
        corrected = holm([one["p"] for one in found])
        for one, p in zip(found, corrected, strict=True):
            one["p_holm"] = p
            if not p < _CLAIMED:
                one["says"] = "no claim"
        return pd.DataFrame(found)

    @cached_property
    def to_baseline(self) -> dict[str, pd.DataFrame]:
        """Part -> every row less the baseline, at every column and elsewhere."""
        base, columns = self.design.baseline, (*self.columns, ELSEWHERE)
        pairs = [(base, row, column) for row in self.rows if row != base for column in columns]
        return {part: self.compared(pairs, part) for part in PARTS}

    @cached_property
    def winners(self) -> dict[str, pd.DataFrame]:
        """Part -> of each column the best training threshold less the second best."""
        found = {}
        for part in PARTS:
            ranked = {column: self.ranked(column, self.thresholds, part) for column in self.columns}
            pairs = [(rows[1], rows[0], column) for column, rows in ranked.items() if len(rows) > 1]
            found[part] = self.compared(pairs, part)
        return found

    @cached_property
    def beyond(self) -> dict[str, pd.DataFrame]:
        """Part -> every other way less the best training threshold of each column."""
        found = {}
        for part in PARTS:
            best = {column: self.ranked(column, self.thresholds, part)[0] for column in self.columns}
            others = [row for row in self.rows if row not in self.thresholds]
            pairs = [(best[column], row, column) for row in others for column in self.columns]
            found[part] = self.compared(pairs, part)
        return found

    def ranked(self, column: str, rows: Iterable[str], part: str = "all") -> list[str]:
        """Rows by their mean in a column, the best first."""
        sign = 1 if self.columns[column].higher_is_better else -1
        means = {row: sign * self.mean(row, column, part)["mean"] for row in rows}
        return sorted(means, key=lambda row: -np.nan_to_num(means[row], nan=-np.inf))


def read_confidence_bench(out: Run) -> ConfidenceResult:
    """What the finished cells of a bench say; of the seeds that every row has.

    Raises:
        UsageError: there is no bench, or no seed is complete.
    """
    import pandas as pd

    folder = out.path
    if not (folder / DESIGN).is_file():
        raise UsageError(
            f"{folder} is not a bench of confidences; expected one made by `aleaseg bench confidence`"
        )
    design, settings = Design.read(folder / DESIGN), out.manifest["settings"]
    seeds = range(settings["first"], settings["first"] + settings["seeds"])
    cells = cells_of(design, seeds)
    reports = {cell: read_json(cell.report(folder)) for cell in cells if cell.report(folder).is_file()}
    failed = {cell.row: report["failed"] for cell, report in reports.items() if "failed" in report}
    rows = [row for row in design.rows if row not in failed]
    complete = [
        seed for seed in seeds
        if all(Cell(row, seed, fold) in reports for row in rows for fold in range(len(design.folds)))
    ]  # fmt: skip
    if design.baseline in failed:
        raise UsageError(f"{design.baseline} cannot be learnt: {failed[design.baseline]}")
    if not complete:
        raise UsageError(
            f"{folder}: {len(reports)} of {len(cells)} cells are done, and no seed of every way; run the same command "
            "again to resume"
        )
    done = [cell for cell in cells if cell.row in rows and cell.seed in complete]
    sizes = read_table(folder / SIZES)
    cases = pd.concat([_table(folder, cell) for cell in done], ignore_index=True)
    cases = cases.merge(sizes.drop(columns="group"), on=["case", "class"], how="left")
    first = reports[done[0]]
    about = {
        **out.manifest,
        "seeds": complete,
        "cells": len(reports),
        "wanted": len(cells),
        "failed": failed,
        "seconds": sum(
            reports[cell][f"{part}_seconds"] for cell in done for part in ("train", "predict", "measure")
        ),
        **{name: first[name] for name in ("patch", "batch", "steps")},
    }  # fmt: skip
    return ConfidenceResult(about, design, cases, _scores(cases, sizes, design, rows, complete))


def _table(folder: Path, cell: Cell) -> pd.DataFrame:
    found = read_table(cell.folder(folder) / "metrics.csv")
    return found.assign(row=cell.row, seed=cell.seed, fold=cell.fold)


def _scores(
    cases: pd.DataFrame, sizes: pd.DataFrame, design: Design, rows: Sequence[str], seeds: Sequence[int]
) -> Scores:
    """Arrays of what the table holds."""
    ids, classes = sorted(design.groups), list(dict.fromkeys(sizes["class"]))
    names = [*(f"{_DICE}{t:g}" for t in design.at), *_SOFT]
    table = cases.set_index(["row", "seed", "class", "case"])
    values: dict[str, dict[str, Array]] = {row: {} for row in rows}
    size = sizes.set_index(["class", "case"])
    reached = {f"{_DICE}{t:g}": _grid(size[f"voxels@{t:g}"], classes, ids) > 0 for t in design.at}
    for row in rows:
        of_row = table.loc[row]
        for name in names:
            stacked = np.stack([_grid(of_row.loc[seed][name], classes, ids) for seed in seeds])
            values[row][name] = np.where(reached[name], stacked, np.nan) if name in reached else stacked
    volume = _grid(size["volume"], classes, ids)
    volume = np.where(volume > 0, volume, np.nan)
    middle = np.nanmedian(volume, axis=1, keepdims=True)
    halves = {"small": volume <= middle, "large": volume > middle}
    return Scores(values, np.array([design.groups[case] for case in ids]), halves)


def _grid(column: pd.Series, classes: Sequence[str], ids: Sequence[str]) -> Array:
    """(classes, cases) of a column by class and case."""
    import pandas as pd

    index = pd.MultiIndex.from_product([classes, ids])
    return pd.to_numeric(column.reindex(index)).to_numpy(dtype=np.float64).reshape(len(classes), len(ids))


def result_rows(result: ConfidenceResult) -> Iterator[dict[str, Any]]:
    """Of confidence.csv: a row per way, column and part, with its difference to the baseline."""
    for part in PARTS:
        gaps = {(one["row"], one["column"]): one for one in result.to_baseline[part].to_dict("records")}
        for row in result.rows:
            for column in (*result.columns, ELSEWHERE):
                of_row: dict[str, Any] = {"row": row, "column": column, "part": part}
                if column != ELSEWHERE:
                    mean = result.mean(row, column, part)
                    seeds = zip(result.about["seeds"], mean.pop("seeds"), strict=True)
                    of_row |= mean | {f"seed_{seed}": value for seed, value in seeds}
                gap = gaps.get((row, column), {})
                less = {"difference": "difference", "low": "difference_low", "high": "difference_high"}
                of_row |= {less[name]: gap.get(name) for name in less}
                yield of_row | {name: gap.get(name) for name in ("signs", "p", "p_holm", "says")}
