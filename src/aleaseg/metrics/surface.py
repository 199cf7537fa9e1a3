r"""How far the surface of a predicted mask lies from that of a reference: HD95, ASSD, NSD.

With d(a, B) the distance in mm of a point of surface A to the nearest of surface B,

    HD95     = max(95th percentile of d(a, B), 95th percentile of d(b, A))
    ASSD     = mean of d(a, B) and d(b, A) together
    NSD(tau) = area of both surfaces with d <= tau / area of both surfaces

Distances and surfaces are MONAI's. HD95 and ASSD are over the voxels of the masks'
edges, each counting once, as most published numbers are (`compute_hausdorff_distance`,
`compute_average_surface_distance`). NSD is over elements of the surface between voxels,
each with its area in mm^2 (`compute_surface_dice` with `use_subvoxels`): where voxels are
longer than wide, edge voxels would count a cap as often as a wall many times its size.
The package `surface-distance` gives the same NSD; its robust Hausdorff distance weighs by
area too, and so differs from this one by up to a voxel or so, more where masks are crumbs.

Conventions: both masks empty, NaN; one empty, NSD 0, and HD95 and ASSD the diagonal of
the image, the most that two points of it can be apart. That is a penalty and no
measurement: whoever reads the number should know (`Surface.penalty`).

Sources: Huttenlocher et al. (1993); Nikolov et al., "Deep learning to achieve clinically
applicable segmentation of head and neck anatomy for radiotherapy" (2018), on NSD.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from aleaseg.metrics.overlap import check_masks

__all__ = ["Surface", "surface_distances"]


class Surface(NamedTuple):
    """How far two surfaces lie apart.

    Attributes:
        hd95_mm: from 0, high = apart; NaN where both masks are empty.
        assd_mm: from 0, high = apart; likewise.
        nsd: in [0, 1], high = alike; likewise.
        penalty: whether one mask is empty, and the distances are the image's diagonal.
    """

    hd95_mm: float
    assd_mm: float
    nsd: float
    penalty: bool


def surface_distances(
    reference: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    tolerance_mm: float = 1.0,
) -> Surface:
    """HD95, ASSD and NSD of a case.

    A volume of one slice is a picture: its faces have no surface.

    Args:
        reference: (D, H, W) or (H, W) bool.
        predicted: the same shape.
        spacing_mm: of each axis.
        tolerance_mm: tau of NSD, >= 0.

    Raises:
        ValueError: shapes, types, spacing or tolerance do not fit.

    >>> one = np.zeros((9, 9), bool)
    >>> one[2:6, 2:6] = True
    >>> found = surface_distances(one, np.roll(one, 1, axis=1), (1.0, 3.0))
    >>> found.hd95_mm, found.penalty
    (3.0, False)
    """
    check_masks(reference, predicted)
    spacing = tuple(float(mm) for mm in spacing_mm)
    if len(spacing) != reference.ndim or reference.ndim not in (2, 3) or not all(mm > 0 for mm in spacing):
        raise ValueError(
            f"spacing_mm is {spacing} for masks of shape {reference.shape}; expected mm > 0 per axis"
        )
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise ValueError(f"tolerance_mm is {tolerance_mm}; expected mm >= 0")
    there = bool(reference.any()), bool(predicted.any())
    if not any(there):
        return Surface(np.nan, np.nan, np.nan, False)
    if not all(there):
        diagonal = float(np.linalg.norm(np.multiply(reference.shape, spacing)))
        return Surface(diagonal, diagonal, 0.0, True)
    if reference.ndim == 3 and 1 in reference.shape:
        flat = reference.shape.index(1)
        reference, predicted = reference.squeeze(flat), predicted.squeeze(flat)
        spacing = spacing[:flat] + spacing[flat + 1 :]
    return Surface(*_measured(*_cropped(reference, predicted), list(spacing), tolerance_mm), False)


def _cropped(reference: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """Both masks in the box that holds them: MONAI would turn whole volumes into floats first."""
    box = find_objects((reference | predicted).astype(np.uint8))[0]
    return reference[box], predicted[box]


def _measured(
    reference: NDArray, predicted: NDArray, spacing: list[float], tolerance: float
) -> tuple[float, float, float]:
    import torch

    with warnings.catch_warnings():
        # MONAI warns of an argument that it passes to itself.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        warnings.filterwarnings("ignore", message="monai", category=FutureWarning)
        from monai.metrics import compute_surface_dice
        from monai.metrics.utils import get_edge_surface_distance

        first, second = (torch.as_tensor(np.ascontiguousarray(mask)) for mask in (predicted, reference))
        # MONAI's HD95 and ASSD would each find edges and distances anew: they are found once here.
        _, distances, _ = get_edge_surface_distance(first, second, spacing=spacing, symmetric=True)
        nsd = compute_surface_dice(
            first[None, None].float(),
            second[None, None].float(),
            [tolerance],
            include_background=True,
            spacing=spacing,
            use_subvoxels=True,
        )
    there, back = (np.asarray(each, dtype=np.float64) for each in distances)
    hd95 = max(float(np.percentile(each, 95)) for each in (there, back))
    return hd95, float(np.concatenate([there, back]).mean()), float(nsd)
