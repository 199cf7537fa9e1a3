"""Known faults in an image.

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

__all__ = ["TRIAL", "blur", "gamma", "ghost", "low_resolution", "noise"]


def noise(image: NDArray, rng: Generator, *, sd: float = 1.2) -> NDArray:
    """Add Gaussian noise, independent in every voxel.

    Args:
        image: (channel, *spatial).
        rng: draws the noise.
        sd: of the noise, in standard deviations of the channel; 0 changes nothing.
    """
    spread = _per_channel(image, np.std)
    return _as(image.dtype, image + sd * spread * rng.standard_normal(image.shape))


def blur(image: NDArray, rng: Generator, *, sd: float = 2.0) -> NDArray:
    """Convolve with a Gaussian along every spatial axis.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        sd: of the Gaussian, in voxels; 0 changes nothing.
    """
    from scipy.ndimage import gaussian_filter

    sigma = (0.0, *[sd] * (image.ndim - 1))
    return _as(image.dtype, gaussian_filter(image.astype(np.float64), sigma, mode="nearest"))


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
    return _as(image.dtype, (1 - weight) * image.astype(np.float64) + weight * copy)


def gamma(image: NDArray, rng: Generator, *, exponent: float = 3.0) -> NDArray:
    """Bend the grey scale: the channel, scaled to [0, 1], to a power, and back to its range.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        exponent: above 1 darkens, below 1 brightens, 1 changes nothing.
    """
    low, high = _per_channel(image, np.min), _per_channel(image, np.max)
    span = np.where(high > low, high - low, 1.0)
    return _as(image.dtype, low + span * ((image - low) / span) ** exponent)


def low_resolution(image: NDArray, rng: Generator, *, factor: int = 5) -> NDArray:
    """Lose resolution along the last axis: means over blocks, then linear interpolation back.

    Args:
        image: (channel, *spatial).
        rng: not used; all faults are called alike.
        factor: how many voxels become one; 1 changes nothing.
    """
    size = image.shape[-1]
    starts = np.arange(0, size, factor)
    widths = np.diff(np.append(starts, size))
    blocks = np.add.reduceat(image.astype(np.float64), starts, axis=-1) / widths
    # Where each voxel lies on the axis of block centres.
    position = np.interp(np.arange(size), starts + (widths - 1) / 2, np.arange(len(starts)))
    left = np.floor(position).astype(int)
    right = np.minimum(left + 1, len(starts) - 1)
    share = position - left
    return _as(image.dtype, blocks[..., left] * (1 - share) + blocks[..., right] * share)


def _per_channel(image: NDArray, statistic: Callable[..., NDArray]) -> NDArray:
    axes = tuple(range(1, image.ndim))
    return np.asarray(statistic(image.astype(np.float64), axis=axes, keepdims=True))


def _as(dtype: np.dtype, values: NDArray) -> NDArray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype, copy=False)


TRIAL: Mapping[str, Callable[[NDArray, Generator], NDArray]] = {
    "noise": noise,
    "blur": blur,
    "ghost": ghost,
    "gamma": gamma,
    "low_resolution": low_resolution,
}
