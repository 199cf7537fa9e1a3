"""Known faults in a label map that take a piece away or add one.

The functions are called as those of `masks` are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption.corruption import ImpossibleFault
from aleaseg.corruption.masks import distances, present, smooth_field, steps

__all__ = ["drop_component", "false_component"]


def drop_component(mask: NDArray, rng: Generator) -> NDArray:
    """Turn one connected component into background, as a lesion that was overlooked.

    The largest component of each class stays. Components touch over faces, edges or corners;
    those of a single voxel do not count.

    Args:
        mask: integer label map (*spatial).
        rng: draws the component, the more likely the larger it is.

    Raises:
        ImpossibleFault: no class has two components of two or more voxels.
    """
    from scipy.ndimage import find_objects, label

    found: list[tuple[int, NDArray]] = []
    touching = np.ones((3,) * mask.ndim)
    for value in present(mask, at_least=1):
        box = find_objects((mask == value).astype(np.uint8))[0]
        numbered, _ = label(mask[box] == value, structure=touching)
        sizes = np.bincount(numbered.ravel())
        order = 1 + np.argsort(-sizes[1:], kind="stable")
        for number in order[1:]:
            if sizes[number] >= 2:
                here = np.argwhere(numbered == number) + [part.start for part in box]
                found.append((int(sizes[number]), here))
    if not found:
        raise ImpossibleFault(
            "no class of this mask has two components of two or more voxels; none can be dropped"
        )
    weights = np.array([size for size, _ in found], dtype=float)
    _, voxels = found[rng.choice(len(found), p=weights / weights.sum())]
    result = mask.copy()
    result[tuple(voxels.T)] = 0
    return result


def false_component(
    mask: NDArray,
    rng: Generator,
    *,
    voxels: int = 100,
    value: int | None = None,
    spacing: Sequence[float] | None = None,
) -> NDArray:
    """Add a blob of a class where there is none; it touches nothing.

    Args:
        mask: integer label map (*spatial).
        rng: draws the class, the centre and the uneven surface.
        voxels: how many the blob has; where there is less room it is smaller, down to half; 0 changes nothing.
        value: the class, instead of a drawn one among those present.
        spacing: of the axes, see above.

    Raises:
        ImpossibleFault: the mask is empty, or there is no room.
    """
    from scipy.ndimage import binary_dilation

    values = present(mask, at_least=1)
    value = int(rng.choice(values)) if value is None else value
    if voxels <= 0:
        return mask.copy()
    step = steps(mask, spacing)
    volume = voxels * np.prod(step)
    radius = float(np.sqrt(volume / np.pi) if mask.ndim == 2 else np.cbrt(volume * 3 / (4 * np.pi)))
    centre = _free_place(mask, rng, radius, step)
    reach = np.ceil((2 * radius + 4) / step).astype(int)
    box = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))
    part = mask[box]
    distance = distances(part.shape, [c - b.start for c, b in zip(centre, box, strict=True)], step)
    # Within this reach a blob cannot touch what lies outside the box.
    free = (distance <= 2 * radius + 2) & ~binary_dilation(part != 0, structure=np.ones((3,) * mask.ndim))
    distance += 0.15 * radius * smooth_field(part.shape, rng, np.maximum(radius / 2, 1) / step)
    room = int(np.count_nonzero(free))
    if 2 * room < voxels or room == 0:
        raise ImpossibleFault(f"there is no room next to the mask for a blob of {voxels} voxels")
    nearest = np.argsort(np.where(free, distance, np.inf), axis=None, kind="stable")[: min(voxels, room)]
    blob = np.zeros(part.shape, bool)
    blob.flat[nearest] = True
    result = mask.copy()
    result[box][blob] = value
    return result


def _free_place(mask: NDArray, rng: Generator, radius: float, step: NDArray) -> NDArray:
    """A voxel with `radius` of room to the mask and to the faces of the array, or with the most there is."""
    from scipy.ndimage import distance_transform_edt

    # Every so many voxels will do: it is a place, not a shape.
    skip = max(1, round((mask.size / 2e5) ** (1 / mask.ndim)))
    places = (slice(None, None, skip),) * mask.ndim
    background = mask[places] == 0
    if not background.any():
        raise ImpossibleFault("there is no room next to the mask: it fills the array")
    room = (
        np.full(background.shape, np.inf)
        if background.all()
        else distance_transform_edt(background, sampling=step * skip)
    )
    grid = np.ix_(*[np.arange(0, size, skip) for size in mask.shape])
    for at, size, along in zip(grid, mask.shape, step, strict=True):
        room = np.minimum(room, (np.minimum(at, size - 1 - at) + 1) * along * background)
    roomy = np.argwhere(room >= min(radius + 2, room.max()))
    return np.asarray(roomy[rng.integers(len(roomy))] * skip)
