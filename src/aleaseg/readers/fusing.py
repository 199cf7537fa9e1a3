"""Several raters, one confidence: their mean, their majority, or STAPLE.

mean       q_c = mean over the raters who looked
majority   q_c = 1 where at least half of them are at least half sure, else 0; a tie is inside
staple     q_c = P(the voxel is c | all masks), each rater weighed by how well he agrees with the others
           (Warfield et al. 2004, as SimpleITK has it); a decision more than a confidence: on the
           four-rater nodules of LIDC-IDRI nearly every voxel comes out below .05 or above .95
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aleaseg.levels import at_least
from aleaseg.settings import FUSIONS

__all__ = ["FUSIONS", "Staple", "fuse", "staple"]

# The prior of STAPLE is the mean filled share of the field of view: it has to be the same for all cases.
_MARGIN = 10


class Staple(NamedTuple):
    """What STAPLE finds.

    Attributes:
        probability: (*spatial) float32 in [0, 1], that a voxel is inside.
        sensitivity: (R,) share of the inside that each rater marked; NaN where nobody marked anything.
        specificity: (R,) share of the outside (of the cropped field of view) that each left unmarked.
    """

    probability: NDArray[np.float32]
    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]


def fuse(raters: NDArray[np.float32], how: str = "mean") -> NDArray[np.float32]:
    """One confidence of several raters'.

    Args:
        raters: (R, C, *spatial) in [0, 1]; NaN where a rater did not look.
        how: of `FUSIONS`.

    Returns:
        (C, *spatial) float32 in [0, 1]; NaN where none of them looked. The order of the raters does not matter.

    Raises:
        ValueError: `staple`, and some rater looked at a part of the voxels of a class alone.

    >>> votes = np.array([[[1, 1, 0]], [[1, 0, 0]], [[np.nan, 1, 0]]], np.float32)
    >>> fuse(votes).round(3).tolist(), fuse(votes, "majority").tolist()
    ([[1.0, 0.6669999957084656, 0.0]], [[1.0, 1.0, 0.0]])
    """
    if how == "staple":
        return np.stack([_of_lookers(raters[:, index]) for index in range(raters.shape[1])])
    if how == "majority":
        masks = np.where(np.isnan(raters), np.nan, at_least(raters, 0.5)).astype(np.float32)
        share = _mean(masks)
        return np.where(np.isnan(share), np.nan, at_least(share, 0.5)).astype(np.float32)
    return _mean(raters)


def _mean(raters: NDArray[np.float32]) -> NDArray[np.float32]:
    looked = ~np.isnan(raters)
    count = looked.sum(axis=0)
    # In double precision, so that the order of the raters cannot be seen in the last digit.
    total = np.where(looked, raters, 0).sum(axis=0, dtype=np.float64)
    mean = np.full(count.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean.astype(np.float32)


def _of_lookers(raters: NDArray[np.float32]) -> NDArray[np.float32]:
    """STAPLE of one class by the raters who looked at it; NaN where there is none."""
    blind = np.isnan(raters).reshape(len(raters), -1)
    some = blind.any(axis=1) & ~blind.all(axis=1)
    if some.any():
        raise ValueError(
            f"{int(some.sum())} of {len(raters)} raters looked at a part of the voxels; STAPLE needs all"
        )
    seen = raters[~blind.all(axis=1)]
    if not len(seen):
        return np.full(raters.shape[1:], np.nan, np.float32)
    return staple(at_least(seen, 0.5)).probability


def staple(masks: NDArray[np.bool_]) -> Staple:
    """STAPLE of the masks of one class, within the box of all that was marked and 10 voxels more.

    Args:
        masks: (R, *spatial) bool.

    >>> found = staple(np.array([[[0, 1, 1, 0]], [[0, 1, 1, 0]], [[0, 1, 0, 0]]], bool))
    >>> found.probability.round(2).tolist(), found.sensitivity.round(2).tolist()
    ([[0.0, 1.0, 1.0, 0.0]], [1.0, 1.0, 0.5])
    """
    import SimpleITK

    outside = np.zeros(masks.shape[1:], np.float32)
    marked = masks.any(axis=0)
    if not marked.any():
        return Staple(outside, np.full(len(masks), np.nan), np.ones(len(masks)))
    box = tuple(
        slice(max(0, int(places.min()) - _MARGIN), int(places.max()) + 1 + _MARGIN)
        for places in np.nonzero(marked)
    )
    # Sorted: the sums inside then come in one order, whatever the order of the raters.
    order = sorted(range(len(masks)), key=lambda rater: masks[rater].tobytes())
    found = SimpleITK.STAPLEImageFilter()
    found.SetForegroundValue(1.0)
    images = [SimpleITK.GetImageFromArray(masks[rater][box].astype(np.uint8)) for rater in order]
    inside = SimpleITK.GetArrayFromImage(found.Execute(images))
    # Where all masks are alike, and fill the view, nothing is left to weigh, and the filter says NaN.
    alike = np.mean([one[box] for one in masks], axis=0)
    outside[box] = np.clip(np.where(np.isfinite(inside), inside, alike), 0, 1)
    back = np.argsort(order)
    return Staple(outside, np.array(found.GetSensitivity())[back], np.array(found.GetSpecificity())[back])
