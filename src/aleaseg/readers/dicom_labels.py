"""Segmentations of a DICOM series: DICOM SEG (binary, fractional, label map) and the contours of an RTSTRUCT.

Both are put onto the grid of the series that they refer to. A segmentation's frames have to lie on its
slices and pixels; the voxel centres inside a contour are its structure, and a contour inside a contour is a hole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Voxels
from aleaseg.errors import ShapeMismatch, Unreadable
from aleaseg.readers.dicom_header import Frame, Peek, damaged, enhanced_frames, quiet_pydicom, read_header
from aleaseg.readers.dicom_stack import Stack, stack_of
from aleaseg.readers.headers import note
from aleaseg.readers.structures import overlap_note

__all__ = ["LabelFile", "label_file", "read_dicom_label"]

_TOLERANCE = 0.1  # of a voxel: headers are written with few digits
_OFF_PLANE = 0.25  # of the distance between slices
_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")


@dataclass(frozen=True)
class LabelFile:
    """A segmentation, by its header.

    Attributes:
        path: the file.
        kind: `segmentation` or `structures`.
        refers: SeriesInstanceUID of the series that it was drawn on; empty where it does not say.
        names: (number of the segment or structure, its name), every name once.
    """

    path: Path
    kind: str
    refers: str
    names: tuple[tuple[int, str], ...]


def label_file(peeked: Peek, case: str) -> LabelFile:
    """What a SEG or RTSTRUCT names, and which series it refers to.

    Raises:
        Unreadable: its header is damaged.
    """
    with quiet_pydicom():
        return _label_file(peeked, case)


def _label_file(peeked: Peek, case: str) -> LabelFile:
    header = read_header(peeked.path, case)
    try:
        if peeked.kind == "segmentation":
            referred = header.get("ReferencedSeriesSequence") or [{}]
            refers = str(referred[0].get("SeriesInstanceUID", ""))
            names = [(int(one.SegmentNumber), _segment_name(one)) for one in header.SegmentSequence]
        else:
            refers = _structures_refer(header)
            names = [
                (int(one.ROINumber), str(one.get("ROIName") or f"structure_{one.ROINumber}").strip())
                for one in header.get("StructureSetROISequence") or []
            ]
    except Exception as error:
        raise damaged(peeked.path, case, error) from error
    return LabelFile(peeked.path, peeked.kind, refers, _each_once(names))


def _segment_name(one: Any) -> str:
    said = str(one.get("SegmentLabel") or "").strip()
    if said:
        return said
    coded = one.get("SegmentedPropertyTypeCodeSequence") or [{}]
    return str(coded[0].get("CodeMeaning") or f"segment_{one.SegmentNumber}")


def _structures_refer(header: Any) -> str:
    for place in header.get("ReferencedFrameOfReferenceSequence") or []:
        for study in place.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                return str(series.get("SeriesInstanceUID", ""))
    return ""


def _each_once(names: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Two structures of one name stay two: the second is called `name (2)`."""
    seen: Counter[str] = Counter()
    found = []
    for number, name in names:
        seen[name] += 1
        found.append((number, name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return tuple(found)


def read_dicom_label(
    labels: Sequence[LabelFile], values: Mapping[str, int], files: Sequence[Path], case_id: str
) -> Voxels:
    """A label map of a series from its segmentations; where two structures overlap the later one wins.

    Args:
        labels: of the series.
        values: name -> label value; structures that are not among them are left out.
        files: the slices of the series.
        case_id: for messages.

    Returns:
        int16 (D, H, W), with notes on overlaps, on what lies outside the series, and on what was guessed.

    Raises:
        Unreadable: a file is damaged, or the series is.
        ShapeMismatch: a segmentation lies on another grid.
    """
    with quiet_pydicom():
        return _label(labels, values, stack_of(files, case_id), case_id)


def _label(labels: Sequence[LabelFile], values: Mapping[str, int], stack: Stack, case_id: str) -> Voxels:
    files = [frame.path for frame in stack.frames]
    if not stack.placed:
        raise Unreadable(
            case_id, f"slices without positions in {files[0].parent}", "positions, which a segmentation needs",
            "export the series again",
        )  # fmt: skip
    label = np.zeros(stack.geometry.shape, np.int16)
    overlaps: Counter[tuple[str, str]] = Counter()
    notes: list[Finding] = []
    name_of = {value: name for name, value in values.items()}
    for file in labels:
        doubled = [
            name for _, name in file.names if name.endswith(")") and name.rsplit(" (", 1)[0] in values
        ]
        if doubled:
            notes.append(_doubled(doubled, file.path, case_id))
        read = _segments if file.kind == "segmentation" else _contours
        for name, mask in read(file, values, stack, notes, case_id):
            earlier = label[mask]
            for value, count in zip(*np.unique(earlier[earlier > 0], return_counts=True), strict=True):
                overlaps[name_of[int(value)], name] += int(count)
            label[mask] = values[name]
    return Voxels(label, stack.geometry, (*notes, *overlap_note(overlaps, case_id)))


def _doubled(names: Sequence[str], path: Path, case: str) -> Finding:
    return note(
        case,
        "doubled_field",
        "every structure a name of its own",
        f"one name for two structures in {path.name}; the second is called {', '.join(names)}",
        "rename one of them, or make them one structure",
    )


def _segments(
    file: LabelFile, values: Mapping[str, int], stack: Stack, notes: list[Finding], case: str
) -> list[tuple[str, NDArray[np.bool_]]]:
    """(name, mask) of each segment of a SEG that is asked for."""
    import pydicom

    read_header(file.path, case)
    try:
        header = pydicom.dcmread(file.path)
        voxels = np.asarray(header.pixel_array)
        voxels = voxels[None] if voxels.ndim == 2 else voxels
        kind = str(header.get("SegmentationType", "BINARY"))
        most = float(header.get("MaximumFractionalValue") or 255)
        numbers = [_frame_segment(one) for one in header.PerFrameFunctionalGroupsSequence]
        frames = enhanced_frames(file.path, header)
    except Unreadable:
        raise
    except Exception as error:
        raise damaged(file.path, case, error) from error
    if len(frames) != len(voxels):
        raise Unreadable(
            case, f"{len(voxels)} frames of voxels in {file.path}", f"{len(frames)}, as its header says",
            "export the segmentation again",
        )  # fmt: skip
    masks = {number: np.zeros(stack.geometry.shape, bool) for number, name in file.names if name in values}
    outside = soft = 0
    for frame, number, array in zip(frames, numbers, voxels, strict=True):
        if kind == "FRACTIONAL":
            soft += int(((array > 0) & (array < most)).sum())
            array = 2 * array.astype(np.float32) >= most
        for one, mask in masks.items():
            if kind == "LABELMAP" or number == one:
                outside += _placed(
                    array == one if kind == "LABELMAP" else array > 0, frame, stack, mask, file, case
                )
    if soft:
        notes.append(
            note(
                case, "soft_segmentation", "0 or 1 in every voxel",
                f"{soft} voxels with a fraction in {file.path.name}; half and more of {most:g} was taken for inside",
                "export a binary segmentation if another cut is meant",
            )
        )  # fmt: skip
    if outside:
        notes.append(_outside(f"{outside} voxels", file.path, case))
    return [(name, masks[number]) for number, name in file.names if number in masks]


def _frame_segment(group: Any) -> int:
    identified = group.get("SegmentIdentificationSequence")
    return int(identified[0].ReferencedSegmentNumber) if identified else 0


def _placed(
    inside: NDArray[np.bool_],
    frame: Frame,
    stack: Stack,
    mask: NDArray[np.bool_],
    file: LabelFile,
    case: str,
) -> int:
    """Put a frame of a segmentation onto the slice where it lies; how many voxels lie outside the series.

    Raises:
        ShapeMismatch: its pixels are not the slice's.
    """
    if not inside.any():
        return 0
    last = np.array(inside.shape) - 1
    indices, apart = stack.locate(_corners(frame, last))
    per_row = (indices[2] - indices[0]) / max(1, last[0])
    per_column = (indices[1] - indices[0]) / max(1, last[1])
    steps = np.stack([per_row, per_column])
    whole = np.round(steps)
    step = max(stack.step_mm, 1e-6)
    beyond = np.abs(apart).min() > 0.5 * step
    if beyond:  # above or below the series
        return int(inside.sum())
    off = np.abs(indices[0] - np.round(indices[0])).max()
    drift = np.abs((steps - whole) * np.maximum(1, last)[:, None]).max()
    turned = (
        np.abs(whole[:, 1:]).sum() != 2 or (whole[:, 0] != 0).any() or abs(np.linalg.det(whole[:, 1:])) != 1
    )
    one_row = min(inside.shape) == 1
    if (
        np.abs(apart).max() > _TOLERANCE * step
        or off > _TOLERANCE
        or drift > _TOLERANCE
        or (turned and not one_row)
    ):
        raise ShapeMismatch(
            case,
            f"a segmentation on another grid in {file.path.name}: a frame at {frame.position}, "
            f"{frame.spacing[0]:g} x {frame.spacing[1]:g} mm",
            "frames on the slices and pixels of its series",
            "resample the segmentation to the grid of the series",
        )
    row, column = np.nonzero(inside)
    place = np.round(indices[0])[1:] + np.outer(row, whole[0, 1:]) + np.outer(column, whole[1, 1:])
    h, w = place.astype(int).T
    held = (h >= 0) & (w >= 0) & (h < mask.shape[1]) & (w < mask.shape[2])
    mask[int(indices[0, 0]), h[held], w[held]] = True
    return int((~held).sum())


def _corners(frame: Frame, last: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where the first pixel of a frame lies, the last of its row, of its column, and the last of all, (4, 3) mm."""
    position = np.array(frame.position)
    across = np.array(frame.orientation[:3]) * frame.spacing[1] * last[1]
    down = np.array(frame.orientation[3:]) * frame.spacing[0] * last[0]
    return np.stack([position, position + across, position + down, position + across + down])


def _contours(
    file: LabelFile, values: Mapping[str, int], stack: Stack, notes: list[Finding], case: str
) -> list[tuple[str, NDArray[np.bool_]]]:
    """(name, mask) of each structure of an RTSTRUCT that is asked for."""
    header = read_header(file.path, case)
    names = {number: name for number, name in file.names if name in values}
    found = []
    outside = 0
    passed: Counter[str] = Counter()
    try:
        drawn = [
            (int(one.ReferencedROINumber), list(one.get("ContourSequence") or []))
            for one in header.get("ROIContourSequence") or []
        ]
        for number, contours in drawn:
            if number not in names:
                continue
            mask = np.zeros(stack.geometry.shape, bool)
            for contour in contours:
                kind = str(contour.get("ContourGeometricType") or "")
                points = np.array([float(one) for one in contour.get("ContourData") or []])
                if kind not in _AREAS:
                    passed[kind] += 1
                elif len(points) % 3 or not np.isfinite(points).all():
                    raise ValueError("a contour with points that are no three numbers")
                elif len(points):
                    outside += _filled(points.reshape(-1, 3), stack, mask, names[number], file, case)
            found.append((names[number], mask))
            notes += _skipping(mask, names[number], file, case)
    except ShapeMismatch:
        raise
    except Exception as error:
        raise damaged(file.path, case, error) from error
    if outside:
        notes.append(_outside(f"{outside} contours", file.path, case))
    if passed:
        told = ", ".join(f"{count} {kind}" for kind, count in passed.items())
        notes.append(
            note(
                case, "no_area", "closed contours", f"{told} in {file.path.name}, which enclose nothing",
                "they were passed over; nothing, if they are marks",
            )
        )  # fmt: skip
    return found


def _filled(
    points: NDArray[np.float64],
    stack: Stack,
    mask: NDArray[np.bool_],
    name: str,
    file: LabelFile,
    case: str,
) -> int:
    """Turn the voxels over whose centres lie inside a contour; 1 where it lies outside the series.

    Raises:
        ShapeMismatch: the contour lies in no plane of the slices.
    """
    from skimage.draw import polygon

    indices, apart = stack.locate(points)
    step = max(stack.step_mm, 1e-6)
    if np.abs(apart).min() > 0.5 * step + 1e-3 and len({*indices[:, 0].tolist()}) == 1:
        return 1
    if np.abs(apart).max() > _OFF_PLANE * step or len({*indices[:, 0].tolist()}) > 1:
        raise ShapeMismatch(
            case,
            f"a contour of {name} in {file.path.name} up to {np.abs(apart).max():.3g} mm from the nearest slice",
            f"contours in the planes of the slices, {step:.3g} mm apart",
            "draw the contours on this series, or export them as a segmentation on its grid",
        )
    rows, columns = polygon(indices[:, 1], indices[:, 2], shape=mask.shape[1:])
    mask[int(indices[0, 0]), rows, columns] ^= True
    return 0


def _skipping(mask: NDArray[np.bool_], name: str, file: LabelFile, case: str) -> list[Finding]:
    """A note where a structure is drawn on every second slice, or on fewer."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    every = float(np.median(np.diff(slices))) if len(slices) > 2 else 1
    if every < 2:
        return []
    return [
        note(
            case, "skipped_slices", "contours on every slice",
            f"{name} in {file.path.name} on every {every:g}th slice; nothing was filled in between",
            "interpolate the contours in the program that drew them",
        )
    ]  # fmt: skip


def _outside(what: str, path: Path, case: str) -> Finding:
    return note(
        case,
        "outside",
        "a segmentation inside its series",
        f"{what} of {path.name} outside the slices",
        "check whether slices of the series are missing",
    )
