"""Mean uncertainty of a network along the boundary that it draws.

    U = 1/|E| sum_{v in E} u_v,    E = {v: d_v <= 1}

d is the distance to the boundary of the predicted label map (`aleaseg.cues`). Far from every boundary a
network is sure whatever the image is like; along it a blurred or noisy edge shows, whatever the structure's
size. u is what the network has: K / A of an evidential one, else the entropy of its probabilities over ln K.

Ours, after the principles of "Uncertainty-Supervised Interpretable and Robust Evidential Segmentation"
(MICCAI 2025, arXiv 2509.17098): uncertainty lies at boundaries, and grows with noise there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import find_objects

from aleaseg.cues import distance_map

__all__ = ["boundary_uncertainty"]


def boundary_uncertainty(
    uncertainty: ArrayLike, predicted: ArrayLike, spacing: Sequence[float] | None = None
) -> float:
    """Mean uncertainty within one voxel of the predicted boundary; high = doubtful.

    Args:
        uncertainty: (*grid) in [0, 1], 1 = the network has no idea.
        predicted: (*grid) label values, 0 = background.
        spacing: of each axis, in any unit; None: all alike.

    Returns:
        In [0, 1]; NaN where nothing is predicted, or one class fills the image.

    Raises:
        ValueError: the shapes differ.

    >>> boundary_uncertainty([0.1, 0.1, 0.8, 0.6, 0.1, 0.1], [0, 0, 0, 1, 1, 1])
    0.4
    """
    u, label = np.asarray(uncertainty), np.asarray(predicted)
    if u.shape != label.shape:
        raise ValueError(f"uncertainty of {u.shape} for a label map of {label.shape}")
    (inside,) = find_objects((label != 0).astype(np.uint8)) or (None,)
    if inside is None:
        return float("nan")
    # Nothing further out than two voxels is near a boundary, and a distance costs by the voxel.
    window = tuple(slice(max(0, one.start - 3), one.stop + 3) for one in inside)
    near = distance_map(label[window], spacing=spacing) <= 1
    return float(u[window][near].mean(dtype=np.float64)) if near.any() else float("nan")
