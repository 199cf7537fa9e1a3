"""A DICOM series as one case: a folder whose files are the slices of one series. Images only.

pydicom reads the headers; GDCM (through SimpleITK) the voxels, with the rescale
slope and intercept applied.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset, Finding, Geometry, Voxels
from aleaseg.errors import CaseError, Unreadable
from aleaseg.readers.files import COPY_AGAIN, first_bytes
from aleaseg.readers.itk import geometry_of, quiet_itk, reason

__all__ = ["find_series", "open_dicom", "read_series", "series_geometry"]

# What lies beside slices without being one.
_OTHERS = (".txt", ".json", ".csv", ".xml", ".md", ".html", ".pdf", ".zip", ".py", ".log", ".yaml", ".yml")
_TAGS = [
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "InstanceNumber",
]
# `warnings.catch_warnings` is one for all threads.
_ONE_AT_A_TIME = threading.Lock()


def find_series(root: Path) -> list[tuple[str, list[Path]]]:
    """(case id, files) of each folder at or below `root` that may hold a series; empty if this is no DICOM.

    Only the first file is opened, to see whether it is DICOM; the others are listed.
    """
    found: list[tuple[str, list[Path]]] = []
    for folder, _, names in os.walk(root):
        files = [name for name in sorted(names) if _may_be_slice(name)]
        if not files:
            continue
        if not found and not _is_dicom(Path(folder, files[0])):
            return []
        case = os.path.relpath(folder, root)
        case = root.resolve().name if case == "." else Path(case).as_posix()
        found.append((case, [Path(folder, name) for name in files]))
    return sorted(found)


def open_dicom(root: Path, series: Sequence[tuple[str, list[Path]]]) -> Dataset:
    """Open a folder of DICOM series.

    Args:
        root: for the name.
        series: from `find_series`.
    """
    cases = tuple(
        Case(
            id=case,
            image_files=tuple(files),
            label_files=(),
            read_image=partial(read_series, tuple(files), case),
            read_label=None,
            read_geometry=partial(series_geometry, tuple(files), case),
        )
        for case, files in series
    )
    try:
        modality = str(_headers(cases[0].image_files[:1], cases[0].id)[0].modality) or "image"
    except CaseError:
        modality = "image"  # the check names the file
    return Dataset(
        name=root.resolve().name, root=root, layout="dicom", cases=cases, classes={}, channels=(modality,)
    )


def read_series(files: Sequence[Path], case_id: str) -> Voxels:
    """The voxels of a series, slices in the order of their positions.

    Returns:
        float32 (1, D, H, W), rescaled (Hounsfield units for CT), with a note where
        the distance between slices is uneven.

    Raises:
        Unreadable: no series, more than one, or a slice that cannot be read.
        ShapeMismatch: never; slices that differ in size are `Unreadable`.
    """
    slices, geometry, notes = _sorted(files, case_id)
    sitk = quiet_itk()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(one.path) for one in slices])
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError, ValueError) as error:
        where = slices[0].path.parent
        raise Unreadable(
            case_id,
            f"a series in {where} that cannot be read ({reason(error)})",
            "DICOM slices",
            COPY_AGAIN,
        ) from error
    if array.ndim != 3 or array.shape != geometry.shape:
        raise Unreadable(
            case_id,
            f"an array of shape {array.shape} in {slices[0].path.parent}",
            f"gray slices, {geometry.shape} as the headers say",
            "export the series as one plain gray image per slice",
        )
    return Voxels(array.astype(np.float32)[None], geometry, notes)


def series_geometry(files: Sequence[Path], case_id: str) -> Geometry:
    """Geometry from the headers alone.

    Raises:
        Unreadable: no series, more than one, or a header that cannot be read.
    """
    return _sorted(files, case_id)[1]


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    modality: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    size: tuple[int, int]
    thickness: float
    number: int
    frames: int


def _may_be_slice(name: str) -> bool:
    plain = name.upper() not in ("DICOMDIR", "LICENSE", "README", "VERSION")
    return plain and not name.startswith(".") and not name.lower().endswith(_OTHERS)


def _is_dicom(path: Path) -> bool:
    try:
        return first_bytes(path, "", 132)[0][128:132] == b"DICM"
    except Unreadable:
        return False


def _headers(files: Sequence[Path], case: str) -> list[_Slice]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    found = []
    for path in files:
        first_bytes(path, case, 1)
        try:
            with _ONE_AT_A_TIME, warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # about values that do not follow the standard to the letter
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
                found.append(_slice(path, header))
        except InvalidDicomError as error:
            raise Unreadable(
                case,
                f"{path}, which is no DICOM file",
                "a folder with the slices of one series and nothing else",
                "take it out of the folder",
            ) from error
        # A damaged header makes pydicom raise whatever its parser stumbles over.
        except Exception as error:
            raise Unreadable(
                case,
                f"a damaged DICOM header in {path} ({' '.join(str(error).split())[:100]})",
                "a DICOM slice with position, orientation and spacing",
                COPY_AGAIN,
            ) from error
    return found


def _slice(path: Path, header: Any) -> _Slice:
    def numbers(name: str, default: Sequence[float]) -> tuple[float, ...]:
        value = header.get(name)
        return tuple(float(number) for number in (default if value is None else value))

    return _Slice(
        path=path,
        series=str(header.get("SeriesInstanceUID", "")),
        modality=str(header.get("Modality", "")),
        position=numbers("ImagePositionPatient", ()),
        orientation=numbers("ImageOrientationPatient", (1, 0, 0, 0, 1, 0)),
        spacing=numbers("PixelSpacing", (1, 1)),
        size=(int(header.Rows), int(header.Columns)),
        thickness=float(header.get("SliceThickness") or 0),
        number=int(header.get("InstanceNumber") or 0),
        frames=int(header.get("NumberOfFrames") or 1),
    )


def _sorted(files: Sequence[Path], case: str) -> tuple[list[_Slice], Geometry, tuple[Finding, ...]]:
    """Slices by position, their geometry, and a note where slices are missing."""
    slices = _headers(files, case)
    first = slices[0]
    for what, kinds in (
        ("series", {one.series for one in slices}),
        ("sizes of slices", {one.size for one in slices}),
        ("orientations", {tuple(np.round(one.orientation, 3)) for one in slices}),
    ):
        if len(kinds) > 1:
            raise Unreadable(
                case,
                f"{len(kinds)} {what} in {first.path.parent}",
                "one series in a folder",
                "put each series into a folder of its own",
            )
    if any(one.frames > 1 for one in slices):
        raise Unreadable(
            case, f"a multi-frame DICOM file, {first.path}", "one slice per file", "convert it to NIfTI"
        )
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(across, down)
    placed = all(len(one.position) == 3 for one in slices)
    heights = [float(np.dot(normal, one.position)) if placed else float(one.number) for one in slices]
    order = np.argsort(heights, kind="stable")
    slices = [slices[index] for index in order]
    gaps = np.diff(np.array(heights)[order])
    if len(gaps) and gaps.min() <= 1e-4:
        raise Unreadable(
            case,
            f"two slices at one position in {first.path.parent}",
            "one slice per position",
            "split the series (phases, echoes) into folders of their own",
        )
    step = float(np.median(gaps)) if placed and len(gaps) else first.thickness or 1.0
    geometry = geometry_of(
        (first.size[1], first.size[0], len(slices)),
        (first.spacing[1], first.spacing[0], step),
        slices[0].position if placed else (0.0, 0.0, 0.0),
        np.stack([across, down, normal], axis=1).ravel(),
    )
    notes: tuple[Finding, ...] = ()
    # Positions are written with few digits; a tenth of a step is rounding, or a table's sag.
    uneven = np.abs(gaps - step) > 0.1 * step if placed else np.zeros(0, bool)
    if uneven.any():
        notes = (
            Finding(
                case,
                "note",
                "missing_slices",
                f"slices {step:.4g} mm apart",
                f"{int(uneven.sum())} gaps of up to {gaps.max():.4g} mm among {len(slices)} slices",
                "look whether slices were lost on export; distances through the gap are wrong",
            ),
        )
    return slices, geometry, notes
