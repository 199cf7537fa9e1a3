"""A volume on disk of which a slice across any axis is read quickly.

In a plain file the slices across the last axis touch every page of it. Cut into bricks, each slice
touches one layer of bricks, whichever axis it lies across.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGE", "read_slice", "read_volume", "write_volume"]

EDGE = 32
"""Voxels along a brick."""
_Bricks = tuple[tuple[int, ...], tuple[int, ...]]  # how many, and how large each is, per axis


def _bricks(shape: Sequence[int]) -> _Bricks:
    edges = tuple(min(EDGE, size) for size in shape)
    return tuple(math.ceil(size / edge) for size, edge in zip(shape, edges, strict=True)), edges


def write_volume(path: Path, slabs: Iterable[NDArray], shape: Sequence[int], dtype: np.dtype) -> None:
    """A new file of bricks: (bricks along D, H, W, brick D, H, W).

    Args:
        path: of the file.
        slabs: all slices across axis 0, `EDGE` at a time; nothing else of the volume has to be in memory.
        shape: of the volume.
        dtype: of the file.
    """
    (_, rows, columns), (depth, height, width) = _bricks(shape)
    layer = np.zeros((depth, rows * height, columns * width), dtype)
    with open(path, "wb") as file:
        for slab in slabs:
            layer[len(slab) :] = 0
            with np.errstate(over="ignore"):  # what is beyond float32 is infinite
                layer[: len(slab), : slab.shape[1], : slab.shape[2]] = slab
            cut = layer.reshape(depth, rows, height, columns, width).transpose(1, 3, 0, 2, 4)
            file.write(np.ascontiguousarray(cut).data)


def read_volume(path: Path, shape: Sequence[int], dtype: np.dtype) -> NDArray:
    """All of it, as an array of its own."""
    (layers, rows, columns), (depth, height, width) = _bricks(shape)
    whole = np.empty(shape, dtype)
    with open(path, "rb") as file:
        for first in range(0, layers * depth, depth):
            read = np.fromfile(file, dtype, rows * columns * depth * height * width)
            layer = read.reshape(rows, columns, depth, height, width).transpose(2, 0, 3, 1, 4)
            layer = layer.reshape(depth, rows * height, columns * width)
            into = whole[first : first + depth]
            into[:] = layer[: len(into), : shape[1], : shape[2]]
    return whole


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
