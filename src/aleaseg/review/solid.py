"""A label map made small enough for a browser to turn it round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["coarse", "steps_of"]

_LONGEST = 128


def steps_of(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[int, ...]:
    """How many voxels along each axis become one, so that it is about as long as wide and at most 128 lie in a row.

    >>> steps_of((100, 512, 512), (3.0, 0.75, 0.75))
    (1, 4, 4)
    """
    edge_mm = max(size * mm for size, mm in zip(shape, spacing_mm, strict=True)) / _LONGEST
    at_least = (-(-size // _LONGEST) for size in shape)
    return tuple(max(least, round(edge_mm / mm)) for least, mm in zip(at_least, spacing_mm, strict=True))


def coarse(label: NDArray, steps: Sequence[int]) -> NDArray:
    """The largest label value of each block: no piece of a mask is lost, however small it is.

    Args:
        label: (D, H, W), background 0.
        steps: size of the blocks; those at the end may be smaller.
    """
    rows, columns = (
        np.arange(0, size, step) for size, step in zip(label.shape[1:], steps[1:], strict=True)
    )
    found = np.empty((-(-label.shape[0] // steps[0]), len(rows), len(columns)), label.dtype)
    for k, into in enumerate(found):
        flat = label[k * steps[0] : (k + 1) * steps[0]].max(axis=0)
        into[:] = np.maximum.reduceat(np.maximum.reduceat(flat, rows, axis=0), columns, axis=1)
    return found
