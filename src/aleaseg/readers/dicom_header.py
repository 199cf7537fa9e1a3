"""What a DICOM file is, by its header alone: a slice, frames of slices, labels of a series, or something else."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aleaseg.errors import Unreadable
from aleaseg.readers.files import COPY_AGAIN, first_bytes, refuse_text

__all__ = [
    "SEGMENTATIONS",
    "STRUCTURES",
    "Foreign",
    "Frame",
    "Peek",
    "damaged",
    "enhanced_frames",
    "frames_of",
    "meant_as_slice",
    "name_form",
    "peek",
    "quiet_pydicom",
    "read_header",
]

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_KIND_TAGS = [
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "Rows", "SamplesPerPixel",
    "FrameOfReferenceUID", "PatientID", "StudyInstanceUID",
]  # fmt: skip
_FRAME_TAGS = [
    *_KIND_TAGS, "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "ImagerPixelSpacing", "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "InstanceNumber",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "PhotometricInterpretation",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
# `warnings.catch_warnings` is one for all threads.
_ONE_AT_A_TIME = threading.RLock()


class Foreign(Unreadable):
    """A file that is no DICOM, or does not say what it is: it may lie there by chance."""


@dataclass(frozen=True)
class Peek:
    """What kind of file one is.

    Attributes:
        path: the file.
        kind: `image`, `colour`, `segmentation`, `structures` (RTSTRUCT), or in words what else: then it is no image;
            empty where the header does not say.
        series: its SeriesInstanceUID.
        name: number and description of the series, as far as they are there.
        modality: such as `CT`.
        place: its FrameOfReferenceUID.
        patient: PatientID, else the study.
    """

    path: Path
    kind: str
    series: str = ""
    name: str = ""
    modality: str = ""
    place: str = ""
    patient: str = ""


@dataclass(frozen=True)
class Frame:
    """One slice: a file of its own, or a frame of a multi-frame file.

    Attributes:
        path: the file.
        frame: which frame of it; None for a file of one slice.
        series: SeriesInstanceUID.
        position: of the first voxel's centre, mm, LPS+; empty where it is not stated.
        orientation: directions along a row and along a column.
        spacing: (between rows, between columns), mm.
        spacing_from: the field that `spacing` was read from; empty where none is there.
        size: (rows, columns).
        thickness: mm; 0 where it is not stated.
        gap: SpacingBetweenSlices, mm; 0 likewise.
        tilt: of the gantry, degrees.
        number: of the slice in its series.
        rescale: (slope, intercept) of a frame; a file of one slice is rescaled when it is read.
        unit: what rescaled values are, as `HU`.
        table: whether values go through a look-up table instead.
        dark: whether high values are shown dark (MONOCHROME1).
    """

    path: Path
    frame: int | None
    series: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    spacing_from: str
    size: tuple[int, int]
    thickness: float
    gap: float
    tilt: float
    number: int
    rescale: tuple[float, float]
    unit: str
    table: bool
    dark: bool


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """No warnings about values that do not follow the standard to the letter: pydicom gives them as values are read."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def peek(path: Path) -> Peek | None:
    """What kind of file this is; None where it is no DICOM at all, or damaged."""
    with quiet_pydicom():
        return _peek(path)


def _peek(path: Path) -> Peek | None:
    try:
        header = read_header(path, "", _KIND_TAGS)
    except Foreign:
        return None
    except Unreadable:
        return Peek(path, "")
    try:
        return _told(path, header)
    except Exception:  # values so damaged that they cannot be taken out
        return Peek(path, "")


def _told(path: Path, header: Any) -> Peek:
    sop = str(header.get("SOPClassUID", ""))
    number, said = header.get("SeriesNumber"), str(header.get("SeriesDescription") or "").strip()
    return Peek(
        path,
        _kind(header, sop),
        str(header.get("SeriesInstanceUID", "")),
        " ".join(part for part in (str(number) if number is not None else "", said) if part),
        str(header.get("Modality", "")),
        str(header.get("FrameOfReferenceUID", "")),
        str(header.get("PatientID") or header.get("StudyInstanceUID") or ""),
    )


def _kind(header: Any, sop: str) -> str:
    if sop in SEGMENTATIONS:
        return "segmentation"
    if sop == STRUCTURES:
        return "structures"
    if header.get("Rows") and sop != _DOSE:
        return "image" if int(header.get("SamplesPerPixel") or 1) == 1 else "colour"
    if not sop:
        return ""
    from pydicom.uid import UID

    name = str(UID(sop).name)
    # The header of a slice may be cut off before it says how many rows there are.
    return "image" if "Image Storage" in name else str(header.get("Modality") or name)


def read_header(path: Path, case: str, tags: Sequence[str] | None = None) -> Any:
    """The header of a DICOM file, with or without its preamble, as pydicom gives it.

    Args:
        path: the file.
        case: for messages.
        tags: to read these alone.

    Raises:
        Unreadable: missing, empty, no DICOM file, or damaged.
    """
    import pydicom

    try:
        head, _ = first_bytes(path, case, 132)
    except Unreadable as error:
        raise Foreign(case, error.found, error.expected, error.advice) from error
    bare = head[:2] == b"\x08\x00" and head[3:4] == b"\x00"  # begins with the data, as old files do
    if head[128:132] != b"DICM" and not bare:
        raise Foreign(
            case,
            f"{path}, which is no DICOM file",
            "a folder with the slices of one series",
            f"take it out of the folder, or, if it was a slice, {COPY_AGAIN}",
        )
    try:
        with quiet_pydicom():
            return pydicom.dcmread(
                path,
                stop_before_pixels=True,
                specific_tags=None if tags is None else list(tags),
                force=bare,
            )
    # A damaged header makes pydicom raise whatever its parser stumbles over.
    except Exception as error:
        raise damaged(path, case, error) from error


def damaged(path: Path, case: str, error: Exception) -> Unreadable:
    """What to say of a header that could not be read."""
    return Unreadable(
        case,
        f"a damaged DICOM header in {path} ({' '.join(str(error).split())[:100] or type(error).__name__})",
        "a DICOM slice with position, orientation and spacing",
        COPY_AGAIN,
    )


def frames_of(path: Path, case: str) -> tuple[str, list[Frame]]:
    """(kind as `Peek` has it, slices in the file); no slices where it is no gray image.

    Raises:
        Unreadable: no DICOM file, a damaged header, or frames without positions.
    """
    header = read_header(path, case, _FRAME_TAGS)
    try:
        with quiet_pydicom():
            kind = _kind(header, str(header.get("SOPClassUID", "")))
            if kind and kind not in ("image", "colour"):
                return kind, []
            if not kind:
                raise Foreign(
                    case, f"{path}, a DICOM file that does not say what it is", "a slice", COPY_AGAIN
                )
            if header.get("PerFrameFunctionalGroupsSequence"):
                return kind, enhanced_frames(path, header)
            if int(header.get("NumberOfFrames") or 1) == 1:
                return kind, [_frame(path, header, None, ())]
    except Unreadable:
        raise
    except Exception as error:
        raise damaged(path, case, error) from error
    raise Unreadable(
        case,
        f"a multi-frame DICOM file, {path}, whose frames have no positions (a cine, or an older form)",
        "one slice per file, or an enhanced multi-frame file",
        "convert it to NIfTI",
    )


def enhanced_frames(path: Path, header: Any) -> list[Frame]:
    """Every frame of an enhanced multi-frame file: an image or a segmentation."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    groups = header.PerFrameFunctionalGroupsSequence
    return [_frame(path, header, number, (one, shared[0])) for number, one in enumerate(groups)]


def _frame(path: Path, header: Any, number: int | None, groups: Sequence[Any]) -> Frame:
    def found(name: str, sequence: str) -> Any:
        """From the frame's own group, else the shared one, else the file."""
        for group in groups:
            inner = group.get(sequence)
            if inner and inner[0].get(name) is not None:
                return inner[0].get(name)
        return header.get(name)

    def numbers(value: Any, default: Sequence[float] = ()) -> tuple[float, ...]:
        return tuple(float(one) for one in (default if value is None else value))

    def number_of(value: Any, default: float = 0.0) -> float:
        return default if value is None or value == "" else float(value)

    measures, transformed = "PixelMeasuresSequence", "PixelValueTransformationSequence"
    spacing, spacing_from = found("PixelSpacing", measures), "PixelSpacing"
    if spacing is None:
        spacing = header.get("ImagerPixelSpacing")
        spacing_from = "" if spacing is None else "ImagerPixelSpacing"
    return Frame(
        path=path,
        frame=number,
        series=str(header.get("SeriesInstanceUID", "")),
        position=numbers(found("ImagePositionPatient", "PlanePositionSequence")),
        orientation=numbers(
            found("ImageOrientationPatient", "PlaneOrientationSequence"), (1, 0, 0, 0, 1, 0)
        ),
        spacing=numbers(spacing, (1, 1)),
        spacing_from=spacing_from,
        size=(int(header.Rows), int(header.Columns)),
        thickness=number_of(found("SliceThickness", measures)),
        gap=abs(number_of(found("SpacingBetweenSlices", measures))),
        tilt=number_of(header.get("GantryDetectorTilt")),
        number=int(header.get("InstanceNumber") or 0) if number is None else number,
        rescale=(
            number_of(found("RescaleSlope", transformed), 1.0),
            number_of(found("RescaleIntercept", transformed)),
        ),
        unit=str(found("RescaleType", transformed) or ""),
        table=bool(header.get("ModalityLUTSequence")),
        dark=str(header.get("PhotometricInterpretation")) == "MONOCHROME1",
    )


def meant_as_slice(path: Path, slices: Iterable[Path]) -> bool:
    """Whether a file that is no DICOM was meant as a slice of this series: then it is damaged, else it is foreign.

    It was where its name has the form of theirs (IM12 and IM7), or their ending; without an
    ending its content decides: text, programs, archives and pictures are foreign.
    """
    names = [one.name for one in slices]
    if not names or name_form(path.name) in {name_form(name) for name in names}:
        return True
    if path.suffix.lower() not in {Path(name).suffix.lower() for name in names} or _long(path.suffix):
        return False
    if path.suffix:
        return True
    try:
        head, _ = first_bytes(path, "")
        refuse_text(head, path, "", "")
    except Unreadable as error:
        return error.found.startswith("0 bytes")
    return not head.startswith(_FOREIGN)


def name_form(name: str) -> str:
    """The form of a file's name: every number is `#`, every letter `x`.

    >>> name_form("IM12.dcm")
    'xx#.xxx'
    """
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d+", "#", name))


def _long(suffix: str) -> bool:
    """Whether what stands behind the last dot is a number, as in a UID, and no ending."""
    return suffix[1:].isdigit()


# How programs, archives, pictures, OLE files (Thumbs.db) and databases begin.
_FOREIGN = (
    b"MZ", b"\x7fELF", b"PK", b"\xd0\xcf\x11\xe0", b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"%PDF", b"SQLite",
    b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"MSCF", b"II*\0", b"MM\0*",
)  # fmt: skip
