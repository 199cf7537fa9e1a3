"""The paper's tables as grids: which cell stands where, and beside which number of the paper.

A table is a list of entries. An entry reads one number off each of its cells (of several seeds, or of several
cuts by lot) and is their mean; it is empty until one of them is done. All numbers are in percent, Table 4's in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aleaseg.auditing.settings import SCENARIOS
from aleaseg.errors import UsageError
from aleaseg.reproduce.cells import Cell, Cut, Scores, Training
from aleaseg.reproduce.correlation import class_correlations
from aleaseg.reproduce.datasets import Prepared
from aleaseg.reproduce.grid import Grid
from aleaseg.reproduce.paper import FOOTNOTES, PAPER, POINTS
from aleaseg.reproduce.settings import ReproduceSettings

__all__ = ["SWEEPS", "TABLES", "Entry", "Shown", "Table", "declare", "fill"]

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
    both = ours is not None and entry.paper is not None and entry.comparable
    difference = ours - entry.paper if both else None  # type: ignore[operator]
    return Shown(
        *(entry.row, entry.column, ours, spread, entry.paper, difference),
        *(len(values), len(entry.cells), "; ".join(why)),
    )


def _means(table: Table, shown: Sequence[Shown]) -> list[Shown]:
    """Over all columns, as the paper averages; only of rows that have every column."""
    found = []
    whole = {f"{title} {metric}" for title in _TITLES for metric in ("Dice", "mIoU")}
    for row in table.rows:
        of_row = [one for one in shown if one.row == row]
        known = [one.ours for one in of_row if one.ours is not None]
        ours = sum(known) / len(known) if len(known) == len(table.columns) else None
        paper = PAPER.get((table.name, row, "Mean"))
        same = set(table.columns) == whole and ours is not None and paper is not None
        found.append(
            Shown(
                *(row, "Mean", ours, None, paper),
                ours - paper if same else None,  # type: ignore[operator]
                *(sum(one.done for one in of_row), sum(one.of for one in of_row)),
            )
        )
    return found


# -- what is read off a training ------------------------------------------------------------------


def _mean(metric: str) -> Reader:
    """Mean over the classes of their means over cases, in percent."""

    def read(grid: Grid, cell: Cell) -> float | None:
        of_classes = _numbers(grid, cell, metric)
        known = [value for value in of_classes.values() if value is not None]
        return 100 * sum(known) / len(known) if known else None

    return read


def _of(name: str, metric: str = "dice") -> Reader:
    """Of one class, in percent."""

    def read(grid: Grid, cell: Cell) -> float | None:
        value = _numbers(grid, cell, metric).get(name)
        return None if value is None else 100 * value

    return read


def _numbers(grid: Grid, cell: Cell, metric: str) -> Mapping[str, float | None]:
    made: Mapping[str, Any] = grid.result(cell) or {}
    numbers: Mapping[str, float | None] = made.get(metric) or {}
    return numbers


# -- the tables -----------------------------------------------------------------------------------

NETWORKS = {"nnU-Net": "unet", "Swin-UNETR": "swin_unetr", "U-Mamba": "umamba"}
_TITLES = ("LiTS", "TotalSegmentator", "WORD", "FeTA22", "KiTS23")
_RATIOS = (0.95, 0.90)
# Table 1's rows -> an eye, and the input it is given: X wherever there is a choice.
_EYES = {
    "variance": ("variance", ""),
    "nnU-Net": ("task", ""),
    "CLIP-Driven": ("universal", "foreground"),
    "SegVol": ("segvol", "foreground"),
    "MedSAM2": ("medsam2", "foreground"),
    "own (not in the paper)": ("own", "foreground"),
}


@dataclass(frozen=True)
class _Asked:
    """What every table is declared from."""

    datasets: Sequence[Prepared]
    settings: ReproduceSettings

    @property
    def eye(self) -> str:
        """Whose AUV cuts where the paper has MedSAM2."""
        return self.settings.protocol.eye

    def focus(self, name: str) -> Prepared:
        """The data set that the paper's table is about; where it is missing, the first."""
        return next((data for data in self.datasets if data.name == name), self.datasets[0])

    def trainings(
        self, data: Prepared, *, network: str = "unet", objective: str = "plain", cut: Cut | None = None
    ) -> tuple[Training, ...]:
        """One for each seed."""
        eye = self.eye if objective.startswith("static_") else ""
        return tuple(
            Training(data.name, network, objective, cut, seed, eye)
            for seed in range(self.settings.protocol.seeds)
        )

    def by_lot(self, data: Prepared, keep: float) -> tuple[Training, ...]:
        """Cuts by lot, for each seed."""
        return tuple(
            training
            for lot in range(1, self.settings.protocol.randoms + 1)
            for training in self.trainings(data, cut=Cut("random", keep, lot=lot))
        )


def _about(data: Prepared, name: str) -> tuple[str, ...]:
    """That a table is of other data than the paper's."""
    if data.name == name:
        return data.notes
    return (
        *data.notes,
        f"Ours are of {data.title}, the paper's of another data set: they stand beside one another to show the size "
        "of its effects, and no difference is drawn.",
    )


def _table1(asked: _Asked) -> Table:
    rows: dict[str, Callable[[Prepared], tuple[Training, ...]]] = {"all cases": asked.trainings}
    for title, (eye, normalize) in _EYES.items():
        for keep in _RATIOS:
            rows[f"{title}, {keep:.0%}"] = partial(asked.trainings, cut=Cut("auv", keep, eye, normalize))
    if asked.settings.protocol.randoms:
        rows |= {f"by lot, {keep:.0%}": partial(asked.by_lot, keep=keep) for keep in _RATIOS}
    return Table(
        "table1",
        "Table 1: cases left out by the AUV of several eyes",
        "Dice and mIoU in percent of a U-Net trained on what a cut leaves, on the fixed test part. Rows by lot leave "
        "out as many cases at random: a cut has to do better than they do.",
        _by_dataset("table1", asked, rows),
        baseline="all cases",
        mean=True,
        footnotes=(*FOOTNOTES["table1"], *(note for data in asked.datasets for note in data.notes)),
    )


def _by_dataset(
    name: str, asked: _Asked, rows: Mapping[str, Callable[[Prepared], tuple[Training, ...]]]
) -> tuple[Entry, ...]:
    entries = []
    for row, cells in rows.items():
        for data in asked.datasets:
            for metric, title in (("dice", "Dice"), ("iou", "mIoU")):
                column = f"{data.title} {title}"
                paper = PAPER.get((name, row, column)) if data.of_paper else None
                entries.append(Entry(row, column, cells(data), _mean(metric), paper, data.of_paper))
    return tuple(entries)


def _table2(asked: _Asked) -> Table:
    rows: dict[str, Callable[[Prepared], tuple[Training, ...]]] = {}
    for title, network in NETWORKS.items():
        rows[title] = partial(asked.trainings, network=network)
        rows[f"{title} + DUO"] = partial(asked.trainings, network=network, objective="duo")
    return Table(
        "table2",
        "Table 2: three networks, with and without DUO",
        "Dice and mIoU in percent on the fixed test part. Each network starts from the same weights with and without "
        "DUO, and sees the same batches.",
        _by_dataset("table2", asked, rows),
        mean=True,
        footnotes=(*FOOTNOTES["table2"], *(note for data in asked.datasets for note in data.notes)),
    )


def _entry(table: str, row: str, column: str, cells: Sequence[Cell], read: Reader, same: bool) -> Entry:
    return Entry(row, column, tuple(cells), read, PAPER.get((table, row, column)), same)


def _table3(asked: _Asked) -> Table:
    data = asked.focus("lits")
    read, same = _of(data.target), data.name == "lits"
    keep, with_duo = "90% of the data", "+ DUO"
    rivals = {"Fisher": "fisher", "MD": "mahalanobis", "EAOA": "eaoa"}
    base = asked.trainings(data)
    entries = [
        _entry("table3", "baseline", keep, base, read, same),
        _entry("table3", "baseline", with_duo, base, read, same),
    ]
    for row, measure in rivals.items():
        cells = asked.trainings(data, cut=Cut(measure, 0.9, "task"))
        entries.append(_entry("table3", row, keep, cells, read, same))
        if measure != "eaoa":
            cells = asked.trainings(data, objective=f"duo:certainty={measure}")
            entries.append(_entry("table3", row, with_duo, cells, read, same))
    cells = asked.trainings(data, cut=Cut("auv", 0.9, asked.eye, "foreground"))
    entries.append(_entry("table3", "S", keep, cells, read, same))
    cells = asked.trainings(data, objective="duo")
    entries.append(_entry("table3", "S", with_duo, cells, read, same))
    if lots := asked.by_lot(data, 0.9):
        entries.append(_entry("table3", "by lot", keep, lots, read, same))
    return Table(
        "table3",
        "Table 3: other measures in the place of S",
        f"Dice of {data.target} in percent, {data.title}. On the left a cut by each measure, on the right DUO with it "
        f"in the place of S. S is that of {asked.eye}; the others are of the task network, out of fold.",
        tuple(entries),
        baseline="baseline",
        footnotes=(*FOOTNOTES["table3"], *_about(data, "lits")),
    )


def _table4(asked: _Asked) -> Table:
    data = asked.focus("word")
    same = data.name == "word"
    eye = Scores(data.name, asked.eye, "foreground")
    task = Scores(data.name, "task")
    base = asked.trainings(data)[:1]
    rows = {"S": (eye, "perception_scale"), "Fisher": (task, "fisher"), "MD": (task, "mahalanobis")}
    entries = []
    for row, (scores, measure) in rows.items():
        for column in ("Pearson", "p of Pearson", "Spearman", "p of Spearman", "classes"):
            paper = POINTS.get((row, column))
            read = class_correlations(measure, column, scores, base[0], per_case=False)
            entries.append(Entry(row, column, base, read, paper, same, (scores,)))
        for column in ("Pearson of cases", "Spearman of cases", "cases x classes"):
            read = class_correlations(measure, column, scores, task, per_case=True)
            entries.append(Entry(row, column, (task,), read, also=(scores,)))
    return Table(
        "table4",
        "Table 4: do certain classes have a high Dice",
        f"Correlations in [-1, 1], {data.title}: of each class's mean certainty with its mean Dice on the test part "
        f"(classes), and, without their means, of every case and class with its out-of-fold Dice. S is that of "
        f"{asked.eye}. Below four classes there is no correlation.",
        tuple(entries),
        footnotes=(*FOOTNOTES["table4"], *_about(data, "word")),
        form=".4g",
    )


def _table5(asked: _Asked) -> Table:
    data = asked.focus("lits")
    read, same = _of(data.target), data.name == "lits"
    names = {
        "a": "(a) raw, all classes",
        "b": "(b) raw, one class",
        "c": "(c) normalised, all classes",
        "d": "(d) normalised, one class",
    }
    entries = []
    for keep in _RATIOS:
        column = f"{keep:.0%}"
        entries.append(_entry("table5", "baseline", column, asked.trainings(data), read, same))
        for scenario, row in names.items():
            target = data.target if scenario in "bd" else ""
            cut = Cut("auv", keep, asked.eye, SCENARIOS[scenario], target)
            entries.append(_entry("table5", row, column, asked.trainings(data, cut=cut), read, same))
        if lots := asked.by_lot(data, keep):
            entries.append(_entry("table5", "by lot", column, lots, read, same))
    return Table(
        "table5",
        "Table 5: what the eye is shown, and which class cuts",
        f"Dice of {data.target} in percent, {data.title}, after cuts by the AUV of {asked.eye}. Raw is the paper's "
        f"X-hat, normalised by the case's own mask its X; one class is {data.target}.",
        tuple(entries),
        baseline="baseline",
        footnotes=(*FOOTNOTES["table5"], *_about(data, "lits")),
    )


def _table6(asked: _Asked) -> Table:
    data = asked.focus("lits")
    same = data.name == "lits"
    rows = {
        "baseline": "plain",
        "DUO's Dice + BCE alone": "seg",
        "EN": "en",
        "RW": "rw",
        "RW of mean 1": "rw_renorm",
        "EN + RW (DUO)": "duo",
    }
    others = [name for name in data.classes if name != data.target] if len(data.classes) <= 8 else []
    entries = []
    for row, objective in rows.items():
        cells = asked.trainings(data, objective=objective)
        entries.append(_entry("table6", row, "target Dice", cells, _of(data.target), same))
        entries += [_entry("table6", row, f"{name} Dice", cells, _of(name), same) for name in others]
    return Table(
        "table6",
        "Table 6: label denoising (EN) and re-weighting (RW)",
        f"Dice in percent, {data.title}; the target is {data.target}. Weights lie below 1 and so lower the learning "
        "rate as well: RW of mean 1 does not.",
        tuple(entries),
        baseline="baseline",
        footnotes=(*FOOTNOTES["table6"], *_about(data, "lits")),
    )


def _sweep(asked: _Asked, name: str, title: str, rows: Mapping[str, Sequence[Training]], say: str) -> Table:
    data = asked.focus("lits")
    same = data.name == "lits"
    entries = []
    for row, cells in rows.items():
        entries.append(_entry(name, row, "target Dice", cells, _of(data.target), same))
        entries.append(_entry(name, row, "mean Dice", cells, _mean("dice"), same))
    return Table(
        name,
        title,
        f"Dice in percent, {data.title}; the target is {data.target}. {say}",
        tuple(entries),
        baseline=next(iter(rows)),
        footnotes=(*FOOTNOTES["sweep"], *_about(data, "lits")),
    )


def _sweep_ratio(asked: _Asked) -> Table:
    data = asked.focus("lits")
    rows = {"100%": asked.trainings(data)}
    for percent in (95, 90, 85, 80, 75, 70):
        keep = percent / 100
        rows[f"{percent}%"] = asked.trainings(data, cut=Cut("auv", keep, asked.eye, "foreground"))
        rows[f"{percent}% by lot"] = asked.by_lot(data, keep)
    rows = {row: cells for row, cells in rows.items() if cells}
    say = f"The share of the training part that a cut by the AUV of {asked.eye} keeps."
    return _sweep(asked, "sweep_ratio", "How much is left out", rows, say)


def _sweep_alpha(asked: _Asked) -> Table:
    data = asked.focus("lits")
    rows = {"plain": asked.trainings(data)}
    for alpha in (0.0, 0.1, 0.25, 0.5, 1.0, 2.0):
        # What DUO takes by itself is the cell of the other tables.
        objective = "duo" if alpha == 0.5 else f"duo:alpha={alpha:g}"
        rows[f"alpha {alpha:g}"] = asked.trainings(data, objective=objective)
    say = "DUO's alpha, of which the weights are 1 / (1 + alpha S); the paper does not give it."
    return _sweep(asked, "sweep_alpha", "DUO's alpha", rows, say)


def _sweep_beta(asked: _Asked) -> Table:
    data = asked.focus("lits")
    rows = {"plain": asked.trainings(data)}
    for beta in (0.25, 0.5, 0.75):
        objective = "duo" if beta == 0.5 else f"duo:beta={beta:g}"
        rows[f"beta {beta:g}"] = asked.trainings(data, objective=objective)
    say = "DUO's beta, the share of Dice in its loss; the paper does not give it."
    return _sweep(asked, "sweep_beta", "DUO's beta", rows, say)


def _sweep_static(asked: _Asked) -> Table:
    data = asked.focus("lits")
    rows = {
        row: asked.trainings(data, objective=objective)
        for row, objective in (
            ("plain", "plain"),
            ("static, by S", "static_s"),
            ("static, by frequency", "static_freq"),
            ("dynamic (RW)", "rw"),
        )
    }
    say = f"Fixed weights of the classes, by the mean S of {asked.eye} or by how rare a class is, beside DUO's own."
    return _sweep(asked, "sweep_static", "Static re-weighting", rows, say)


def _sweep_dice(asked: _Asked) -> Table:
    data = asked.focus("lits")
    rows = {"100%": asked.trainings(data)}
    for keep in _RATIOS:
        for what, measure in (("out-of-fold Dice", "oof_dice"), ("in-sample Dice", "in_sample_dice")):
            rows[f"{what}, {keep:.0%}"] = asked.trainings(data, cut=Cut(measure, keep, "task"))
        rows[f"AUV, {keep:.0%}"] = asked.trainings(data, cut=Cut("auv", keep, asked.eye, "foreground"))
        rows[f"by lot, {keep:.0%}"] = asked.by_lot(data, keep)
    rows = {row: cells for row, cells in rows.items() if cells}
    say = f"Cuts by the Dice of a prediction in the place of the AUV of {asked.eye}."
    return _sweep(asked, "sweep_dice", "Dice as AUV", rows, say)


_DECLARED: Mapping[str, Callable[[_Asked], Table]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "table4": _table4,
    "table5": _table5,
    "table6": _table6,
    "sweep_ratio": _sweep_ratio,
    "sweep_alpha": _sweep_alpha,
    "sweep_beta": _sweep_beta,
    "sweep_static": _sweep_static,
    "sweep_dice": _sweep_dice,
}
TABLES = tuple(name for name in _DECLARED if name.startswith("table"))
SWEEPS = tuple(name for name in _DECLARED if name.startswith("sweep"))


def declare(name: str, datasets: Sequence[Prepared], settings: ReproduceSettings) -> Table:
    """A table's grid.

    Args:
        name: of `TABLES` or `SWEEPS`.
        datasets: one or more.
        settings: what is asked.

    Raises:
        UsageError: there is no such table.
    """
    if name not in _DECLARED:
        raise UsageError(f"unknown table {name!r}; expected one of: {', '.join(_DECLARED)}, figures")
    return _DECLARED[name](_Asked(datasets, settings))
