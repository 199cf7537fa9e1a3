"""Where to look: boxes about a mask, or about the body.

Boxes are (x0, y0, x1, y1) in pixels of the slice, ends included, x along the last axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Box",
    "body_box",
    "checked_box",
    "key_slice",
    "key_slice_box",
    "slice_boxes",
    "tight_box",
    "z_range",
]

Box = tuple[float, float, float, float]


def checked_box(box: ArrayLike) -> Box:
    """A box that somebody gives, four numbers in any form.

    Raises:
        ValueError: it cannot be one.

    >>> checked_box(np.array([[1, 2, 3, 4]]))
    (1.0, 2.0, 3.0, 4.0)
    """
    corners = np.asarray(box, dtype=np.float64).reshape(-1)
    # So that NaN is refused too.
    if len(corners) != 4 or not (corners[0] <= corners[2] and corners[1] <= corners[3]):
        raise ValueError(f"box is {box!s}; expected (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1")
    x0, y0, x1, y1 = corners.tolist()
    return x0, y0, x1, y1


def tight_box(mask: NDArray) -> Box | None:
    """The smallest box about all non-zero pixels of (H, W); None where there is none.

    >>> tight_box(np.array([[0, 0, 0], [0, 1, 1]]))
    (1.0, 1.0, 2.0, 1.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def key_slice(mask: NDArray) -> int:
    """The slice of (D, H, W) where the object's area is largest, the first of equals."""
    return int(np.count_nonzero(mask, axis=(1, 2)).argmax())


def key_slice_box(mask: NDArray) -> Mapping[int, Box]:
    """Key slice -> tight box; empty where the mask is."""
    place = key_slice(mask)
    box = tight_box(mask[place])
    return {} if box is None else {place: box}


def slice_boxes(mask: NDArray) -> Mapping[int, Box]:
    """Slice -> tight box, for every slice that has the object."""
    found = {place: tight_box(one) for place, one in enumerate(mask)}
    return {place: box for place, box in found.items() if box is not None}


def z_range(mask: NDArray, margin: int) -> tuple[int, int]:
    """Slices [first, last) that have the object, and so many more on either side, inside the volume."""
    there = np.flatnonzero(mask.any(axis=(1, 2)))
    return max(0, int(there[0]) - margin), min(len(mask), int(there[-1]) + 1 + margin)


def body_box(image: NDArray) -> Mapping[int, Box]:
    """A box about what is brighter than Otsu's threshold on the middle slice of (D, H, W)."""
    from skimage.filters import threshold_otsu

    middle = len(image) // 2
    one = image[middle]
    if one.min() == one.max():
        return {middle: (0.0, 0.0, one.shape[1] - 1.0, one.shape[0] - 1.0)}
    box = tight_box(one > threshold_otsu(one))
    assert box is not None  # Otsu's threshold lies below the greatest value
    return {middle: box}
