"""What a mask alone tells: size, pieces, place, the border of the image.

As in the checks people write by hand before a training; none of it needs a
network or the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["mask_statistics"]

_SMALLEST_PIECE = 2


def mask_statistics(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> Mapping[str, float]:
    """Statistics of one class's mask.

    Args:
        mask: (*spatial).
        spacing_mm: per axis.

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
    window = ndimage.find_objects(mask.astype(np.int8))[0]
    small = mask[window]
    pieces, count = ndimage.label(small, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(pieces.ravel())[1:]
    large = int(np.count_nonzero(sizes >= _SMALLEST_PIECE)) or count
    on_face = np.zeros(small.shape, dtype=bool)
    for axis, (part, size) in enumerate(zip(window, mask.shape, strict=True)):
        # An axis of few slices is always full: a face there says nothing.
        if size < 8:
            continue
        face = np.moveaxis(on_face, axis, 0)
        if part.start == 0:
            face[0] = True
        if part.stop == size:
            face[-1] = True
    centre = [
        (float(np.mean(index)) + part.start - (size - 1) / 2) * mm
        for index, part, size, mm in zip(np.nonzero(small), window, mask.shape, spacing_mm, strict=True)
    ]
    return {
        "volume_mm3": voxels * float(np.prod(spacing_mm)),
        "components": float(large),
        "extra_components": 1 - float(sizes.max()) / voxels,
        "border": int(np.count_nonzero(small & on_face)) / voxels,
        **{f"centroid_{name}": value for name, value in zip(names, centre, strict=True)},
    }
