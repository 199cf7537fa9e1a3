r"""How well a number is foretold: R^2, mean absolute error, Pearson's r, each with weights of cases.

    R^2 = 1 - sum w (y - f)^2 / sum w (y - mean_w y)^2

1 = exactly, 0 = no better than the mean of the same cases, below 0 = worse than that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["absolute_error", "r_squared", "weighted_pearson"]


def r_squared(y: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Coefficient of determination, high = good.

    Args:
        y: (N,) true.
        foretold: (N,).
        weights: (N,) or (B, N) >= 0; None: 1.

    Returns:
        At most 1; () or (B,). NaN where y does not vary.

    >>> float(r_squared([1, 2, 3], [1, 2, 3])), float(r_squared([1, 2, 3], [2, 2, 2]))
    (1.0, 0.0)
    """
    y, f, w = _checked(y, foretold, weights)
    total = w.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (w * y).sum(axis=-1) / total
        spread = (w * (y - mean[..., None]) ** 2).sum(axis=-1)
        found: NDArray[np.float64] = np.where(
            spread > 0, 1 - (w * (y - f) ** 2).sum(axis=-1) / spread, np.nan
        )
    return found


def absolute_error(
    y: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Mean absolute error in the unit of y, low = good; arguments as those of `r_squared`.

    >>> float(absolute_error([1, 2], [2, 4]))
    1.5
    """
    y, f, w = _checked(y, foretold, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (w * np.abs(y - f)).sum(axis=-1) / w.sum(axis=-1)
    return found


def weighted_pearson(
    y: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Pearson's correlation, in [-1, 1], high = good; NaN where either does not vary.

    >>> round(float(weighted_pearson([1, 2, 3], [2, 4, 6])), 9)
    1.0
    """
    y, f, w = _checked(y, foretold, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = w.sum(axis=-1)[..., None]
        a, b = (x - (w * x).sum(axis=-1)[..., None] / total for x in (y, f))
        both = np.sqrt((w * a * a).sum(axis=-1) * (w * b * b).sum(axis=-1))
        # A constant keeps what its mean was rounded by.
        least = 1e-12 * (w * (y * y + f * f)).sum(axis=-1)
        found: NDArray[np.float64] = np.where(both > least, (w * a * b).sum(axis=-1) / both, np.nan)
    return found


def _checked(
    y: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    true, f = np.asarray(y, dtype=np.float64), np.asarray(foretold, dtype=np.float64)
    w = np.ones_like(true) if weights is None else np.asarray(weights, dtype=np.float64)
    if true.ndim != 1 or f.shape != true.shape or w.shape[-1:] != true.shape:
        raise ValueError(
            f"y is {true.shape}, foretold {f.shape} and weights {w.shape}; expected (N,) or (B, N)"
        )
    return true, f, w
