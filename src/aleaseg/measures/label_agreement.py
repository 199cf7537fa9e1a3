"""How far a mask and an out-of-fold prediction agree.

The prediction must come from a model that never saw the case: a network agrees
with the masks it was trained on, wrong ones too.

Sources: Dice (1945); softmin: Lad and Mueller, "Estimating label quality and
errors in semantic segmentation data via any model" (2023), as in cleanlab.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.morphology import grown_by_box
from aleaseg.measures.regions import around, occupied

__all__ = ["dice", "dice_of_counts", "near", "softmin"]

_BLOCK = 2**20


def dice(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice overlap 2|AB| / (|A| + |B|) in [0, 1], 1 = identical; NaN where both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    both, one, two = (int(np.count_nonzero(voxels)) for voxels in (mask & other, mask, other))
    return dice_of_counts(both, one, two)


def dice_of_counts(both: int, one: int, other: int) -> float:
    """The same from numbers of voxels: in both masks, and in each of them."""
    return 2 * both / (one + other) if one + other else float("nan")


def softmin(given: NDArray, temperature: float = 0.1) -> float:
    """Soft minimum over voxels of the probability of the label that each was given.

    sum_i s_i w_i with w = softmax((1 - s) / T): close to the worst voxel for a small
    T, the mean for a large one.

    Args:
        given: s, any shape, in [0, 1]; NaN where a voxel does not count.
        temperature: T.

    Returns:
        In [0, 1], low = doubtful; NaN without voxels.

    >>> f"{softmin(np.array([1.0, 1.0, 1.0, 0.0])):.2e}"
    '1.36e-04'
    """
    flat = np.asarray(given).ravel()
    blocks = [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]
    lowest = min((float(np.nanmin(block)) for block in blocks if np.isfinite(block).any()), default=None)
    if lowest is None:
        return float("nan")
    total = weight = 0.0
    for block in blocks:  # a volume in float64 would be held several times
        scores = block[np.isfinite(block)].astype(np.float64)
        weights = np.exp((lowest - scores) / temperature)
        total += float((scores * weights).sum())
        weight += float(weights.sum())
    return total / weight


def near(mask: NDArray[np.bool_], other: NDArray[np.bool_], voxels: int = 5) -> NDArray[np.bool_]:
    """The surroundings of both masks: their union grown by some voxels (a box).

    Where a scan is mostly far background, the easy voxels out there would drown the
    few that matter.
    """
    union = mask | other
    box = occupied(union)
    if box is None:
        return np.ones_like(union)
    window = around([box], union.shape, voxels)
    union[window] = grown_by_box(union[window], voxels)
    return union
