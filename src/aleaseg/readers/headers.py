"""What a header says twice, or says so that other programs read it otherwise: notes that name both readings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry
from aleaseg.errors import Unreadable
from aleaseg.readers.beside import TiffSays, spacing_beside, tiff_says

__all__ = [
    "corners_apart",
    "note",
    "skewed_axes",
    "spare_bytes",
    "stated_spacing",
    "two_spacings",
    "units_note",
]

# ITK calls axes orthogonal up to here; a header in single precision is a thousand times closer.
_SKEW = 2e-4
_SPACING = 0.01


def note(case: str, check: str, expected: str, found: str, advice: str) -> Finding:
    """A finding that is worth a look and stops nothing."""
    return Finding(case, "note", check, expected, found, advice)


def corners_apart(shape: tuple[int, ...], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How far apart two affines put the corners of one array, at most, in mm.

    Args:
        shape: of the array, (D, H, W) or (H, W).
        first: (4, 4), from array indices to mm.
        second: likewise.
    """
    lengths = (1,) * (3 - len(shape)) + shape
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in lengths))])
    return float(np.linalg.norm(corners @ (first - second).T[:, :3], axis=1).max())


def skewed_axes(geometry: Geometry, path: Path, case: str) -> tuple[Finding, ...]:
    """A note where the axes of an image are not at right angles.

    Args:
        geometry: with an affine, or nothing is said.
        path: for the message.
        case: likewise.
    """
    if geometry.affine is None or len(geometry.shape) != 3:
        return ()
    columns = geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)
    cosine = float(np.abs(columns.T @ columns - np.eye(3)).max())
    if not cosine > _SKEW:
        return ()
    angle = math.degrees(math.acos(min(1.0, cosine)))
    return (
        note(
            case,
            "skewed_axes",
            "axes at right angles",
            f"two axes at {angle:.4g} degrees in {path.name}",
            "ITK and nnU-Net refuse such a NIfTI file; distances are measured here as if the angle were right; "
            "resample the image to a box",
        ),
    )


def spare_bytes(more: int, wanted: int, path: Path, case: str) -> Finding:
    """A note that more voxels are stored than the header speaks of: its type or shape may be wrong.

    Args:
        more: bytes behind the voxels.
        wanted: bytes of voxels as the header says.
        path: for the message.
        case: likewise.
    """
    return note(
        case,
        "spare_bytes",
        f"{wanted} bytes of voxels, as the header says",
        f"{more} bytes more in {path.name}",
        "they were left; check whether the type and shape in the header are right",
    )


def units_note(unit: str, mm: float, spacing_mm: Sequence[float], path: Path, case: str) -> Finding:
    """A note that lengths are stated in another unit than mm.

    Args:
        unit: as the header calls it.
        mm: how many mm one of it is.
        spacing_mm: as it was read.
        path: for the message.
        case: likewise.
    """
    read = " x ".join(f"{length:.4g}" for length in spacing_mm)
    stated = " x ".join(f"{length / mm:.4g}" for length in spacing_mm)
    return note(
        case,
        "length_unit",
        "lengths in mm",
        f"the unit {unit} in {path.name}: {stated} {unit}, read as {read} mm",
        "many programs take the numbers for mm; if they are mm, state that unit in the header",
    )


def stated_spacing(
    geometry: Geometry, path: Path, case: str, *, flat: bool
) -> tuple[Geometry, tuple[Finding, ...]]:
    """The geometry with the spacing that stands in a JSON beside the file or in a TIFF's own description.

    Pictures have no spacing of their own; so nnU-Net reads `CASE.json`, {"spacing": [D, H, W]}, beside a TIFF,
    and ImageJ and OME write it into the file. Where a header has one too, the header is kept, and a note names both.

    Args:
        geometry: as the file's own header says.
        path: the file.
        case: for messages.
        flat: whether the format has no spacing of its own.

    Raises:
        Unreadable: the JSON beside a picture holds a spacing that is none.
    """
    beside = spacing_beside(path)
    if not flat:
        if beside is None or _fits(beside.mm, geometry.spacing_mm):
            return geometry, ()
        other = f"{beside.path.name} beside it"
        return geometry, (two_spacings(case, path.name, geometry.spacing_mm, other, beside.mm),)
    says = tiff_says(path)
    inside = None if says is None else _inside(says, len(geometry.shape))
    if beside is None:
        return (geometry if inside is None else replace(geometry, spacing_mm=inside)), ()
    if len(beside.mm) != len(geometry.shape) or not all(math.isfinite(mm) and mm > 0 for mm in beside.mm):
        raise Unreadable(
            case,
            f"the spacing {list(beside.mm)} in {beside.path}",
            f"{len(geometry.shape)} lengths in mm, slowest axis first, one per axis of {path.name}",
            "correct it",
        )
    read = replace(geometry, spacing_mm=beside.mm)
    if inside is None or np.allclose(inside, beside.mm, rtol=_SPACING, atol=0):
        return read, ()
    return read, (two_spacings(case, beside.path.name, beside.mm, f"{path.name} itself", inside),)


def two_spacings(
    case: str, first: str, one: Sequence[float], second: str, other: Sequence[float]
) -> Finding:
    """A note that one image has two spacings; the first was read.

    Args:
        case: for the message.
        first: where the spacing stands that was read.
        one: that spacing, mm.
        second: where the other stands.
        other: the other spacing, mm.
    """
    ours, theirs = (" x ".join(f"{mm:.4g}" for mm in spacing) for spacing in (one, other))
    return note(
        case,
        "two_spacings",
        "one spacing",
        f"{ours} mm in {first} and {theirs} mm in {second}",
        "the first was read; find out which is right and write it into both",
    )


def _fits(stated: Sequence[float], spacing: Sequence[float]) -> bool:
    """Whether a spacing beside a file is the header's, in array order or in x, y, z."""
    return len(stated) == len(spacing) and any(
        np.allclose(order, spacing, rtol=_SPACING, atol=0) for order in (stated, stated[::-1])
    )


def _inside(says: TiffSays, axes: int) -> tuple[float, ...] | None:
    if axes == 2:
        return says.spacing_mm[1:]
    return says.spacing_mm if axes == 3 and says.spacing_mm[0] > 0 else None
