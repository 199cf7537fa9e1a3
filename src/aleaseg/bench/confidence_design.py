"""Which ways are trained and which references they are held against: what the confidences of a data set can tell apart.

R raters who draw masks give R distinct thresholds and no more: of four, 60% and 75% are both three of four. So
thresholds of one mask are one row and one column, and what else was asked for is named beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.settings import ConfidenceSettings
from aleaseg.case import Case, Dataset, usable_confidence
from aleaseg.errors import CaseError, UsageError, one_line
from aleaseg.evaluation.at import name_references
from aleaseg.levels import TOLERANCE, at_least
from aleaseg.predictions.folds import make_folds
from aleaseg.readers.classes import evenly
from aleaseg.run import read_json, write_json
from aleaseg.training.schedule import default_steps
from aleaseg.training.settings import PRESETS
from aleaseg.training.targets import parse_strategy
from aleaseg.work import map_cases

__all__ = [
    "BASELINE",
    "CELLS",
    "DESIGN",
    "PAPER",
    "SIZES",
    "Cell",
    "Design",
    "Sizes",
    "cells_of",
    "distinct",
    "make_design",
    "size_rows",
    "usual_thresholds",
]

DESIGN, SIZES, CELLS = "design.json", "sizes.csv", "cells"
BASELINE, PAPER = 0.5, 0.6
"""What everybody takes, and what arXiv 2508.15635 found to serve better."""
_USUAL = (0.2, 0.4, 0.5, 0.6, 0.8)
_OTHERS = ("soft", "weight", "ignore", "multi", "regress", "sample")
# So few confidences are told apart one by one.
_FEW, _MANY = 5, 256
_LOOKED_AT = 8


@dataclass(frozen=True)
class Design:
    """What is compared, settled before anything is trained.

    Attributes:
        rows: ways to learn, as they are typed.
        at: thresholds of the references, rising.
        titles: threshold, as columns have it -> what it is called, such as `q >= 0.75, 3 of 4 raters`.
        baseline: the row that learns q >= .5.
        paper: the row that learns q >= .6, which may be the same one; None: no such row.
        folds: the cases that each holds out.
        steps: of each training.
        groups: case -> group.
        left_out: case -> why.
        notes: what is to be known of rows and columns.
    """

    rows: tuple[str, ...]
    at: tuple[float, ...]
    titles: Mapping[str, str]
    baseline: str
    paper: str | None
    folds: tuple[tuple[str, ...], ...]
    steps: int
    groups: Mapping[str, str]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Keep it."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Design:
        """What was kept."""
        kept: dict[str, Any] = read_json(path)
        listed = {name: tuple(kept[name]) for name in ("rows", "at", "notes")}
        return cls(**{**kept, **listed, "folds": tuple(map(tuple, kept["folds"]))})

    def title(self, row: str) -> str:
        """What a row is called: a threshold of raters by their number."""
        way = parse_strategy(row)
        said = self.titles.get(f"{way.thresholds[0]:g}", "") if way.kind == "threshold" else ""
        raters = said.partition(", ")[2]
        return f"{row} ({raters})" if raters else row


@dataclass(frozen=True)
class Cell:
    """A way, from a seed, without a fold."""

    row: str
    seed: int
    fold: int

    def folder(self, out: Path) -> Path:
        """Where it lies in the bench's folder."""
        return out / CELLS / f"{re.sub(r'[:+,]', '-', self.row)}_{self.seed}_{self.fold}"

    def report(self, out: Path) -> Path:
        """The last file: where it is, the cell is done."""
        return self.folder(out) / "cell.json"


def cells_of(design: Design, seeds: range) -> list[Cell]:
    """All, seed by seed: what is finished can be compared before the last seed is."""
    return [
        Cell(row, seed, fold) for seed in seeds for fold in range(len(design.folds)) for row in design.rows
    ]


@dataclass(frozen=True)
class Sizes:
    """How much of each class a case has.

    Attributes:
        volume: class -> sum of q over the voxels.
        voxels: class -> voxels that reach each threshold.
    """

    volume: Mapping[str, float]
    voxels: Mapping[str, tuple[int, ...]]


def distinct(levels: Sequence[float] | None, thresholds: Iterable[float]) -> dict[float, float]:
    """Threshold -> the first one that makes the same mask, in their order; those of empty masks are not in it.

    Args:
        levels: the confidences above 0 that occur, rising; None: too many to tell.
        thresholds: in (0, 1].

    >>> distinct([0.25, 0.5, 0.75, 1.0], [0.5, 0.6, 0.75, 0.8])
    {0.5: 0.5, 0.6: 0.6, 0.75: 0.6, 0.8: 0.8}
    """
    first: dict[float, float] = {}
    found = {}
    for threshold in thresholds:
        reached = [threshold] if levels is None else [q for q in levels if at_least(q, threshold)]
        if reached:
            found[threshold] = first.setdefault(min(reached), threshold)
    return found


def usual_thresholds(levels: Sequence[float] | None) -> tuple[float, ...]:
    """Those that the data can tell apart; what is the same as .5 is called so.

    >>> usual_thresholds([0.333333, 0.666667, 1.0]), usual_thresholds(None)
    ((0.333333, 0.5, 1.0), (0.2, 0.4, 0.5, 0.6, 0.8))
    """
    known = levels if levels is not None and len(levels) <= _FEW else _USUAL
    same = distinct(levels, (BASELINE, *known))
    return tuple(sorted(set(same.values())))


def make_design(
    dataset: Dataset, settings: ConfidenceSettings, left_out: Mapping[str, str]
) -> tuple[Design, dict[str, Sizes]]:
    """Settle what is compared.

    Args:
        dataset: usable cases, twins in one group.
        settings: what is asked.
        left_out: case -> why it is not in the data set.

    Returns:
        The design, and the size of each case; a case without confidences is left out, with its reason.

    Raises:
        UsageError: nobody reaches .5, or there are fewer groups than folds need.
    """
    known, failed = _levels(dataset.cases)
    failed = {**left_out, **failed}
    cases = [case for case in dataset.cases if case.id not in failed]
    levels = None if len(known) > _MANY else sorted(known)
    at, merged = _asked(levels, usual_thresholds(levels) if settings.at is None else settings.at)
    rows, baseline, paper, notes = _rows(dataset, settings.labels, levels)
    taught = [way.thresholds[0] for way in map(parse_strategy, rows) if way.kind == "threshold"]
    # Apart: a row and a column of one mask may be called by different thresholds.
    titles = {
        t: said for some in (taught, at) for t, said in name_references(dataset, sorted(some))[1].items()
    }
    groups = {case.id: case.group or case.id for case in cases}
    try:
        folds = make_folds(groups, settings.folds, settings.first)
    except ValueError as error:
        raise UsageError(f"{error}; found {len(cases)} usable cases") from error
    dims = len(cases[0].read_geometry().shape)
    batch = settings.batch or PRESETS["small"].batch[dims]
    trained_on = len(cases) - max(map(len, folds))
    design = Design(
        tuple(rows),
        at,
        titles,
        baseline,
        paper,
        tuple(map(tuple, folds)),
        settings.steps or default_steps(trained_on, len(dataset.values), min(batch, trained_on)),
        groups,
        failed,
        (*(f"Reference {note}" for note in merged), *notes),
    )
    look = partial(_size, tuple(dataset.classes), at)
    found = {case.id: of_classes for case, of_classes in map_cases(look, cases)}
    return design, {case.id: found[case.id] for case in cases}  # in their order, whoever was finished first


def _asked(
    levels: Sequence[float] | None, thresholds: Sequence[float]
) -> tuple[tuple[float, ...], list[str]]:
    """Those of different masks, and what was merged or is empty."""
    same = distinct(levels, thresholds)
    if not same:
        raise UsageError("no voxel reaches any of the thresholds; check the confidences, or --scale")
    notes = [f"{t:g} is the mask of {first:g}: one, not two." for t, first in same.items() if t != first]
    notes += [f"{t:g} is left out: no voxel is so sure." for t in thresholds if t not in same]
    return tuple(sorted(set(same.values()))), notes


def _rows(
    dataset: Dataset, asked: Sequence[str] | None, levels: Sequence[float] | None
) -> tuple[list[str], str, str | None, list[str]]:
    """Ways to learn, the one of .5, the one of .6, and notes."""
    ways = asked or [*(f"threshold:{t:g}" for t in usual_thresholds(levels)), *_others(dataset)]
    kinds = [parse_strategy(way) for way in ways]
    taught = [way.thresholds[0] for way in kinds if way.kind == "threshold" and not way.rater_norm]
    same = distinct(levels, taught)
    if not distinct(levels, [BASELINE]):
        raise UsageError(
            "no voxel has a confidence of .5, and what is learnt of q >= .5 is what the others are compared with; "
            "check the confidences, or --scale"
        )
    notes = [
        f"Row threshold:{t:g} is the training of threshold:{first:g}: one, not two."
        for t, first in same.items()
        if t != first
    ]
    notes += [f"Row threshold:{t:g} is left out: no voxel is so sure." for t in taught if t not in same]
    kept = {f"threshold:{first:g}" for first in same.values()}
    rows = [str(way) for way in kinds if way.kind != "threshold" or way.rater_norm or str(way) in kept]

    def row_of(threshold: float) -> str | None:
        found = distinct(levels, [*dict.fromkeys(same.values()), threshold]).get(threshold)
        return f"threshold:{found:g}" if found in same.values() else None

    baseline, paper = row_of(BASELINE), row_of(PAPER)
    if baseline is None:
        baseline = f"threshold:{BASELINE:g}"
        rows = [baseline, *rows]
        notes.append(f"Row {baseline} is what the others are compared with.")
        paper = baseline if distinct(levels, [BASELINE, PAPER]).get(PAPER) == BASELINE else paper
    return rows, baseline, paper, notes


def _others(dataset: Dataset) -> list[str]:
    """What is learnt beside thresholds; raters are brought to one scale where they are persons who state one."""
    persons = [case for case in dataset.cases if case.raters and case.read_raters is not None]
    stated = False
    for case in evenly(persons, _LOOKED_AT):
        assert case.read_raters is not None
        try:
            raters = case.read_raters().array
        except CaseError:
            continue  # it is told where the case is read
        stated |= bool(((raters > 0) & (raters < 1)).any())
    return [*_OTHERS, *(["rater-norm+soft"] if stated else [])]


def _levels(cases: Sequence[Case]) -> tuple[set[float], dict[str, str]]:
    """The confidences above 0 that occur, more than `_MANY` where they are too many; and cases without any."""
    known: set[float] = set()
    failed = {}
    for case, found in map_cases(_look, cases):
        if isinstance(found, str):
            failed[case.id] = found
        elif len(known) <= _MANY:
            known.update(found.tolist())
    return known, dict(sorted(failed.items()))


def _look(case: Case) -> NDArray[np.float64] | str:
    try:
        q = _read(case)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return one_line(case.id, error)
    # Means of raters differ in their last digit.
    found: NDArray[np.float64] = np.unique(np.round(q[q > 0].astype(np.float64), 6))
    return found[found > TOLERANCE]


def _read(case: Case) -> NDArray[np.float32]:
    q = usable_confidence(case, case.read_geometry().shape)
    if q is None:
        raise CaseError(
            case.id, "no confidences", "confidences, which are learnt", "add them, or leave it out"
        )
    return q


def _size(classes: tuple[str, ...], at: tuple[float, ...], case: Case) -> Sizes:
    q = _read(case)
    return Sizes(
        {
            name: float(np.nansum(of_class, dtype=np.float64))
            for name, of_class in zip(classes, q, strict=True)
        },
        {
            name: tuple(int(at_least(of_class, t).sum()) for t in at)
            for name, of_class in zip(classes, q, strict=True)
        },
    )


def size_rows(design: Design, sizes: Mapping[str, Sizes]) -> Iterable[dict[str, Any]]:
    """Of sizes.csv: a row per case and class."""
    for case, found in sizes.items():
        for name, volume in found.volume.items():
            counts = {f"voxels@{t:g}": n for t, n in zip(design.at, found.voxels[name], strict=True)}
            yield {"case": case, "class": name, "group": design.groups[case], "volume": volume, **counts}
