"""The two inputs of the paper: X-hat (raw) and X (normalised by the annotated foreground).

Pure functions of arrays. Section 3.1 of arXiv 2604.10963 names the two; the rule for
X is nnU-Net's for CT with this case's own foreground in place of the data set's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.percentiles import percentiles

__all__ = ["foreground_normalized", "foreground_range", "percentile_range", "standardized", "unit"]

Range = tuple[float, float, float, float]
"""Lowest and highest value, mean and standard deviation."""


def percentile_range(image: NDArray) -> tuple[float, float]:
    """The 0.5% and 99.5% percentiles of finite voxels; least and greatest value where those are equal."""
    first, last = percentiles(image, [0.5, 99.5])
    if last > first:
        return float(first), float(last)
    return float(image.min()), float(image.max())


def unit(image: NDArray, low: float, high: float) -> NDArray[np.float32]:
    """Clipped to [low, high] and brought to [0, 1]; 0 everywhere where high <= low.

    >>> unit(np.array([-500.0, 40.0, 900.0]), -160, 240).tolist()
    [0.0, 0.5, 1.0]
    """
    if high <= low:
        return np.zeros(image.shape, dtype=np.float32)
    return _scaled(image, low, high, low, high - low)


def foreground_range(inside: NDArray) -> Range:
    """What the paper's X is clipped to, and the mean and deviation that are taken out of it.

    Args:
        inside: grey values of the annotated foreground, finite.

    Raises:
        ValueError: there are none.
    """
    if not inside.size:
        raise ValueError("the mask has no foreground voxel to normalise by")
    low, high = percentiles(inside, [0.5, 99.5])
    mean, deviation = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    return float(low), float(high), mean, deviation


def standardized(image: NDArray, by: Range) -> NDArray[np.float32]:
    """Grey values of any shape clipped to a range, its mean and deviation taken out; never falls where they rise."""
    low, high, mean, deviation = by
    return _scaled(image, low, high, mean, max(deviation, 1e-8))


def foreground_normalized(image: NDArray, foreground: NDArray) -> NDArray[np.float32]:
    """The paper's X: clipped to the foreground's 0.5-99.5% range, its mean and deviation taken out.

    Args:
        image: (*spatial), finite.
        foreground: (*spatial), non-zero where annotated; at least one voxel.

    Returns:
        float32 (*spatial); inside the foreground about mean 0 and standard deviation 1.

    Raises:
        ValueError: there is no foreground.
    """
    return standardized(image, foreground_range(image[foreground.astype(bool)]))


def _scaled(image: NDArray, low: float, high: float, middle: float, span: float) -> NDArray[np.float32]:
    """Clipped, less the middle, over the span: in double, of a volume slice by slice."""
    found = np.empty(image.shape, np.float32)
    for k, flat in enumerate(image) if image.ndim > 2 else [(..., image)]:
        found[k] = (np.clip(flat.astype(np.float64), low, high) - middle) / span
    return found
