"""Whether a label that lies elsewhere than its image is turned, or has another header, and what helps."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry

__all__ = ["geometry_advice"]

_TOLERANCE_VOXELS = 0.1


def geometry_advice(image: Geometry, label: Geometry) -> str:
    """What to do about a label whose header says another place than its image's.

    Where both cover the same block of the world with other axes, both headers are right: then
    the label has to be reoriented, and copying a header would turn it round. Otherwise nobody
    knows from here which header is right.

    Args:
        image: of the image.
        label: of the label.
    """
    if is_turned(image, label):
        return (
            "both headers say the same place, with axes that run other ways: reorient the label to the image "
            "(SimpleITK.Resample with nearest neighbours, or DICOMOrient on both); leave the headers as they are"
        )
    return (
        "look at both in a viewer that follows the headers (3D Slicer, ITK-SNAP): where the mask lies right there, "
        "resample it to the image's grid; only where it lies wrong there and right without headers, a header is "
        "damaged: export that file again"
    )


def is_turned(image: Geometry, label: Geometry) -> bool:
    """Whether the corners of both blocks are the same points, in another order."""
    if image.affine is None or label.affine is None:
        return False
    ours, theirs = _corners(image), _corners(label)
    apart = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    near = _TOLERANCE_VOXELS * min(image.spacing_mm)
    same_order = np.diag(apart).max() <= near
    return bool(not same_order and apart.min(axis=1).max() <= near and apart.min(axis=0).max() <= near)


def _corners(geometry: Geometry) -> NDArray[np.float64]:
    """(8, 3) in mm."""
    lengths = (1,) * (3 - len(geometry.shape)) + geometry.shape
    indices = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in lengths))])
    assert geometry.affine is not None
    return indices @ geometry.affine.T[:, :3]
