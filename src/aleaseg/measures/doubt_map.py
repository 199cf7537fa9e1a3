"""Where a mask is doubtful: a number from 0 to 1 for every voxel, 0 = nothing speaks against it.

Two things can speak against the label of a voxel, and both do more than one:

    doubt = 1 - (1 - disagreement) (1 - border)

*Disagreement* is 1 - p, p the probability that a predictor that never saw the case gives to the label that the
voxel has. It is large where the predictor is sure of something else, and about 1/2 along a border that it cannot
place. A predictor that keeps labels alone is taken to be as sure as it is far from its own border:

    p = 1 / (1 + exp(-s / t))    s: mm to the border of where it sees that label, positive inside
                                 t: the edge of a voxel in the slice

*Border* is what the statistics of `aleaseg.measures.boundary` hear, at the voxels that they hear it from. Each is an
excess e, the share that would not be there if the border were as is usual in the population:

    spikes, gaps   e = 1 - usual / roughness                           what an opening takes away, a closing fills
    straight runs  e = (1 - usual / mean run) (1 - usual / this run)   to both sides of each face of the run
    contrast       e = (1 - rim contrast / usual) (1 - here / usual)   within two voxels of the border, in the slice

    border = (1 - (1 - e) (1 - e) (1 - e)) / 2

The half: along a border that is wrong one side of it is wrong, and these do not tell which. Of several classes the
largest counts. The map is no probability of an error: it says where to look first. How well it points to known
faults, and what else was tried, is measured (benchmarks/where.md). The definition is this package's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aleaseg.measures.boundary import boundary_contrast, boundary_shape
from aleaseg.measures.morphology import grown, shrunk
from aleaseg.measures.regions import Regions, Window, around, occupied, slabs

__all__ = ["MARGIN", "UsualBorder", "belief", "border_doubt", "both"]

MARGIN = 7
"""Voxels around a mask within which its border may be doubtful, and what that depends on."""

_NEAR = 2  # voxels to either side of a border that a contrast belongs to
_RING = 3
_AROUND = 2.0  # voxels: the Gaussian within which the contrast of a place is told
_SURE = 12  # voxels from all that is marked
_NOTHING = float("nan")
# Pairs of axes: faces that look along the first one, in runs along the second.
_IN_SLICES = ((1, 2), (2, 1))
_ACROSS = ((0, 1), (0, 2), (1, 0), (2, 0))


@dataclass(frozen=True)
class UsualBorder:
    """How the border of a class usually is; NaN where nobody knows, or where it tells nothing.

    Attributes:
        roughness: share of the mask that an opening takes away.
        step: mean length of its straight runs of faces, in voxels, within slices.
        step_across: the same in the planes across the slices.
        contrast: `rim_contrast` of each channel of the image, in order.
    """

    roughness: float = _NOTHING
    step: float = _NOTHING
    step_across: float = _NOTHING
    contrast: Sequence[float] = ()


def both(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two doubts of the same voxels as one: each counts, and both count more."""
    joined: NDArray[np.float32] = 1 - one
    joined *= 1 - other
    return np.subtract(1, joined, out=joined)


def belief(label: NDArray, predicted: NDArray, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """What a predictor that keeps no probabilities is taken to believe of each voxel's label.

    Args:
        label: (*spatial) label values, 2D or 3D, slices first; 0 is the background.
        predicted: (*spatial) label values.
        spacing_mm: of each axis.

    Returns:
        (*spatial) in [0, 1], above 1/2 where both are the same, below where they differ; 0 for a label that the
        predictor sees nowhere.
    """
    found = np.ones(label.shape, np.float32)
    marked = (label != 0) | (predicted != 0)
    if marked.any():
        # Farther out both see the background, and nobody doubts it.
        window = _window(marked, _SURE)
        found[window] = _believed(label[window], predicted[window], spacing_mm)
    return found


def _believed(label: NDArray, predicted: NDArray, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    found = np.zeros(label.shape, np.float32)
    there = np.unique(label).tolist()
    classes = [value for value in there if value > 0]  # the background is everywhere
    given_at, seen_at = Regions.of(label, classes).boxes, Regions.of(predicted, classes).boxes
    for value in there:
        boxes = [at[value] for at in (given_at, seen_at) if value in at]
        window = around(boxes, label.shape, 1) if boxes else (slice(None),) * label.ndim
        given, seen = label[window] == value, predicted[window] == value
        if seen.any():
            _believe(found[window], given, seen, spacing_mm)
    return found


def _believe(
    found: NDArray[np.float32],
    given: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    spacing_mm: Sequence[float],
) -> None:
    """Write into `found`, where a label was given, how much a predictor that sees it at `seen` believes in it."""
    step = min(spacing_mm[-2:])
    inside, outside = _distances(~seen, spacing_mm), _distances(seen, spacing_mm)
    for part in slabs(given.shape):
        s = inside(part, given) - outside(part, given)
        # Distances are between the centres of voxels; the border lies half a voxel from both.
        s -= np.sign(s) * step / 2
        found[part][given[part]] = (1 / (1 + np.exp(-s / step))).astype(np.float32)


def _distances(
    region: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> Callable[[slice, NDArray[np.bool_]], NDArray[np.float64]]:
    """What tells, for the voxels asked for in a few slices, how far they lie from a region, in mm.

    Without a region all lie farther than across the array. What is held is the nearest voxel of the region for each
    voxel; making all distances at once would take four times as much.
    """
    if not region.any():
        far = float(np.linalg.norm(np.multiply(region.shape, spacing_mm)))
        return lambda part, asked: np.full(np.count_nonzero(asked[part]), far)
    nearest = ndimage.distance_transform_edt(
        ~region, sampling=spacing_mm, return_distances=False, return_indices=True
    )

    def away(part: slice, asked: NDArray[np.bool_]) -> NDArray[np.float64]:
        own = np.nonzero(asked[part])
        squares: NDArray[np.float64] = np.zeros(len(own[0]))
        for axis, (at, mm) in enumerate(zip(own, spacing_mm, strict=True)):
            squares += np.square((nearest[axis][part][own] - at - (0 if axis else part.start)) * mm)
        return np.sqrt(squares)

    return away


def border_doubt(
    mask: NDArray[np.bool_],
    usual: UsualBorder,
    image: NDArray | Sequence[NDArray] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Where the border of one class's mask is unlike the usual.

    Args:
        mask: (*spatial), 2D or 3D, slices first. A part of a larger one will do, with `MARGIN` voxels around the class.
        usual: of the class in its population.
        image: (channel, *spatial), finite; None: nothing is said of contrast.
        valid: (*spatial), voxels that somebody looked at; None: all.

    Returns:
        (*spatial) in [0, 1/2], 0 away from the border, and everywhere where the border is as usual.

    Raises:
        ValueError: neither 2D nor 3D, or shapes differ.
    """
    found = np.zeros(mask.shape, np.float32)
    if not mask.any():
        return found
    window = _window(mask, MARGIN)
    small = mask[window]
    here = both(_spikes(small, usual.roughness), _straight(small, usual))
    for number, contrast in enumerate(usual.contrast if image is not None else ()):
        if np.isfinite(contrast) and contrast:
            assert image is not None
            known = None if valid is None else valid[window]
            here = both(here, _without_contrast(small, image[number][window], contrast, known))
    found[window] = here / 2
    return found if valid is None else np.where(valid, found, np.float32(0))


def _excess(usual: NDArray | float, value: NDArray | float) -> NDArray[np.float32]:
    """1 - usual / value where the value is above the usual, else 0; 0 where nobody knows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 - np.asarray(usual, np.float32) / np.asarray(value, np.float32)
    found: NDArray[np.float32] = np.clip(np.nan_to_num(share, nan=0.0, neginf=0.0), 0, 1)
    return found


def _spikes(mask: NDArray[np.bool_], usual: float) -> NDArray[np.float32]:
    axes, padded = range(mask.ndim), np.pad(mask, 1)
    lost = padded & ~grown(shrunk(padded, axes), axes)
    filled = shrunk(grown(padded, axes), axes) & ~padded
    excess = _excess(usual, np.count_nonzero(lost) / np.count_nonzero(mask))
    return excess * _inside(lost | filled).astype(np.float32)


def _straight(mask: NDArray[np.bool_], usual: UsualBorder) -> NDArray[np.float32]:
    shape = boundary_shape(mask)
    volume = np.pad(mask if mask.ndim == 3 else mask[None], 1)
    found = np.zeros(volume.shape, np.float32)
    for name, pairs in (("step", _IN_SLICES), ("step_across", _ACROSS)):
        if name not in shape:  # a picture has no planes across it
            continue
        length = getattr(usual, name)
        excess = _excess(length, np.exp(shape[name]))
        if excess > 0:
            run = _longest_run(volume, pairs)
            for part in slabs(volume.shape):
                np.maximum(found[part], excess * _excess(length, run[part]), out=found[part])
    inside = _inside(found)
    return inside if mask.ndim == 3 else inside[0]


def _longest_run(volume: NDArray[np.bool_], pairs: Iterable[tuple[int, int]]) -> NDArray[np.int32]:
    """At each voxel the longest straight run of faces that it has a face of; 0: it has none."""
    found = np.zeros(volume.shape, np.int32)
    for across, along in pairs:
        turned = np.moveaxis(volume, (across, along), (0, -1))
        longest = np.moveaxis(found, (across, along), (0, -1))  # a view
        for before in slabs((len(turned) - 1, *turned.shape[1:])):
            behind = slice(before.start + 1, before.stop + 1)
            faces = np.diff(turned[before.start : behind.stop].astype(np.int8), axis=0)
            for side in (1, -1):
                run = _run_lengths(faces == side)
                for part in (longest[: len(turned) - 1][before], longest[behind]):
                    np.maximum(part, run, out=part)
    return found


def _run_lengths(faces: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(..., n): where True, how many in a row there are along the last axis; else 0."""
    begins = faces.copy()
    begins[..., 1:] &= ~faces[..., :-1]
    found = np.zeros(faces.shape, np.int32)
    run = np.cumsum(begins, dtype=np.int32).reshape(faces.shape)[faces]
    found[faces] = np.bincount(run)[run] if run.size else 0
    return found


def _without_contrast(
    mask: NDArray[np.bool_], channel: NDArray, usual: float, known: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    whole = boundary_contrast(mask, channel, known)["rim_contrast"]
    excess = 1 - min(1.0, max(0.0, whole / usual)) if np.isfinite(whole) else 0.0
    if not excess:
        return np.zeros(mask.shape, np.float32)
    plane = (mask.ndim - 2, mask.ndim - 1)
    ring = grown(mask, plane, _RING) & ~mask
    if known is not None:
        ring &= known
    grey = channel.astype(np.float32)
    grey -= grey[mask].mean()
    spread = grey[mask | ring].std()
    near = grown(mask, plane, _NEAR) & ~shrunk(mask, plane, _NEAR)
    found = np.zeros(mask.shape, np.float32)
    for part in slabs(mask.shape) if mask.ndim == 3 else [slice(None)]:  # slices do not know one another
        inside, outside = (_mean_around(grey[part], side[part]) for side in (mask, ring))
        here = (inside - outside) / spread / np.float32(usual)
        found[part][near[part]] = (np.float32(excess) * np.clip(1 - here, 0, 1))[near[part]]
    return found


def _mean_around(grey: NDArray[np.float32], part: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean grey value of a part within a Gaussian of each voxel, in its slice."""
    sigma = (0.0,) * (grey.ndim - 2) + (_AROUND, _AROUND)
    weight = ndimage.gaussian_filter(part.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(np.where(part, grey, np.float32(0)), sigma, mode="constant")
    return total / np.maximum(weight, np.float32(1e-6))


def _inside(padded: NDArray) -> NDArray:
    return padded[(slice(1, -1),) * padded.ndim]


def _window(mask: NDArray[np.bool_], margin: int) -> Window:
    """The box of a mask that is not empty, with a margin as far as there is room."""
    box = occupied(mask)
    assert box is not None
    return around([box], mask.shape, margin)
