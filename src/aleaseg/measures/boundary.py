"""The boundary of a mask: how it is drawn, and what the image shows along it.

A mask can have the right size at the right place and still be wrong along its whole border: drawn
on a coarser grid, bent, repeated from slice to slice. Its overlap with a prediction then falls by
little. Two kinds of statistics see it; none of them needs a network.

*Shape*, of the mask M alone:

    roughness = 1 - |M o B| / |M|,   o: morphological opening, B: a voxel and those that share a face with it
    step      = ln of the mean length, in voxels, of the straight runs of faces that bound M

*Contrast*, of M and the image I, with R the ring of three voxels around M in the slice:

    rim_contrast   = (mean of I in M - mean in R) / sd in M and R
    rim_spread     = sd of I in M / sd in M and R
    edge_alignment = |mean of dI/dn| / mean of |grad I|   one voxel to either side of the border,
                     n: normal of the border; both smoothed by a Gaussian of one voxel

Opening: Serra, "Image analysis and mathematical morphology" (1982). How they are put together,
and that they find such masks, is this package's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["BOUNDARY_SHAPE", "NO_BORDER", "boundary_contrast", "boundary_shape"]

_RING = 3
_SMOOTHED = 1.0
# Of the ring, and what smoothing reaches.
_MARGIN = 5
BOUNDARY_SHAPE = ("roughness", "step", "step_across")
"""The statistics of shape."""
NO_BORDER: Mapping[str, float] = {"rim_contrast": 0.0, "rim_spread": 1.0, "edge_alignment": 0.0}
"""What each statistic of contrast is where the image shows no border at all."""


def boundary_shape(mask: NDArray[np.bool_]) -> dict[str, float]:
    """How the border of one class's mask is drawn.

    Args:
        mask: (*spatial), 2D or 3D, slices first.

    Returns:
        `roughness` in [0, 1], 0 = smooth; `step` >= 0, of the borders within slices, 0 = every run is one
        voxel, ln k and more on a grid that is coarser by k; `step_across`, the same of the borders as they
        are seen across the slices (3D alone). NaN for an empty mask.

    Raises:
        ValueError: neither 2D nor 3D.
    """
    if mask.ndim not in (2, 3):
        raise ValueError(f"the mask has shape {mask.shape}; expected two or three axes")
    names = BOUNDARY_SHAPE[: mask.ndim]
    if not mask.any():
        return dict.fromkeys(names, float("nan"))
    small = np.pad(mask[_box(mask)], 1)
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    opened = ndimage.binary_opening(small, cross)
    faces = _in_slices(small)
    found = [1 - np.count_nonzero(opened) / np.count_nonzero(small), _step(faces)]
    if mask.ndim == 3:
        across = [run for axis in (1, 2) for run in _in_slices(np.moveaxis(small, axis, 0))]
        found.append(_step(across))
    return dict(zip(names, map(float, found), strict=True))


def boundary_contrast(
    mask: NDArray[np.bool_], image: NDArray, valid: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """What one channel of the image shows along the border of one class's mask.

    All of it is unchanged where grey values are scaled and shifted by a positive factor.

    Args:
        mask: (*spatial), 2D or 3D, slices first.
        image: (*spatial), finite.
        valid: (*spatial), voxels that somebody looked at; None: all.

    Returns:
        `rim_contrast`, positive where the mask is brighter than its ring, 0 = no contrast; `rim_spread` >= 0,
        1 = inside as varied as inside and ring together, small = even inside; `edge_alignment` in [0, 1], 1 =
        grey values change along the border's normal everywhere and in the same sense. NaN for an empty mask,
        and where there is no ring or all is of one grey value.

    Raises:
        ValueError: shapes differ.
    """
    if mask.shape != image.shape or (valid is not None and valid.shape != mask.shape):
        raise ValueError(f"the mask has shape {mask.shape}, the image {image.shape}; expected the same")
    nothing = dict.fromkeys(NO_BORDER, float("nan"))
    if not mask.any():
        return nothing
    window = tuple(slice(max(part.start - _MARGIN, 0), part.stop + _MARGIN) for part in _box(mask))
    inside, grey = mask[window], image[window].astype(np.float32)
    known = np.ones(inside.shape, dtype=bool) if valid is None else valid[window]
    plane = _in_plane(mask.ndim)
    ring = ndimage.binary_dilation(inside, plane, iterations=_RING) & ~inside & known
    one, other = grey[inside].astype(np.float64), grey[ring].astype(np.float64)
    both = np.concatenate([one, other])
    spread = float(both.std())
    if not other.size or not spread > 1e-6 * max(1.0, float(np.abs(both).max())):
        return nothing
    return {
        "rim_contrast": (float(one.mean()) - float(other.mean())) / spread,
        "rim_spread": float(one.std()) / spread,
        "edge_alignment": _alignment(inside, (grey - np.float32(both.mean())) / np.float32(spread), known),
    }


def _alignment(inside: NDArray[np.bool_], grey: NDArray[np.float32], known: NDArray[np.bool_]) -> float:
    plane = _in_plane(inside.ndim)
    band = ndimage.binary_dilation(inside, plane) & ~ndimage.binary_erosion(inside, plane, border_value=1)
    band &= known
    sigma = (0.0,) * (inside.ndim - 2) + (_SMOOTHED, _SMOOTHED)
    if not band.any() or min(inside.shape[-2:]) < 2:
        return float("nan")
    soft = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    shown = ndimage.gaussian_filter(grey, sigma)
    along = [(np.gradient(soft, axis=axis)[band], np.gradient(shown, axis=axis)[band]) for axis in (-2, -1)]
    steep = np.sqrt(sum(of_mask**2 for of_mask, _ in along))
    total = float(np.sqrt(sum(of_image**2 for _, of_image in along)).mean())
    normal = sum(of_mask * of_image for of_mask, of_image in along) / np.maximum(steep, 1e-6)
    return float(abs(normal.mean()) / total) if total > 0 else float("nan")


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Where a mask lies that is not empty."""
    found = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        found.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(found)


def _in_plane(dims: int) -> NDArray[np.bool_]:
    """A voxel and its four neighbours in the slice: slices lie too far apart to be one border."""
    cross = ndimage.generate_binary_structure(2, 1)
    return cross if dims == 2 else cross[None]


def _in_slices(padded: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Lengths of the straight runs of faces within slices, of a mask with a margin of one voxel."""
    slices = padded if padded.ndim == 3 else padded[None]
    found = []
    for axis in (1, 2):
        faces = np.diff(slices.astype(np.int8), axis=axis)
        for side in (1, -1):
            # Where a run begins and where it ends, along the other axis; the margin holds no face.
            change = np.diff((faces == side).astype(np.int8), axis=3 - axis)
            along = np.moveaxis(change, 3 - axis, -1)
            begins, ends = np.nonzero(along == 1)[-1], np.nonzero(along == -1)[-1]
            found.append(ends - begins)
    return found


def _step(runs: list[NDArray[np.int64]]) -> float:
    return float(np.log(np.mean(np.concatenate(runs))))
