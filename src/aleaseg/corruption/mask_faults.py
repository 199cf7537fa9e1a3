"""Known faults in a label map, graded by the Dice they lose.

The strength of a graded fault is

    1 - mean over classes c present in either mask of Dice_c,   Dice_c = 2 |A_c and B_c| / (|A_c| + |B_c|)

between the clean mask A and the faulty one B. The fault draws everything random once
(a direction, a centre, a field) and then looks for its own size, a radius or a number of
slices, that loses as much, as nearly as whole voxels allow; a draw that cannot come near,
as whole slices of a thin stack, is drawn again. So all faults of a level
are equally wrong by Dice, and a measure of doubt that finds one and not another says
something about the kind of fault and not about its amount.

A mask says nothing about its voxel spacing. The field of view is taken for a cube where
slices are few: a stack of 10 slices of 108 x 128 has slices 10 voxels apart, and is
over-drawn, moved and bent mostly within its slices, as annotators do. Sizes are in
voxels of a slice.

    >>> disc = (((np.indices((40, 40)) - 20) ** 2).sum(axis=0) < 100).astype(np.uint8)
    >>> found = MASK_FAULTS["erode"].apply(disc, np.random.default_rng(0), "medium")
    >>> bool(abs(found.changed["dice"] - 0.75) < 0.01)
    True
    >>> bool(found.array.sum() < disc.sum())
    True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption import masks, pieces
from aleaseg.corruption.corruption import Corrupted, Corruption, ImpossibleFault, Level

__all__ = ["MASK_FAULTS"]

GRADED: Mapping[Level, float] = {"weak": 0.10, "medium": 0.25, "strong": 0.50}
WHOLE: Mapping[Level, float] = {"medium": 1.0}

# A search for a size that comes this near to the Dice asked for is over.
CLOSE = 0.002
# A draw whose best size misses by more is drawn again, so often at most: whole slices
# of a thin stack are large steps, and other slices are other steps.
NEAR = 0.015
DRAWS = 8
# A component of two voxels in a large mask, or a mirrored mask that is the same but for a rim:
# what loses less Dice than this is no fault that anyone should look for.
SPECK = 0.02
VISIBLE = 0.05

Family = Callable[[float], NDArray]


def dilate(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Over-drawn: the border moves outwards, unevenly by up to half a voxel; classes take the nearest new voxels."""
    from scipy.ndimage import distance_transform_edt

    part = _window(mask, reach=strength)
    if part.codes.all():
        raise ImpossibleFault("the mask fills the array; it cannot grow")
    distance, nearest = distance_transform_edt(part.codes == 0, sampling=part.spacing, return_indices=True)
    grown = part.codes[tuple(nearest)]
    uneven = distance - _half_a_voxel(part, rng)
    return _within_radius(mask, part, uneven, grown, distance.max(), strength)


def erode(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Under-drawn: the border moves inwards, unevenly by up to half a voxel; borders between classes stay."""
    from scipy.ndimage import distance_transform_edt

    part = _window(mask, reach=0)
    if part.codes.all():
        raise ImpossibleFault("the mask fills the array; it has no border to the background")
    depth = distance_transform_edt(part.codes != 0, sampling=part.spacing)
    uneven = depth - _half_a_voxel(part, rng)
    return _within_radius(mask, part, uneven, 0, depth.max(), strength)


def warp(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Bent: a smooth random displacement, alike over more than the half-width of the mask.

    A shorter length would tear the mask into pieces before it loses half its Dice.
    """
    part = _window(mask, reach=strength)
    length = max(1.5 * _half_width(part), 2.0)
    bent = _draws(masks.warp, part.codes, rng, "amplitude", length=length, spacing=part.spacing)
    return _graded(mask, part, bent, _up_to(3 * length), strength, "amplitude_voxels")


def shift(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Displaced: the whole mask, in a drawn direction."""
    part = _window(mask, reach=strength)
    moved = _draws(masks.displace, part.codes, rng, "distance", spacing=part.spacing)
    furthest = max(np.asarray(part.codes.shape) * part.spacing)
    return _graded(mask, part, moved, _up_to(furthest), strength, "distance_voxels")


def hole(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """A ball taken out, around a drawn point of the mask."""
    part = _window(mask, reach=0)
    inside = np.argwhere(part.codes)
    centre = inside[rng.integers(len(inside))] + rng.uniform(-0.5, 0.5, mask.ndim)
    distance = masks.distances(part.codes.shape, centre, part.spacing)
    return _within_radius(mask, part, distance, 0, distance.max(), strength)


def drop_slices(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Slices forgotten, in a drawn order."""
    part = _window(mask, reach=0)
    fewer = _draws(masks.drop_slices, part.codes, rng, "slices")
    return _graded(mask, part, fewer, range(1, len(part.codes)), strength, "slices")


def repeat_slices(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """The contour of one slice copied over its neighbours."""
    part = _window(mask, reach=strength)
    alike = _draws(masks.repeat_slices, part.codes, rng, "slices")
    return _graded(mask, part, alike, range(1, len(part.codes)), strength, "slices")


def cut_off(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Everything beyond a plane missing."""
    part = _window(mask, reach=0)
    shorter = _draws(masks.cut_off, part.codes, rng, "planes")
    return _graded(mask, part, shorter, range(1, max(part.codes.shape)), strength, "planes")


def coarse(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Drawn in blocks, within slices or across them too."""
    part = _window(mask, reach=strength)
    blocky = _draws(masks.coarse, part.codes, rng, "block", spacing=part.spacing)
    largest = 2 * max(np.asarray(part.codes.shape) * part.spacing)
    return _graded(mask, part, blocky, np.geomspace(1.1, largest, 200).tolist(), strength, "block_voxels")


def false_component(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Blobs of as few drawn classes as can lose the Dice asked for without losing more than half of a class's own.

    A blob of n voxels takes a class of V voxels from Dice 1 to 2V / (2V + n).
    """
    values, sizes = np.unique(mask[mask != 0], return_counts=True)
    if not len(values):
        raise ImpossibleFault("the mask is empty")
    lost = strength * len(values)
    chosen = rng.permutation(len(values))[: int(np.ceil(lost / 0.5))]
    each = min(lost / len(chosen), 0.9)
    faulty = mask
    for index in chosen:
        voxels = max(round(2 * sizes[index] * each / (1 - each)), 1)
        faulty = pieces.false_component(
            faulty, rng, voxels=voxels, value=int(values[index]), spacing=_spacing(mask.shape)
        )
    return _finished(mask, faulty, voxels=float(np.count_nonzero(faulty != mask)))


def drop_component(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """A connected component forgotten, not the largest of its class, and no mere speck."""
    faulty = pieces.drop_component(mask, rng)
    if 1 - _mean_dice(mask, faulty) < SPECK:
        raise ImpossibleFault(f"the component takes less than {SPECK} of the Dice")
    return _finished(mask, faulty)


def drop_class(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """A class forgotten."""
    return _finished(mask, masks.drop(mask, rng))


def swap_classes(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Two classes exchanged."""
    return _finished(mask, masks.swap(mask, rng))


def other_case(mask: NDArray, rng: Generator, strength: float, *, donor: NDArray) -> Corrupted:
    """Another case's mask."""
    return _finished(mask, masks.replace(mask, rng, donor=donor))


def mirrored(mask: NDArray, rng: Generator, strength: float) -> Corrupted:
    """Mirrored against the image, along a drawn axis among those where it can be seen."""
    if not mask.any():
        raise ImpossibleFault("the mask is empty")
    for axis in rng.permutation(mask.ndim):
        faulty = masks.mirror(mask, rng, axis=int(axis))
        if 1 - _mean_dice(mask, faulty) >= VISIBLE:
            return _finished(mask, faulty, axis=float(axis))
    raise ImpossibleFault(f"mirrored along any axis the mask loses less than {VISIBLE} of its Dice")


@dataclass(frozen=True)
class _Window:
    """The part of a label map that a fault can reach.

    Attributes:
        box: where it lies in the whole.
        codes: its labels, counted 0, 1, 2, ... without gaps; 0 is background.
        labels: what a code stands for.
        spacing: of the axes, in voxels of a slice.
    """

    box: tuple[slice, ...]
    codes: NDArray
    labels: NDArray
    spacing: tuple[float, ...]


def _window(mask: NDArray, reach: float) -> _Window:
    """The bounding box of a mask, wider on each side by `reach` times its extent and a few voxels.

    A mask of extent L moved by p L loses at least the part p of its Dice, for whole 1/p: of the
    1/p places that are p L apart one has no neighbour. So `reach` = the Dice to lose is enough.
    """
    box = []
    for axis, size in enumerate(mask.shape):
        rows = masks.occupied(mask, axis)
        if not len(rows):
            raise ImpossibleFault("the mask is empty")
        margin = int(np.ceil(reach * (rows[-1] - rows[0] + 1))) + 3
        box.append(slice(max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, size)))
    codes, labels = _counted(mask[tuple(box)])
    return _Window(tuple(box), codes, labels, _spacing(mask.shape))


def _counted(mask: NDArray) -> tuple[NDArray, NDArray]:
    """Labels counted without gaps, background 0, and what each number stands for."""
    found = np.unique(mask)
    found = found[found != 0]
    codes = np.where(mask == 0, 0, 1 + np.searchsorted(found, mask))
    return codes.astype(np.min_scalar_type(len(found))), np.concatenate([np.zeros(1, mask.dtype), found])


def _spacing(shape: Sequence[int]) -> tuple[float, ...]:
    if len(shape) == 2:
        return (1.0, 1.0)
    return (float(max(1, min(shape[1:]) // shape[0])), 1.0, 1.0)


def _half_width(part: _Window) -> float:
    """About the radius of the mask within its slices, or in all directions: n V / S of a ball in n dimensions."""
    foreground = part.codes != 0
    axes = [axis for axis, along in enumerate(part.spacing) if along == 1]
    faces = sum(np.count_nonzero(np.diff(foreground, axis=axis)) for axis in axes)
    return len(axes) * np.count_nonzero(foreground) / max(faces, 1)


def _half_a_voxel(part: _Window, rng: Generator) -> NDArray:
    """A smooth random field within half a voxel of 0: a border that moves by it takes voxels one by one."""
    length = max(_half_width(part), 2.0) / np.asarray(part.spacing)
    return 0.5 * np.tanh(masks.smooth_field(part.codes.shape, rng, length))


def _draws(
    fault: Callable[..., NDArray], codes: NDArray, rng: Generator, size_name: str, **fixed: object
) -> Iterator[Family]:
    """A fault of which everything random is drawn and the size is open; and drawn again, and again."""

    def drawn(seed: int) -> Family:
        return lambda size: fault(codes, np.random.default_rng(seed), **{size_name: size}, **fixed)

    return map(drawn, rng.integers(2**63, size=DRAWS).tolist())


def _up_to(largest: float) -> Sequence[float]:
    return [float(size) for size in np.linspace(0, largest + 1, 4097)[1:]]


def _within_radius(
    mask: NDArray, part: _Window, distance: NDArray, codes: NDArray | int, largest: float, strength: float
) -> Corrupted:
    """Other codes for all that lies within the radius that loses as much Dice as was asked for."""

    def family(radius: float) -> NDArray:
        return np.where(distance <= radius, codes, part.codes)

    return _graded(mask, part, [family], _up_to(largest), strength, "radius_voxels")


def _graded(
    mask: NDArray,
    part: _Window,
    draws: Iterable[Family],
    sizes: Sequence[float],
    strength: float,
    unit: str,
) -> Corrupted:
    """The first draw of a fault that can lose nearly the Dice asked for, or else the nearest."""
    best = None
    for family in draws:
        found = _nearest(family, part, sizes, strength)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
        if best is not None and best[0] < NEAR:
            break
    if best is None:
        raise ImpossibleFault("at no size does this fault change the mask")
    _, size, faulty = best
    result = mask.copy()
    result[part.box] = part.labels[faulty]
    return _finished(mask, result, **{unit: round(size, 3)})


def _nearest(
    family: Family, part: _Window, sizes: Sequence[float], strength: float
) -> tuple[float, float, NDArray] | None:
    """By how much the Dice lost misses the strength at the best size, that size, and the faulty codes.

    By bisection: a larger size loses more, or nearly so. The best size seen is kept.
    """
    best = None
    first, last = 0, len(sizes) - 1
    while first <= last:
        middle = (first + last) // 2
        faulty = family(sizes[middle])
        lost = 1 - _code_dice(part.codes, faulty, len(part.labels))
        miss = abs(lost - strength)
        if lost > 0 and (best is None or miss < best[0]):
            best = miss, float(sizes[middle]), faulty
        if miss < CLOSE:
            break
        if lost < strength:
            first = middle + 1
        else:
            last = middle - 1
    return best


def _finished(mask: NDArray, faulty: NDArray, **sizes: float) -> Corrupted:
    if np.array_equal(mask, faulty):
        raise ImpossibleFault("this fault does not change the mask")
    return Corrupted(faulty, {"dice": round(_mean_dice(mask, faulty), 4), **sizes})


def _mean_dice(clean: NDArray, faulty: NDArray) -> float:
    """Mean Dice over the classes present in either mask."""
    either = (clean != 0) | (faulty != 0)
    both, labels = _counted(np.stack([clean[either], faulty[either]]))
    return _code_dice(both[0], both[1], len(labels))


def _code_dice(clean: NDArray, faulty: NDArray, codes: int) -> float:
    count = [
        np.bincount(found.ravel(), minlength=codes)[1:] for found in (clean, faulty, clean[clean == faulty])
    ]
    present = count[0] + count[1] > 0
    return float(np.mean(2 * count[2][present] / (count[0] + count[1])[present]))


def _graded_fault(function: Callable[..., Corrupted], text: str) -> Corruption:
    return Corruption(function.__name__, "mask", text, "mean class Dice lost", function, GRADED)


def _whole_fault(function: Callable[..., Corrupted], text: str, *, needs_donor: bool = False) -> Corruption:
    return Corruption(
        function.__name__, "mask", text, "1: it is there, or not", function, WHOLE, needs_donor=needs_donor
    )


_ALL = (
    _graded_fault(
        dilate, "Over-drawn: the border lies too far out, as where partial volume is counted in."
    ),
    _graded_fault(erode, "Under-drawn: the border lies too far in, as where only the sure part is drawn."),
    _graded_fault(warp, "A careless border: bent inwards and outwards by a smooth random displacement."),
    _graded_fault(shift, "The whole mask displaced, as by a wrong origin or by motion between two scans."),
    _whole_fault(drop_component, "One connected component missing, as a lesion that was overlooked."),
    _whole_fault(drop_class, "One class missing, as where an annotator forgot a structure."),
    _graded_fault(
        false_component, "A blob of a class where there is none, as a look-alike that was taken for it."
    ),
    _graded_fault(hole, "A ball removed from the mask, as by a slip of the eraser."),
    _whole_fault(swap_classes, "Two classes exchanged, as left and right, or by another table of labels."),
    _graded_fault(
        drop_slices, "Slices without any label between labelled ones, as where annotation stopped."
    ),
    _graded_fault(repeat_slices, "The contour of one slice copied over its neighbours instead of drawn."),
    _graded_fault(
        cut_off, "Everything beyond a plane missing, as where the mask was made on a smaller field."
    ),
    _graded_fault(coarse, "Drawn in coarse blocks, as on an image of lower resolution."),
    _whole_fault(other_case, "The mask of another case, as by mixed-up files.", needs_donor=True),
    _whole_fault(mirrored, "The mask mirrored against the image, as by a wrong orientation in a header."),
)

MASK_FAULTS: Mapping[str, Corruption] = {fault.name: fault for fault in _ALL}
