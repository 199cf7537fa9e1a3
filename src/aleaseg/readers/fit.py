"""Whether voxels can be used, and whether an image and its label lie on one grid."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry
from aleaseg.readers.headers import corners_apart

__all__ = ["differs_in_world", "image_fault", "image_hash", "known_to_one"]

# Headers are written with few digits: a tenth of a voxel, anywhere in the volume, is no fault.
_TOLERANCE_VOXELS = 0.1
_TOLERANCE_SPACING = 0.01


def image_hash(array: NDArray) -> str:
    """The same for the same voxels: 32 hexadecimal digits.

    Args:
        array: (channel, *spatial), taken as float32.
    """
    array = np.ascontiguousarray(array, dtype=np.float32)
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(array.data)
    return digest.hexdigest()[:32]


def image_fault(array: NDArray) -> tuple[str, str] | None:
    """What makes an image useless, (short name, in words): NaN, infinite or constant voxels.

    Args:
        array: (channel, *spatial).

    Returns:
        ("nan" | "infinite" | "constant", what was found), or None.
    """
    for number, channel in enumerate(array):
        where = f" in channel {number}" if len(array) > 1 else ""
        with np.errstate(invalid="ignore"):
            low, high = channel.min(), channel.max()
        if np.isnan(low) or np.isnan(high):
            return "nan", f"{int(np.isnan(channel).sum())} voxels of {channel.size} are NaN{where}"
        if np.isinf(low) or np.isinf(high):
            return (
                "infinite",
                f"{int(np.isinf(channel).sum())} voxels of {channel.size} are infinite{where}",
            )
        if low == high:
            return "constant", f"every voxel is {low:.6g}{where}"
    return None


def differs_in_world(first: Geometry, second: Geometry) -> str | None:
    """How two geometries of one shape lie apart, in words; None where they agree.

    Spacing may differ by 1%, and no corner of the volume may be off by more than a
    tenth of the smallest spacing. Where either has no world (PNG, TIFF, a NIfTI
    without sform and qform) positions are not compared, and where the spacing is
    unknown too, nothing is.
    """
    flat = [geometry.affine is None and set(geometry.spacing_mm) == {1.0} for geometry in (first, second)]
    if any(flat):
        return None
    ours, theirs = np.array(first.spacing_mm), np.array(second.spacing_mm)
    if ours.shape != theirs.shape:
        return f"{len(theirs)} axes instead of {len(ours)}"
    if not np.allclose(ours, theirs, rtol=_TOLERANCE_SPACING, atol=0):
        return f"spacing {_mm(second.spacing_mm)} instead of {_mm(first.spacing_mm)}"
    if first.affine is None or second.affine is None:
        return None
    apart = corners_apart(first.shape, first.affine, second.affine)
    if apart > _TOLERANCE_VOXELS * ours.min():
        return f"its corners lie up to {apart:.3g} mm away (origin, direction or spacing differ)"
    return None


def known_to_one(first: Geometry, second: Geometry) -> str | None:
    """What only one of two geometries states, its position or its spacing, in words; None where both or neither do.

    Args:
        first: of the image.
        second: of its label.
    """
    for name, stated in (
        ("position", [geometry.affine is not None for geometry in (first, second)]),
        (
            "spacing",
            [
                geometry.affine is not None or set(geometry.spacing_mm) != {1.0}
                for geometry in (first, second)
            ],
        ),
    ):
        if stated[0] != stated[1]:
            knows, lacks = ("image", "label") if stated[0] else ("label", "image")
            return f"a {name} in the {knows} alone; the {lacks} states none"
    return None


def _mm(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{mm:.4g}" for mm in spacing) + " mm"
