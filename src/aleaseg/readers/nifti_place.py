"""Where the voxels of a NIfTI or Analyze file lie, and what its header says of that in two ways that differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry
from aleaseg.errors import Unreadable
from aleaseg.readers.files import COPY_AGAIN
from aleaseg.readers.headers import corners_apart, note, skewed_axes, two_spacings, units_note

__all__ = ["damaged", "placed"]

# What the lowest three bits of xyzt_units say, and how many mm it is; none stands for mm.
_UNITS = {0: ("mm", 1.0), 1: ("metre", 1000.0), 2: ("mm", 1.0), 3: ("micrometre", 1e-3)}
# Headers are written with few digits: a tenth of a voxel is no second position.
_APART = 0.1


def damaged(path: Path, case: str, what: str) -> Unreadable:
    """What to say of a header that makes no sense."""
    return Unreadable(case, f"a damaged header in {path}: {what}", "a NIfTI file", COPY_AGAIN)


def placed(
    header: Any, analyze: bool, dims: tuple[int, ...], path: Path, case: str
) -> tuple[Geometry, tuple[Finding, ...]]:
    """Where the voxels lie, and what to know about it."""
    zooms = tuple(float(zoom) for zoom in header.get_zooms()[:3])
    if analyze:
        unknown = note(
            case,
            "no_position",
            "a header that says which side is left",
            f"an Analyze header, {path.name}, which cannot",
            "know which program wrote it, and convert it to NIfTI with that program's rule",
        )
        scale = float(header["funused1"])
        if math.isfinite(scale) and scale not in (0, 1):
            return _geometry(dims, zooms, None, path, case), (unknown, _spm_scale(scale, path, case))
        return _geometry(dims, zooms, None, path, case), (unknown,)
    unit, mm = _UNITS.get(int(header["xyzt_units"]) & 7, ("of an unknown code", 1.0))
    zooms = tuple(zoom * mm for zoom in zooms)
    affine, other, notes = _worlds(header, mm, path, case)
    geometry = _geometry(dims, zooms, affine, path, case)
    if affine is not None:
        found = [*notes, *skewed_axes(geometry, path, case)]
        if other is not None and geometry.affine is not None and np.isfinite(other).all():
            other = other[:, [2, 1, 0, 3]]
            apart = corners_apart(geometry.shape, geometry.affine, other)
            if apart > _APART * min(geometry.spacing_mm):
                found.append(_two_positions(apart, header, path, case))
        stated = tuple(abs(zoom) for zoom in zooms[: len(dims)][::-1])
        if not np.allclose(stated, geometry.spacing_mm, rtol=0.01, atol=0):
            ours = f"the affine of {path.name}"
            found.append(
                two_spacings(case, ours, geometry.spacing_mm, "its pixdim, as ITK reads it", stated)
            )
        notes = tuple(found)
    if unit != "mm":
        notes = (*notes, units_note(unit, mm, geometry.spacing_mm, path, case))
    return geometry, notes


def _spm_scale(scale: float, path: Path, case: str) -> Finding:
    return note(
        case,
        "two_scales",
        "values as they are stored, as ITK reads an Analyze file",
        f"a factor of {scale:.6g} in {path.name}, by which SPM and nibabel multiply",
        "read without the factor; convert the file to NIfTI, which can state it",
    )


def _worlds(
    header: Any, mm: float, path: Path, case: str
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, tuple[Finding, ...]]:
    """The affine that is read, the other one where there are two, and a note where that one is broken."""
    scale = np.diag([mm, mm, mm, 1.0])
    by_sform = int(header["sform_code"]) > 0
    by_qform = int(header["qform_code"]) > 0
    quaternion = None
    broken: tuple[Finding, ...] = ()
    if by_qform:
        try:
            quaternion = scale @ np.asarray(header.get_qform(), np.float64)
        except Exception as error:  # nibabel raises what its numbers stumble over
            if not by_sform:
                raise damaged(path, case, f"its qform is none ({' '.join(str(error).split())})") from error
            broken = (
                note(
                    case,
                    "two_positions",
                    "a qform and an sform that agree",
                    f"a damaged qform in {path.name} ({' '.join(str(error).split())[:80]}); the sform was read",
                    "write the header again, as ITK reads the qform of some files",
                ),
            )
    if not by_sform:
        return quaternion, None, broken
    return scale @ np.asarray(header.get_sform(), np.float64), quaternion, broken


def _two_positions(apart: float, header: Any, path: Path, case: str) -> Finding:
    return note(
        case,
        "two_positions",
        "a qform and an sform that agree",
        f"corners up to {apart:.3g} mm apart by the sform (code {int(header['sform_code'])}, read here) and by the "
        f"qform (code {int(header['qform_code'])}) of {path.name}",
        "ITK, nnU-Net and Slicer may read the other; find out which is right and write it into both",
    )


def _geometry(
    dims: tuple[int, ...],
    zooms: tuple[float, ...],
    affine: NDArray[np.float64] | None,
    path: Path,
    case: str,
) -> Geometry:
    """Array order: the axes of NIfTI, (x, y, z), turned round."""
    if affine is None:
        spacing = np.abs(zooms[: len(dims)])
    else:
        if not np.isfinite(affine).all():
            raise damaged(path, case, "its affine is not finite")
        spacing = np.linalg.norm(affine[:3, : len(dims)], axis=0)
        if len(dims) == 3 and abs(np.linalg.det(affine[:3, :3])) < 1e-6 * spacing.prod():
            raise damaged(path, case, "two axes of its affine have one direction")
        affine = affine[:, [2, 1, 0, 3]]
    if not np.isfinite(spacing).all() or not (spacing > 0).all():
        raise damaged(path, case, f"its voxel spacing is {tuple(spacing.tolist())} mm")
    return Geometry(dims[::-1], tuple(float(length) for length in spacing[::-1]), affine)
