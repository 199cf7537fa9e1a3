"""What a table of a reproduction is, and how it is filled from finished cells.

A table is a list of entries. An entry reads one number off each of its cells (of several seeds, or of several
cuts by lot) and is their mean; it is empty until one of them is done. All numbers are in percent, Table 4's in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aleaseg.reproduce.cells import Cell
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.paper import PAPER

__all__ = ["TITLES", "Entry", "Reader", "Shown", "Table", "class_mean", "fill", "mean_of_classes"]

TITLES = ("LiTS", "TotalSegmentator", "WORD", "FeTA22", "KiTS23")
"""The paper's data sets."""

Reader = Callable[[Grid, Cell], float | None]


@dataclass(frozen=True)
class Entry:
    """A number of a table.

    Attributes:
        row, column: where it stands.
        cells: what it is the mean over.
        read: from a finished cell to its number; None where it has none.
        paper: the paper's number; None where it is not known, or there is none.
        comparable: whether ours is of the paper's data, so that the difference means something.
        also: what must be done beside `cells`.
    """

    row: str
    column: str
    cells: tuple[Cell, ...]
    read: Reader
    paper: float | None = None
    comparable: bool = False
    also: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table, declared.

    Attributes:
        name: as on the command line.
        title: with the paper's number.
        caption: what is in it, and what to bear in mind.
        entries: its numbers.
        baseline: the row that the others are compared with; empty: none.
        mean: whether a last column averages the others.
        footnotes: of the paper's inconsistencies, and of what differs here.
        form: how a number is written.
    """

    name: str
    title: str
    caption: str
    entries: tuple[Entry, ...]
    baseline: str = ""
    mean: bool = False
    footnotes: tuple[str, ...] = ()
    form: str = ".2f"

    @property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the rows."""
        return list(dict.fromkeys(cell for entry in self.entries for cell in (*entry.also, *entry.cells)))

    @property
    def rows(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(entry.row for entry in self.entries))

    @property
    def columns(self) -> list[str]:
        """In order, without the mean."""
        return list(dict.fromkeys(entry.column for entry in self.entries))


@dataclass(frozen=True)
class Shown:
    """A number as it is shown.

    Attributes:
        row, column: where it stands.
        ours: mean over what is done; None: nothing is.
        spread: largest less smallest over what is done, where that is more than one.
        paper: the paper's.
        difference: ours less the paper's, where both are of the same data.
        done, of: cells.
        why: why there is nothing, or not all.
    """

    row: str
    column: str
    ours: float | None
    spread: float | None
    paper: float | None
    difference: float | None
    done: int
    of: int
    why: str = ""


def fill(table: Table, grid: Grid) -> list[Shown]:
    """Read what is finished off the cells; with the mean of each row, where the table has one."""
    shown = [_shown(entry, grid) for entry in table.entries]
    return [*shown, *_means(table, shown)] if table.mean else shown


def _shown(entry: Entry, grid: Grid) -> Shown:
    values, why = [], []
    for cell in entry.cells:
        if grid.done(cell):
            value = entry.read(grid, cell)
            if value is not None:
                values.append(value)
            else:
                why.append(f"{cell.name} has no such number")
        else:
            why.append(f"{cell.name}: {grid.failed(cell) or 'not done yet'}")
    ours = sum(values) / len(values) if values else None
    spread = max(values) - min(values) if len(values) > 1 else None
    difference = _less(ours, entry.paper) if entry.comparable else None
    return Shown(
        *(entry.row, entry.column, ours, spread, entry.paper, difference),
        *(len(values), len(entry.cells), "; ".join(why)),
    )


def _less(ours: float | None, paper: float | None) -> float | None:
    return None if ours is None or paper is None else ours - paper


def _means(table: Table, shown: Sequence[Shown]) -> list[Shown]:
    """Over all columns, as the paper averages; only of rows that have every column."""
    found = []
    whole = {f"{title} {metric}" for title in TITLES for metric in ("Dice", "mIoU")}
    for row in table.rows:
        of_row = [one for one in shown if one.row == row]
        known = [one.ours for one in of_row if one.ours is not None]
        ours = sum(known) / len(known) if len(known) == len(table.columns) else None
        paper = PAPER.get((table.name, row, "Mean"))
        difference = _less(ours, paper) if set(table.columns) == whole else None
        done, of = sum(one.done for one in of_row), sum(one.of for one in of_row)
        found.append(Shown(row, "Mean", ours, None, paper, difference, done, of))
    return found


# -- what is read off a training ------------------------------------------------------------------


def mean_of_classes(metric: str) -> Reader:
    """Mean over the classes of their means over cases, in percent."""

    def read(grid: Grid, cell: Cell) -> float | None:
        known = [value for value in _numbers(grid, cell, metric).values() if value is not None]
        return 100 * sum(known) / len(known) if known else None

    return read


def class_mean(name: str) -> Reader:
    """Mean Dice of one class, in percent."""

    def read(grid: Grid, cell: Cell) -> float | None:
        value = _numbers(grid, cell, "dice").get(name)
        return None if value is None else 100 * value

    return read


def _numbers(grid: Grid, cell: Cell, metric: str) -> Mapping[str, float | None]:
    made: Mapping[str, Any] = grid.result(cell) or {}
    return made.get(metric) or {}
