"""Known faults in an image.

Those that arise while the signal is sampled, in k-space, are in `kspace`.

Every function takes an image (channel, D, H, W) or (channel, H, W) and a seeded
generator, and returns a new array of the same shape and dtype; each channel is
treated by itself. The argument is never written to. Values of an integer image
are rounded and kept within what its dtype can hold.

`TRIAL` holds the faults of the trial of this package at the sizes used there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.corruption.grey import as_dtype, grey_range, per_channel, spread, zero_signal

__all__ = [
    "TRIAL",
    "bias_field",
    "blur",
    "clipping",
    "gamma",
    "ghost",
    "inverted",
    "low_resolution",
    "noise",
    "rician",
    "slice_order",
    "streaks",
]


def noise(
    image: NDArray, rng: Generator, *, sd: float = 1.2, per: Callable[[NDArray], NDArray] = spread
) -> NDArray:
    """Add Gaussian noise, independent in every voxel.

    Args:
        image: (channel, *spatial).
        rng: draws the noise.
        sd: of the noise, in units of `per`; 0 changes nothing.
        per: what `sd` counts: a channel's `spread` (its standard deviation) or its `grey_range`.
    """
    return as_dtype(image.dtype, image + sd * per(image) * rng.standard_normal(image.shape))


def rician(image: NDArray, rng: Generator, *, sd: float = 0.1) -> NDArray:
    """Take the magnitude of a complex signal with noise, as in MR: zero + |x - zero + n1 + i n2|.

    Where there is no signal the values rise to zero + sd sqrt(pi / 2) on average: the noise floor
    (Gudbjartsson & Patz, Magnetic Resonance in Medicine 34, 1995).

    Args:
        image: (channel, *spatial); the least value of a channel is its zero signal.
        rng: draws the noise.
        sd: of the noise in either part, in parts of the channel's `grey_range`; 0 changes nothing.
    """
    zero, size = zero_signal(image), sd * grey_range(image)
    real = image - zero + size * rng.standard_normal(image.shape)
    return as_dtype(image.dtype, zero + np.hypot(real, size * rng.standard_normal(image.shape)))


def blur(image: NDArray, rng: Generator, *, sd: float = 2.0) -> NDArray:
    """Convolve with a Gaussian along every spatial axis.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        sd: of the Gaussian, in voxels; 0 changes nothing.
    """
    from scipy.ndimage import gaussian_filter

    sigma = (0.0, *[sd] * (image.ndim - 1))
    return as_dtype(image.dtype, gaussian_filter(image.astype(np.float64), sigma, mode="nearest"))


def ghost(
    image: NDArray, rng: Generator, *, weight: float = 0.4, part: float = 1 / 3, axis: int | None = None
) -> NDArray:
    """Lay a shifted copy over the image, as where a patient moved between two phases.

    (1 - weight) * image + weight * (image rolled by part of the field along one axis).

    Args:
        image: (channel, *spatial).
        rng: draws the axis among the last two, those within a slice, and is used for nothing else.
        weight: of the copy, in [0, 1]; 0 changes nothing.
        part: how far the copy is rolled, as a part of the field of view.
        axis: counted without the channel axis, instead of a drawn one.
    """
    along = int(rng.integers(image.ndim - 2, image.ndim)) if axis is None else axis % (image.ndim - 1) + 1
    copy = np.roll(image, round(image.shape[along] * part), axis=along)
    return as_dtype(image.dtype, (1 - weight) * image.astype(np.float64) + weight * copy)


def gamma(image: NDArray, rng: Generator, *, exponent: float = 3.0) -> NDArray:
    """Bend the grey scale: the channel, scaled to [0, 1], to a power, and back to its range.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        exponent: above 1 darkens, below 1 brightens, 1 changes nothing.
    """
    low, high = per_channel(image, np.min), per_channel(image, np.max)
    span = np.where(high > low, high - low, 1.0)
    return as_dtype(image.dtype, low + span * ((image - low) / span) ** exponent)


def low_resolution(image: NDArray, rng: Generator, *, factor: int = 5, axis: int = -1) -> NDArray:
    """Lose resolution along one axis: means over blocks, then linear interpolation back.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        factor: how many voxels become one; 1 changes nothing.
        axis: counted without the channel axis.
    """
    along = axis % (image.ndim - 1) + 1
    rows = np.moveaxis(image, along, -1)
    size = rows.shape[-1]
    starts = np.arange(0, size, factor)
    widths = np.diff(np.append(starts, size))
    blocks = np.add.reduceat(rows.astype(np.float64), starts, axis=-1) / widths
    # Where each voxel lies on the axis of block centres.
    position = np.interp(np.arange(size), starts + (widths - 1) / 2, np.arange(len(starts)))
    left = np.floor(position).astype(int)
    right = np.minimum(left + 1, len(starts) - 1)
    share = position - left
    coarse = blocks[..., left] * (1 - share) + blocks[..., right] * share
    return as_dtype(image.dtype, np.moveaxis(coarse, -1, along))


def bias_field(image: NDArray, rng: Generator, *, largest: float = 0.5, degree: int = 3) -> NDArray:
    """Multiply the signal by a smooth field, as from a receive coil: zero + exp(p) (x - zero).

    p is a polynomial in the coordinates with mean 0, the same for all channels.

    Args:
        image: (channel, *spatial); the least value of a channel is its zero signal.
        rng: draws the polynomial.
        largest: of |p|; 0 changes nothing.
        degree: of the polynomial.
    """
    spatial = image.shape[1:]
    powers = np.indices([degree + 1] * len(spatial)).sum(axis=0)
    polynomial = np.where(powers <= degree, rng.standard_normal(powers.shape), 0.0)
    for size in spatial:  # each turn evaluates the foremost axis of coefficients on a grid
        polynomial = np.polynomial.legendre.legval(np.linspace(-1, 1, size), polynomial)
    polynomial -= polynomial.mean()
    field = np.exp(largest * polynomial / (np.abs(polynomial).max() or 1.0))
    zero = zero_signal(image)
    return as_dtype(image.dtype, zero + field * (image - zero))


def clipping(image: NDArray, rng: Generator, *, share: float = 0.2, both: bool = False) -> NDArray:
    """Saturate the grey values: what lies beyond a quantile gets the value there.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        share: of the voxels above the channel's least value (which may be mere background) that
            are saturated, in [0, 1); 0 changes nothing.
        both: half of the share at either end, instead of all of it at the upper one.

    Raises:
        ValueError: the share is not in [0, 1).
    """
    _check_share(share, share < 1, "below 1")
    ends = (share / 2, 1 - share / 2) if both else (0.0, 1 - share)
    result = image.copy()
    for channel in result:
        above = channel[channel > channel.min()]
        if above.size:
            low, high = np.quantile(above, ends)
            channel[...] = as_dtype(image.dtype, np.clip(channel, low if both else channel.min(), high))
    return result


def streaks(image: NDArray, rng: Generator, *, sd: float = 0.1, rays: int = 16) -> NDArray:
    """Add bright and dark rays through a point of every slice, as from metal in CT.

    Args:
        image: (channel, *spatial).
        rng: draws the point and the angles, which are those of every slice and channel, and how
            bright or dark each ray is, which changes slowly from slice to slice.
        sd: of the added values, in parts of the channel's `grey_range`; 0 changes nothing.
        rays: how many.
    """
    from scipy.ndimage import gaussian_filter1d

    plane = image.shape[-2:]
    slices = image.shape[1] if image.ndim == 4 else 1
    point = rng.uniform(0.25, 0.75, 2) * plane
    angles = np.pi * (np.arange(rays) + rng.uniform(0, 1, rays)) / rays
    down, right = np.ogrid[: plane[0], : plane[1]]
    down, right = down - point[0], right - point[1]
    # A ray is as wide as the metal that casts it, and fades away from it.
    width = max(0.7, min(plane) / 150)
    faded = 1 / (1 + np.hypot(down, right) / (min(plane) / 4))
    lines = np.stack(
        [faded * np.exp(-0.5 * ((down * np.cos(a) + right * np.sin(a)) / width) ** 2) for a in angles]
    )
    brightness = gaussian_filter1d(rng.standard_normal((slices, rays)), 2.0, axis=0, mode="nearest")
    pattern = np.tensordot(brightness, lines, axes=1).reshape(image.shape[1:])
    pattern -= pattern.mean()
    return as_dtype(image.dtype, image + sd * grey_range(image) * pattern / (pattern.std() or 1.0))


def inverted(image: NDArray, rng: Generator) -> NDArray:
    """Turn the contrast round within the range of the channel: least + largest - x.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
    """
    axes = tuple(range(1, image.ndim))
    return as_dtype(image.dtype, zero_signal(image) + image.max(axis=axes, keepdims=True) - image)


def slice_order(image: NDArray, rng: Generator, *, share: float = 0.5) -> NDArray:
    """Put slices into each other's place along the first spatial axis; the others stay.

    Args:
        image: (channel, D, H, W).
        rng: draws the slices that leave their place, and where they go.
        share: of the slices out of place, in [0, 1]: at least two of them; 0 changes nothing.

    Raises:
        ValueError: the share is not in [0, 1].
    """
    _check_share(share, share <= 1, "1 at most")
    slices = image.shape[1]
    moved = rng.permutation(slices)[: max(2, round(share * slices)) if share else 0]
    result = image.copy()
    result[:, moved] = image[:, np.roll(moved, 1)]
    return result


def _check_share(share: float, small_enough: bool, most: str) -> None:
    if not (share >= 0 and small_enough):
        raise ValueError(f"the share is {share}; expected 0 or more and {most}")


TRIAL: Mapping[str, Callable[[NDArray, Generator], NDArray]] = {
    "noise": noise,
    "blur": blur,
    "ghost": ghost,
    "gamma": gamma,
    "low_resolution": low_resolution,
}
