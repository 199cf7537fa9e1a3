"""How a map is read as a matrix, and how that matrix is cut into blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from einops import rearrange

from aleaseg.errors import one_of
from aleaseg.spectral.arrays import cast, double, transposed

Unfolding = Literal["d_hw", "h_dw", "w_dh", "h_w"]

# name -> how a map becomes a matrix: rows, then the axes that are laid side by side as columns
_PATTERNS: dict[str, str] = {
    "d_hw": "d h w -> d (h w)",
    "h_dw": "d h w -> h (d w)",
    "w_dh": "d h w -> w (d h)",
    "h_w": "h w -> h (w)",
}
# Matrices beyond this many entries are multiplied one by one, smaller ones as a batch.
_BATCHED_BELOW = 2**16
# 2^21 float32 entries are 8 MB: large enough for the matrix product to run at full speed,
# small enough for the copies (casts, unfoldings that are no views) not to count.
CHUNK = 2**21


@dataclass(frozen=True)
class Plan:
    """How the matrices of one call are laid out and multiplied."""

    unfold: str
    center: bool
    by_qr: bool
    working: Any
    chunk: int

    @property
    def axes(self) -> list[str]:
        """Names of the map's own axes."""
        return _PATTERNS[self.unfold].split(" -> ")[0].split()

    @property
    def row(self) -> str:
        """Name of the axis that becomes the rows."""
        return _PATTERNS[self.unfold].split(" -> ")[1].split()[0]

    def sizes(self, maps: Any) -> dict[str, int]:
        """Axis name -> length."""
        return dict(zip(self.axes, maps.shape[-len(self.axes) :], strict=True))

    def rows_columns(self, maps: Any) -> tuple[int, int]:
        """Shape of one matrix."""
        sizes = self.sizes(maps)
        return sizes[self.row], math.prod(n for axis, n in sizes.items() if axis != self.row)

    def is_tall(self, maps: Any) -> bool:
        """Whether a matrix has more rows than columns; the columns are the short side then."""
        rows, columns = self.rows_columns(maps)
        return rows > columns

    def batches(self, maps: Any) -> Iterator[tuple[int, ...]]:
        """Index of each piece of the batch whose matrices are worked on together."""
        leading = tuple(maps.shape[: -len(self.axes)])
        if math.prod(self.rows_columns(maps)) < _BATCHED_BELOW:
            yield ()
        else:
            yield from np.ndindex(*leading)

    def slabs(self, maps: Any) -> Iterator[tuple[Any, ...]]:
        """Index of each slab: cut across the matrix's long side, so that every block is (r, k)."""
        sizes = self.sizes(maps)
        rows, columns = self.rows_columns(maps)
        long_side = [self.row] if rows > columns else [axis for axis in self.axes if axis != self.row]
        budget = max(1, self.chunk // min(rows, columns))
        within = math.prod(sizes[axis] for axis in long_side[1:])
        steps = [max(1, budget // within)]
        if len(long_side) > 1:
            steps.append(within if within <= budget else budget)
        starts = [range(0, sizes[axis], step) for axis, step in zip(long_side, steps, strict=True)]
        for corner in np.ndindex(*map(len, starts)):
            cut = {
                axis: slice(start[i], start[i] + step)
                for axis, start, step, i in zip(long_side, starts, steps, corner, strict=True)
            }
            yield (..., *(cut.get(axis, slice(None)) for axis in self.axes))

    def block(self, slab: Any, row_mean: Any = None) -> Any:
        """The slab as (..., r, k) in working precision."""
        left, right = _PATTERNS[self.unfold].split(" -> ")
        matrix = cast(rearrange(slab, f"... {left} -> ... {right}"), self.working)
        if row_mean is not None:
            matrix = matrix - cast(row_mean[..., None], self.working)
        elif self.center:  # tall: a slab holds whole rows
            matrix = matrix - cast(double(matrix).mean(-1)[..., None], self.working)
        return matrix

    def unblock(self, matrix: Any, slab: Any) -> Any:
        """What `block` did, undone (but for the centring)."""
        left, right = _PATTERNS[self.unfold].split(" -> ")
        return rearrange(matrix, f"... {right} -> ... {left}", **self.sizes(slab))

    def blocks(self, maps: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Each slab's index and its (..., r, k) block; side by side the blocks are the matrix, r <= k."""
        tall = self.is_tall(maps)
        row_mean = None
        if self.center and not tall:
            columns = self.rows_columns(maps)[1]
            plain = replace(self, center=False)
            row_mean = sum(double(plain.block(maps[cut])).sum(-1) for cut in self.slabs(maps)) / columns
        for cut in self.slabs(maps):
            block = self.block(maps[cut], row_mean)
            yield cut, transposed(block) if tall else block


def check_shape(shape: tuple[int, ...], unfold: str) -> None:
    """Raise ValueError unless maps of that shape unfold to matrices of at least 2 x 2."""
    one_of("unfold", unfold, tuple(_PATTERNS))
    axes, right = _PATTERNS[unfold].split(" -> ")
    names = axes.split()
    if len(shape) < len(names):
        hint = '; for a 2D map (..., H, W) pass unfold="h_w"' if len(shape) == 2 else ""
        raise ValueError(f"maps have shape {shape}; unfold={unfold!r} expects (..., {axes.upper()}){hint}")
    sizes = dict(zip(names, shape[-len(names) :], strict=True))
    rows = sizes[right.split()[0]]
    columns = math.prod(sizes.values()) // rows if rows else 0
    if min(rows, columns) < 2:
        others = [
            name for name in _PATTERNS if name != unfold and len(shape) >= (2 if name == "h_w" else 3)
        ]
        advice = f"try unfold={' or '.join(map(repr, others))}" if others else "pass a larger map"
        raise ValueError(
            f"maps of shape {shape} unfold to {rows} x {columns} under unfold={unfold!r}: S needs at least "
            f"2 x 2, since it divides by ln min(rows, columns); {advice}"
        )
