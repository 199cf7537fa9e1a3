"""Known faults in a label map.

Every function takes a label map (D, H, W) or (H, W) of integers, 0 = background,
and a seeded generator, and returns a new array of the same shape and dtype. The
argument is never written to. Lengths are in voxels. Where a fault has a size,
size 0 changes nothing.

`TRIAL` holds the faults of the trial of this package at the sizes used there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["TRIAL", "dilate", "drop", "erode", "hole", "shift", "swap"]


def shift(mask: NDArray, rng: Generator, *, voxels: tuple[int, int] = (4, 5)) -> NDArray:
    """Move the whole mask along every axis; what comes in from outside is background.

    Args:
        mask: integer label map (*spatial).
        rng: draws the distance and the sign for each axis.
        voxels: smallest and largest distance along each axis; (0, 0) changes nothing. A
            distance as long as the axis is shortened to a third of it: the mask stays in view.
    """
    low, high = voxels
    result = mask
    for axis, size in enumerate(mask.shape):
        distance = int(rng.integers(low, high + 1))
        distance = distance if distance < size else size // 3
        step = distance * int(rng.choice((-1, 1)))
        if step == 0:
            continue
        result = np.roll(result, step, axis=axis)
        came_in = [slice(None)] * mask.ndim
        came_in[axis] = slice(0, step) if step > 0 else slice(step, None)
        result[tuple(came_in)] = 0
    return result.copy() if result is mask else result


def dilate(mask: NDArray, rng: Generator, *, radius: float = 2.0) -> NDArray:
    """Let the foreground grow into the background; a new voxel takes the class nearest to it.

    Args:
        mask: integer label map (*spatial).
        rng: not used; all faults are called alike.
        radius: how far the border moves outwards, Euclidean, in voxels; 0 changes nothing.
    """
    from scipy.ndimage import distance_transform_edt

    if radius <= 0 or not mask.any():
        return mask.copy()
    distance, nearest = distance_transform_edt(mask == 0, return_indices=True)
    return np.where(distance <= radius, mask[tuple(nearest)], mask).astype(mask.dtype, copy=False)


def erode(mask: NDArray, rng: Generator, *, radius: float = 2.0) -> NDArray:
    """Let the background grow into the foreground; the border between two classes stays.

    The border of the array does not erode: a mask that is cut there stays cut there.

    Args:
        mask: integer label map (*spatial).
        rng: not used; all faults are called alike.
        radius: how far the border moves inwards, Euclidean, in voxels; 0 changes nothing.
    """
    from scipy.ndimage import distance_transform_edt

    if radius <= 0 or mask.all():
        return mask.copy()
    distance = distance_transform_edt(mask != 0)
    return np.where(distance <= radius, 0, mask).astype(mask.dtype, copy=False)


def swap(mask: NDArray, rng: Generator) -> NDArray:
    """Exchange two classes.

    Args:
        mask: integer label map (*spatial).
        rng: draws the two classes among those present.

    Raises:
        ValueError: fewer than two classes are present.
    """
    first, second = rng.choice(_present(mask, at_least=2), size=2, replace=False)
    result = mask.copy()
    result[mask == first] = second
    result[mask == second] = first
    return result


def drop(mask: NDArray, rng: Generator) -> NDArray:
    """Turn one class into background, as where an annotator forgot it.

    Args:
        mask: integer label map (*spatial).
        rng: draws the class among those present.

    Raises:
        ValueError: the mask is empty.
    """
    result = mask.copy()
    result[mask == rng.choice(_present(mask, at_least=1))] = 0
    return result


def hole(mask: NDArray, rng: Generator, *, radius: float = 9.0) -> NDArray:
    """Take a ball out of the mask.

    Args:
        mask: integer label map (*spatial).
        rng: draws the centre among the foreground voxels.
        radius: of the ball, in voxels; 0 changes nothing.

    Raises:
        ValueError: the mask is empty.
    """
    _present(mask, at_least=1)
    if radius <= 0:
        return mask.copy()
    foreground = np.argwhere(mask)
    centre = foreground[rng.integers(len(foreground))]
    result = mask.copy()
    inside = ((foreground - centre) ** 2).sum(axis=1) <= radius**2
    result[tuple(foreground[inside].T)] = 0
    return result


def _present(mask: NDArray, at_least: int) -> NDArray:
    values: NDArray = np.unique(mask[mask != 0])
    if len(values) < at_least:
        raise ValueError(
            f"found {len(values)} foreground classes in the mask; expected at least {at_least}; "
            "choose another fault or another case"
        )
    return values


TRIAL: Mapping[str, Callable[[NDArray, Generator], NDArray]] = {
    "shift": shift,
    "dilate": dilate,
    "erode": erode,
    "swap": swap,
    "drop": drop,
    "hole": hole,
}
