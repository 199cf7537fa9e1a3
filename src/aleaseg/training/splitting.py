"""Which cases a training sees, and which it is held back from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.readers.splits import Fold, read_selection, read_splits

__all__ = ["Split", "choose_split", "hold_out"]

# Of the split alone: trainings of several seeds are tested on the same cases.
_SEED = 0


@dataclass(frozen=True)
class Split:
    """Two sides of a data set.

    Attributes:
        train: ids, in the data set's order.
        held_out: ids; nothing is trained on or chosen by them.
        notes: what is to be known of them.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def folds(self) -> list[Fold]:
        """As nnU-Net writes them to splits_final.json."""
        return [{"train": list(self.train), "val": list(self.held_out)}]


def choose_split(
    dataset: Dataset,
    *,
    selection: str | Path | None = None,
    split: str | Path | None = None,
    fold: int = 0,
    share: float = 0.2,
) -> Split:
    """Share out the labelled cases.

    Args:
        dataset: with groups; a group is never on both sides where the split is drawn here.
        selection: what leaves cases out of the side that is trained on, see `read_selection`; or a split.
        split: a splits_final.json.
        fold: which of its folds.
        share: of the cases that is held out where there is no split.

    Raises:
        UsageError: a file cannot be read or is of another data set, or nothing is left to train on.
    """
    cases = [case for case in dataset.cases if case.has_label]
    known = {case.id for case in cases}
    if not cases:
        raise UsageError(f"{dataset.name} has no case with a label; a training needs some")
    folds = None if split is None else read_splits(split)
    dropped: frozenset[str] = frozenset()
    if selection is not None:
        found = read_selection(selection)
        if isinstance(found, list):
            if folds is not None:
                raise UsageError(f"{selection} is a split, and --split {split} another; leave one out")
            folds = found
        else:
            dropped = found
    notes: list[str] = []
    if folds is None:
        held = (
            set(hold_out({case.id: case.group or case.id for case in cases}, share, _SEED))
            if share
            else set()
        )
        train = known - held
    else:
        train, held, notes = _of_fold(folds, fold, known, dataset)
    notes += _strange(dropped - known, len(dropped), "selection", dataset)
    notes += _across({case.id: case.group for case in cases}, train - dropped, held)
    if dropped:
        notes.append(
            f"The selection leaves {len(dropped & train)} of {len(train)} cases out of the training."
        )
    train -= dropped
    if not train:
        raise UsageError("no case is left to train on; choose a gentler cut, or another split")
    order = [case.id for case in cases]
    return Split(
        tuple(case for case in order if case in train),
        tuple(case for case in order if case in held),
        tuple(notes),
    )


def _of_fold(
    folds: Sequence[Fold], fold: int, known: set[str], dataset: Dataset
) -> tuple[set[str], set[str], list[str]]:
    if fold >= len(folds):
        raise UsageError(f"there is no fold {fold}; the split has the folds 0 to {len(folds) - 1}")
    train, held = set(folds[fold]["train"]), set(folds[fold]["val"])
    both = train & held
    if both:
        raise UsageError(
            f"{len(both)} cases of fold {fold} are on both sides, such as {min(both)!r}; expected each on one"
        )
    notes = _strange((train | held) - known, len(train | held), "split", dataset)
    return train & known, held & known, notes


def _strange(strange: Set[str], count: int, what: str, dataset: Dataset) -> list[str]:
    if not strange:
        return []
    if len(strange) == count:
        raise UsageError(
            f"the {what} names {count} cases, such as {min(strange)!r}, none of which {dataset.name} has with a "
            "label; give that of this data set"
        )
    return [f"{len(strange)} cases of the {what} are not in the data set, such as {min(strange)!r}."]


def _across(group_of: Mapping[str, str], train: set[str], held: set[str]) -> list[str]:
    both = {group_of[case] for case in train} & {group_of[case] for case in held} - {""}
    if not both:
        return []
    return [
        f"{len(both)} groups are on both sides of the split, such as {min(both)!r}: what is measured on the "
        "cases held out is too good."
    ]


def hold_out(groups: Mapping[str, str], share: float, seed: int) -> list[str]:
    """The cases of a test part: whole groups by lot, until there are enough.

    Args:
        groups: case -> group.
        share: of the cases, in (0, 1).
        seed: of the order.

    Returns:
        Sorted ids, at least `share` of them where the last group brings more.

    >>> hold_out({"a1": "a", "a2": "a", "b1": "b", "b2": "b"}, 0.5, seed=0)
    ['a1', 'a2']
    """
    names = sorted(set(groups.values()))
    wanted, held = round(share * len(groups)), list[str]()
    for index in np.random.default_rng([seed, 1]).permutation(len(names)):
        if len(held) >= wanted:
            break
        held += [case for case, group in groups.items() if group == names[index]]
    return sorted(held)
