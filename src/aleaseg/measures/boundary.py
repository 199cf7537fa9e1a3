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

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.measures.morphology import grown, pairs, shrunk
from aleaseg.measures.regions import Window, occupied, slabs

__all__ = ["BOUNDARY_SHAPE", "NO_BORDER", "REACH", "boundary_contrast", "boundary_shape"]

REACH = 5
"""Voxels around a mask that its statistics look at: the ring, and what smoothing reaches."""
BOUNDARY_SHAPE = ("roughness", "step", "step_across")
"""The statistics of shape."""
NO_BORDER: Mapping[str, float] = {"rim_contrast": 0.0, "rim_spread": 1.0, "edge_alignment": 0.0}
"""What each statistic of contrast is where the image shows no border at all."""

_RING = 3
_SMOOTHED = 1.0
# Pairs of axes of a volume: faces that look along the first one, in runs along the second.
_WITHIN_SLICES = ((1, 2), (2, 1))
_ACROSS_SLICES = ((0, 1), (0, 2), (1, 0), (2, 0))


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
    found = [1 - _opened(small) / np.count_nonzero(small)]
    volume = small if small.ndim == 3 else small[None]
    faces = _faces(volume)
    for those in (_WITHIN_SLICES, _ACROSS_SLICES)[: mask.ndim - 1]:
        # A run is begun by a face that no face of its run precedes.
        of_faces, beside = np.sum([faces[pair] for pair in those], axis=0)
        found.append(np.log(of_faces / (of_faces - beside)))
    return dict(zip(names, map(float, found), strict=True))


def _opened(padded: NDArray[np.bool_]) -> int:
    """How many voxels an opening leaves."""
    axes, count = range(padded.ndim), 0
    for part in slabs(padded.shape):
        first = max(0, part.start - 2)  # an opening looks at two voxels to either side
        opened = grown(shrunk(padded[first : part.stop + 2], axes), axes)
        count += int(np.count_nonzero(opened[part.start - first : part.stop - first]))
    return count


def _faces(padded: NDArray[np.bool_]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """By the axis along which faces look, and the axis of their runs: how many faces, and how many pairs side by side.

    Args:
        padded: (D, H, W) with a margin of one voxel, which holds no face.
    """
    found = {(a, b): np.zeros(2, np.int64) for a in range(3) for b in range(3) if a != b}
    for part in slabs(padded.shape):
        slab = padded[part.start : part.stop + 1]  # a slice of the next one: faces lie between two
        own = min(part.stop, len(padded)) - part.start
        for a in range(3):
            before, behind = pairs(slab, a)
            change = before != behind
            for face in (change & behind, change & before):
                here = face[:own]
                count = np.count_nonzero(here)
                for b in {0, 1, 2} - {a}:
                    one, next_one = pairs(face if b == 0 else here, b)
                    found[a, b] += count, np.count_nonzero(one & next_one)
    return found


def boundary_contrast(
    mask: NDArray[np.bool_], image: NDArray, valid: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """What one channel of the image shows along the border of one class's mask.

    All of it is unchanged where grey values are scaled and shifted by a positive factor.

    Args:
        mask: (*spatial), 2D or 3D, slices first. A part of a larger one will do, with `REACH` voxels around the class.
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
    window = tuple(slice(max(part.start - REACH, 0), part.stop + REACH) for part in _box(mask))
    inside, grey = mask[window], image[window]
    known = None if valid is None else valid[window]
    both, count = _grey_values(inside, grey, known)
    one, other = both[:count], both[count:]
    if not other.size:
        return nothing
    spread, middle = float(both.std()), both.mean()
    if not spread > 1e-6 * max(1.0, abs(float(both.max())), abs(float(both.min()))):
        return nothing
    return {
        "rim_contrast": (float(one.mean()) - float(other.mean())) / spread,
        "rim_spread": float(one.std()) / spread,
        "edge_alignment": _alignment(inside, grey, known, np.float32(middle), np.float32(spread)),
    }


def _stacks(inside: NDArray[np.bool_]) -> Iterator[slice]:
    """A few slices at a time, those without any of the mask left out; of a picture all of it."""
    parts = slabs(inside.shape) if inside.ndim == 3 else iter((slice(None),))
    return (part for part in parts if inside[part].any())


def _grey_values(
    inside: NDArray[np.bool_], grey: NDArray, known: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], int]:
    """Grey values of a mask and then of the ring around it, and how many are the mask's."""
    of_mask, of_ring = [], []
    for part in _stacks(inside):
        mask, values = inside[part], grey[part].astype(np.float32, copy=False)
        ring = grown(mask, _in_plane(mask), _RING) & ~mask
        if known is not None:
            ring &= known[part]
        of_mask.append(values[mask])
        of_ring.append(values[ring])
    return np.concatenate([*of_mask, *of_ring], dtype=np.float64), sum(map(len, of_mask))


def _alignment(
    inside: NDArray[np.bool_],
    grey: NDArray,
    known: NDArray[np.bool_] | None,
    middle: np.float32,
    spread: np.float32,
) -> float:
    if min(inside.shape[-2:]) < 2:
        return float("nan")
    changes: list[list[NDArray[np.float32]]] = []
    sigma = (0.0,) * (inside.ndim - 2) + (_SMOOTHED, _SMOOTHED)
    for part in _stacks(inside):
        mask = inside[part]
        band = grown(mask, _in_plane(mask)) & ~shrunk(mask, _in_plane(mask))
        if known is not None:
            band &= known[part]
        soft = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
        shown = ndimage.gaussian_filter((grey[part].astype(np.float32) - middle) / spread, sigma)
        changes.append([np.gradient(of, axis=axis)[band] for of in (soft, shown) for axis in (-2, -1)])
    mask_h, mask_w, image_h, image_w = map(np.concatenate, zip(*changes, strict=True))
    if not mask_h.size:
        return float("nan")
    total = float(np.sqrt(image_h**2 + image_w**2).mean())
    steep = np.sqrt(mask_h**2 + mask_w**2)
    normal = (mask_h * image_h + mask_w * image_w) / np.maximum(steep, 1e-6)
    return float(abs(normal.mean()) / total) if total > 0 else float("nan")


def _box(mask: NDArray[np.bool_]) -> Window:
    """Where a mask lies that is not empty."""
    box = occupied(mask)
    assert box is not None
    return box


def _in_plane(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The axes of a slice: slices lie too far apart to be one border."""
    return mask.ndim - 2, mask.ndim - 1
