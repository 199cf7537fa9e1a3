"""Confident learning: the share of voxels whose given label a confident prediction contradicts.

    t_c     = mean of p_c over the voxels given c
    y^*(v)  = argmax_{k : p_k(v) >= t_k} p_k(v)         none: the voxel says nothing
    issue   = #{v : there is a y^*(v), and it is not y(v)} / #{v}

A class that a network is rarely sure of has a low threshold, so it is compared with
how sure the network usually is of it, not with one half. Issues are the counts off
the diagonal of the confident joint: Northcutt, Jiang and Chuang, "Confident
learning: estimating uncertainty in dataset labels" (2021), eq. 1 and 2. For pixels:
Lad and Mueller, "Estimating label quality and errors in semantic segmentation data
via any model" (2023). cleanlab leaves out the voxels whose likeliest class is the
given one, and the paper does not; here they count, as in the paper. The
probabilities must be out of fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.label_loss import annotated, values_at

__all__ = ["Thresholds", "case_issue_share", "issue_share"]

# A mean is no exact number: equal probabilities reach their own mean. And no class is confident at zero.
_SLACK = 1e-6


@dataclass(frozen=True)
class Thresholds:
    """How sure a model usually is of each class: sums and counts.

    Attributes:
        total: (channel,) sum of p_c over the voxels given c.
        count: (channel,) number of these voxels.
    """

    total: NDArray[np.float64]
    count: NDArray[np.int64]

    @classmethod
    def of(
        cls, probabilities: Iterable[NDArray], label: NDArray, where: NDArray[np.bool_] | None = None
    ) -> Thresholds:
        """Of one case.

        Args:
            probabilities: (channel, *grid), channel 0 = background; or its channels, one after another.
            label: (*grid) class indices; 255 = not annotated, does not count.
            where: (*grid), the voxels to look at, the same as in `issue_share`; None: all.

        Raises:
            ValueError: shapes differ, a probability is NaN or infinite, or a label has no channel.
        """
        index = annotated(label, where)
        given = np.take(label, index)
        own = [
            channel[given == k]
            for k, channel in enumerate(values_at(probabilities, label.shape, index, given))
        ]
        return cls(
            np.array([p.sum(dtype=np.float64) for p in own]),
            np.array([p.size for p in own], dtype=np.int64),
        )

    @property
    def values(self) -> NDArray[np.float64]:
        """t_c, (channel,) in [0, 1]; infinite for a class that no voxel was given: never confident."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.inf)


def issue_share(
    probabilities: Iterable[NDArray],
    label: NDArray,
    thresholds: Thresholds,
    where: NDArray[np.bool_] | None = None,
) -> float:
    """Share of voxels that a confident prediction gives another label; high = bad.

    Args:
        probabilities: (channel, *grid), channel 0 = background; or its channels, one after another.
        label: (*grid) class indices; 255 = not annotated, does not count.
        thresholds: of the population, or of the case.
        where: (*grid), the voxels to look at (those near the mask); None: all.

    Returns:
        In [0, 1]; NaN without voxels.

    Raises:
        ValueError: shapes or numbers of channels differ, a probability is NaN or infinite, or a label
            has no channel.

    >>> population = Thresholds(total=np.array([90.0, 7.0]), count=np.array([100, 10]))
    >>> p = np.array([0.05, 0.75, 0.75, 0.2])
    >>> issue_share(np.stack([1 - p, p]), np.array([0, 0, 1, 1]), population)
    0.25
    """
    index = annotated(label, where)
    given = np.take(label, index)
    confident = np.maximum(thresholds.values - _SLACK, _SLACK)
    guess, best = given, np.full(index.size, -np.inf, dtype=np.float32)
    count = 0
    for k, p in enumerate(values_at(probabilities, label.shape, index, given)):
        count += 1
        if k < confident.size:
            # Of two that are equally likely the given label stands.
            wins = (p >= confident[k]) & ((p > best) | ((p == best) & (given == k)))
            guess, best = np.where(wins, k, guess), np.where(wins, p, best)
    if count != confident.size:
        raise ValueError(f"got {count} channels; expected those of the thresholds, {confident.size}")
    return float(np.mean(guess != given)) if index.size else float("nan")


def case_issue_share(
    probabilities: NDArray | Sequence[NDArray], label: NDArray, where: NDArray[np.bool_] | None = None
) -> float:
    """`issue_share` against the thresholds of this case alone; high = bad.

    It needs no population, and sees less: a class that is wrong as a whole lowers its own threshold, and
    a case of which the model is unsure throughout is compared with nothing better.

    In [0, 1]; NaN without voxels. Arguments and errors as in `issue_share`, but that `probabilities` are read
    twice: an iterator will not do.

    >>> p = np.array([0.05, 0.75, 0.75, 0.2])
    >>> case_issue_share(np.stack([1 - p, p]), np.array([0, 0, 1, 1]))
    0.5
    """
    return issue_share(probabilities, label, Thresholds.of(probabilities, label, where), where)
