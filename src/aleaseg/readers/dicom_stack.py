"""Slices in the order of their positions, the box they make, and what to know about it."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry
from aleaseg.errors import Unreadable
from aleaseg.readers.dicom_header import Foreign, Frame, frames_of, meant_as_slice
from aleaseg.readers.headers import note, skewed_axes, two_spacings
from aleaseg.readers.itk import geometry_of

__all__ = ["Stack", "passed_over", "stack_of"]

# Positions are written with few digits; a tenth of a step is rounding, or a table's sag.
_UNEVEN = 0.1
_SHIFT_PIXELS = 0.5
# Two slices within so many mm (or numbers) are at one position.
_ONE_PLACE = 1e-4


@dataclass(frozen=True)
class Stack:
    """A series in order.

    Attributes:
        frames: by position, or by number where positions are not stated.
        geometry: of the box.
        notes: what to know.
        placed: whether positions are stated.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    notes: tuple[Finding, ...]
    placed: bool

    def locate(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points in the array: which slice is nearest, and where in it.

        Args:
            points: (n, 3), mm, LPS+.

        Returns:
            Indices (n, 3), (d, h, w): d whole, h and w not; and the distance (n,) of each point
            from the plane of its slice, mm.
        """
        across, down, normal = _axes(self.frames[0])
        positions = np.array([one.position for one in self.frames])
        heights = points @ normal
        apart = heights[:, None] - (positions @ normal)[None]
        nearest = np.abs(apart).argmin(axis=1)
        inside = points - positions[nearest]
        rows, columns = self.frames[0].spacing
        indices = np.stack([nearest, inside @ down / rows, inside @ across / columns], axis=1)
        return indices, apart[np.arange(len(points)), nearest]

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring slices along their normal, the least of them."""
        normal = _axes(self.frames[0])[2]
        heights = np.sort(np.array([one.position for one in self.frames]) @ normal)
        return float(np.diff(heights).min()) if len(heights) > 1 else self.geometry.spacing_mm[0]


def passed_over(names: Sequence[str], what: str, case: str) -> Finding:
    """A note on files beside the slices that are none.

    Args:
        names: of the files.
        what: they are, in words.
        case: beside whose slices they lie.
    """
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return note(
        case,
        "passed_over",
        "slices alone in the folder of a series",
        f"{shown} ({what})",
        "nothing, if it is no slice of this scan",
    )


def stack_of(files: Sequence[Path], case: str) -> Stack:
    """The slices of one series, from the headers alone.

    Raises:
        Unreadable: no series, more than one, a slice that cannot be read, or slices that make no box.
    """
    frames, notes = _frames(files, case)
    folder = frames[0].path.parent
    for what, kinds in (
        ("series", [one.series for one in frames]),
        ("sizes of slices", [one.size for one in frames]),
        ("orientations", [tuple(np.round(one.orientation, 3).tolist()) for one in frames]),
        ("spacings of pixels", [tuple(np.round(one.spacing, 4).tolist()) for one in frames]),
    ):
        if len(set(kinds)) > 1:
            other = next(index for index, kind in enumerate(kinds) if kind != kinds[0])
            raise Unreadable(
                case,
                f"{len(set(kinds))} {what} in {folder}: {kinds[0]} ({frames[0].path.name}) and {kinds[other]} "
                f"({frames[other].path.name})",
                "one series in a folder",
                "put each series into a folder of its own",
            )
    _sound(frames[0], case)
    return _ordered(frames, case, notes)


def _frames(files: Sequence[Path], case: str) -> tuple[list[Frame], list[Finding]]:
    """Every slice of the files, and notes on files that hold none."""
    frames: list[Frame] = []
    others: dict[str, list[str]] = {}
    failed: list[tuple[Path, Foreign]] = []
    colour = 0
    for path in files:
        try:
            kind, found = frames_of(path, case)
        except Foreign as error:
            failed.append((path, error))
            continue
        frames += found
        colour += kind == "colour"
        if not found:
            others.setdefault(kind, []).append(path.name)
    slices = list(dict.fromkeys(frame.path for frame in frames))
    for path, why in failed:
        if meant_as_slice(path, slices):
            raise why
        others.setdefault("no DICOM file", []).append(path.name)
    if not frames:
        what = "; ".join(f"{', '.join(names[:3])} ({kind})" for kind, names in others.items())
        raise Unreadable(
            case, f"no slice in {files[0].parent}: {what}", "a DICOM series", "leave the case out"
        )
    if colour:
        raise Unreadable(
            case,
            f"{colour} colour pictures, such as {frames[0].path}",
            "gray slices",
            "export the series as one plain gray image per slice, or leave the case out",
        )
    return frames, [passed_over(names, kind, case) for kind, names in others.items()]


def _sound(first: Frame, case: str) -> None:
    numbers = (*first.orientation, *first.spacing, *first.position)
    across, down, _ = _axes(first) if len(first.orientation) == 6 else (np.zeros(3),) * 3
    if (
        not np.isfinite(numbers).all()
        or len(first.spacing) != 2
        or min(first.spacing) <= 0
        or min(np.linalg.norm(across), np.linalg.norm(down), np.linalg.norm(np.cross(across, down))) < 0.5
    ):
        raise Unreadable(
            case,
            f"orientation {first.orientation} and spacing {first.spacing} in {first.path}",
            "two directions in space and two lengths in mm",
            "export the series again",
        )


def _axes(first: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Directions along a row, along a column, and from slice to slice."""
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(across, down)
    return across, down, normal / (np.linalg.norm(normal) or 1.0)


def _ordered(frames: list[Frame], case: str, notes: list[Finding]) -> Stack:
    first = frames[0]
    across, down, normal = _axes(first)
    placed = all(len(one.position) == 3 for one in frames)
    heights = [float(np.dot(normal, one.position)) if placed else float(one.number) for one in frames]
    if not np.isfinite(heights).all():
        raise Unreadable(
            case, f"positions that are not numbers in {first.path.parent}", "mm", "export it again"
        )
    order = np.argsort(heights, kind="stable")
    frames, heights = [frames[index] for index in order], [heights[index] for index in order]
    copies = {
        at for at in np.flatnonzero(np.diff(heights) <= _ONE_PLACE) + 1 if _same(frames[at - 1], frames[at])
    }
    if copies:
        notes.append(
            passed_over([frames[at].path.name for at in sorted(copies)], "second copies of slices", case)
        )
        frames = [one for at, one in enumerate(frames) if at not in copies]
        heights = [height for at, height in enumerate(heights) if at not in copies]
    gaps = np.diff(heights)
    if len(gaps) and gaps.min() <= _ONE_PLACE:
        twin = int(gaps.argmin())
        names = " and ".join(_named(one) for one in frames[twin : twin + 2])
        raise Unreadable(
            case,
            f"two slices at one position in {first.path.parent}: {names}",
            "one slice per position",
            "split the series (phases, echoes, stacks) into folders of their own",
        )
    step = float(np.median(gaps)) if placed and len(gaps) else first.thickness or 1.0
    along, shifted = _along(frames, normal, step, case) if placed and len(gaps) else (normal * step, [])
    length = float(np.linalg.norm(along))
    geometry = geometry_of(
        (first.size[1], first.size[0], len(frames)),
        (first.spacing[1], first.spacing[0], length),
        frames[0].position if placed else (0.0, 0.0, 0.0),
        np.stack([across, down, along / length], axis=1).ravel(),
    )
    notes += shifted or skewed_axes(geometry, first.path, case)
    notes += _oddities(frames, placed, gaps, step, case, tilted=bool(shifted))
    return Stack(tuple(frames), geometry, tuple(notes), placed)


def _same(one: Frame, other: Frame) -> bool:
    """Whether two slices are files of the same bytes: a copy that an export or a download left."""
    return one.path != other.path and filecmp.cmp(one.path, other.path, shallow=False)


def _named(one: Frame) -> str:
    return one.path.name if one.frame is None else f"frame {one.frame + 1} of {one.path.name}"


def _along(
    frames: Sequence[Frame], normal: NDArray[np.float64], step: float, case: str
) -> tuple[NDArray[np.float64], list[Finding]]:
    """From one slice to the next, mm: along the normal, or askew where the gantry was tilted (as ITK has it)."""
    positions = np.array([one.position for one in frames])
    moved = positions - positions[0]
    across = moved - np.outer(moved @ normal, normal)
    pixel = min(frames[0].spacing)
    if np.linalg.norm(across, axis=1).max() <= _SHIFT_PIXELS * pixel:
        return normal * step, []
    count = np.round(moved @ normal / step)
    per_slice = across[-1] / max(1.0, count[-1])
    even = np.abs(across - np.outer(count, per_slice)).max() <= _SHIFT_PIXELS * pixel
    told = " x ".join(f"{mm:.3g}" for mm in per_slice)
    advice = (
        "the box that is measured leans; distances and volumes across slices are those of an upright one: correct the "
        "tilt (dcm2niix and others do), and outline the corrected scan"
    )
    if even:
        found = f"positions move {told} mm across per slice: a tilted gantry"
        return normal * step + per_slice, [
            note(case, "gantry_tilt", "slices straight above one another", found, advice)
        ]
    far = float(np.linalg.norm(across, axis=1).max())
    found = f"positions up to {far:.3g} mm to the side, unevenly"
    return normal * step, [note(case, "shifted_slices", "slices straight above one another", found, advice)]


def _oddities(
    frames: Sequence[Frame],
    placed: bool,
    gaps: NDArray[np.float64],
    step: float,
    case: str,
    *,
    tilted: bool,
) -> list[Finding]:
    first = frames[0]
    found = []
    uneven = np.abs(gaps - step) > _UNEVEN * step if placed else np.zeros(0, bool)
    if uneven.any():
        found.append(
            note(
                case,
                "missing_slices",
                f"slices {step:.4g} mm apart",
                f"{uneven.sum()} gap{'s' if uneven.sum() > 1 else ''} of up to {gaps.max():.4g} mm among "
                f"{len(frames)} slices",
                "check whether slices were lost on export; distances through the gap are wrong",
            )
        )
    if not placed:
        found.append(
            note(
                case,
                "no_position",
                "the position of every slice",
                f"none in some slices of {first.path.parent.name}; ordered by number, "
                f"{step:.4g} mm apart as {'SliceThickness says' if first.thickness else 'nothing says'}",
                "export the series again with ImagePositionPatient",
            )
        )
    elif len(gaps) and first.gap and abs(first.gap - step) > _UNEVEN * step:
        found.append(
            two_spacings(case, "the positions of slices", (step,), "SpacingBetweenSlices", (first.gap,))
        )
    return found + _said_by_fields(frames, placed and len(gaps) > 0 and not tilted, case)


def _said_by_fields(frames: Sequence[Frame], straight: bool, case: str) -> list[Finding]:
    """What single fields lack, or say otherwise than the positions do (`straight`: slices lie above one another)."""
    first = frames[0]
    found = []
    if first.spacing_from != "PixelSpacing":
        what = first.spacing_from or "nothing; 1 x 1 mm was taken"
        found.append(
            note(
                case,
                "no_spacing",
                "PixelSpacing, mm in the patient",
                f"{what} in {first.path.name}",
                "lengths may be those of the detector, or none; measure no distance before you know",
            )
        )
    if straight and abs(first.tilt) > 0.1:
        found.append(
            note(
                case,
                "two_tilts",
                "a tilt of the gantry that positions show",
                f"GantryDetectorTilt {first.tilt:.3g} degrees in {first.path.name}, and positions straight above one "
                "another",
                "positions were followed; check whether the scan leans",
            )
        )
    dark = sum(one.dark for one in frames)
    if dark:
        how = "left as they are stored" if first.frame is not None else "turned round, as ITK does"
        found.append(
            note(
                case,
                "turned_values",
                "high values shown bright (MONOCHROME2)",
                f"MONOCHROME1 in {dark} of {len(frames)} slices; their values were {how}",
                "check whether all cases of the data set have one sense of bright and dark",
            )
        )
    units = sorted({one.unit for one in frames if one.unit})
    if len(units) > 1:
        found.append(
            note(
                case,
                "two_units",
                "one unit of values",
                " and ".join(units),
                "rescale the slices to one unit",
            )
        )
    return found
