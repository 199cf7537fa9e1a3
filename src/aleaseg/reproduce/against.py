"""Each row of a table against its baseline, case by case, with an interval: what the paper's tables lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aleaseg.errors import AleasegError
from aleaseg.metrics.paired import repeated_difference
from aleaseg.reproduce.cells import Training
from aleaseg.reproduce.filling import Table
from aleaseg.reproduce.grid import Grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Against", "compare_rows"]


@dataclass(frozen=True)
class Against:
    """Mean Dice of a row less that of its baseline, over the cases of the test part, as `bench --downstream` has it.

    Attributes:
        row, baseline: of the table.
        run: name of the row's first cell; those of other seeds and the baseline's are of the same data.
        difference, low, high: in percent, mean over the seeds; the interval is of 95%, NaN with few cases.
        cases: that all trainings have a number for.
        signs: of the difference, `+`, `-` or `0` for each seed.
        claim: `helps` or `harms` where all of several seeds agree and the interval leaves out 0; else `no claim`.
    """

    row: str
    baseline: str
    run: str
    difference: float
    low: float
    high: float
    cases: int
    signs: str
    claim: str


def compare_rows(table: Table, grid: Grid) -> list[Against]:
    """Every finished training of a row against the baseline's of the same data, over the seeds that both have."""
    done: dict[str, list[Training]] = {row: [] for row in table.rows}
    for entry in table.entries:
        done[entry.row] += [cell for cell in entry.cells if isinstance(cell, Training) and grid.done(cell)]
    found = []
    for row in table.rows:
        baseline = baseline_of(table, row)
        bases: dict[tuple[str, int], Training] = {}
        for cell in done.get(baseline, ()):
            bases.setdefault((cell.dataset, cell.seed), cell)
        # What differs by the seed alone belongs together.
        alike: dict[Training, list[tuple[Training, Training]]] = {}
        for cell in dict.fromkeys(done[row]):
            base = bases.get((cell.dataset, cell.seed), cell)
            if base != cell:
                alike.setdefault(replace(cell, seed=0), []).append((base, cell))
        made = (_against(row, baseline, pairs, grid) for pairs in alike.values())
        found += [one for one in made if one is not None]
    return found


def baseline_of(table: Table, row: str) -> str:
    """The row that a row is compared with; empty: none. With DUO: the same network without."""
    if row.endswith(" + DUO") and row.removesuffix(" + DUO") in table.rows:
        return row.removesuffix(" + DUO")
    return table.baseline if row != table.baseline else ""


def _against(
    row: str, baseline: str, pairs: Sequence[tuple[Training, Training]], grid: Grid
) -> Against | None:
    tables = [table for pair in pairs if (table := _paired(pair, grid)) is not None]
    if not tables:
        return None
    known = sorted(set.intersection(*(set(table.index) for table in tables)))
    if not known:
        return None
    first, second = (
        [table.loc[known, name].to_numpy() for table in tables] for name in ("first", "second")
    )
    found = repeated_difference(first, second, tables[0].loc[known, "group"].to_numpy())
    difference, low, high = (100 * number for number in found[:3])
    run, cases = pairs[0][1].name, len(known)
    return Against(row, baseline, run, difference, low, high, cases, found.signs, found.claim)


def _paired(pair: tuple[Training, Training], grid: Grid) -> pd.DataFrame | None:
    """A row per case that both have a Dice of: group, first, second; None where files have moved."""
    from aleaseg.evaluation import compare_evaluations, open_evaluation

    try:
        evaluations = [open_evaluation(grid.work(cell) / "evaluation") for cell in pair]
        cases = compare_evaluations(evaluations, ["baseline", "row"]).pairs[0].cases
    except AleasegError:
        return None  # the table still has its means
    return cases.dropna(subset=["first", "second"]).set_index("case")
