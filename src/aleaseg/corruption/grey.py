"""The grey scale of an image, per channel: its range, its zero signal, and the way back to a dtype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_dtype", "grey_range", "per_channel", "spread", "zero_signal"]


def per_channel(image: NDArray, statistic: Callable[..., NDArray]) -> NDArray:
    """A statistic of each channel of (channel, *spatial), as float64 (channel, 1, ...)."""
    axes = tuple(range(1, image.ndim))
    return np.asarray(statistic(image.astype(np.float64), axis=axes, keepdims=True))


def spread(image: NDArray) -> NDArray:
    """The standard deviation of each channel, (channel, 1, ...)."""
    return per_channel(image, np.std)


def grey_range(image: NDArray) -> NDArray:
    """From the 1st to the 99th percentile of each channel, (channel, 1, ...).

    From the least to the largest value where more than 98% of a channel are one value; 0 where all are.

    >>> grey_range(np.arange(101).reshape(1, 101)).item()
    98.0
    """
    axes = tuple(range(1, image.ndim))
    low, high = np.percentile(image, (1, 99), axis=axes, keepdims=True)
    extent = image.max(axis=axes, keepdims=True).astype(np.float64) - image.min(axis=axes, keepdims=True)
    return np.where(high > low, high - low, extent)


def zero_signal(image: NDArray) -> NDArray:
    """The least value of each channel, (channel, 1, ...): what a scanner that receives nothing writes."""
    return image.min(axis=tuple(range(1, image.ndim)), keepdims=True).astype(np.float64)


def as_dtype(dtype: np.dtype, values: NDArray) -> NDArray:
    """Values in a dtype, kept within what it can hold; rounded where it is of integers."""
    whole = np.issubdtype(dtype, np.integer)
    limits = np.iinfo(dtype) if whole else np.finfo(dtype)
    kept = np.clip(np.rint(values) if whole else values, limits.min, limits.max)
    return kept.astype(dtype, copy=False)
