"""Size-adjusted scores: what of a score is left when the size of the object is known.

    value_i = a + b · x_i + r_i,   x_i = ln size_i,   the adjusted score is r_i

Many scores follow the size of the object: small structures have a low Dice, thick
ones a large share of easy voxels. Whoever ranks by them ranks by size; the residual
asks which case scores badly *for its size*.

The line is fitted by a bounded-influence M-estimator, so that neither a bad score nor
an odd size bends it much:

    sum_i w(x_i) psi(r_i / s) x_i = 0,   psi(u) = max(-1.345, min(1.345, u)),
    s = 1.4826 median |r|,   w(x) = min(1, (2 / ||z(x)||)^2),   z robustly standardised

by iteratively reweighted least squares. Sources: psi: Huber, "Robust estimation of a
location parameter" (1964); its constant has 95% efficiency for Gaussian errors. w:
Mallows' weights, as in Hampel et al., "Robust statistics" (1986), chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SizeAdjustment", "size_adjusted"]

_GAUSSIAN = 1.4826
_HUBER = 1.345
_FAR = 2.0
_ROUNDS = 100


@dataclass(frozen=True)
class SizeAdjustment:
    """The line through a population, frozen with it.

    Attributes:
        intercept: a.
        slopes: b, one per covariate; 0 for one that does not vary.
    """

    intercept: float
    slopes: tuple[float, ...]

    @classmethod
    def fit(cls, values: ArrayLike, covariates: ArrayLike) -> SizeAdjustment:
        """Fit to a population.

        Args:
            values: (N,) scores of one kind; NaN = missing, left out.
            covariates: (N,) or (N, F) such as ln size and ln depth, logarithms already taken; a case with
                a NaN or infinite one (an empty mask) is left out.

        Raises:
            ValueError: shapes do not fit, or fewer than F + 2 cases are left.

        >>> line = SizeAdjustment.fit([1.0, 2.0, 3.0, 40.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
        >>> line.residual([2.5, 40.0], [2.0, 4.0]).round(3).tolist()
        [0.5, 36.0]
        """
        y, x = _table(values, covariates)
        known = np.flatnonzero(np.isfinite(y) & np.isfinite(x).all(axis=1))
        y, x = y[known], x[known]
        least = x.shape[1] + 2
        if len(y) < least:
            raise ValueError(f"got {len(y)} cases with a score and a size; expected at least {least}")
        center = np.median(x, axis=0)
        scale = np.array([_scale(column) for column in (x - center).T])
        z = (x - center) / scale
        intercept, *slopes = _bounded_influence(y, z)
        b = np.array(slopes) / scale
        return cls(float(intercept - b @ center), tuple(b.tolist()))

    def residual(self, values: ArrayLike, covariates: ArrayLike) -> NDArray[np.float64]:
        """Score minus what its size lets expect, (N,), in the unit and direction of the score.

        Args:
            values: (N,) scores; NaN stays NaN.
            covariates: as in `fit`; NaN where one is missing or infinite.

        Raises:
            ValueError: shapes do not fit.
        """
        y, x = _table(values, covariates)
        if x.shape[1] != len(self.slopes):
            raise ValueError(f"got {x.shape[1]} covariates; expected {len(self.slopes)}, as in the fit")
        known = np.isfinite(x).all(axis=1, keepdims=True)
        return y - self.intercept - np.where(known, x, np.nan) @ np.array(self.slopes)


def size_adjusted(values: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
    """Residual of a score on the logarithm of the size, fitted to these very cases.

    Args:
        values: (N,) scores of one kind; NaN = missing.
        size: (N,) or (N, F) such as volume in mm³, or volume and depth; > 0, and 0 or NaN where there is
            no object.

    Returns:
        (N,) in the unit and direction of the score, about 0 for a usual case; NaN where the score or
        a size is missing.

    Raises:
        ValueError: shapes do not fit, a size is negative, or there are fewer than F + 2 cases.

    >>> dice = [0.5, 0.6, 0.7, 0.6, 0.9, 1.0]
    >>> adjusted = size_adjusted(dice, [1e1, 1e2, 1e3, 1e4, 1e5, 1e6])
    >>> int(adjusted.argmin()), f"{adjusted.min():.3f}"
    (3, '-0.200')
    """
    sizes = np.asarray(size, dtype=np.float64)
    if (sizes < 0).any():
        raise ValueError(f"the smallest size is {np.nanmin(sizes)}; expected sizes of 0 or more")
    logs = np.log(np.where(sizes > 0, sizes, np.nan))
    return SizeAdjustment.fit(values, logs).residual(values, logs)


def _bounded_influence(y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + F,) coefficients of y on 1 and the standardised covariates."""
    design = np.column_stack([np.ones(len(y)), z])
    near = _FAR**2 / np.maximum((z**2).sum(axis=1), _FAR**2)
    weights = near
    residual, beta = y, np.zeros(design.shape[1])
    smallest = 1e-12 * float(np.ptp(y))
    for _ in range(_ROUNDS):
        weighted = design * weights[:, None]
        # The shortest solution: a covariate that does not vary gets no slope.
        step = np.linalg.lstsq(weighted.T @ design, weighted.T @ residual, rcond=1e-10)[0]
        beta = beta + step
        residual = y - design @ beta
        scale = _GAUSSIAN * float(np.median(np.abs(residual)))
        if scale <= smallest or np.abs(step).max() <= 1e-9 * scale:
            break
        weights = near * _HUBER * scale / np.maximum(np.abs(residual), _HUBER * scale)
    return beta


def _scale(centred: NDArray[np.float64]) -> float:
    """A standard deviation > 0: robust, or the plain one where most values are equal, or 1 where all are."""
    return _GAUSSIAN * float(np.median(np.abs(centred))) or float(np.std(centred)) or 1.0


def _table(values: ArrayLike, covariates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.asarray(values, dtype=np.float64), np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if y.ndim != 1 or x.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"values have shape {y.shape} and covariates {x.shape}; expected (N,), and (N,) or (N, F)"
        )
    return y, x
