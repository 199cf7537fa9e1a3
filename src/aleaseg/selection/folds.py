"""Folds as nnU-Net draws them, and cases left out of their train lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.readers.splits import Fold, read_splits

__all__ = ["grouped_folds", "leave_out", "nnunet_folds", "read_folds"]

read_folds = read_splits
"""The older name of `aleaseg.readers.splits.read_splits`."""


def nnunet_folds(case_ids: Collection[str]) -> list[Fold]:
    """The five folds that nnU-Net itself would draw of its training cases (`generate_crossval_split`, seed 12345).

    Raises:
        UsageError: fewer than five cases.
    """
    ids = sorted(case_ids)
    return [
        {"train": [ids[i] for i in train], "val": [ids[i] for i in val]}
        for train, val in _five(len(ids), "cases")
    ]


def grouped_folds(group_of: Mapping[str, str]) -> list[Fold]:
    """Five folds drawn in the same way over the groups: a group is never on both sides.

    Args:
        group_of: case id -> group; an empty group is a group of that one case.

    Raises:
        UsageError: fewer than five groups.
    """
    members: dict[tuple[bool, str], list[str]] = {}
    for case, group in group_of.items():
        members.setdefault((bool(group), group or case), []).append(case)
    groups = [members[key] for key in sorted(members)]
    return [
        {
            "train": sorted(case for i in train for case in groups[i]),
            "val": sorted(case for i in val for case in groups[i]),
        }
        for train, val in _five(len(groups), "groups")
    ]


def _five(count: int, what: str) -> Any:
    from sklearn.model_selection import KFold

    if count < 5:
        raise UsageError(f"found {count} {what}; expected at least 5 for five folds; write a CSV instead")
    return KFold(n_splits=5, shuffle=True, random_state=12345).split(range(count))


def leave_out(
    folds: Sequence[Fold], dropped: Collection[str], sides: Sequence[str] = ("train",)
) -> list[Fold]:
    """The same folds without those cases; order kept. The val lists are not touched unless named.

    Raises:
        UsageError: a train list would be empty.
    """
    out = set(dropped)
    result = [
        {**fold, **{side: [case for case in fold[side] if case not in out] for side in sides}}
        for fold in folds
    ]
    for number, fold in enumerate(result):
        if not fold["train"]:
            raise UsageError(f"fold {number} would have no case left to train on; choose a gentler cut")
    return result
