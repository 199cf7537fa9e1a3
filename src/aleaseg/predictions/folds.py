"""Which cases are held out together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

__all__ = ["default_folds", "make_folds"]

# Measured with 200 cases and more; that it holds from here on is a guess (benchmarks/audit.md).
_MANY = 100


def default_folds(cases: int) -> int:
    """How many folds cross-fitting has: 3 of 100 cases or more, else 5.

    Every fold is a training. Small data sets need all the cases that a network can be given; with many cases,
    three folds find as much as five in half the time (benchmarks/audit.md).

    Args:
        cases: that networks are trained on.
    """
    return 3 if cases >= _MANY else 5


def make_folds(groups: Mapping[str, str], folds: int = 5, seed: int = 0) -> list[list[str]]:
    """Deal cases to folds: same group, same fold.

    Large groups are dealt first, each to the fold that has fewest cases, so that
    folds are even.

    Args:
        groups: case id -> group.
        folds: how many; fewer where there are fewer groups.
        seed: of the order.

    Returns:
        The held-out case ids of each fold, sorted.

    Raises:
        ValueError: fewer than two groups.

    >>> make_folds({"a1": "a", "a2": "a", "b1": "b", "c1": "c"}, folds=2)
    [['a1', 'a2'], ['b1', 'c1']]
    """
    members: dict[str, list[str]] = defaultdict(list)
    for case in sorted(groups):
        members[groups[case]].append(case)
    names = sorted(members)
    if len(names) < 2:
        raise ValueError("cross-fitting needs at least two groups of cases")
    order = np.random.default_rng(seed).permutation(len(names))
    dealt: list[list[str]] = [[] for _ in range(min(folds, len(names)))]
    for group in sorted((members[names[i]] for i in order), key=len, reverse=True):
        min(dealt, key=len).extend(group)
    return sorted(sorted(fold) for fold in dealt)
