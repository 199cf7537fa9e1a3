r"""What uncertainty is ordered by: a voxel's distance from the nearest boundary, and how strong the gradient is.

    boundary = voxels with a neighbour (8 in 2D, 26 in 3D) of another label: both sides of every border
    d        = Euclidean distance to the boundary, 0 on it; the image's edge is none
    g        = sqrt(sum of squared central differences) + 1e-8, one-sided at the edges

Lengths are in voxels of the finest edge: a grid of 3 x 1 x 1 mm has steps of 3, 1 and 1.

A patch without a boundary has d = inf everywhere: it is far from all that it shows. Where
nobody annotated d is NaN, and there is no boundary to it: NaN fails every comparison, so
such a voxel is neither near nor far, and stays out of every sum.

Sources: "Uncertainty-Supervised Interpretable and Robust Evidential Segmentation" (MICCAI
2025, arXiv 2509.17098), which has pixels, and measures phantom distances where there is no
boundary (`phantom`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["distance_map", "gradient_map"]

_LUMINANCE = (0.2989, 0.587, 0.114)


def distance_map(
    label: ArrayLike,
    *,
    spacing: Sequence[float] | None = None,
    ignore_index: int | None = None,
    phantom: bool = False,
) -> NDArray[np.float32]:
    """How far each voxel lies from the nearest boundary of a label map.

    Args:
        label: (*spatial) whole numbers, or bool.
        spacing: of each axis, in any unit; None: all alike.
        ignore_index: label value of voxels that nobody annotated.
        phantom: without a boundary, the distance to a point just before the first voxel, as
            the official code has it. False: infinity.

    Returns:
        (*spatial) float32 >= 0, 0 on the boundary; inf: there is none; NaN: not annotated.

    Raises:
        ValueError: the label has no axis or no whole numbers, or the spacing does not fit.

    >>> distance_map([0, 0, 0, 1, 1]).tolist()
    [2.0, 1.0, 0.0, 0.0, 1.0]
    """
    from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter

    label = np.asarray(label)
    if label.ndim < 1 or not (label.dtype == bool or np.issubdtype(label.dtype, np.integer)):
        raise ValueError(f"the label is {label.shape} of {label.dtype}; expected (*spatial) whole numbers")
    steps = _steps(spacing, label.ndim)
    label = label.astype(np.int32)
    counted = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
    bounds = np.iinfo(np.int32)  # SciPy filters in doubles, which round those of int64
    # Voxels that do not count are never the greatest or the least of a neighbourhood.
    most = maximum_filter(np.where(counted, label, bounds.min), 3, mode="nearest")
    least = minimum_filter(np.where(counted, label, bounds.max), 3, mode="nearest")
    boundary = counted & (most > least)
    if boundary.any():
        distance = distance_transform_edt(~boundary, sampling=steps).astype(np.float32)
    elif phantom:
        corner = (-1.0,) + (0.0,) * (label.ndim - 1)
        axes = np.ogrid[tuple(slice(edge) for edge in label.shape)]
        squares = [((x - x0) * step) ** 2 for x, x0, step in zip(axes, corner, steps, strict=True)]
        distance = np.sqrt(sum(squares)).astype(np.float32)
    else:
        distance = np.full(label.shape, np.inf, np.float32)
    distance[~counted] = np.nan
    return distance


def gradient_map(
    image: ArrayLike, *, spacing: Sequence[float] | None = None, luminance: bool | None = None
) -> NDArray[np.float32]:
    """How strongly an image changes at each voxel; of the image as the network sees it.

    Args:
        image: (channel, *spatial), normalised.
        spacing: of each spatial axis, in any unit; None: all alike.
        luminance: three channels are red, green and blue, and become one, .2989 R + .587 G + .114 B; False:
            the mean of the channels' own gradients. None: for three channels in 2D.

    Returns:
        (*spatial) float32 > 0, high = strong, in units of the image per voxel of the finest edge. An axis of
        one voxel does not change.

    Raises:
        ValueError: no channel or spatial axis, or the spacing does not fit.

    >>> gradient_map([[0.0, 1.0, 4.0]]).tolist()
    [1.0, 2.0, 3.0]
    """
    image = np.asarray(image)
    if image.ndim < 2 or not len(image):
        raise ValueError(f"the image is {image.shape}; expected (channel, *spatial)")
    image = image.astype(np.float64 if image.dtype == np.float64 else np.float32, copy=False)
    steps = _steps(spacing, image.ndim - 1)
    if luminance is None:
        luminance = image.shape[0] == 3 and image.ndim == 3
    if luminance:
        if len(image) != 3:
            raise ValueError(
                f"the image has {len(image)} channels; luminance is of three, red, green and blue"
            )
        image = np.tensordot(np.asarray(_LUMINANCE, image.dtype), image, 1)[None]
    changing = [axis for axis, edge in enumerate(image.shape[1:]) if edge > 1]
    strength = np.zeros(image.shape[1:], image.dtype)
    for channel in image:
        squares = np.zeros_like(strength)
        for axis in changing:
            squares += np.gradient(channel, steps[axis], axis=axis) ** 2
        strength += np.sqrt(squares)
    return (strength / len(image) + 1e-8).astype(np.float32)


def _steps(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
    """Lengths of a voxel in parts of its shortest one."""
    if spacing is None:
        return (1.0,) * axes
    lengths = tuple(float(length) for length in spacing)
    if len(lengths) != axes or not all(0 < length < np.inf for length in lengths):
        raise ValueError(f"spacing is {lengths} for {axes} spatial axes; expected a length > 0 for each")
    return tuple(length / min(lengths) for length in lengths)
