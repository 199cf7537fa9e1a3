"""Confidences as they are stated: one file, its numbers by class; and a case of such files, fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch
from aleaseg.levels import TOLERANCE, as_label
from aleaseg.readers.fusing import fuse
from aleaseg.readers.voxels import read_image, read_label

__all__ = [
    "Rater",
    "Reading",
    "Stated",
    "fused",
    "label_of_confidence",
    "read_fused",
    "read_raters",
    "stated_numbers",
]


@dataclass(frozen=True)
class Stated:
    """A file that states confidences.

    Attributes:
        path: the file.
        classes: which class of the data set each channel is, -1 for none of them; None: all, in their order.
    """

    path: Path
    classes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """What is the same for all files of a data set.

    Attributes:
        names: of the classes.
        values: label values of each.
        scale: what is certain.
        ignore: the number of voxels that nobody looked at, beside NaN.
        fuse: of `readers.fusing`.
        masks: the files are label maps: whoever marked a voxel was certain.
        to_one: of `read_label`, for these.
        unseen: label value of voxels that nobody looked at, likewise.
    """

    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    scale: float = 1.0
    ignore: float | None = None
    fuse: str = "mean"
    masks: bool = False
    to_one: tuple[int, ...] = ()
    unseen: int | None = None


Rater = tuple[Stated, ...]
"""The files of one rater: one for all classes, or one for each."""


def read_fused(raters: Sequence[Rater], case_id: str, reading: Reading) -> Voxels:
    """The confidences of a case, (C, *spatial) float32 in [0, 1]; NaN where nobody looked.

    Raises:
        Unreadable: a file cannot be read.
        ShapeMismatch: files of one case differ in shape, or in their number of classes.
        BadVoxels: numbers below 0, above the scale, or infinite; or raters whom STAPLE cannot weigh.
    """
    voxels = read_raters(raters, case_id, reading)
    if len(raters) == 1 and reading.fuse == "mean":
        return Voxels(voxels.array[0], voxels.geometry, voxels.notes)
    return Voxels(fused(voxels.array, case_id, reading.fuse), voxels.geometry, voxels.notes)


def fused(raters: NDArray[np.float32], case_id: str, how: str) -> NDArray[np.float32]:
    """`fuse`, with the case in its error."""
    try:
        return fuse(raters, how)
    except ValueError as error:
        raise BadVoxels(
            case_id, str(error), "raters who looked at every voxel or at none", "take --fuse mean"
        ) from error


def read_raters(raters: Sequence[Rater], case_id: str, reading: Reading) -> Voxels:
    """The confidences of every rater of a case, (R, C, *spatial); see `read_fused`."""
    found: list[NDArray[np.float32]] = []
    geometry: Geometry | None = None
    notes: list[Finding] = []
    for files in raters:
        q: NDArray[np.float32] | None = None
        for file in files:
            one = read_stated(file, case_id, reading)
            notes += one.notes
            if geometry is not None and one.array.shape[1:] != geometry.shape:
                raise ShapeMismatch(
                    case_id,
                    f"shape {one.array.shape[1:]} in {file.path} and {geometry.shape} in {raters[0][0].path.name}",
                    "one shape for all confidences of a case",
                    "resample them, linearly, to the image's grid",
                )
            geometry = geometry or one.geometry
            # A class of which a rater's file says nothing was not looked at by him.
            q = one.array if q is None else np.where(np.isnan(q), one.array, q)
        assert q is not None
        found.append(q)
    assert geometry is not None
    return Voxels(np.stack(found), geometry, tuple(notes))


def read_stated(file: Stated, case_id: str, reading: Reading) -> Voxels:
    """The confidences of one file, (C, *spatial) float32 in [0, 1]; NaN for classes of which it says nothing."""
    if reading.masks:
        return _of_label_map(file, case_id, reading)
    stated = read_image((file.path,), case_id)
    classes = tuple(range(len(reading.names))) if file.classes is None else file.classes
    if len(stated.array) != len(classes):
        raise ShapeMismatch(
            case_id,
            f"confidences of {len(stated.array)} classes in {file.path}",
            f"{len(classes)}, one channel for each of {', '.join(reading.names)}",
            'name the classes of the channels in their order, "confidence": {"classes": ["..."]}; or write a file '
            f"for each class, such as {case_id}_{reading.names[0]}.nii.gz",
        )
    q = np.full((len(reading.names), *stated.array.shape[1:]), np.nan, np.float32)
    for index, numbers in zip(classes, stated.array, strict=True):
        if index >= 0:
            q[index] = _in_scale(numbers, file.path, case_id, reading)
    return Voxels(q, stated.geometry, stated.notes)


def _in_scale(
    numbers: NDArray[np.float32], path: Path, case_id: str, reading: Reading
) -> NDArray[np.float32]:
    """The numbers of one class in [0, 1]."""
    if reading.ignore is not None:
        numbers = np.where(numbers == np.float32(reading.ignore), np.float32(np.nan), numbers)
    q = numbers / np.float32(reading.scale)
    # A resampling may leave a last digit beyond the ends.
    strange = (q < -TOLERANCE) | (q > 1 + TOLERANCE) | np.isinf(q)
    if strange.any():
        some = np.unique(numbers[strange])
        told = ", ".join(f"{value:g}" for value in (some if len(some) <= 4 else some[[0, 1, -2, -1]]))
        raise BadVoxels(
            case_id,
            f"confidences of {told} at {int(strange.sum())} voxels in {path}",
            f"numbers from 0 to {reading.scale:g}",
            f'correct them; where {reading.scale:g} is not certain, say what is with "scale" or --scale; if a number '
            'means that nobody looked, declare it as "ignore"',
        )
    return np.clip(q, 0, 1, out=q)


def _of_label_map(file: Stated, case_id: str, reading: Reading) -> Voxels:
    label = read_label(file.path, case_id, reading.to_one)
    q = np.stack([np.isin(label.array, values) for values in reading.values]).astype(np.float32)
    if reading.unseen is not None:
        q[:, label.array == reading.unseen] = np.nan
    return Voxels(q, label.geometry, label.notes)


def label_of_confidence(raters: Sequence[Rater], case_id: str, reading: Reading) -> Voxels:
    """The label of a case without one, (*spatial) int16: the classes with q >= .5, see `as_label`."""
    voxels = read_fused(raters, case_id, reading)
    return Voxels(as_label(voxels.array, reading.values)[0], voxels.geometry)


def stated_numbers(file: Stated, case_id: str) -> NDArray[np.float32] | None:
    """What stands in a file, (channel, *spatial); None where it cannot be read, which the check tells."""
    try:
        return read_image((file.path,), case_id).array
    except CaseError:
        return None
