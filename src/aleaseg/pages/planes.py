"""Slices of a volume, and which way up they hang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry

__all__ = ["Plane", "planes_through", "ways"]

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # world axis -> (negative end, positive end)
_NAMES = ("sagittal", "coronal", "axial")  # world axis that the plane is perpendicular to
_WAYS = ("in the left-right direction", "in the front-back direction", "in the head-foot direction")


@dataclass(frozen=True)
class Plane:
    """One slice of a volume and how it is laid on the page.

    Attributes:
        name: `axial`, `coronal`, `sagittal`, or `axis 0` where the world is unknown.
        axis: array axis that the plane is perpendicular to.
        index: slice along that axis.
        rows: array axis that runs down the picture.
        columns: array axis that runs to the right.
        flip_rows: whether the last index is at the top.
        flip_columns: whether the last index is at the left.
        letters: what lies to the left, right, top and bottom; empty where unknown.
        spacing_mm: height and width of a voxel in the picture.
    """

    name: str
    axis: int
    index: int
    rows: int
    columns: int
    flip_rows: bool
    flip_columns: bool
    letters: tuple[str, str, str, str]
    spacing_mm: tuple[float, float]

    def cut(self, array: NDArray) -> NDArray:
        """The slice of a (D, H, W) array, as it is shown: (rows, columns)."""
        return self.hang(np.take(array, self.index, axis=self.axis))

    def hang(self, flat: NDArray) -> NDArray:
        """A slice with its two axes in the array's order, as it is shown: (rows, columns)."""
        flat = flat if self.rows < self.columns else flat.T
        turned: NDArray = flat[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return turned

    def position(self, voxel: Sequence[int], shape: Sequence[int]) -> tuple[int, int]:
        """Where a voxel lies in the picture: (row, column)."""
        row, column = voxel[self.rows], voxel[self.columns]
        return (
            shape[self.rows] - 1 - row if self.flip_rows else row,
            shape[self.columns] - 1 - column if self.flip_columns else column,
        )

    def voxel(self, row: int, column: int, shape: Sequence[int]) -> tuple[int, int, int]:
        """The voxel that lies there in the picture: `position` turned round."""
        found = [self.index] * 3
        found[self.rows] = shape[self.rows] - 1 - row if self.flip_rows else row
        found[self.columns] = shape[self.columns] - 1 - column if self.flip_columns else column
        return found[0], found[1], found[2]


def _world_axes(affine: NDArray[np.float64]) -> tuple[tuple[int, bool], ...]:
    """For each array axis the nearest world axis (0 R, 1 A, 2 S), and whether it grows towards R, A, S."""
    directions = np.asarray(affine, dtype=np.float64)[:3, :3]
    norms = np.linalg.norm(directions, axis=0)
    directions = directions / np.where(norms > 0, norms, 1)
    best = max(
        permutations(range(3)), key=lambda order: sum(abs(directions[order[a], a]) for a in range(3))
    )
    return tuple((best[axis], bool(directions[best[axis], axis] > 0)) for axis in range(3))


def ways(geometry: Geometry) -> dict[str, str]:
    """What the axes d, h and w are called in the patient; empty where nobody knows.

    >>> ways(Geometry((5, 6, 7), (1.0, 1.0, 1.0)))
    {}
    """
    if geometry.affine is None or len(geometry.shape) != 3:
        return {}
    return {way: _WAYS[world] for way, (world, _) in zip("dhw", _world_axes(geometry.affine), strict=True)}


def planes_through(voxel: Sequence[int], geometry: Geometry) -> list[Plane]:
    """The planes through a voxel (d, h, w) of a volume, the one across the slices (axis 0) first; one alone if D is 1.

    With a world they are turned as radiologists hang them: the patient's right
    on the left, front or head at the top, the front on the left of a sagittal
    plane. Without a world they stay as they are stored.
    """
    shape, spacing = geometry.shape, geometry.spacing_mm
    world = None if geometry.affine is None else _world_axes(geometry.affine)
    planes = []
    for axis in range(3):
        if axis > 0 and shape[0] == 1:
            break
        rows, columns = (other for other in range(3) if other != axis)
        if world is None:
            name, flips, letters = f"axis {axis}", (False, False), ("", "", "", "")
        else:
            # Head to foot runs down where it can; else front to back does.
            if world[rows][0] < world[columns][0]:
                rows, columns = columns, rows
            name = _NAMES[world[axis][0]]
            flips = (world[rows][1], world[columns][1])
            bottom, top = _LETTERS[world[rows][0]]
            right, left = _LETTERS[world[columns][0]]
            letters = (left, right, top, bottom)
        planes.append(
            Plane(
                name,
                axis,
                int(voxel[axis]),
                rows,
                columns,
                *flips,
                letters,
                (spacing[rows], spacing[columns]),
            )
        )
    return planes
