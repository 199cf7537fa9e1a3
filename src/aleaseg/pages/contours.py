"""Outlines of masks as SVG paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["outline", "rings"]


def outline(mask: NDArray[np.bool_]) -> str:
    """The outline of a mask between its voxels, as one SVG path.

    Marching squares at 0.5 over the mask with a frame of background, so that
    outlines close at the border too. Points lie on half voxels; coordinates
    are written in half voxels from the picture's upper left corner, where the
    voxel (row, column) covers [2 column, 2 column + 2] x [2 row, 2 row + 2].

    Args:
        mask: (rows, columns).

    Returns:
        A path such as `m2 1l1 1l-1 1l-1-1z`; empty for an empty mask.
    """
    from skimage.measure import find_contours

    if not mask.any():
        return ""
    parts = []
    for line in find_contours(np.pad(mask, 1).astype(np.uint8), 0.5):
        # Voxel centres are whole numbers in the framed array: minus 1 for the frame, plus 0.5.
        points = np.rint((line - 0.5) * 2).astype(int)
        parts.append(_path(_corners(points)))
    return "".join(parts)


def _corners(points: NDArray[np.int_]) -> NDArray[np.int_]:
    """Leave out points in the middle of straight stretches."""
    steps = np.diff(points, axis=0)
    turns = np.any(steps[1:] != steps[:-1], axis=1)
    kept: NDArray[np.int_] = points[np.concatenate([[True], turns, [True]])]
    return kept


def _path(points: NDArray[np.int_]) -> str:
    steps = np.diff(points, axis=0)
    row, column = points[0]
    text = "".join(f"l{step[1]} {step[0]}" for step in steps[:-1])
    return f"M{column} {row}{text}z"


def rings(path: str) -> list[list[tuple[int, int]]]:
    """The closed lines of a path of `outline`, each a list of points (x, y) that ends where it begins.

    >>> rings("M2 1l1 1l-1 1l-1 -1z")
    [[(2, 1), (3, 2), (2, 3), (1, 2), (2, 1)]]
    """
    found = []
    for line in filter(None, path.split("z")):
        start, *steps = line[1:].split("l")
        x, y = map(int, start.split())
        points = [(x, y)]
        for step in steps:
            dx, dy = map(int, step.split())
            x, y = x + dx, y + dy
            points.append((x, y))
        found.append([*points, points[0]])
    return found
