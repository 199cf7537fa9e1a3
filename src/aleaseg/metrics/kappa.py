"""How far raters who put units into categories agree beyond chance: two kappas and an alpha, with intervals.

With n_uc raters who put unit u into category c, and n_u = sum_c n_uc:

    Cohen (1960), two raters, units that both rated:
        kappa = (p_o - p_e) / (1 - p_e),  p_o the share of units in one category,  p_e = sum_c p_1c p_2c
    Fleiss (1971), R raters, units that all rated:
        P_u = sum_c n_uc (n_uc - 1) / (R (R - 1)),  p_e = sum_c p_c^2,  kappa = (mean P_u - p_e) / (1 - p_e)
    Krippendorff (2004), nominal, units that at least two rated:
        D_o = 1 - sum_u sum_c n_uc (n_uc - 1) / (n_u - 1) / n,  D_e = 1 - sum_c n_c (n_c - 1) / (n (n - 1)),
        alpha = 1 - D_o / D_e,  n = sum_u n_u,  n_c = sum_u n_uc

1 = they always agree, 0 = as by chance, below 0 = less. Fleiss' kappa takes chance to be alike for all raters,
and so do Krippendorff's disagreements, which also take units that some did not rate. Undefined (NaN) where all
said the same one thing: nothing could have differed.

The intervals are percentiles of a bootstrap over the units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.metrics.bootstrap import interval

__all__ = ["MISSING", "Agreement", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha"]

MISSING = -1
"""The code of a unit that a rater did not rate."""
_AT_ONCE = 200


class Agreement(NamedTuple):
    """How far raters agree.

    Attributes:
        value: at most 1; NaN where it is not defined.
        low, high: 95% percentile interval.
        units: how many it is of.
    """

    value: float
    low: float
    high: float
    units: int


def cohen_kappa(codes: ArrayLike, *, replicates: int = 2000, seed: int = 0) -> Agreement:
    """Cohen's kappa of two raters.

    Args:
        codes: (units, 2), categories from 0; -1 where a rater did not rate.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: not two raters.

    >>> round(cohen_kappa([[0, 0]] * 20 + [[0, 1]] * 5 + [[1, 0]] * 10 + [[1, 1]] * 15).value, 3)
    0.4
    """
    given = _checked(codes)
    if given.shape[1] != 2:
        raise ValueError(f"{given.shape[1]} raters; expected two")
    given = given[(given != MISSING).all(axis=1)]
    categories = np.arange(given.max(initial=-1) + 1)
    same = given[:, 0] == given[:, 1]
    first, second = (given[:, rater, None] == categories for rater in range(2))

    def kappa(weights: NDArray) -> NDArray[np.float64]:
        total = weights.sum(axis=1)
        expected = ((weights @ first) * (weights @ second)).sum(axis=1) / total**2
        return _beyond(weights @ same / total, expected)

    return _with_interval(kappa, len(given), replicates, seed)


def fleiss_kappa(codes: ArrayLike, *, replicates: int = 2000, seed: int = 0) -> Agreement:
    """Fleiss' kappa of two or more raters, of the units that all of them rated.

    Args:
        codes: (units, raters), categories from 0; -1 where a rater did not rate.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two raters.
    """
    given = _checked(codes)
    raters = given.shape[1]
    counts = _counts(given[(given != MISSING).all(axis=1)])
    pairs = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))

    def kappa(weights: NDArray) -> NDArray[np.float64]:
        total = weights.sum(axis=1)
        expected = ((weights @ counts / (total[:, None] * raters)) ** 2).sum(axis=1)
        return _beyond(weights @ pairs / total, expected)

    return _with_interval(kappa, len(counts), replicates, seed)


def krippendorff_alpha(codes: ArrayLike, *, replicates: int = 2000, seed: int = 0) -> Agreement:
    """Krippendorff's alpha of nominal categories, of the units that at least two rated.

    Args:
        codes: (units, raters), categories from 0; -1 where a rater did not rate.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two raters.
    """
    given = _checked(codes)
    counts = _counts(given[(given != MISSING).sum(axis=1) >= 2])
    rated = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (rated - 1)

    def alpha(weights: NDArray) -> NDArray[np.float64]:
        values, per_category = weights @ rated, weights @ counts
        observed = 1 - weights @ same / values
        expected = 1 - (per_category * (per_category - 1)).sum(axis=1) / (values * (values - 1))
        return 1 - np.divide(observed, expected, out=np.full_like(observed, np.nan), where=expected > 1e-12)

    return _with_interval(alpha, len(counts), replicates, seed)


def _checked(codes: ArrayLike) -> NDArray[np.intp]:
    given = np.asarray(codes, dtype=np.intp)
    if given.ndim != 2 or given.shape[1] < 2:
        raise ValueError(f"codes of shape {given.shape}; expected (units, raters), two raters or more")
    if given.size and given.min() < MISSING:
        raise ValueError(f"a code of {given.min()}; expected categories from 0, and -1 for none")
    return given


def _counts(given: NDArray[np.intp]) -> NDArray[np.float64]:
    """How many raters put each unit into each category, (units, categories)."""
    categories = np.arange(given.max(initial=-1) + 1)
    return (given[:, :, None] == categories).sum(axis=1).astype(np.float64)


def _beyond(observed: NDArray, expected: NDArray) -> NDArray[np.float64]:
    room = 1 - expected
    return np.divide(observed - expected, room, out=np.full_like(room, np.nan), where=room > 1e-12)


def _with_interval(
    statistic: Callable[[NDArray], NDArray[np.float64]], units: int, replicates: int, seed: int
) -> Agreement:
    if not units:
        return Agreement(np.nan, np.nan, np.nan, 0)
    value = float(statistic(np.ones((1, units)))[0])
    rng, found = np.random.default_rng(seed), []
    for first in range(0, replicates, _AT_ONCE):
        size = min(_AT_ONCE, replicates - first)
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=size)
        with np.errstate(invalid="ignore", divide="ignore"):  # a replicate of one category alone has none
            found.append(statistic(drawn.astype(np.float64)))
    low, high = interval(np.concatenate(found)) if found else (np.nan, np.nan)
    return Agreement(value, low, high, units)
