"""The working grid: the voxels a network sees, chosen from the sizes and spacings of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aleaseg.case import Geometry
from aleaseg.errors import CaseError
from aleaseg.networks.stages import halvings

__all__ = ["WorkingGrid", "choose_grid", "full_grid", "median_spacing", "working_shape"]

# The median case has at most so many working voxels, and a patch so many: what one step can carry on a CPU.
_CASE_VOXELS = {2: 160 * 160, 3: 400_000}
_PATCH_VOXELS = {2: 160 * 160, 3: 80_000}
# A case so many times larger is no case like the others: its header is wrong, or it shows another thing.
_MOST_TIMES = 16
# An axis with few voxels (thick slices) is not made coarser still.
_KEEP = 24


@dataclass(frozen=True)
class WorkingGrid:
    """Where a network works.

    Attributes:
        spacing_mm: of the working voxels, per axis.
        patch: what the network sees in training, in working voxels.
        levels: how often the small network halves each axis; the others plan it themselves.
    """

    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    levels: tuple[int, ...]

    def shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Working shape of a case: the same field of view on working voxels."""
        return tuple(
            max(1, round(n * native / working))
            for n, native, working in zip(geometry.shape, geometry.spacing_mm, self.spacing_mm, strict=True)
        )

    @classmethod
    def from_dict(cls, kept: Mapping[str, Sequence[float]]) -> WorkingGrid:
        """From what `asdict` made of one."""
        return cls(*(tuple(kept[name]) for name in ("spacing_mm", "patch", "levels")))  # type: ignore[arg-type]


def working_shape(
    grid: WorkingGrid, case_id: str, geometry: Geometry, usual: float | None = None
) -> tuple[int, ...]:
    """The working shape of a case.

    Args:
        grid: the working grid.
        case_id: for the error's text.
        geometry: of the case.
        usual: working voxels of a usual case; None: the most that the median may have on a small grid.

    Raises:
        CaseError: it would have more than 16 times the voxels of a usual case.
    """
    pairs = zip(geometry.shape, geometry.spacing_mm, grid.spacing_mm, strict=True)
    voxels = math.prod(max(1.0, n * native / working) for n, native, working in pairs)
    most = _MOST_TIMES * (_CASE_VOXELS[len(grid.spacing_mm)] if usual is None else usual)
    if not voxels <= most:
        size = " x ".join(
            f"{n * mm:.4g}" for n, mm in zip(geometry.shape, geometry.spacing_mm, strict=True)
        )
        spacing = " x ".join(f"{mm:.4g}" for mm in geometry.spacing_mm)
        raise CaseError(
            case_id,
            f"a spacing of {spacing} mm and a size of {size} mm, {voxels:.2g} voxels on the working grid",
            f"a field of view like the other cases', at most {most:.2g} voxels",
            "correct the spacing in the header, or leave the case out",
        )
    return grid.shape(geometry)


def choose_grid(geometries: Sequence[Geometry]) -> WorkingGrid:
    """Choose the working grid from the geometries of all cases.

    The working spacing is the median spacing, made coarser (finest axes first,
    so that voxels become more isotropic) until the median case fits; an axis
    of few slices keeps them. The patch covers the 95th percentile of the sizes
    where that fits; else its longest sides are cut.

    Args:
        geometries: of the cases, all 2D or all 3D.

    Raises:
        ValueError: 2D and 3D cases are mixed, or there are none.
    """
    dim = _dims(geometries)
    voxels = _CASE_VOXELS[dim]
    native = np.median([geometry.spacing_mm for geometry in geometries], axis=0)
    extent = np.array([np.multiply(g.shape, g.spacing_mm) for g in geometries], dtype=float)
    middle = np.median(extent, axis=0)

    def working(target_mm: float) -> np.ndarray:
        coarsest = middle / np.minimum(middle / native, _KEEP)
        return np.minimum(np.maximum(native, target_mm), np.maximum(coarsest, native))

    low, high = float(native.min()), float(middle.max())
    spacing = working(low)
    if np.prod(middle / spacing) > voxels:
        for _ in range(60):
            target = math.sqrt(low * high)
            low, high = (target, high) if np.prod(middle / working(target)) > voxels else (low, target)
        spacing = working(high)

    sizes = extent / spacing
    wanted = np.quantile(sizes, 0.95, axis=0)
    longest = float(wanted.max())
    while np.prod(np.minimum(wanted, longest)) > _PATCH_VOXELS[dim]:
        longest *= 0.98
    wanted = np.minimum(wanted, longest)
    levels = halvings(wanted)
    patch = tuple(
        max(2**level, math.ceil(n / 2**level - 1e-6) * 2**level)
        for n, level in zip(wanted, levels, strict=True)
    )
    return WorkingGrid(tuple(float(s) for s in spacing), patch, levels)


def _dims(geometries: Sequence[Geometry]) -> int:
    dims = {len(geometry.shape) for geometry in geometries}
    if len(dims) != 1:
        raise ValueError(f"expected cases of one dimension, got {sorted(dims) or 'no cases'}")
    return dims.pop()


def median_spacing(geometries: Sequence[Geometry]) -> tuple[float, ...]:
    """The spacing that nnU-Net plans for full resolution, in mm per axis: the median.

    Where one axis is more than three times as coarse as the others and has less than a third of their
    voxels, its 10th percentile, but nothing finer than the others: at the median thin slices would be lost
    between thick ones (nnU-Net 2.8, `determine_fullres_target_spacing`).

    Args:
        geometries: of the cases, all 2D or all 3D.
    """
    spacings = np.array([geometry.spacing_mm for geometry in geometries], dtype=float)
    median = np.median(spacings, axis=0)
    size = np.median([geometry.shape for geometry in geometries], axis=0)
    coarsest = int(median.argmax())
    finer, longer = np.delete(median, coarsest).max(), np.delete(size, coarsest).min()
    if median[coarsest] > 3 * finer and 3 * size[coarsest] < longer:
        median[coarsest] = max(np.percentile(spacings[:, coarsest], 10), finer)
    return tuple(float(mm) for mm in median)


def full_grid(geometries: Sequence[Geometry], patch: Sequence[int]) -> WorkingGrid:
    """The data's own resolution, and a patch of a size that is given.

    Args:
        geometries: of the cases, all 2D or all 3D.
        patch: in working voxels.

    Raises:
        ValueError: 2D and 3D cases are mixed, there are none, or the patch has other axes.
    """
    dim = _dims(geometries)
    if len(patch) != dim:
        raise ValueError(f"a patch of {len(patch)} axes for {dim}D images; expected {dim} numbers")
    return WorkingGrid(median_spacing(geometries), tuple(patch), halvings(patch))
