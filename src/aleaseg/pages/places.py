"""Where to look: for each reason of a doubt the voxel and the plane that show it.

A slice across which a fault lies hides it: where slices of a mask are skipped, the skipped slice shows
one outline and its neighbours show none missing; a plane across the slices shows the gap at a glance. So a
plane is good as far as it cuts the fault and, beside it, what the fault is to be compared with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Maps", "Place", "Sought", "places"]

# The plane of the slices is the sharpest and the usual one: another one has to show this much more.
_USUAL = 1.25
_ACROSS = (1, 2)
# In which planes a border's fault is seen.
_AT_THE_BORDER = {
    **dict.fromkeys(("rough", "smooth", "coarse", "ragged", "contrast"), (0,)),
    **dict.fromkeys(("coarse_across", "ragged_across"), _ACROSS),
}
_OF_ALL = ("softmin", "mask")
# So much of what a fault is compared with, as a share of the fault, is enough to see it.
_ENOUGH = 1 / 3


@dataclass(frozen=True)
class Sought:
    """A reason, as far as it says where to look.

    Attributes:
        code: of the reason, `sharp_d` or `oof_dice:liver`.
        axis: `image` or `mask`.
        way: the array axis that it names, `d`, `h` or `w`; empty: none.
        values: label values of the class or classes that it names; empty: all.
    """

    code: str
    axis: str
    way: str = ""
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """What to look at.

    Attributes:
        reason: a reason's code; without any `disagreement`, `mask`, `prediction` or `middle`.
        voxel: (d, h, w).
        axis: the array axis that the plane to look at is perpendicular to.
    """

    reason: str
    voxel: tuple[int, int, int]
    axis: int


@dataclass(frozen=True)
class Maps:
    """What is drawn over an image of (D, H, W) voxels.

    Attributes:
        shape: (D, H, W).
        spacing_mm: per axis.
        label: (D, H, W) label values; None without.
        predicted: likewise.
        ignore: the label value that means "not annotated".
        doubt: (D, H, W) where the mask is doubtful, in any unit; None where nobody knows.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    label: NDArray | None
    predicted: NDArray | None
    ignore: int | None = None
    doubt: NDArray | None = None

    def mask(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where the label has one of the values; any, without values."""
        return self._of(self.label, values)

    def prediction(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where the prediction has one of the values; any, without values."""
        return self._of(self.predicted, values)

    def _of(self, array: NDArray | None, values: Collection[int]) -> NDArray[np.bool_]:
        if array is None:
            return np.zeros(self.shape, dtype=bool)
        there: NDArray[np.bool_] = np.isin(array, list(values)) if values else array > 0
        return there if self.ignore is None else there & (array != self.ignore)

    def agreement(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where label and prediction are the same, and one of the values."""
        return self.mask(values) & self.prediction(values) & ~self.difference()

    def difference(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where label and prediction are not the same; nowhere, where one of them is missing."""
        if self.label is None or self.predicted is None:
            return np.zeros(self.shape, dtype=bool)
        differ = np.asarray(self.label != self.predicted)
        if values:
            differ = self.mask(values) != self.prediction(values)
        return differ if self.ignore is None else differ & (self.label != self.ignore)

    def most_doubtful(self, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where in a region the doubt is at least half of its largest there; all of it where nobody knows."""
        if self.doubt is None or not region.any():
            return region
        most = self.doubt[region].max()
        return region & (self.doubt >= most / 2) if most > 0 else region


def places(maps: Maps, sought: Sequence[Sought] = ()) -> list[Place]:
    """Where to look, one place for each reason in their order; at least one.

    Args:
        maps: of the case.
        sought: its reasons, the most important one first.
    """
    # Noise is everywhere: a reason of the image that names no axis is looked at where the next one is that does.
    named = next((one.way for one in sought if one.axis == "image" and one.way), "")
    turned = [replace(one, way=one.way or named) if one.axis == "image" else one for one in sought]
    return [_place(maps, one) for one in turned] or [_usual(maps)]


def _usual(maps: Maps) -> Place:
    differ = maps.difference()
    if differ.any():
        return _shown("disagreement", differ, maps.agreement(), maps)
    return _thickest_part(maps)


def _thickest_part(maps: Maps, code: str = "", axes: Sequence[int] = (0,)) -> Place:
    """The largest slice of the mask, or of the prediction; else the middle."""
    for name, found in (("mask", maps.mask()), ("prediction", maps.prediction())):
        if found.any():
            return _shown(code or name, found, found, maps, axes)
    middle = tuple(size // 2 for size in maps.shape)
    # Without anything to go by: of the planes that may be, the one with most of the image.
    axis = min(axes, key=lambda axis: (maps.shape[axis], axis))
    return Place(code or "middle", (middle[0], middle[1], middle[2]), axis)


def _place(maps: Maps, one: Sought) -> Place:
    kind = one.code.partition(":")[0]
    if one.axis == "image":
        return _thickest_part(maps, one.code, _ACROSS if one.way == "d" else (0,))
    mask = maps.mask(one.values)
    if kind == "components" and mask.any():
        main = _largest_piece(mask)
        return _shown(one.code, mask & ~main, main, maps, _ACROSS)
    if kind == "border" and mask.any():
        return _shown(one.code, mask & _edge(maps.shape), mask, maps)
    if kind in _AT_THE_BORDER and mask.any():
        return _shown(one.code, maps.most_doubtful(_rim(mask)), mask, maps, _AT_THE_BORDER[kind])
    if kind == "order" and len(one.values) > 1:
        return _shown(one.code, maps.mask(one.values[:1]), maps.mask(one.values[1:]), maps)
    differ = maps.difference(one.values)
    if not differ.any():
        found = _shown(one.code, mask, mask, maps) if mask.any() else _usual(maps)
        return Place(one.code, found.voxel, found.axis)
    # Where they are nowhere the same, as where a whole class is missing, it is seen beside the others.
    beside = maps.agreement(one.values)
    beside = beside if beside.any() else maps.mask()
    # What speaks of no part of the mask is looked at where most speaks against it.
    differ = maps.most_doubtful(differ) if kind in _OF_ALL else differ
    return _shown(one.code, differ, beside, maps, _ACROSS if kind == "volume_low" else (0, *_ACROSS))


def _shown(
    reason: str,
    fault: NDArray[np.bool_],
    beside: NDArray[np.bool_],
    maps: Maps,
    axes: Sequence[int] = (0, 1, 2),
) -> Place:
    """The plane across one of the axes that shows a fault best, and the middle of the fault in it."""
    if maps.shape[0] == 1:
        axes = (0,)
    if not fault.any():
        fault = beside
    best, found = -1.0, (axes[0], 0)
    for axis in axes:
        others = tuple(other for other in range(3) if other != axis)
        pixel_mm2 = maps.spacing_mm[others[0]] * maps.spacing_mm[others[1]]
        cut, compared = fault.sum(axis=others), beside.sum(axis=others)
        # All of it counts where enough of what it is compared with lies in the plane. What has nothing
        # beside it in any plane is still shown where it is largest.
        share = np.minimum(1.0, compared / np.maximum(_ENOUGH * cut, 1)) + 1e-3
        shown = cut * pixel_mm2 * share * (_USUAL if axis == 0 else 1.0)
        index = int(np.argmax(shown))
        if shown[index] > best:
            best, found = float(shown[index]), (axis, index)
    axis, index = found
    row, column = _thickest(np.take(fault, index, axis=axis))
    voxel = [row, column]
    voxel.insert(axis, index)
    return Place(reason, (voxel[0], voxel[1], voxel[2]), axis)


def _thickest(flat: NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel with most set pixels around it."""
    from scipy.ndimage import uniform_filter

    size = max(3, min(flat.shape) // 12)
    around = uniform_filter(flat.astype(np.float32), size, mode="constant")
    row, column = np.unravel_index(int(np.argmax(np.where(flat, around, -1))), flat.shape)
    return int(row), int(column)


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import label

    pieces, _ = label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    piece: NDArray[np.bool_] = pieces == int(sizes.argmax())
    return piece


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost voxels within each slice."""
    from scipy.ndimage import binary_erosion, generate_binary_structure

    return mask & ~binary_erosion(mask, generate_binary_structure(2, 1)[None])


def _edge(shape: Sequence[int]) -> NDArray[np.bool_]:
    edge = np.zeros(shape, dtype=bool)
    for axis, size in enumerate(shape):
        if size > 1:
            for index in (0, -1):
                np.moveaxis(edge, axis, 0)[index] = True
    return edge
