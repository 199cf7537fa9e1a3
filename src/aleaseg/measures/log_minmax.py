"""Where a positive value lies between the smallest and the largest of a population, on a log scale.

    u_i = (ln v_i - min ln v) / (max ln v - min ln v)

The normalisation of Eq. 6 of arXiv 2604.10963, there applied to the semantic
perception scale. Any positive measure can be normalised in the same way, which
is how the paper's competing measures are put on one scale with AUV.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EqualValuesWarning", "log_minmax", "log_range"]

# Spans of ln v below this are rounding, not differences.
_ROUNDING = 1e-12


class EqualValuesWarning(UserWarning):
    """All values of a population are equal: each is put at 0.5, since none stands out."""


def log_range(values: ArrayLike, *, floor: float = 0.0) -> tuple[float, float, int]:
    """Smallest and largest ln v of a population, and how many values they come from.

    Args:
        values: any shape, >= 0; NaN is missing.
        floor: values below it (and zeros) are left out.

    Returns:
        (min ln v, max ln v, n).

    Raises:
        ValueError: no value is left, or one is negative or infinite.

    >>> low, high, n = log_range([1.0, float("nan"), np.e, 0.0])
    >>> (low, high, n)
    (0.0, 1.0, 2)
    """
    array = checked(values)
    usable = array[usable_values(array, floor)]
    if usable.size == 0:
        raise ValueError(
            f"none of {array.size} values is usable (missing, or below {floor:g}); expected at least one"
        )
    logs = np.log(usable)
    return float(logs.min()), float(logs.max()), int(usable.size)


def log_minmax(
    values: ArrayLike, *, low: float | None = None, high: float | None = None, floor: float = 0.0
) -> NDArray[np.float64]:
    """Position of ln v between its population's smallest and largest, in [0, 1]; 1 = the largest v.

    Args:
        values: any shape, one population, >= 0, in any unit; NaN is missing.
        low: frozen smallest ln v; None: the smallest of these values.
        high: frozen largest ln v; None: the largest of these values.
        floor: values below it (and zeros) get 0 and stay out of the smallest and the largest.

    Returns:
        Same shape, float64. Clipped to [0, 1]. NaN stays NaN. Where the smallest and the largest are
        equal each usable value gets 0.5, with an `EqualValuesWarning`.

    Raises:
        ValueError: a value is negative or infinite, or only one of `low` and `high` is given.

    >>> log_minmax([1.0, 10.0, 100.0, 0.0]).tolist()
    [0.0, 0.5, 1.0, 0.0]
    >>> log_minmax([1000.0], low=0.0, high=np.log(100.0)).tolist()
    [1.0]
    """
    if (low is None) != (high is None):
        raise ValueError("only one of low and high is given; expected both (a frozen range) or none")
    array = checked(values)
    usable = usable_values(array, floor)
    position = np.where(np.isnan(array), np.nan, 0.0)
    if not usable.any():
        return position
    if low is None or high is None:
        low, high, _ = log_range(array, floor=floor)
    if high - low < _ROUNDING:
        warnings.warn(
            "all values of the population are equal: each is put at 0.5", EqualValuesWarning, stacklevel=2
        )
        position[usable] = 0.5
    else:
        position[usable] = np.clip((np.log(array[usable]) - low) / (high - low), 0.0, 1.0)
    return position


def usable_values(array: NDArray[np.float64], floor: float) -> NDArray[np.bool_]:
    """Which values are there and large enough for a logarithm."""
    return (array > 0) & (array >= floor)


def checked(values: ArrayLike) -> NDArray[np.float64]:
    """As float64, without negative and infinite values."""
    array = np.asarray(values, dtype=np.float64)
    bad = np.isinf(array) | (array < 0)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {array.size} values are negative or infinite, as {array[bad].flat[0]:g}; "
            "expected numbers >= 0, or NaN where one is missing"
        )
    return array
