"""What a mask says of a patient, in numbers that nothing was learnt for: size, shape, brightness, sureness."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["image_features", "mask_features"]


def mask_features(
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    image: NDArray[np.float32] | None = None,
    probability: NDArray[np.float32] | None = None,
    uncertainty: NDArray | None = None,
) -> dict[str, float]:
    """Numbers of one mask.

    Args:
        mask: (*spatial), 2D or 3D.
        spacing_mm: per axis.
        image: (channel, *spatial).
        probability: (*spatial) of the class.
        uncertainty: (*spatial).

    Returns:
        `volume_mm3` (2D: `area_mm2`), `share` of the image, `components`, `largest_mm3` of them, `surface_mm2`
        (2D: `perimeter_mm`), `compactness` (1 = a ball), `extent_d_mm`, ..., `depth_mm` (mean distance from the
        edge); `intensity` and `intensity_sd` inside, of each channel; `probability` and `uncertainty`, their means
        inside. Of an empty mask sizes and numbers are 0, and what has no value is NaN.
    """
    flat = mask.ndim == 2
    size, edge = ("area_mm2", "perimeter_mm") if flat else ("volume_mm3", "surface_mm2")
    largest = "largest_mm2" if flat else "largest_mm3"
    axes = ("d", "h", "w")[-mask.ndim :]
    voxels = int(np.count_nonzero(mask))
    found = {size: 0.0, "share": 0.0, "components": 0.0, largest: 0.0, edge: 0.0, "compactness": math.nan}
    found |= {f"extent_{axis}_mm": 0.0 for axis in axes} | {"depth_mm": 0.0}
    if voxels:
        window = ndimage.find_objects(mask.astype(np.int8))[0]
        small = np.pad(mask[window], 1)
        pieces, count = ndimage.label(small, structure=np.ones((3,) * mask.ndim))
        one = float(np.prod(spacing_mm))
        rim = _perimeter(small, spacing_mm) if flat else _surface(small, spacing_mm)
        found[size], found["share"] = voxels * one, voxels / mask.size
        found["components"] = float(count)
        found[largest] = float(np.bincount(pieces.ravel())[1:].max()) * one
        found[edge] = rim
        if rim > 0:
            a = found[size]
            found["compactness"] = 4 * math.pi * a / rim**2 if flat else 36 * math.pi * a**2 / rim**3
        for axis, part, mm in zip(axes, window, spacing_mm, strict=True):
            found[f"extent_{axis}_mm"] = (part.stop - part.start) * mm
        found["depth_mm"] = float(ndimage.distance_transform_edt(small, sampling=spacing_mm)[small].mean())
    if image is not None:
        for place, channel in enumerate(image):
            name = f"_{place}" if len(image) > 1 else ""
            inside = channel[mask].astype(np.float64)
            found[f"intensity{name}"] = float(inside.mean()) if voxels else math.nan
            found[f"intensity_sd{name}"] = float(inside.std()) if voxels else math.nan
    for name, values in (("probability", probability), ("uncertainty", uncertainty)):
        if values is not None:
            found[name] = float(values[mask].mean(dtype=np.float64)) if voxels else math.nan
    return found


def image_features(image: NDArray[np.float32]) -> dict[str, float]:
    """Mean and standard deviation of the whole image, of each channel: what is known without any mask."""
    found = {}
    for place, channel in enumerate(image):
        name = f"_{place}" if len(image) > 1 else ""
        found[f"intensity{name}"] = float(channel.mean(dtype=np.float64))
        found[f"intensity_sd{name}"] = float(channel.std(dtype=np.float64))
    return found


def _surface(padded: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Area of the surface half-way between inside and outside, mm^2."""
    from skimage.measure import marching_cubes, mesh_surface_area

    corners, faces, _, _ = marching_cubes(padded.astype(np.float32), 0.5, spacing=tuple(spacing_mm))
    return float(mesh_surface_area(corners, faces))


def _perimeter(padded: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Length of the line half-way between inside and outside, mm."""
    from skimage.measure import find_contours

    lines = find_contours(padded.astype(np.float32), 0.5)
    steps = itertools.chain.from_iterable(np.diff(line * np.asarray(spacing_mm), axis=0) for line in lines)
    return float(sum(math.hypot(*step) for step in steps))
