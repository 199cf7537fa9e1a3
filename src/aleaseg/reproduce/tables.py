"""The paper's tables as grids: which cell stands where, and beside which number of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from aleaseg.auditing.settings import SCENARIOS
from aleaseg.errors import UsageError
from aleaseg.reproduce.cells import Cell, Scores, Subset, Training
from aleaseg.reproduce.correlation import class_correlations
from aleaseg.reproduce.datasets import Prepared
from aleaseg.reproduce.filling import Entry, Reader, Table, class_mean, mean_of_classes
from aleaseg.reproduce.paper import FOOTNOTES, PAPER, POINTS
from aleaseg.reproduce.settings import ReproduceSettings

__all__ = ["SWEEPS", "TABLES", "declare"]

_NETWORKS = {"nnU-Net": "unet", "Swin-UNETR": "swin_unetr", "U-Mamba": "umamba"}
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

Trainings = Mapping[str, Sequence[Training]]
"""Row -> its trainings; one without any is left out."""


@dataclass(frozen=True)
class _Asked:
    """What every table is declared from."""

    datasets: Sequence[Prepared]
    settings: ReproduceSettings

    @property
    def eye(self) -> str:
        """Whose AUV cuts where the paper has MedSAM2."""
        return self.settings.protocol.extractor

    @property
    def lits(self) -> Prepared:
        """What most tables are about."""
        return self.focus("lits")

    def focus(self, name: str) -> Prepared:
        """The data set that the paper's table is about; where it is missing, the first."""
        return next((data for data in self.datasets if data.name == name), self.datasets[0])

    def trainings(
        self, data: Prepared, *, network: str = "unet", objective: str = "plain", cut: Subset | None = None
    ) -> tuple[Training, ...]:
        """One for each seed."""
        eye = self.eye if objective.startswith("static_") else ""
        return tuple(
            Training(data.name, network, objective, cut, seed, eye)
            for seed in range(self.settings.protocol.seeds)
        )

    def by_auv(self, data: Prepared, keep: float) -> tuple[Training, ...]:
        """A cut by the eye's AUV of the normalised input, over all classes: the paper's default."""
        return self.trainings(data, cut=Subset("auv", keep, self.eye, "foreground"))

    def by_lot(self, data: Prepared, keep: float) -> tuple[Training, ...]:
        """Cuts by lot, for each seed."""
        return tuple(
            training
            for lot in range(1, self.settings.protocol.randoms + 1)
            for training in self.trainings(data, cut=Subset("random", keep, lot=lot))
        )


def _about(data: Prepared, name: str) -> tuple[str, ...]:
    """That a table is of other data than the paper's."""
    if data.name == name:
        return data.notes
    return (
        *data.notes,
        f"Ours are from {data.title}, the paper's from another data set: they are next to each other to show the size "
        "of its effects, without a difference.",
    )


# -- of every data set ----------------------------------------------------------------------------


def _by_dataset(
    asked: _Asked,
    name: str,
    title: str,
    caption: str,
    rows: Callable[[Prepared], Trainings],
    baseline: str = "",
) -> Table:
    """Dice and mIoU of each data set, and their mean."""
    of_data = [(data, rows(data)) for data in asked.datasets]
    entries = []
    for row in of_data[0][1]:
        for data, cells in of_data:
            for metric, said in (("dice", "Dice"), ("iou", "mIoU")):
                column, read = f"{data.title} {said}", mean_of_classes(metric)
                paper = PAPER.get((name, row, column)) if data.of_paper else None
                if cells[row]:
                    entries.append(Entry(row, column, tuple(cells[row]), read, paper, data.of_paper))
    notes = (note for data in asked.datasets for note in data.notes)
    return Table(
        name, title, caption, tuple(entries), baseline, mean=True, footnotes=(*FOOTNOTES[name], *notes)
    )


def _table1(asked: _Asked) -> Table:
    def rows(data: Prepared) -> Trainings:
        by_eye = {
            f"{title}, {keep:.0%}": asked.trainings(data, cut=Subset("auv", keep, eye, normalize))
            for title, (eye, normalize) in _EYES.items()
            for keep in _RATIOS
        }
        by_lot = {f"random, {keep:.0%}": asked.by_lot(data, keep) for keep in _RATIOS}
        return {"all cases": asked.trainings(data), **by_eye, **by_lot}

    return _by_dataset(
        asked,
        "table1",
        "Table 1: cases left out by the AUV of several extractors",
        "Dice and mIoU in percent of a U-Net trained on what a cut leaves, on the fixed test part. Random rows "
        "leave out as many cases at random: a cut has to do better than they do.",
        rows,
        "all cases",
    )


def _table2(asked: _Asked) -> Table:
    def rows(data: Prepared) -> Trainings:
        return {
            f"{title}{suffix}": asked.trainings(data, network=network, objective=objective)
            for title, network in _NETWORKS.items()
            for suffix, objective in (("", "plain"), (" + DUO", "duo"))
        }

    return _by_dataset(
        asked,
        "table2",
        "Table 2: three networks, with and without DUO",
        "Dice and mIoU in percent on the fixed test part. Each network starts from the same weights with and without "
        "DUO, and sees the same batches.",
        rows,
    )


# -- of LiTS, or of what there is -----------------------------------------------------------------


def _of_lits(
    asked: _Asked,
    name: str,
    title: str,
    caption: str,
    cells: Mapping[tuple[str, str], Sequence[Cell]],
    reads: Mapping[str, Reader] | None = None,
) -> Table:
    """One data set, the first row its baseline; where `reads` has no column, the number is Dice of the target."""
    data, notes = asked.lits, FOOTNOTES[name.partition("_")[0]]
    of_target, same = class_mean(data.target), data.name == "lits"
    entries = [
        Entry(
            *(row, column, tuple(these), (reads or {}).get(column, of_target)),
            *(PAPER.get((name, row, column)), same),
        )
        for (row, column), these in cells.items()
        if these
    ]
    footnotes = (*notes, *_about(data, "lits"))
    return Table(name, title, caption, tuple(entries), entries[0].row, footnotes=footnotes)


def _table3(asked: _Asked) -> Table:
    data, keep, with_duo = asked.lits, "90% of the data", "+ DUO"
    cells = {("baseline", column): asked.trainings(data) for column in (keep, with_duo)}
    for row, measure in {"Fisher": "fisher", "MD": "mahalanobis", "EAOA": "eaoa"}.items():
        cells[row, keep] = asked.trainings(data, cut=Subset(measure, 0.9, "task"))
        if measure != "eaoa":
            cells[row, with_duo] = asked.trainings(data, objective=f"duo:certainty={measure}")
    cells["S", keep] = asked.by_auv(data, 0.9)
    cells["S", with_duo] = asked.trainings(data, objective="duo")
    cells["random", keep] = asked.by_lot(data, 0.9)
    return _of_lits(
        asked,
        "table3",
        "Table 3: other measures instead of S",
        f"Dice of {data.target} in percent, {data.title}. On the left a cut by each measure, on the right DUO with it "
        f"instead of S. S is that of {asked.eye}; the others are of the task network, out of fold.",
        cells,
    )


def _table5(asked: _Asked) -> Table:
    data = asked.lits
    names = {
        "a": "(a) raw, all classes",
        "b": "(b) raw, one class",
        "c": "(c) normalised, all classes",
        "d": "(d) normalised, one class",
    }
    cells: dict[tuple[str, str], Sequence[Cell]] = {}
    for keep in _RATIOS:
        column = f"{keep:.0%}"
        cells["baseline", column] = asked.trainings(data)
        for scenario, row in names.items():
            target = data.target if scenario in "bd" else ""
            cut = Subset("auv", keep, asked.eye, SCENARIOS[scenario], target)
            cells[row, column] = asked.trainings(data, cut=cut)
        cells["random", column] = asked.by_lot(data, keep)
    return _of_lits(
        asked,
        "table5",
        "Table 5: the extractor's input, and the class that cuts",
        f"Dice of {data.target} in percent, {data.title}, after cuts by the AUV of {asked.eye}. Raw is the paper's "
        f"X-hat, normalised by the case's own mask its X; one class is {data.target}.",
        cells,
    )


def _table6(asked: _Asked) -> Table:
    data = asked.lits
    rows = {
        "baseline": "plain",
        "DUO's Dice + BCE alone": "seg",
        "EN": "en",
        "RW": "rw",
        "RW of mean 1": "rw_renorm",
        "EN + RW (DUO)": "duo",
    }
    others = [name for name in data.classes if name != data.target] if len(data.classes) <= 8 else []
    reads = {
        "target Dice": class_mean(data.target),
        **{f"{name} Dice": class_mean(name) for name in others},
    }
    return _of_lits(
        asked,
        "table6",
        "Table 6: label denoising (EN) and re-weighting (RW)",
        f"Dice in percent, {data.title}; the target is {data.target}. Weights lie below 1 and so lower the learning "
        "rate as well: RW of mean 1 does not.",
        {
            (row, column): asked.trainings(data, objective=objective)
            for row, objective in rows.items()
            for column in reads
        },
        reads,
    )


def _sweep(asked: _Asked, name: str, title: str, rows: Trainings, say: str) -> Table:
    data = asked.lits
    columns = ("target Dice", "mean Dice")
    return _of_lits(
        asked,
        name,
        title,
        f"Dice in percent, {data.title}; the target is {data.target}. {say}",
        {(row, column): cells for row, cells in rows.items() for column in columns},
        {"mean Dice": mean_of_classes("dice")},
    )


def _sweep_ratio(asked: _Asked) -> Table:
    data = asked.lits
    rows = {"100%": asked.trainings(data)}
    for percent in (95, 90, 85, 80, 75, 70):
        rows[f"{percent}%"] = asked.by_auv(data, percent / 100)
        rows[f"{percent}% random"] = asked.by_lot(data, percent / 100)
    say = f"The share of the training part that a cut by the AUV of {asked.eye} keeps."
    return _sweep(asked, "sweep_ratio", "How much is left out", rows, say)


def _sweep_dice(asked: _Asked) -> Table:
    data = asked.lits
    rows = {"100%": asked.trainings(data)}
    for keep in _RATIOS:
        for what, measure in (("out-of-fold Dice", "oof_dice"), ("in-sample Dice", "in_sample_dice")):
            rows[f"{what}, {keep:.0%}"] = asked.trainings(data, cut=Subset(measure, keep, "task"))
        rows[f"AUV, {keep:.0%}"] = asked.by_auv(data, keep)
        rows[f"random, {keep:.0%}"] = asked.by_lot(data, keep)
    say = f"Cuts by the Dice of a prediction instead of the AUV of {asked.eye}."
    return _sweep(asked, "sweep_dice", "Dice as AUV", rows, say)


def _duo(option: str, values: Sequence[float]) -> dict[str, str]:
    """Row -> objective; what DUO takes by itself, 0.5 of either option, is the cell of the other tables."""
    return {f"{option} {value:g}": "duo" if value == 0.5 else f"duo:{option}={value:g}" for value in values}


# Sweeps over objectives: a title, row -> objective, and what is to be said.
_OBJECTIVES: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "sweep_alpha": (
        "DUO's alpha",
        {"plain": "plain", **_duo("alpha", (0.0, 0.1, 0.25, 0.5, 1.0, 2.0))},
        "DUO's alpha, of which the weights are 1 / (1 + alpha S); the paper does not give it.",
    ),
    "sweep_beta": (
        "DUO's beta",
        {"plain": "plain", **_duo("beta", (0.25, 0.5, 0.75))},
        "DUO's beta, the share of Dice in its loss; the paper does not give it.",
    ),
    "sweep_static": (
        "Static re-weighting",
        {
            "plain": "plain",
            "static, by S": "static_s",
            "static, by frequency": "static_freq",
            "dynamic (RW)": "rw",
        },
        "Fixed weights of the classes, by the mean S of {eye} or by how rare a class is, beside DUO's own.",
    ),
}


def _sweep_objectives(asked: _Asked, name: str) -> Table:
    title, objectives, say = _OBJECTIVES[name]
    rows = {row: asked.trainings(asked.lits, objective=objective) for row, objective in objectives.items()}
    return _sweep(asked, name, title, rows, say.format(eye=asked.eye))


# -- of WORD --------------------------------------------------------------------------------------


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


_DECLARED: Mapping[str, Callable[[_Asked], Table]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "table4": _table4,
    "table5": _table5,
    "table6": _table6,
    "sweep_ratio": _sweep_ratio,
    **{name: partial(_sweep_objectives, name=name) for name in _OBJECTIVES},
    "sweep_dice": _sweep_dice,
}
TABLES = tuple(name for name in _DECLARED if name.startswith("table"))
SWEEPS = tuple(name for name in _DECLARED if name.startswith("sweep"))


def declare(name: str, datasets: Sequence[Prepared], settings: ReproduceSettings) -> Table:
    """The grid of a table of `TABLES` or `SWEEPS`.

    Raises:
        UsageError: there is no such table.
    """
    if name not in _DECLARED:
        raise UsageError(f"unknown table {name!r}; expected one of: {', '.join(_DECLARED)}, figures")
    return _DECLARED[name](_Asked(datasets, settings))
