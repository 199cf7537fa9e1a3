"""Correlation with its p-value and its interval, and Spearman's partial correlation.

For n pairs, and k covariates that are held fixed,

    r = cov(x, y) / sqrt(var(x) var(y))               Pearson; of average ranks: Spearman
    r(x, y | C) = R_xy.C / sqrt(R_xx.C R_yy.C)        partial, R_ab.C = R_ab - R_aC R_CC^-1 R_Cb
    t = r sqrt(df / (1 - r^2)),  df = n - 2 - k       two-sided p from Student's t

with R the correlation matrix of x, y and the covariates. R_ab.C is the covariance
of what linear regression on the covariates (and an intercept) leaves of a and b,
so the partial one is Pearson's r of those residuals.

The interval is a percentile bootstrap that draws groups of rows. A replicate is
the data with multiplicities w, and ranks are taken anew in each:

    rank_i = sum_j w_j 1[x_j < x_i] + (1 + sum_j w_j 1[x_j = x_i]) / 2

Sources: Fisher (1915, 1924) for p; Spearman (1904); Conover, "Practical
Nonparametric Statistics" (1999), section 5.4, on ranks in place of numbers; Efron and
Tibshirani (1993) for the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from aleaseg.metrics.bootstrap import Resamples, interval
from aleaseg.metrics.cumulated import REPLICATES, cumulated

__all__ = ["Correlation", "correlation_p_value", "partial_spearman", "pearson", "rank_matrix", "spearman"]

_FEWEST = 4
# A share of a variance below this is rounding: nothing is left to correlate.
_NOTHING = 1e-10
# Likewise a variance of ranks, or of numbers that were scaled to a range of 1.
_CONSTANT = 1e-20


@dataclass(frozen=True)
class Correlation:
    """A correlation, and what is known of it.

    Attributes:
        r: in [-1, 1], 0 = no (monotone) linear relation; NaN where one side is constant or n < 4.
        p: two-sided, of r = 0, for independent rows: with groups, trust the interval.
        n: rows without NaN.
        low, high: percentile interval; NaN with r.
    """

    r: float
    p: float
    n: int
    low: float
    high: float


def pearson(
    x: ArrayLike,
    y: ArrayLike,
    group: ArrayLike | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Correlation:
    """Pearson's correlation of two columns: how close to a line.

    Args:
        x: (N,) numbers; rows with a NaN are left out.
        y: (N,), likewise.
        group: (N,) labels of rows that belong together (a patient's), resampled as one;
            without them each row is its own.
        level: of the interval.
        replicates: B of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: lengths differ, a number is infinite, or `level` or `replicates` is out of range.

    >>> found = pearson([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    >>> round(found.r, 3), round(found.p, 3), found.n
    (0.8, 0.104, 5)
    """
    return _correlation([x, y], group, False, level, replicates, seed)


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    group: ArrayLike | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Correlation:
    """Spearman's rank correlation of two columns: how close to monotone; ties get average ranks.

    B = 1000 replicates of 1000 rows, each ranked anew, take some 0.1 s. Arguments and errors as in `pearson`,
    but that infinite numbers are in order.

    >>> found = spearman([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])
    >>> found.r, found.p
    (1.0, 0.0)
    """
    return _correlation([x, y], group, True, level, replicates, seed)


def partial_spearman(
    x: ArrayLike,
    y: ArrayLike,
    covariates: ArrayLike | Sequence[ArrayLike],
    group: ArrayLike | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Correlation:
    """Spearman's correlation of two columns with the ranks of others (size, site) held fixed.

    `covariates` are (N,) or (N, k) numbers; rows with a NaN are left out. r is NaN too where they tell x or y
    entirely, or leave no degree of freedom; p has n - 2 - k degrees of freedom. All else as in `spearman`.

    >>> size = np.arange(40.0)
    >>> x, y = size + 6 * np.sin(size), size + 6 * np.cos(size)  # alike in size alone
    >>> round(spearman(x, y).r, 2), round(partial_spearman(x, y, size).r, 2)
    (0.87, 0.02)
    """
    held = np.asarray(covariates, dtype=np.float64)
    if held.ndim not in (1, 2):
        raise ValueError(f"covariates are {held.shape}; expected (N,) or (N, k)")
    columns = [held] if held.ndim == 1 else list(held.T)
    return _correlation([x, y, *columns], group, True, level, replicates, seed)


def rank_matrix(columns: ArrayLike) -> NDArray[np.float64]:
    """Spearman's correlation of every column with every other, from the rows that both have.

    Args:
        columns: (N, M) numbers, NaN where missing. The cost grows with the number of
            distinct sets of missing rows, squared: every column whole is the cheapest.

    Returns:
        (M, M) in [-1, 1], symmetric, 1 on the diagonal; NaN where a column is constant
        on the rows of a pair, or there are fewer than 4.

    Raises:
        ValueError: not two-dimensional.

    >>> rank_matrix([[1, 4], [2, 3], [3, 2], [4, 1]])
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    values = np.asarray(columns, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"columns are {values.shape}; expected (N, M), a column per measure")
    matrix = np.full((values.shape[1],) * 2, np.nan)
    # Columns that lack the same rows are ranked together.
    patterns, pattern = np.unique(~np.isnan(values), axis=1, return_inverse=True)
    pattern = pattern.ravel()
    for p, q in zip(*np.triu_indices(patterns.shape[1]), strict=True):
        rows = np.flatnonzero(patterns[:, p] & patterns[:, q])
        if rows.size < _FEWEST:
            continue
        first, second = np.flatnonzero(pattern == p), np.flatnonzero(pattern == q)
        both = np.concatenate([first, second])
        ranks = stats.rankdata(values[np.ix_(rows, both)], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # a constant gives the NaN that is meant
            block = np.corrcoef(ranks, rowvar=False)[: first.size, first.size :]
        matrix[np.ix_(first, second)] = block
        matrix[np.ix_(second, first)] = block.T
    constant = np.isnan(np.diag(matrix))
    np.fill_diagonal(matrix, np.where(constant, np.nan, 1.0))
    return matrix


def correlation_p_value(r: float, n: int, covariates: int = 0) -> float:
    """Two-sided p of a correlation, Student's t with n - 2 - k degrees of freedom.

    Args:
        r: in [-1, 1].
        n: independent pairs.
        covariates: k, how many were held fixed.

    Returns:
        In [0, 1]; NaN where r is, or without degrees of freedom.

    >>> round(correlation_p_value(0.6267, 16), 4)
    0.0094
    """
    freedom = n - 2 - covariates
    if freedom < 1 or np.isnan(r):
        return float("nan")
    if abs(r) >= 1:
        return 0.0
    return float(2 * stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r * r)), freedom))


# -- one kernel: weighted, ranked or not, with or without covariates -------------------------------


def _correlation(
    columns: Sequence[ArrayLike],
    group: ArrayLike | None,
    ranked: bool,
    level: float,
    replicates: int,
    seed: int,
) -> Correlation:
    """Of the first two columns, with the others held fixed."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    shapes = [array.shape for array in arrays]
    if arrays[0].ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"columns are {', '.join(map(str, shapes))}; expected (N,) all")
    values = np.stack(arrays)
    if group is not None and np.shape(group) != values.shape[1:]:
        raise ValueError(f"group is {np.shape(group)}; expected a label per row, {values.shape[1:]}")
    if not ranked and np.isinf(values).any():
        raise ValueError("a number is infinite; pass NaN where it is missing, or use spearman")
    known = ~np.isnan(values).any(axis=0)
    values = values[:, known]
    if not ranked:
        # To a range of 1, so that squares neither overflow nor vanish, and a constant is seen.
        spread = np.ptp(values, axis=1, keepdims=True) if known.any() else 1.0
        values = (values - values[:, :1]) / np.where(spread > 0, spread, 1.0)
    held, n = len(values) - 2, values.shape[1]
    nothing = Correlation(np.nan, np.nan, n, np.nan, np.nan)
    if n < max(_FEWEST, held + 3):
        return nothing
    r = float(_replicated(values, np.ones((n, 1)), ranked)[0])
    if np.isnan(r):
        return nothing
    labels = np.arange(n) if group is None else np.asarray(group)[known]
    drawn = Resamples.make(np.zeros(n, int), labels, replicates=replicates, seed=seed)
    low, high = interval(_replicated(values, drawn.groups.T, ranked), level)
    return Correlation(r, correlation_p_value(r, n, held), n, low, high)


def _replicated(values: NDArray, weights: NDArray, ranked: bool) -> NDArray[np.float64]:
    """Coefficients (B,) of columns (m, n) under each set of weights (n, B), ranked anew in each."""
    found = []
    for first in range(0, weights.shape[1], REPLICATES):
        block = weights[:, first : first + REPLICATES].astype(np.float64)
        columns = [_ranks(column, block) if ranked else column[:, None] for column in values]
        found.append(_coefficients(np.stack(columns), block))
    return np.concatenate(found)


def _ranks(values: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Average ranks (n, B) of values (n,) that are there as often as weights (n, B) say."""
    _, tie, counts = np.unique(values, return_inverse=True, return_counts=True)
    sums = cumulated(weights[np.argsort(values, kind="stable")], np.cumsum(counts))
    return ((sums[:-1] + sums[1:] + 1) / 2)[tie]


def _coefficients(columns: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Weighted r (B,) of the first two of columns (m, n, B or 1), the others held fixed."""
    total = weights.sum(axis=0)
    deviations = columns - ((columns * weights).sum(axis=1) / total)[:, None]
    weighted = deviations * weights
    m = len(columns)
    R = np.empty((len(total), m, m))
    for a, b in zip(*np.triu_indices(m), strict=True):
        R[:, a, b] = R[:, b, a] = (weighted[a] * deviations[b]).sum(axis=0) / total
    variance = np.einsum("baa->ba", R)
    scale = np.where(variance > _CONSTANT, 1 / np.sqrt(np.maximum(variance, _CONSTANT)), 0.0)
    R *= scale[:, :, None] * scale[:, None, :]
    # A constant has zeros here: as a covariate it holds nothing fixed, on either side there is no r.
    across = R[:, :2, 2:]
    left = R[:, :2, :2] - across @ np.linalg.pinv(
        R[:, 2:, 2:], rcond=_NOTHING, hermitian=True
    ) @ across.transpose(0, 2, 1)
    of_x, of_y = left[:, 0, 0], left[:, 1, 1]
    there = (of_x > _NOTHING) & (of_y > _NOTHING)
    r = left[:, 0, 1] / np.sqrt(np.where(there, of_x * of_y, 1.0))
    return np.where(there, np.clip(r, -1.0, 1.0), np.nan)
