"""A volume in RAS+ order, for models that know left from right, and its maps depth first again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry

__all__ = ["depth_first", "to_ras"]


def to_ras(array: NDArray, geometry: Geometry) -> tuple[NDArray, tuple[float, float, float]]:
    """Axes permuted and flipped so that they run to the right, to the front and upwards.

    Args:
        array: (D, H, W) as cases have it.
        geometry: where its voxels lie; without an affine the axes are taken for z, y, x as they run.

    Returns:
        The array (x, y, z), a view where that is possible, and its spacing in mm along x, y, z.
    """
    from nibabel.orientations import apply_orientation, io_orientation

    if geometry.affine is None:
        z, y, x = geometry.spacing_mm
        return array.transpose(2, 1, 0), (x, y, z)
    orientation = io_orientation(geometry.affine)
    spacing = np.empty(3)
    spacing[orientation[:, 0].astype(int)] = geometry.spacing_mm
    return apply_orientation(array, orientation), (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def depth_first(array: NDArray) -> NDArray:
    """(x, y, z) -> (z, y, x): S reads slices as rows."""
    return array.transpose(2, 1, 0)
