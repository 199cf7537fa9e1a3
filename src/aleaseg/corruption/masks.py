"""Known faults in a label map.

Every function takes a label map (D, H, W) or (H, W) of integers, 0 = background,
and a seeded generator, and returns a new array of the same shape and dtype. The
argument is never written to. Lengths are in voxels. Where a fault has a size,
size 0 changes nothing. A mask that cannot have a fault raises `ImpossibleFault`,
a ValueError.

Some faults take a `spacing`: how far two neighbours along each axis lie apart,
counted in the voxels of one slice, so that (5, 1, 1) is a stack of thick slices.
None is the same as 1 along every axis.

`TRIAL` holds the faults of the trial of this package at the sizes used there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption.corruption import ImpossibleFault

__all__ = [
    "TRIAL",
    "coarse",
    "cut_off",
    "displace",
    "distances",
    "drop",
    "drop_slices",
    "hole",
    "mirror",
    "occupied",
    "present",
    "repeat_slices",
    "replace",
    "shift",
    "smooth_field",
    "steps",
    "swap",
    "warp",
]


def shift(mask: NDArray, rng: Generator, *, voxels: tuple[int, int] = (4, 5)) -> NDArray:
    """Move the whole mask along every axis; what comes in from outside is background.

    Args:
        mask: integer label map (*spatial).
        rng: draws the distance and the sign for each axis.
        voxels: smallest and largest distance along each axis; (0, 0) changes nothing. A
            distance as long as the axis is shortened to a third of it: the mask stays in view.
    """
    low, high = voxels
    result = mask
    for axis, size in enumerate(mask.shape):
        distance = int(rng.integers(low, high + 1))
        distance = distance if distance < size else size // 3
        step = distance * int(rng.choice((-1, 1)))
        if step == 0:
            continue
        result = np.roll(result, step, axis=axis)
        came_in = [slice(None)] * mask.ndim
        came_in[axis] = slice(0, step) if step > 0 else slice(step, None)
        result[tuple(came_in)] = 0
    return result.copy() if result is mask else result


def swap(mask: NDArray, rng: Generator) -> NDArray:
    """Exchange two classes.

    Args:
        mask: integer label map (*spatial).
        rng: draws the two classes among those present.

    Raises:
        ImpossibleFault: fewer than two classes are present.
    """
    first, second = rng.choice(present(mask, at_least=2), size=2, replace=False)
    result = mask.copy()
    result[mask == first] = second
    result[mask == second] = first
    return result


def drop(mask: NDArray, rng: Generator) -> NDArray:
    """Turn one class into background, as where an annotator forgot it.

    Args:
        mask: integer label map (*spatial).
        rng: draws the class among those present.

    Raises:
        ImpossibleFault: the mask is empty.
    """
    result = mask.copy()
    result[mask == rng.choice(present(mask, at_least=1))] = 0
    return result


def hole(mask: NDArray, rng: Generator, *, radius: float = 9.0) -> NDArray:
    """Take a ball out of the mask.

    Args:
        mask: integer label map (*spatial).
        rng: draws the centre among the foreground voxels.
        radius: of the ball, in voxels; 0 changes nothing.

    Raises:
        ImpossibleFault: the mask is empty.
    """
    present(mask, at_least=1)
    if radius <= 0:
        return mask.copy()
    foreground = np.argwhere(mask)
    centre = foreground[rng.integers(len(foreground))]
    result = mask.copy()
    inside = ((foreground - centre) ** 2).sum(axis=1) <= radius**2
    result[tuple(foreground[inside].T)] = 0
    return result


def displace(
    mask: NDArray, rng: Generator, *, distance: float = 4.0, spacing: Sequence[float] | None = None
) -> NDArray:
    """Move the whole mask along a drawn direction; what comes in from outside is background.

    Args:
        mask: integer label map (*spatial).
        rng: draws the direction, uniform over the sphere, and is used for nothing else.
        distance: rounded to whole voxels along each axis; 0 changes nothing.
        spacing: of the axes, see above.
    """
    direction = rng.standard_normal(mask.ndim)
    direction /= np.linalg.norm(direction)
    offset = np.rint(distance * direction / steps(mask, spacing)).astype(int)
    result = np.zeros_like(mask)
    to = tuple(slice(max(o, 0), max(n + min(o, 0), 0)) for o, n in zip(offset, mask.shape, strict=True))
    source = tuple(
        slice(max(-o, 0), max(n - max(o, 0), 0)) for o, n in zip(offset, mask.shape, strict=True)
    )
    result[to] = mask[source]
    return result


def warp(
    mask: NDArray,
    rng: Generator,
    *,
    amplitude: float = 2.0,
    length: float = 4.0,
    spacing: Sequence[float] | None = None,
) -> NDArray:
    """Bend the mask by a smooth random displacement; each voxel takes the label nearest to its source.

    Args:
        mask: integer label map (*spatial).
        rng: draws the displacement field.
        amplitude: standard deviation of the displacement along each axis; 0 changes nothing.
        length: over which the displacement stays alike.
        spacing: of the axes, see above.
    """
    step = steps(mask, spacing)
    source = []
    for axis, size in enumerate(mask.shape):
        field = smooth_field(mask.shape, rng, length / step)
        field *= amplitude / step[axis]
        field += np.arange(size, dtype=np.float32).reshape(-1, *[1] * (mask.ndim - 1 - axis))
        source.append(np.clip(np.rint(field), 0, size - 1).astype(np.int32))
    return mask[tuple(source)]


def drop_slices(mask: NDArray, rng: Generator, *, slices: int = 2) -> NDArray:
    """Turn drawn slices across the first axis into background; at least one with a label stays.

    Args:
        mask: integer label map (D, H, W).
        rng: draws the order in which slices fall.
        slices: how many; 0 changes nothing.

    Raises:
        ImpossibleFault: not three spatial axes, or fewer than three slices with a label.
    """
    labelled = _labelled_slices(mask)
    result = mask.copy()
    result[rng.permutation(labelled)[: min(slices, len(labelled) - 1)]] = 0
    return result


def repeat_slices(mask: NDArray, rng: Generator, *, slices: int = 3) -> NDArray:
    """Copy one slice across the first axis over the slices nearest to it, those without a label too.

    Args:
        mask: integer label map (D, H, W).
        rng: draws the slice among those with a label, and on which side to begin.
        slices: how many are overwritten; 0 changes nothing.

    Raises:
        ImpossibleFault: not three spatial axes, or fewer than three slices with a label.
    """
    source = int(rng.choice(_labelled_slices(mask)))
    away = (np.arange(len(mask)) - source) * rng.choice((-1, 1))
    # By distance, and of two at the same distance the one on the drawn side first.
    nearest = np.lexsort((-away, abs(away)))[1:]
    result = mask.copy()
    result[nearest[:slices]] = mask[source]
    return result


def cut_off(mask: NDArray, rng: Generator, *, planes: int = 5) -> NDArray:
    """Turn everything beyond a plane across the mask into background; at least one plane of it stays.

    Args:
        mask: integer label map (*spatial).
        rng: draws the axis among those along which the mask is two or more voxels long, and the side.
        planes: how many are lost, from the end of the mask; 0 changes nothing.

    Raises:
        ImpossibleFault: the mask is empty, or a single voxel.
    """
    present(mask, at_least=1)
    places = [occupied(mask, axis) for axis in range(mask.ndim)]
    axes = [axis for axis, rows in enumerate(places) if np.ptp(rows) > 0]
    if not axes:
        raise ImpossibleFault("the mask is a single voxel; nothing can be cut off")
    axis = int(rng.choice(axes))
    first, last = places[axis][[0, -1]]
    planes = min(planes, last - first)
    lost = slice(first, first + planes) if rng.integers(2) else slice(last + 1 - planes, last + 1)
    result = mask.copy()
    result[(slice(None),) * axis + (lost,)] = 0
    return result


def coarse(
    mask: NDArray, rng: Generator, *, block: float = 3.0, spacing: Sequence[float] | None = None
) -> NDArray:
    """Draw the mask in blocks: each takes the label at its centre.

    Args:
        mask: integer label map (*spatial).
        rng: draws where blocks begin and, in a volume, whether slices are joined too.
        block: edge of a block, any number; 1 or less changes nothing.
        spacing: of the axes, see above.
    """
    begin = rng.uniform(size=mask.ndim)
    edge = np.maximum(block / steps(mask, spacing), 1)
    if mask.ndim == 3 and rng.integers(2):
        edge[0] = 1
    source = []
    for size, width, start in zip(mask.shape, edge, begin, strict=True):
        number = np.floor((np.arange(size) + 0.5) / width + start)
        source.append(np.clip((number + 0.5 - start) * width, 0, size - 1).astype(int))
    return mask[np.ix_(*source)]


def replace(mask: NDArray, rng: Generator, *, donor: NDArray) -> NDArray:
    """Put another case's mask, resampled to this shape by nearest neighbour, in place of this one.

    Args:
        mask: integer label map (*spatial).
        rng: not used; all faults are called alike.
        donor: the other label map, with as many axes.

    Raises:
        ValueError: the donor has another number of axes.
        ImpossibleFault: the donor is empty, has no class of this mask, or a label that this dtype cannot hold.
    """
    if donor.ndim != mask.ndim:
        raise ValueError(
            f"the donor has {donor.ndim} axes and the mask {mask.ndim}; choose a donor with as many axes"
        )
    if not donor.any():
        raise ImpossibleFault("the donor is empty; choose another donor")
    if not np.isin(present(mask, at_least=1), donor).any():
        raise ImpossibleFault("the donor has no class of this mask; choose another donor")
    source = [
        ((np.arange(size) + 0.5) * has / size).astype(int)
        for size, has in zip(mask.shape, donor.shape, strict=True)
    ]
    resampled = donor[np.ix_(*source)]
    result = resampled.astype(mask.dtype)
    if (result != resampled).any():
        raise ImpossibleFault(f"the donor has labels that {mask.dtype} cannot hold; choose another donor")
    return result


def mirror(mask: NDArray, rng: Generator, *, axis: int | None = None) -> NDArray:
    """Mirror the mask within its array, as where an axis was flipped for the mask but not for the image.

    Args:
        mask: integer label map (*spatial).
        rng: draws the axis, and is used for nothing else.
        axis: instead of a drawn one.
    """
    return np.flip(mask, int(rng.integers(mask.ndim)) if axis is None else axis).copy()


def smooth_field(shape: Sequence[int], rng: Generator, length: float | NDArray) -> NDArray:
    """A smooth Gaussian random field: mean 0 and variance 1 everywhere.

    White noise on a grid of knots `length` apart, spread by a Gaussian of that width, one
    axis after the other; weights are scaled so that their squares add up to 1.

    Args:
        shape: of the field.
        rng: draws the noise.
        length: over which the field stays alike, in voxels; one for all axes, or one each.

    Returns:
        float32, of that shape.
    """
    lengths = np.maximum(np.broadcast_to(length, len(shape)), 0.5)
    knots = [np.arange(-2, size / along + 3) for size, along in zip(shape, lengths, strict=True)]
    field = rng.standard_normal([len(along) for along in knots])
    for at, size, along in zip(knots, shape, lengths, strict=True):
        weights = np.exp(-0.5 * (np.arange(size)[:, None] / along - at) ** 2)
        weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
        # The first axis is used up and the new one comes last: after all axes the order is the old one.
        field = np.tensordot(field, weights.astype(np.float32), axes=(0, 1)).astype(np.float32)
    return field


def steps(mask: NDArray, spacing: Sequence[float] | None) -> NDArray:
    """The spacing of each axis, 1 where there is none."""
    return np.ones(mask.ndim) if spacing is None else np.asarray(spacing, dtype=float)


def distances(shape: Sequence[int], centre: Iterable[float], spacing: Iterable[float]) -> NDArray:
    """How far each voxel of an array lies from a point, which may lie outside."""
    away = [(np.arange(size) - at) * along for size, at, along in zip(shape, centre, spacing, strict=True)]
    return np.asarray(np.sqrt(sum(axis**2 for axis in np.ix_(*away))))


def occupied(mask: NDArray, axis: int) -> NDArray:
    """Where along an axis there is any label."""
    return np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))


def _labelled_slices(mask: NDArray) -> NDArray:
    if mask.ndim != 3:
        raise ImpossibleFault(f"a mask with {mask.ndim} axes has no slices; choose another fault")
    labelled = occupied(mask, 0)
    if len(labelled) < 3:
        raise ImpossibleFault(f"{len(labelled)} slices have a label; expected at least 3")
    return labelled


def present(mask: NDArray, at_least: int) -> NDArray:
    """The classes of a mask, sorted.

    Raises:
        ImpossibleFault: there are fewer.
    """
    values: NDArray = np.unique(mask[mask != 0])
    if len(values) < at_least:
        raise ImpossibleFault(
            f"found {len(values)} foreground classes in the mask; expected at least {at_least}; "
            "choose another fault or another case"
        )
    return values


TRIAL: Mapping[str, Callable[[NDArray, Generator], NDArray]] = {
    "shift": shift,
    "swap": swap,
    "drop": drop,
    "hole": hole,
}
