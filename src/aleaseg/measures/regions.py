"""Where the classes of a label map lie: the box of every value, all found in one pass.

What is measured of a class then costs what its box holds and not what the volume holds. Of a hundred structures in a
body few are large, and a statistic of each of them over the whole volume would take a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Regions", "Window", "around", "count_pairs", "indices", "occupied", "slabs"]

Window: TypeAlias = tuple[slice, ...]
"""A box, a slice for each axis."""

# Values up to here have a row of a table each; others are numbered first.
_TABLE = 2**16
# So many values are looked for one after the other: what finds all at once takes as long as for ten.
_FEW = 8
# So many voxels are worked on at a time: what is made of them on the way stays small.
_SLAB = 2**21


def slabs(shape: Sequence[int], voxels: int | None = None) -> Iterator[slice]:
    """The first axis in parts of few voxels, or of so many at most where one place of it has no more."""
    step = max(1, (voxels or _SLAB) * shape[0] // max(1, int(np.prod(shape))))
    return (slice(start, start + step) for start in range(0, shape[0], step))


def around(boxes: Collection[Window], shape: Sequence[int], margin: int = 0) -> Window:
    """The box about some boxes, with a margin as far as the volume goes."""
    return tuple(
        slice(
            max(0, min(side.start for side in sides) - margin),
            min(size, max(side.stop for side in sides) + margin),
        )
        for sides, size in zip(zip(*boxes, strict=True), shape, strict=True)
    )


def occupied(array: NDArray, value: int | None = None) -> Window | None:
    """The box about everything that has a value, or that is not 0; None where nothing is.

    Args:
        array: (*spatial), whole numbers or bools.
        value: which; None: anything but 0.

    >>> occupied(np.array([[0, 0, 0], [0, 7, 1]]))
    (slice(1, 2, None), slice(1, 3, None))
    """
    if array.ndim < 3:
        here = array != 0 if value is None else array == value
        axes = range(array.ndim)
        lines = [np.flatnonzero(here.any(axis=tuple({*axes} - {axis}))) for axis in axes]
        if not all(map(len, lines)):
            return None
        return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    shadow, there = np.zeros(array.shape[1:], bool), []
    for k, flat in enumerate(array):  # a slice stays in the processor's cache
        here = flat != 0 if value is None else flat == value
        if here.any():
            there.append(k)
            shadow |= here
    rest = occupied(shadow)
    return None if rest is None else (slice(there[0], there[-1] + 1), *rest)


def indices(label: NDArray, values: Sequence[int]) -> NDArray[np.intp]:
    """The place of each voxel's label among some values, from 1 on; 0 for any other label.

    Args:
        label: any shape, whole numbers.
        values: each once.

    >>> indices(np.array([[0, 7], [3, 5]]), [3, 7]).tolist()
    [[0, 2], [1, 0]]
    """
    if not len(values):
        return np.zeros(label.shape, np.intp)
    if min(values) > 0 and max(values) < _TABLE:
        table = np.zeros(max(values) + 2, np.intp)
        table[np.asarray(values, np.intp)] = np.arange(
            1, len(values) + 1
        )  # a mask of bools has a class True
        # What is below 0 or above the largest meets the first or the last row, which are 0.
        found: NDArray[np.intp] = np.take(table, label, mode="clip")
        return found
    order = np.argsort(values)
    ordered = np.asarray(values)[order]
    place = np.minimum(np.searchsorted(ordered, label), len(values) - 1)
    return np.where(ordered[place] == label, order[place] + 1, 0)


@dataclass(frozen=True)
class Regions:
    """The classes of a label map, each in its own box.

    Attributes:
        label: (*spatial) label values.
        boxes: of each value that is there.
    """

    label: NDArray
    boxes: Mapping[int, Window]

    @classmethod
    def of(cls, label: NDArray, values: Collection[int]) -> Regions:
        """Find the boxes of some values.

        Args:
            label: (*spatial), whole numbers.
            values: those of the classes; a value may be named twice.
        """
        from scipy import ndimage

        known = sorted(set(values))
        if not known or not label.size:
            return cls(label, {})
        if len(known) <= _FEW:
            alone = {value: occupied(label, value) for value in known}
            return cls(label, {value: box for value, box in alone.items() if box is not None})
        if known[0] > 0 and known[-1] < _TABLE and label.dtype.kind in "iu":
            found = ndimage.find_objects(label, known[-1])
            boxes = {value: found[value - 1] for value in known}
        else:
            numbered = np.empty(label.shape, np.int32)
            for part in slabs(label.shape):
                numbered[part] = indices(label[part], known)
            boxes = dict(zip(known, ndimage.find_objects(numbered, len(known)), strict=True))
        return cls(label, {value: box for value, box in boxes.items() if box is not None})

    def window(self, values: Collection[int], margin: int = 0) -> Window:
        """The box of a class, with a margin as far as the volume goes; one without voxels where the class is not there.

        Args:
            values: of the class.
            margin: voxels to every side.
        """
        there = [self.boxes[value] for value in values if value in self.boxes]
        if not there:
            return (slice(0, 0),) * self.label.ndim
        return around(there, self.label.shape, margin)

    def mask(self, values: Collection[int], window: Window) -> NDArray[np.bool_]:
        """The class within a window.

        Args:
            values: of the class.
            window: of `window`, with any margin.
        """
        part = self.label[window]
        if len(values) == 1:
            (value,) = values
            one: NDArray[np.bool_] = part == value
            return one
        return np.isin(part, list(values))


def count_pairs(
    label: NDArray, other: NDArray, values: Sequence[int], ignore: int | None = None
) -> NDArray[np.int64]:
    """How often each label meets each label of another map, in one pass over all classes.

    Args:
        label: (*spatial) label values.
        other: the same shape.
        values: of the classes, K of them, each once.
        ignore: value of `label` at voxels that do not count.

    Returns:
        (K + 1, K + 1): row and column 0 are any other value, row and column k the k-th value.

    Raises:
        ValueError: the shapes differ.

    >>> count_pairs(np.array([1, 1, 0, 2]), np.array([1, 0, 0, 2]), [1, 2]).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    if label.shape != other.shape:
        raise ValueError(f"the labels have the shapes {label.shape} and {other.shape}; expected the same")
    classes = len(values) + 1
    if classes == 2 and ignore is None:
        return _count_one(label, other, values[0])
    counts = np.zeros(classes**2, np.int64)
    for part in slabs(label.shape):
        pair = indices(label[part], values)
        pair *= classes
        pair += indices(other[part], values)
        if ignore is not None:
            pair = pair[label[part] != ignore]
        counts += np.bincount(pair.ravel(), minlength=len(counts))
    return counts.reshape(classes, classes)


def _count_one(label: NDArray, other: NDArray, value: int) -> NDArray[np.int64]:
    """`count_pairs` of one value: many times as fast as by numbering."""
    both = one = two = 0
    for part in slabs(label.shape):
        here, there = label[part] == value, other[part] == value
        one += int(np.count_nonzero(here))
        two += int(np.count_nonzero(there))
        here &= there
        both += int(np.count_nonzero(here))
    return np.array([[label.size - one - two + both, two - both], [one - both, both]], np.int64)
