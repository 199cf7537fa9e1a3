"""A volume on disk of which a slice across any axis is read quickly.

In a plain file the slices across the last axis touch every page of it. Cut into bricks, each slice
touches one layer of bricks, whichever axis it lies across.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["brick_file", "put", "read_slice"]

_EDGE = 32
_Bricks = tuple[tuple[int, ...], tuple[int, ...]]  # how many, and how large each is, per axis


def _bricks(shape: Sequence[int]) -> _Bricks:
    edges = tuple(min(_EDGE, size) for size in shape)
    return tuple(math.ceil(size / edge) for size, edge in zip(shape, edges, strict=True)), edges


def brick_file(path: Path, shape: Sequence[int], dtype: np.dtype) -> NDArray:
    """A new file of bricks, mapped for writing: (bricks along D, H, W, brick D, H, W), all 0."""
    counts, edges = _bricks(shape)
    return np.memmap(path, dtype=dtype, mode="w+", shape=(*counts, *edges))


def put(bricks: NDArray, first: int, slab: NDArray) -> None:
    """Write slices (n, H, W) across axis 0, from slice `first` on."""
    _, rows, columns, depth, height, width = bricks.shape
    padded = np.pad(
        slab, ((0, 0), (0, rows * height - slab.shape[1]), (0, columns * width - slab.shape[2]))
    )
    for k, flat in enumerate(padded, start=first):
        cut = flat.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
        bricks[k // depth, :, :, k % depth] = cut


def read_slice(path: Path, shape: Sequence[int], dtype: np.dtype, axis: int, k: int) -> NDArray:
    """Slice k across an axis, its two axes in the array's order.

    The file is mapped for this call alone, so that what was read of it does not stay in this process.
    """
    counts, edges = _bricks(shape)
    bricks = np.memmap(path, dtype=dtype, mode="r", shape=(*counts, *edges))
    # One layer of bricks: (rows, columns, brick rows, brick columns). Views both, so that nothing else is read.
    where: list[slice | int] = [slice(None)] * 6
    where[axis], where[3 + axis] = k // edges[axis], k % edges[axis]
    layer = bricks[tuple(where)]
    a, b, c, d = layer.shape
    size = [length for other, length in enumerate(shape) if other != axis]
    return np.ascontiguousarray(layer.transpose(0, 2, 1, 3).reshape(a * c, b * d)[: size[0], : size[1]])
