r"""Overlap of a predicted mask with a reference: Dice and IoU, for a case or for pooled voxels.

From the numbers of voxels in both masks and in each of them,

    Dice = 2 |A and B| / (|A| + |B|)        IoU = |A and B| / |A or B|

Conventions: where both masks are empty there is nothing to overlap, NaN (the case is
left out of a mean), or 1 if that is asked for; where one is empty, 0. The other way
round, leaving out every case whose *reference* is empty, would hide false positives.

Pooled voxels (the numbers summed over cases before they are divided) weigh a case by
its size; a mean over cases weighs each alike.

Written out here and not taken from MONAI: `DiceMetric` and `MeanIoU` leave out every
case with an empty reference, or call it 0 or 1, but cannot tell the two apart.

Sources: Dice (1945); Jaccard (1912).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Overlap", "check_masks", "count_overlap", "dice", "iou", "pooled"]

# A number for one case, an array for several.
Value: TypeAlias = Any


class Overlap(NamedTuple):
    """Numbers of voxels; each one number for a case, or (N,) for N cases.

    Attributes:
        both: in both masks.
        reference: in the reference.
        predicted: in the prediction.
    """

    both: Value
    reference: Value
    predicted: Value


def count_overlap(reference: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Overlap:
    """Count voxels.

    Args:
        reference: (*spatial) bool.
        predicted: the same shape.

    Raises:
        ValueError: the shapes differ, or a mask is not bool.

    >>> count_overlap(np.array([True, True, False]), np.array([True, False, False]))
    Overlap(both=1, reference=2, predicted=1)
    """
    check_masks(reference, predicted)
    return Overlap(*(int(np.count_nonzero(mask)) for mask in (reference & predicted, reference, predicted)))


def check_masks(reference: NDArray, predicted: NDArray) -> None:
    """Raise ValueError unless both are bool and of one shape."""
    if reference.shape != predicted.shape or reference.dtype != bool or predicted.dtype != bool:
        raise ValueError(
            f"masks are {reference.shape} of {reference.dtype} and {predicted.shape} of {predicted.dtype}; "
            "expected bool of one shape"
        )


def dice(overlap: Overlap, both_empty: float = np.nan) -> Value:
    """Dice.

    Args:
        overlap: of a case, or of several.
        both_empty: what two empty masks have; NaN or 1.

    Returns:
        In [0, 1], high = alike; a number, or (N,).

    >>> float(dice(Overlap(1, 2, 1))), float(dice(Overlap(0, 0, 3))), float(dice(Overlap(0, 0, 0)))
    (0.6666666666666666, 0.0, nan)
    """
    both, reference, predicted = _counts(overlap)
    return _share(2 * both, reference + predicted, both_empty)


def iou(overlap: Overlap, both_empty: float = np.nan) -> Value:
    """Intersection over union (Jaccard), Dice / (2 - Dice).

    Args:
        overlap: as in `dice`.
        both_empty: as in `dice`.

    Returns:
        In [0, 1], high = alike, never above Dice; a number, or (N,).

    >>> float(iou(Overlap(1, 2, 1)))
    0.5
    """
    both, reference, predicted = _counts(overlap)
    return _share(both, reference + predicted - both, both_empty)


def pooled(overlap: Overlap, weights: ArrayLike | None = None) -> Overlap:
    """The voxels of N cases together.

    Args:
        overlap: of N cases, (N,) each.
        weights: (N,) or (B, N), how often each case is there; None: once.

    Returns:
        Numbers, or (B,) for a batch of weights.

    >>> float(dice(pooled(Overlap([90, 0], [100, 10], [100, 10]))))
    0.8181818181818182
    """
    times = np.ones(len(np.atleast_1d(overlap.both))) if weights is None else np.asarray(weights, float)
    return Overlap(*(times @ count for count in _counts(overlap)))


def _counts(overlap: Overlap) -> Sequence[NDArray[np.float64]]:
    return [np.asarray(count, dtype=np.float64) for count in overlap]


def _share(part: NDArray, whole: NDArray, empty: float) -> Value:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), empty)[()]
