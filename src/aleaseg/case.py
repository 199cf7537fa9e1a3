"""A case, the voxels behind it, and the data set it belongs to.

Axes. Arrays are ordered as nnU-Net orders them: slowest axis first, so a 3D
image is (channel, D, H, W) with D across the slices, and a 2D image is
(channel, H, W). Spacings and affines follow the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import AleasegError, BadVoxels, ShapeMismatch

__all__ = [
    "Account",
    "Case",
    "Confidence",
    "Dataset",
    "Finding",
    "Geometry",
    "Stored",
    "Voxels",
    "file_stamps",
    "most_voxels",
    "refuse_unusable",
    "stored_image",
    "usable_confidence",
    "usable_image",
    "usable_label",
]


@dataclass(frozen=True)
class Geometry:
    """Where the voxels lie.

    Attributes:
        shape: number of voxels along each spatial axis, (D, H, W) or (H, W).
        spacing_mm: distance between voxel centres along each axis, in mm.
        affine: (4, 4), from array indices (d, h, w, 1) to RAS+ world mm; None
            where the format knows no world, as PNG.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine: NDArray[np.float64] | None = field(default=None, compare=False)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm^3 (area in mm^2 for a 2D image)."""
        return float(np.prod(self.spacing_mm))


@dataclass(frozen=True)
class Voxels:
    """An array and where it lies.

    Attributes:
        array: (channel, *spatial) for an image, (*spatial) for a label map.
        geometry: of the spatial axes.
        notes: what the reader met on the way and the check should tell, such as
            structures that overlap.
    """

    array: NDArray
    geometry: Geometry
    notes: tuple[Finding, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Stored:
    """An image as its files hold it: a third of the memory and less of the time that its values in float32 take.

    Attributes:
        channels: (*spatial) each, in the type on disk.
        scales: slope and intercept of each; None where what is stored are the values.
        geometry: of the spatial axes.
        notes: see `Voxels`.
    """

    channels: tuple[NDArray, ...]
    scales: tuple[tuple[float, float] | None, ...]
    geometry: Geometry
    notes: tuple[Finding, ...] = field(default=(), compare=False)

    @staticmethod
    def scaled(stored: NDArray, scale: tuple[float, float] | None) -> NDArray:
        """Values = slope x stored + intercept, of any part of a channel: a float type; without scale as they are.

        float32 holds what 16 bits hold; wider types are scaled in double.
        """
        if scale is None:
            return stored
        working = np.float32 if stored.dtype.itemsize <= 2 or stored.dtype == np.float32 else np.float64
        values: NDArray[np.floating] = stored.astype(working)
        with np.errstate(over="ignore", invalid="ignore"):
            values *= working(scale[0])
            values += working(scale[1])
        return values

    def part(self, channel: int, window: tuple[slice, ...] | int) -> NDArray[np.float32]:
        """Values of a window of a channel, or of one of its slices; beyond float32 infinite, which the check tells."""
        with np.errstate(over="ignore"):
            found = self.scaled(self.channels[channel][window], self.scales[channel])
            return found.astype(np.float32, copy=False)

    def values(self) -> Voxels:
        """float32 (channel, *spatial): what `read_image` gives."""
        array = np.empty((len(self.channels), *self.channels[0].shape), np.float32)
        for number, into in enumerate(array):
            for k in range(len(into)):  # slice by slice, so that nothing else of this size is made
                into[k] = self.part(number, k)
        return Voxels(array, self.geometry, self.notes)


@dataclass(frozen=True)
class Case:
    """One id: its image channels and, where there is one, its label. Lazy: holds no voxels.

    Attributes:
        id: unique in the data set; any text.
        image_files: one per channel (a DICOM series: its slices).
        label_files: one label map, or one mask per structure; empty without label.
        read_image: -> float32 (channel, *spatial). Raises `CaseError`. Where it has a method `stored`, that gives the
            same as the files hold it (see `stored_image`).
        read_label: -> integer label map (*spatial). Raises `CaseError`. None without label.
        read_geometry: of the image, from the header alone. Raises `CaseError`.
        group: cases of one group (a patient) never lie on two sides of a split.
        site: where the scan comes from; empty if unknown.
        confidence_files: that say how sure somebody was; empty without such.
        read_confidence: -> float32 (class, *spatial) in [0, 1], a channel for each class of the data set in
            its order: how sure somebody is that the voxel belongs to it. Classes may overlap; 0 = not
            marked, NaN = not looked at. Raises `CaseError`. None without confidences.
        read_raters: -> the same of each rater, (rater, class, *spatial). None unless there are several.
        raters: who they are, in that order; empty where a place is no person.
    """

    id: str
    image_files: tuple[Path, ...]
    label_files: tuple[Path, ...]
    read_image: Callable[[], Voxels] = field(repr=False, compare=False)
    read_label: Callable[[], Voxels] | None = field(repr=False, compare=False)
    read_geometry: Callable[[], Geometry] = field(repr=False, compare=False)
    group: str = ""
    site: str = ""
    confidence_files: tuple[Path, ...] = ()
    read_confidence: Callable[[], Voxels] | None = field(default=None, repr=False, compare=False)
    read_raters: Callable[[], Voxels] | None = field(default=None, repr=False, compare=False)
    raters: tuple[str, ...] = ()

    @property
    def has_label(self) -> bool:
        """Whether a label exists for this case."""
        return self.read_label is not None


@dataclass(frozen=True)
class Finding:
    """What a check found in one case, or in the data set as a whole.

    Attributes:
        case: id of the case; empty where it is about the data set as a whole.
        severity: `error` (the case cannot be used as it is) or `note` (worth a look).
        check: short name, such as `missing_label`.
        expected: what should have been there.
        found: what was there.
        advice: what to do.
        files: those it is about.
    """

    case: str
    severity: Literal["error", "note"]
    check: str
    expected: str
    found: str
    advice: str
    files: tuple[Path, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Account:
    """What became of every file below the folder of a data set: used, known to be something else, or passed over.

    Attributes:
        used: how many files belong to a case or are named by a finding.
        known: what else lies there -> how many files, such as `text` -> 2 or `test part` -> 40.
        passed_over: (path below the folder, why) of every other file; a folder that is not
            looked into ends in a slash.
        classes_from: what says which classes there are, such as `dataset.json`.
        guesses: what nothing declares and was taken to be so, in words.
        others: what single files are known to be, where the layout says it: path -> kind.
    """

    used: int = 0
    known: Mapping[str, int] = field(default_factory=dict)
    passed_over: tuple[tuple[str, str], ...] = ()
    classes_from: str = ""
    guesses: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Confidence:
    """How the confidences of a data set are stated.

    Attributes:
        scale: what is certain: 1, 10, 100.
        fuse: how several raters become one confidence: `mean`, `majority` or `staple`.
        decided_by: what says the scale: a file's name, `--scale`, a standard, or the numbers themselves.
        makes_label: whether the label is what was marked with at least half the confidence, for want of another.
    """

    scale: float = 1.0
    fuse: str = "mean"
    decided_by: str = ""
    makes_label: bool = False

    @property
    def label_is(self) -> str:
        """What the label is where confidences make it, for a manifest; empty where there is one."""
        return "q >= 0.5" if self.makes_label else ""


@dataclass(frozen=True)
class Dataset:
    """Cases of one task, and what their label values mean.

    Attributes:
        name: for pages and tables.
        root: the folder that was opened.
        layout: `nnunet`, `folder`, `structures`, `dicom`, `bids`, `datalist`, `arrays`, `raters`,
            or the name of a public data set.
        cases: sorted by id; a case whose image or label is missing is not among
            them when the data set has labels: it is in `findings`.
        classes: name -> label values. A region has several values.
        ignore: label value that means "not annotated", or None.
        channels: channel names in order, such as `("CT",)`.
        findings: what was already wrong while listing files.
        declared: every foreground label value that the data set knows, those of the classes
            that were not asked for among them (sorted); empty where it says nothing more than `classes`.
        confidence: how its confidences are stated; None without any.
        account: what became of every file below `root`.
    """

    name: str
    root: Path
    layout: str
    cases: tuple[Case, ...]
    classes: Mapping[str, tuple[int, ...]]
    channels: tuple[str, ...]
    ignore: int | None = None
    findings: tuple[Finding, ...] = ()
    declared: tuple[int, ...] = ()
    confidence: Confidence | None = None
    account: Account = field(default=Account(), compare=False)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, case_id: str) -> Case:
        """The case of that id; KeyError if there is none."""
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(case_id)

    @property
    def has_labels(self) -> bool:
        """Whether any case has a label."""
        return any(case.has_label for case in self.cases)

    @property
    def is_ct(self) -> bool:
        """Whether the first channel is a CT."""
        return bool(self.channels) and self.channels[0].upper() == "CT"

    @property
    def values(self) -> tuple[int, ...]:
        """All foreground label values, sorted, each once."""
        return tuple(sorted({value for values in self.classes.values() for value in values}))

    def with_cases(self, cases: Sequence[Case]) -> Dataset:
        """The same data set with other cases."""
        return replace(self, cases=tuple(cases))


def file_stamps(case: Case) -> dict[str, list[int]]:
    """Size in bytes and time in ns of every file of a case: what was made from it holds while they stay the same."""
    stamps = {}
    for path in (*case.image_files, *case.label_files, *case.confidence_files):
        try:
            found = path.stat()
            stamps[str(path)] = [found.st_size, found.st_mtime_ns]
        except OSError:
            stamps[str(path)] = [-1, -1]
    return stamps


def most_voxels(cases: Sequence[Case]) -> int:
    """Of the largest case, by the headers; 0 where none can be read."""
    most = 0
    for case in cases:
        try:
            most = max(most, math.prod(case.read_geometry().shape))
        except AleasegError:
            continue  # the case tells when it is read
    return most


def stored_image(case: Case) -> Stored:
    """An image in the type on disk where its reader keeps it, else its values.

    Raises:
        CaseError: it cannot be read.
    """
    stored = getattr(case.read_image, "stored", None)
    if stored is not None:
        found: Stored = stored()
        return found
    image = case.read_image()
    return Stored(tuple(image.array), (None,) * len(image.array), image.geometry, image.notes)


def usable_image(case: Case) -> Voxels:
    """Read an image that something can be measured on.

    Raises:
        BadVoxels: it has NaN or infinite voxels, or one value everywhere.
        CaseError: it cannot be read.
    """
    image = case.read_image()
    bad = int(np.count_nonzero(~np.isfinite(image.array)))
    same = image.array.size and (image.array == image.array.flat[0]).all()
    refuse_unusable(case, bad, image.array.flat[0] if same else None)
    return image


def refuse_unusable(case: Case, bad: int, everywhere: float | None) -> None:
    """Raise `BadVoxels` where voxels are not finite, or all have one value (None: they differ)."""
    if bad:
        raise BadVoxels(
            case.id,
            f"{bad} voxels that are NaN or infinite",
            "finite intensities",
            "export the image again",
        )
    if everywhere is not None:
        raise BadVoxels(
            case.id,
            f"the value {everywhere:g} everywhere",
            "an image with contrast",
            "export the image again, or leave the case out",
        )


def usable_label(case: Case, shape: tuple[int, ...]) -> NDArray | None:
    """Read a label that lies on its image's grid; None where the case has none.

    Raises:
        ShapeMismatch: it lies on another grid.
        CaseError: it cannot be read.
    """
    if case.read_label is None:
        return None
    label = case.read_label().array
    if label.shape != shape:
        raise ShapeMismatch(
            case.id,
            f"a label of shape {label.shape}",
            f"the image's shape {shape}",
            "export the label on the image's grid",
        )
    return label


def usable_confidence(case: Case, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Read confidences (class, *spatial) that lie on their image's grid; None where the case has none.

    Raises:
        ShapeMismatch: they lie on another grid.
        CaseError: they cannot be read.
    """
    if case.read_confidence is None:
        return None
    q = case.read_confidence().array
    if q.shape[1:] != shape:
        raise ShapeMismatch(
            case.id,
            f"confidences of shape {q.shape[1:]}",
            f"the image's shape {shape}",
            "resample the confidences, linearly, to the image's grid",
        )
    return q
