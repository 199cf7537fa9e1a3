"""Each row of a table against its baseline, case by case, with an interval: what the paper's tables lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aleaseg.errors import AleasegError
from aleaseg.reproduce.cells import Training
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.tables import Table

__all__ = ["Against", "compare_rows"]


@dataclass(frozen=True)
class Against:
    """Mean Dice of a row less that of its baseline, over the cases of the test part.

    Attributes:
        row, baseline: of the table.
        run: name of the row's cell; the baseline's is of the same data and seed.
        difference, low, high: in percent; the interval is of 95%, NaN with few cases.
        cases: that both have a number for.
        verdict: `better`, `worse`, `no claim`, `same` or `too few`.
    """

    row: str
    baseline: str
    run: str
    difference: float
    low: float
    high: float
    cases: int
    verdict: str


def compare_rows(table: Table, grid: Grid) -> list[Against]:
    """Every finished training of a row against the baseline's of the same data and seed."""
    found = {}
    of_row: dict[str, list[Training]] = {row: [] for row in table.rows}
    for entry in table.entries:
        of_row[entry.row] += [cell for cell in entry.cells if isinstance(cell, Training)]
    for row in table.rows:
        baseline = baseline_of(table, row)
        for cell in dict.fromkeys(of_row[row]):
            base = next(
                (
                    other
                    for other in of_row.get(baseline, ())
                    if (other.dataset, other.seed) == (cell.dataset, cell.seed)
                ),
                None,
            )
            if base is None or base == cell or not (grid.done(base) and grid.done(cell)):
                continue
            made = _against(row, baseline, cell, [grid.work(base), grid.work(cell)])
            if made is not None:
                found[row, cell] = made
    return list(found.values())


def baseline_of(table: Table, row: str) -> str:
    """The row that a row is compared with; empty: none. With DUO: the same network without."""
    if row.endswith(" + DUO") and row.removesuffix(" + DUO") in table.rows:
        return row.removesuffix(" + DUO")
    return table.baseline if row != table.baseline else ""


def _against(row: str, baseline: str, cell: Training, work: Sequence[Path]) -> Against | None:
    from aleaseg.evaluation import compare_evaluations, open_evaluation

    try:
        evaluations = [open_evaluation(folder / "evaluation") for folder in work]
        rows = compare_evaluations(evaluations, ["baseline", "row"]).rows
    except AleasegError:
        return None  # its files have moved: the table still has its means
    dice = rows[(rows["metric"] == "dice") & (rows["class"] == "all")]
    if not len(dice):
        return None
    one = dice.iloc[0]
    difference, low, high = (100 * float(one[name]) for name in ("difference", "low", "high"))
    cases, verdict = int(one["cases"]), str(one["verdict"])
    return Against(row, baseline, cell.name, difference, low, high, cases, verdict)
