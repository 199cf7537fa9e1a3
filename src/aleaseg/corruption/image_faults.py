"""The known faults of images: for each one its name, a physical strength, and three levels of it.

Strength 0 changes nothing. "Range" is the 1st to the 99th percentile of the clean channel; it is
the peak of the PSNR too, so noise of sd s parts of the range has a PSNR of -20 log10 s dB.

| fault | the strength counts | weak | medium | strong |
|---|---|---|---|---|
| noise | sd in parts of the range: PSNR 26, 20, 14 dB | 0.05 | 0.10 | 0.20 |
| rician | sd of either part of the signal in parts of the range | 0.05 | 0.10 | 0.20 |
| blur | sd of the Gaussian in voxels | 0.75 | 1.25 | 2 |
| low_resolution | voxels that become one, less 1, along one axis (rounded up) | 1 | 2 | 4 |
| ghost | modulation m of the lines; the copies have m^2 / 2 of the energy: 1, 4.5, 12.5% | 0.15 | 0.3 | 0.5 |
| motion | largest shift in voxels and largest turn in degrees | 1 | 2.5 | 5 |
| bias_field | largest size of ln of the field | 0.25 | 0.5 | 1 |
| spike | sd of the stripes in parts of the range | 0.05 | 0.1 | 0.2 |
| gamma | size of ln of the exponent; its sign is drawn | 0.3 | 0.6 | 1.1 |
| clipping | share of the voxels saturated, of those above the least value | 0.1 | 0.2 | 0.4 |
| streaks | sd of the streaks in parts of the range | 0.05 | 0.1 | 0.2 |
| inverted | not graded | | 1 | |
| slice_order | share of the slices out of place | 0.25 | 0.5 | 1 |

The PSNR falls from level to level; for motion on average, as a longer way may lead to a place that
looks more alike. That of gamma and inverted says little: they move the whole grey scale, which
normalising undoes in part.

Integer images are rounded and kept within their dtype. For a > 0 every fault of a x + b is
a (fault of x) + b, from the same seed, where nothing is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption import images, kspace
from aleaseg.corruption.corruption import LEVELS, Corrupted, Corruption, ImpossibleFault, Level
from aleaseg.corruption.grey import grey_range

__all__ = ["IMAGE_FAULTS"]

# A shorter axis has too few blocks left to be called a coarser scan.
SHORTEST_COARSE_AXIS = 16
FEWEST_SLICES = 4


Spoil = Callable[[NDArray, Generator, float], Corrupted]


def _graded(function: Callable[..., NDArray], size: str, **fixed: object) -> Spoil:
    """A fault of `images` whose argument `size` is the strength, and of which nothing else is drawn or told."""

    def spoil(image: NDArray, rng: Generator, strength: float) -> Corrupted:
        return _corrupted(image, function(image, rng, **{size: strength}, **fixed))

    return spoil


def _low_resolution(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    sizes = np.array(image.shape[1:])
    axis = int(rng.choice(np.flatnonzero(sizes >= min(SHORTEST_COARSE_AXIS, sizes.max()))))
    spoilt = images.low_resolution(image, rng, factor=1 + math.ceil(strength), axis=axis)
    return _corrupted(image, spoilt, axis=axis)


def _ghost(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    axis, period = _phase_axis(image, rng), float(rng.uniform(2.2, 5))
    spoilt = kspace.ghosting(image, rng, modulation=strength, period=period, axis=axis)
    return _corrupted(image, spoilt, axis=axis, period=period)


def _motion(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    axis, moves = _phase_axis(image, rng), int(rng.integers(2, 5))
    spoilt = kspace.motion(image, rng, largest=strength, moves=moves, axis=axis)
    return _corrupted(image, spoilt, axis=axis, moves=moves)


def _spike(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    spikes = int(rng.integers(1, 4))
    return _corrupted(image, kspace.spike(image, rng, sd=strength, spikes=spikes), spikes=spikes)


def _gamma(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    exponent = math.exp(strength * rng.choice((-1, 1)))
    return _corrupted(image, images.gamma(image, rng, exponent=exponent), exponent=exponent)


def _clipping(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    both = bool(rng.integers(2))
    spoilt = images.clipping(image, rng, share=strength, both=both)
    return _corrupted(image, spoilt, ends="both" if both else "upper")


def _inverted(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    return _corrupted(image, images.inverted(image, rng))


def _slice_order(image: NDArray, rng: Generator, strength: float) -> Corrupted:
    slices = image.shape[1] if image.ndim == 4 else 1
    if slices < FEWEST_SLICES:
        raise ImpossibleFault(
            f"the image has {slices} slices; expected {FEWEST_SLICES} or more to change places"
        )
    return _corrupted(image, images.slice_order(image, rng, share=strength))


def _phase_axis(image: NDArray, rng: Generator) -> int:
    """One of the last two axes, those within a slice, counted without the channel axis."""
    return int(rng.integers(image.ndim - 3, image.ndim - 1))


def _corrupted(image: NDArray, spoilt: NDArray, **drawn: float | str) -> Corrupted:
    flat = image.reshape(len(image), -1)
    constant = flat.min(axis=1) == flat.max(axis=1)
    spoilt[constant] = image[constant]  # an interpolation leaves 7.000000001 where 7 was
    if np.array_equal(spoilt, image):
        raise ImpossibleFault(
            "the fault changes no voxel of this image: each channel is constant, or too small"
        )
    return Corrupted(spoilt, {"psnr_db": _psnr_db(image[:1], spoilt[:1]), **drawn})


def _psnr_db(clean: NDArray, spoilt: NDArray) -> float:
    """20 log10 of range / root mean square difference, of one channel; infinite where they are equal."""
    rms = math.sqrt(np.square(spoilt - clean.astype(np.float64)).mean())
    return 20 * math.log10(grey_range(clean).item() / rms) if rms else math.inf


def _if_finite(function: Spoil, image: NDArray, rng: Generator, strength: float) -> Corrupted:
    if not (image.size and np.isfinite(image).all()):
        raise ImpossibleFault("the image has no voxels, or values that are not finite; fill those first")
    return function(image, rng, strength)


def _fault(name: str, text: str, unit: str, function: Spoil, *strengths: float) -> Corruption:
    levels: Sequence[Level] = LEVELS if len(strengths) > 1 else ("medium",)
    graded = dict(zip(levels, strengths, strict=True))
    return Corruption(name, "image", text, unit, partial(_if_finite, function), graded)


_RANGE = "parts of the 1-99% range"

IMAGE_FAULTS: Mapping[str, Corruption] = {
    fault.name: fault
    for fault in (
        _fault(
            "noise",
            "Gaussian noise in every voxel: too little dose, too short a scan.",
            f"sd in {_RANGE}",
            _graded(images.noise, "sd", per=grey_range),
            *(0.05, 0.10, 0.20),
        ),
        _fault(
            "rician",
            "The magnitude of a signal with complex noise, which lifts the dark parts: MR with too little signal.",
            f"sd in {_RANGE}",
            _graded(images.rician, "sd"),
            *(0.05, 0.10, 0.20),
        ),
        _fault(
            "blur",
            "A Gaussian blur along every axis: a soft kernel, resampling, or a fidgety patient.",
            "sd in voxels",
            _graded(images.blur, "sd"),
            *(0.75, 1.25, 2.0),
        ),
        _fault(
            "low_resolution",
            "Coarse voxels along one axis, interpolated back: a scan with thick slices.",
            "voxels that become one, less 1",
            _low_resolution,
            *(1, 2, 4),
        ),
        _fault(
            "ghost",
            "Faint copies along the phase-encode axis: breathing or a pulse during MR.",
            "modulation of the lines of k-space",
            _ghost,
            *(0.15, 0.3, 0.5),
        ),
        _fault(
            "motion",
            "Stretches of k-space from an object that moved a few times: a restless patient in MR.",
            "largest shift in voxels and turn in degrees",
            _motion,
            *(1.0, 2.5, 5.0),
        ),
        _fault(
            "bias_field",
            "A smooth field that multiplies the signal: uneven coils in MR.",
            "largest |ln of the field|",
            _graded(images.bias_field, "largest"),
            *(0.25, 0.5, 1.0),
        ),
        _fault(
            "spike",
            "Stripes from one to three spikes in k-space: a discharge during MR.",
            f"sd in {_RANGE}",
            _spike,
            *(0.05, 0.10, 0.20),
        ),
        _fault(
            "gamma",
            "A bent grey scale: another export, another look-up table.",
            "|ln of the exponent|",
            _gamma,
            *(0.3, 0.6, 1.1),
        ),
        _fault(
            "clipping",
            "Grey values saturated at the upper or at both ends: a window burnt in, or an overflow.",
            "share of the voxels",
            _clipping,
            *(0.1, 0.2, 0.4),
        ),
        _fault(
            "streaks",
            "Bright and dark rays through a point of each slice: metal in CT.",
            f"sd in {_RANGE}",
            _graded(images.streaks, "sd"),
            *(0.05, 0.10, 0.20),
        ),
        _fault(
            "inverted",
            "Dark is bright and bright is dark: a wrong photometric interpretation.",
            "not graded",
            _inverted,
            1.0,
        ),
        _fault(
            "slice_order",
            "Slices in each other's place: files sorted by name.",
            "share of the slices",
            _slice_order,
            *(0.25, 0.5, 1.0),
        ),
    )
}
