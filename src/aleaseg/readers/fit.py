"""Whether voxels can be used, and whether an image and its label lie on one grid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry, Stored
from aleaseg.readers.headers import corners_apart

__all__ = ["differs_in_world", "image_fault", "image_hash", "known_to_one"]

# Headers are written with few digits: a tenth of a voxel, anywhere in the volume, is no fault.
_TOLERANCE_VOXELS = 0.1
_TOLERANCE_SPACING = 0.01


def image_hash(image: Stored) -> str:
    """The same for the same voxels: 32 hexadecimal digits.

    Args:
        image: whose values count, as float32.
    """
    digest = hashlib.sha256(str((len(image.channels), *image.channels[0].shape)).encode())
    for values in _slices(image):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:32]


def image_fault(image: Stored) -> tuple[str, str] | None:
    """What makes an image useless, (short name, in words): NaN, infinite or constant voxels.

    Args:
        image: whose values count, as float32.

    Returns:
        ("nan" | "infinite" | "constant", what was found), or None.
    """
    for number in range(len(image.channels)):
        where = f" in channel {number}" if len(image.channels) > 1 else ""
        found = [(float(one.min()), float(one.max())) for one in _slices(image, number) if one.size]
        low, high = np.min(found), np.max(found)
        size = image.channels[number].size
        if np.isnan(low):
            bad = sum(int(np.isnan(one).sum()) for one in _slices(image, number))
            return "nan", f"{bad} voxels of {size} are NaN{where}"
        if np.isinf(low) or np.isinf(high):
            bad = sum(int(np.isinf(one).sum()) for one in _slices(image, number))
            return "infinite", f"{bad} voxels of {size} are infinite{where}"
        if low == high:
            return "constant", f"every voxel is {low:.6g}{where}"
    return None


def _slices(image: Stored, number: int | None = None) -> Iterator[NDArray[np.float32]]:
    """The values of a channel, or of all, a slice at a time: what is made of one stays in the processor's cache."""
    for channel, scale in list(zip(image.channels, image.scales, strict=True))[
        slice(None) if number is None else slice(number, number + 1)
    ]:
        for flat in channel:
            # Beyond float32 is infinite, which is one of the faults.
            with np.errstate(over="ignore", invalid="ignore"):
                yield Stored.scaled(flat, scale).astype(np.float32, copy=False)


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
