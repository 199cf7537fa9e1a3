"""Mean of a number per voxel over the voxels inside a mask, from logits, without a second volume of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["checked_logits", "mean_inside", "voxel_blocks"]

# Entries per block: 8 MB in float64.
_CHUNK = 2**20


def mean_inside(
    per_voxel: Callable[[NDArray[np.float64]], NDArray[np.float64]], logits: ArrayLike, inside: ArrayLike
) -> float:
    """Mean of `per_voxel` over the voxels inside.

    Args:
        per_voxel: (channel, n) logits of n voxels -> (n,) numbers.
        logits: (channel, *grid), at least two channels, any real dtype.
        inside: (*grid), non-zero = inside.

    Returns:
        The mean, in the unit of `per_voxel`; NaN if no voxel is inside.

    Raises:
        ValueError: shapes that do not fit, or NaN or infinity inside.
    """
    total, count = 0.0, 0
    for block in voxel_blocks(logits, inside):
        total += float(per_voxel(block).sum())
        count += block.shape[1]
    return total / count if count else float("nan")


def checked_logits(logits: ArrayLike) -> NDArray:
    """As an array; ValueError unless it has a grid and two channels at least."""
    array = np.asarray(logits)
    if array.ndim < 2 or array.shape[0] < 2:
        raise ValueError(
            f"logits have shape {array.shape}; expected (channel, *grid) with 2 channels or more, "
            "channel 0 = background"
        )
    return array


def voxel_blocks(logits: ArrayLike, inside: ArrayLike) -> Iterator[NDArray[np.float64]]:
    """Logits of the voxels inside, (channel, n) float64, a few at a time; arguments as in `mean_inside`."""
    array, mask = checked_logits(logits), np.asarray(inside)
    if mask.shape != array.shape[1:]:
        raise ValueError(f"the mask has shape {mask.shape}; expected the logits' grid {array.shape[1:]}")
    channels, chosen = array.reshape(array.shape[0], -1), mask.reshape(-1) != 0
    step = max(1, _CHUNK // array.shape[0])
    for start in range(0, chosen.size, step):
        here = chosen[start : start + step]
        if not here.any():
            continue
        block = channels[:, start : start + step][:, here].astype(np.float64)
        if not np.isfinite(block).all():
            raise ValueError("logits hold NaN or infinite values inside the mask; expected finite numbers")
        yield block
