"""Where to look: for each reason of a doubt the voxel and the plane that show it.

A slice across which a fault lies hides it: where slices of a mask are skipped, the skipped slice shows
one outline and its neighbours show none missing; a plane across the slices shows the gap at a glance. So a
plane is good as far as it cuts the fault and, beside it, what the fault is to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Maps", "Place", "Sought", "counts", "places"]

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
_PART = 4 << 20  # voxels that are worked on at a time


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
    """What is drawn over an image of (D, H, W) voxels, or over a part of its slices.

    Attributes:
        shape: (D, H, W).
        spacing_mm: per axis.
        label: (D, H, W) label values; None without.
        predicted: likewise.
        ignore: the label value that means "not annotated".
        doubt: (D, H, W) where the mask is doubtful, in any unit; None where nobody knows.
        first: where in the volume the part begins.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    label: NDArray | None
    predicted: NDArray | None
    ignore: int | None = None
    doubt: NDArray | None = None
    first: int = 0

    def parts(self) -> Iterator[Maps]:
        """A few slices at a time: nothing made of them is as large as the volume."""
        thick = max(1, _PART // max(1, self.shape[1] * self.shape[2]))
        for first in range(0, self.shape[0], thick):
            yield self.part(first, min(first + thick, self.shape[0]))

    def part(self, first: int, end: int) -> Maps:
        """The slices from `first` to before `end`."""
        label, predicted, doubt = (
            None if array is None else array[first:end]
            for array in (self.label, self.predicted, self.doubt)
        )
        shape, at = (end - first, *self.shape[1:]), self.first + first
        return replace(self, shape=shape, label=label, predicted=predicted, doubt=doubt, first=at)

    def mask(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where the label has one of the values; any, without values."""
        return self._of(self.label, values)

    def prediction(self, values: Collection[int] = ()) -> NDArray[np.bool_]:
        """Where the prediction has one of the values; any, without values."""
        return self._of(self.predicted, values)

    def _of(self, array: NDArray | None, values: Collection[int]) -> NDArray[np.bool_]:
        if array is None:
            return np.zeros(self.shape, dtype=bool)
        there: NDArray[np.bool_] = array > 0
        if values:  # for a few values many times as fast as `np.isin`
            there = np.logical_or.reduce([array == value for value in values])
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


# Voxels of a kind, in the part of the slices that is given.
_Which = Callable[[Maps], NDArray[np.bool_]]


def counts(maps: Maps, which: _Which) -> tuple[NDArray[np.intp], ...]:
    """How many voxels are of a kind in each slice across each axis.

    Args:
        maps: of the case.
        which: of some of its slices, as `Maps.parts` gives them, the voxels meant.
    """
    depth, height, width = maps.shape
    found = [np.zeros(size, np.intp) for size in (depth, height, width)]
    for part in maps.parts():
        there = which(part)
        at = part.first - maps.first
        found[0][at : at + len(there)] = [np.count_nonzero(flat) for flat in there]
        through = np.add.reduce(there.view(np.uint8), axis=0, dtype=np.uint32)
        found[1] += through.sum(axis=1, dtype=np.intp)
        found[2] += through.sum(axis=0, dtype=np.intp)
    return tuple(found)


def most_doubtful(maps: Maps, which: _Which) -> _Which:
    """Of what is meant, where the doubt is at least half of its largest there; all of it where nobody knows."""
    if maps.doubt is None:
        return which
    each = (part.doubt[which(part)].max(initial=0) for part in maps.parts() if part.doubt is not None)
    most = float(max(each, default=0))
    if most <= 0:
        return which
    return lambda part: which(part) & (np.asarray(part.doubt) >= most / 2)


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


def _any(maps: Maps, which: _Which) -> bool:
    return any(bool(which(part).any()) for part in maps.parts())


def _usual(maps: Maps) -> Place:
    if _any(maps, Maps.difference):
        return _shown("disagreement", Maps.difference, Maps.agreement, maps)
    return _thickest_part(maps)


def _thickest_part(maps: Maps, code: str = "", axes: Sequence[int] = (0,)) -> Place:
    """The largest slice of the mask, or of the prediction; else the middle."""
    each: tuple[tuple[str, _Which], ...] = (("mask", Maps.mask), ("prediction", Maps.prediction))
    for name, which in each:
        if _any(maps, which):
            return _shown(code or name, which, which, maps, axes)
    middle = tuple(size // 2 for size in maps.shape)
    # Without anything to go by: of the planes that may be, the one with most of the image.
    axis = min(axes, key=lambda axis: (maps.shape[axis], axis))
    return Place(code or "middle", (middle[0], middle[1], middle[2]), axis)


def _place(maps: Maps, one: Sought) -> Place:
    kind, values = one.code.partition(":")[0], one.values
    if one.axis == "image":
        return _thickest_part(maps, one.code, _ACROSS if one.way == "d" else (0,))

    def mask(part: Maps) -> NDArray[np.bool_]:
        return part.mask(values)

    def differ(part: Maps) -> NDArray[np.bool_]:
        return part.difference(values)

    def both(part: Maps) -> NDArray[np.bool_]:
        return part.agreement(values)

    def rim(part: Maps) -> NDArray[np.bool_]:
        return _rim(mask(part))

    marked = _any(maps, mask)
    if kind == "components" and marked:
        main = _largest_piece(maps.mask(values))

        def within(part: Maps) -> NDArray[np.bool_]:
            return main[part.first - maps.first :][: part.shape[0]]

        return _shown(one.code, lambda part: mask(part) & ~within(part), within, maps, _ACROSS)
    if kind == "border" and marked:
        deep = maps.first + maps.shape[0]
        return _shown(one.code, lambda part: mask(part) & _edge(part, deep), mask, maps)
    if kind in _AT_THE_BORDER and marked:
        return _shown(one.code, most_doubtful(maps, rim), mask, maps, _AT_THE_BORDER[kind])
    if kind == "order" and len(values) > 1:
        first, second = values[:1], values[1:]
        return _shown(one.code, lambda part: part.mask(first), lambda part: part.mask(second), maps)
    if not _any(maps, differ):
        found = _shown(one.code, mask, mask, maps) if marked else _usual(maps)
        return Place(one.code, found.voxel, found.axis)
    # Where they are nowhere the same, as where a whole class is missing, it is seen beside the others.
    beside: _Which = both if _any(maps, both) else Maps.mask
    # What speaks of no part of the mask is looked at where most speaks against it.
    fault = most_doubtful(maps, differ) if kind in _OF_ALL else differ
    return _shown(one.code, fault, beside, maps, _ACROSS if kind == "volume_low" else (0, *_ACROSS))


def _shown(
    reason: str, fault: _Which, beside: _Which, maps: Maps, axes: Sequence[int] = (0, 1, 2)
) -> Place:
    """The plane across one of the axes that shows a fault best, and the middle of the fault in it."""
    if maps.shape[0] == 1:
        axes = (0,)
    cuts, compares = counts(maps, fault), counts(maps, beside)
    if not cuts[0].any():
        fault, cuts = beside, compares
    best, found = -1.0, (axes[0], 0)
    for axis in axes:
        others = tuple(other for other in range(3) if other != axis)
        pixel_mm2 = maps.spacing_mm[others[0]] * maps.spacing_mm[others[1]]
        cut, compared = cuts[axis], compares[axis]
        # All of it counts where enough of what it is compared with lies in the plane. What has nothing
        # beside it in any plane is still shown where it is largest.
        share = np.minimum(1.0, compared / np.maximum(_ENOUGH * cut, 1)) + 1e-3
        shown = cut * pixel_mm2 * share * (_USUAL if axis == 0 else 1.0)
        index = int(np.argmax(shown))
        if shown[index] > best:
            best, found = float(shown[index]), (axis, index)
    axis, index = found
    row, column = _thickest(_cut(maps, fault, axis, index))
    voxel = [row, column]
    voxel.insert(axis, index)
    return Place(reason, (voxel[0], voxel[1], voxel[2]), axis)


def _cut(maps: Maps, which: _Which, axis: int, index: int) -> NDArray[np.bool_]:
    """The slice of what is meant across an axis."""
    if axis == 0:
        return which(maps.part(index, index + 1))[0]
    return np.concatenate([np.take(which(part), index, axis=axis) for part in maps.parts()])


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


def _edge(part: Maps, deep: int) -> NDArray[np.bool_]:
    """The border of a volume of `deep` slices, in a part of them."""
    edge = np.zeros(part.shape, dtype=bool)
    for axis, size in enumerate((deep, *part.shape[1:])):
        start = part.first if axis == 0 else 0
        for index in (0, size - 1):
            if size > 1 and 0 <= index - start < part.shape[axis]:
                np.moveaxis(edge, axis, 0)[index - start] = True
    return edge
