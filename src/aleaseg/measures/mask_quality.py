"""What a mask alone tells: size, pieces, place, the border of the image.

As in the checks people write by hand before a training; none of it needs a
network or the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.measures.regions import Window, occupied, slabs

__all__ = ["mask_statistics"]

_SMALLEST_PIECE = 2


def mask_statistics(
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    *,
    window: Window | None = None,
    shape: Sequence[int] | None = None,
) -> Mapping[str, float]:
    """Statistics of one class's mask.

    Args:
        mask: (*spatial).
        spacing_mm: per axis.
        window: where the mask was cut out of a larger one that is empty elsewhere; None: it is the whole.
        shape: of the larger one.

    Returns:
        `volume_mm3` (0 for an empty mask; mm^2 in 2D); the others are NaN for an empty one:
        `components` (pieces joined by face, edge or corner, single voxels left out),
        `extra_components` (share of the volume outside the largest piece, in [0, 1)),
        `border` (share of the mask's voxels on a face of the image), and the centroid
        from the image's centre `centroid_d`, `centroid_h`, `centroid_w` in mm.
    """
    names = ("d", "h", "w")[-mask.ndim :]
    voxels = int(np.count_nonzero(mask))
    missing = {
        name: float("nan")
        for name in ("components", "extra_components", "border", *(f"centroid_{a}" for a in names))
    }
    if not voxels:
        return {"volume_mm3": 0.0, **missing}
    sizes_of_image = mask.shape if shape is None else tuple(shape)
    begins = [0] * mask.ndim if window is None else [part.start for part in window]
    inner = occupied(mask)
    assert inner is not None
    small = mask[inner]
    begins = [begin + part.start for begin, part in zip(begins, inner, strict=True)]
    sizes = _pieces(small)
    large = int(np.count_nonzero(sizes >= _SMALLEST_PIECE)) or len(sizes)
    along = [
        np.count_nonzero(small, axis=tuple(other for other in range(mask.ndim) if other != axis))
        for axis in range(mask.ndim)
    ]
    centre = [
        (float(np.dot(np.arange(len(counts)), counts) / voxels) + begin - (size - 1) / 2) * mm
        for counts, begin, size, mm in zip(along, begins, sizes_of_image, spacing_mm, strict=True)
    ]
    return {
        "volume_mm3": voxels * float(np.prod(spacing_mm)),
        "components": float(large),
        "extra_components": 1 - float(sizes.max()) / voxels,
        "border": _on_faces(small, begins, sizes_of_image) / voxels,
        **{f"centroid_{name}": value for name, value in zip(names, centre, strict=True)},
    }


def _pieces(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sizes of the pieces of a mask, in voxels."""
    pieces, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.zeros(count + 1, np.int64)
    for part in slabs(pieces.shape):  # counting copies what it counts, to eight bytes each
        sizes += np.bincount(pieces[part].ravel(), minlength=count + 1)
    return sizes[1:]


def _on_faces(small: NDArray[np.bool_], begins: Sequence[int], shape: Sequence[int]) -> int:
    """How many voxels of a mask lie on a face of the image that it was cut out of."""
    inner = []
    for begin, length, size in zip(begins, small.shape, shape, strict=True):
        # An axis of few slices is always full: a face there says nothing.
        first = 1 if size >= 8 and begin == 0 else 0
        last = length - 1 if size >= 8 and begin + length == size else length
        inner.append(slice(first, last))
    return int(np.count_nonzero(small)) - int(np.count_nonzero(small[tuple(inner)]))
