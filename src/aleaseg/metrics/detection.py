r"""How well a score finds the bad cases, exact with ties and with weights.

A score s_i, high = suspicious, ranks N cases, some of them bad. At a threshold t
let TP(t) and FP(t) be the weights of the bad and of the good cases with s >= t,
P and Q their totals. The thresholds are the distinct scores, from the highest
down, after t_0 = infinity (nothing is flagged):

    AUROC      = sum_j (FP_j - FP_{j-1}) (TP_j + TP_{j-1}) / 2 / (P Q)
               = P(s_bad > s_good) + P(s_bad = s_good) / 2           Mann and Whitney (1947)
    AP         = sum_j (TP_j - TP_{j-1}) / P * TP_j / (TP_j + FP_j)  steps, nothing interpolated
    precision@k = expected bad share of the first k, ties in random order
    lift@k     = precision@k / (P / (P + Q))
    FPR@TPR    = min {FP_j / Q : TP_j / P >= TPR}

AUROC and AP as in Fawcett, "An introduction to ROC analysis" (2006), and in
scikit-learn (`roc_auc_score`, `average_precision_score`).

Weights are multiplicities: a weight of 2 is a case that is there twice. A batch
of them, (B, N), gives B values from one sorting: B bootstrap replicates of N
cases cost about ten passes over B x N numbers (1000 x 200: some 2 ms; 1000 x
2000: 20 ms). They come fastest stored with the cases in rows, as `Resamples` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.metrics.cumulated import REPLICATES, check_weights, cumulated

__all__ = ["auroc", "average_precision", "fpr_at_tpr", "lift_at_k", "precision_at_k"]

# A number for one set of weights (or none), (B,) for a batch of them.
Value: TypeAlias = np.float64 | NDArray[np.float64]


def auroc(score: ArrayLike, bad: ArrayLike, *, weights: ArrayLike | None = None) -> Value:
    """Area under the ROC curve: how often a bad case scores above a good one, ties counting half.

    Args:
        score: (N,), high = suspicious; infinite values are in order, NaN is not.
        bad: (N,) bool.
        weights: (N,) or (B, N), >= 0; without them every case counts once.

    Returns:
        In [0, 1], high = finds the bad ones, 0.5 = chance; (B,) for a batch of
        weights. NaN without bad or without good cases.

    Raises:
        ValueError: a score is NaN, or shapes or types do not fit.

    >>> float(auroc([0.9, 0.8, 0.8, 0.1], [True, True, False, False]))
    0.875
    """

    def area(true: NDArray, false: NDArray) -> NDArray:
        trapezoids = (true[1:] + true[:-1]) * np.diff(false, axis=0)
        return trapezoids.sum(axis=0) / (2 * true[-1] * false[-1])

    return _statistic(area, score, bad, weights)


def average_precision(score: ArrayLike, bad: ArrayLike, *, weights: ArrayLike | None = None) -> Value:
    """Average precision: precision at each threshold, weighted by the recall that it adds.

    In (0, 1], high = finds the bad ones; about the prevalence at chance. Arguments, NaN and errors as in `auroc`.

    >>> round(float(average_precision([0.9, 0.8, 0.7, 0.1], [True, False, True, False])), 4)
    0.8333
    """

    def area(true: NDArray, false: NDArray) -> NDArray:
        flagged = true[1:] + false[1:]
        # Where nothing is flagged yet nothing is gained either, whatever the precision.
        precision = true[1:] / np.where(flagged > 0, flagged, 1.0)
        return (np.diff(true, axis=0) * precision).sum(axis=0) / true[-1]

    return _statistic(area, score, bad, weights)


def precision_at_k(
    score: ArrayLike, bad: ArrayLike, k: float, *, weights: ArrayLike | None = None
) -> Value:
    """Share of bad cases among the k most suspicious: what a reader of k cases finds.

    Where cases tie across the k-th place it is the expected share over random orders
    of the tied ones. `k` is how many cases are read, > 0 (else ValueError); with weights, how much weight.
    In [0, 1], high = finds the bad ones; the prevalence at chance; NaN also where there are fewer than k
    cases. All else as in `auroc`.

    >>> float(precision_at_k([0.9, 0.5, 0.5, 0.1], [True, True, False, False], k=2))
    0.75
    """
    _positive(k)
    return _statistic(lambda true, false: _precision(true, false, k), score, bad, weights)


def lift_at_k(score: ArrayLike, bad: ArrayLike, k: float, *, weights: ArrayLike | None = None) -> Value:
    """How many times more bad cases the first k hold than k cases at random: precision@k / prevalence.

    In [0, 1 / prevalence], high = finds the bad ones, 1 at chance. Arguments, NaN and errors as in
    `precision_at_k`.

    >>> float(lift_at_k([0.9, 0.8, 0.5, 0.1], [True, True, False, False], k=2))
    2.0
    """
    _positive(k)

    def lift(true: NDArray, false: NDArray) -> NDArray:
        return _precision(true, false, k) * (true[-1] + false[-1]) / true[-1]

    return _statistic(lift, score, bad, weights)


def fpr_at_tpr(
    score: ArrayLike, bad: ArrayLike, tpr: float = 0.95, *, weights: ArrayLike | None = None
) -> Value:
    """Share of good cases that are flagged by the strictest threshold that finds a share `tpr` of the bad.

    `tpr` lies in (0, 1] (else ValueError). In [0, 1], LOW = finds the bad ones at little cost; about `tpr` at
    chance. All else as in `auroc`.

    >>> float(fpr_at_tpr([0.9, 0.8, 0.7, 0.1], [True, False, True, False]))
    0.5
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr is {tpr}; expected a share in (0, 1]")

    def rate(true: NDArray, false: NDArray) -> NDArray:
        # A quotient, not tpr * P: 0.55 * 100 is above 55 in floating point, 55 / 100 is 0.55.
        missed = (true / true[-1] < tpr).sum(axis=0)
        return _at(false, np.minimum(missed, len(false) - 1)) / false[-1]

    return _statistic(rate, score, bad, weights)


# -- one sorting for all weights ------------------------------------------------------------------


def _statistic(
    formula: Callable[[NDArray, NDArray], NDArray],
    score: ArrayLike,
    bad: ArrayLike,
    weights: ArrayLike | None,
) -> Value:
    """The formula on TP and FP, each (thresholds + 1, replicates) from 0 to the totals, block by block."""
    score, bad, weights = _checked(score, bad, weights)
    if not score.size:
        return np.full(weights.shape[:-1], np.nan)[()]
    order = np.argsort(-score, kind="stable")
    ordered, is_bad = score[order], bad[order]
    last = np.append(ordered[1:] != ordered[:-1], True)  # of the cases at a threshold
    flagged = np.flatnonzero(last) + 1
    bad_flagged = np.cumsum(is_bad, dtype=np.intp)[last]
    # Cases in rows: sorting then moves whole rows, and a batch that is stored so is not transposed.
    by_case = np.atleast_2d(weights).T
    values = np.empty(by_case.shape[1])
    for first in range(0, values.size, REPLICATES):
        block = by_case[:, first : first + REPLICATES]
        true = cumulated(block[order[is_bad]], bad_flagged)
        false = cumulated(block[order[~is_bad]], flagged - bad_flagged)
        with np.errstate(divide="ignore", invalid="ignore"):  # seen below
            found = formula(true, false)
        values[first : first + REPLICATES] = np.where((true[-1] > 0) & (false[-1] > 0), found, np.nan)
    return values.reshape(weights.shape[:-1])[()]


def _precision(true: NDArray, false: NDArray, k: float) -> NDArray:
    """Bad share of the first k; of a tied lot that reaches over the k-th place, its part."""
    flagged = true + false
    upper = (flagged < k).sum(axis=0)
    enough = upper < len(flagged)
    upper = np.minimum(upper, len(flagged) - 1)
    above, below = _at(flagged, upper - 1), _at(flagged, upper)
    gained, lot = _at(true, upper - 1), _at(true, upper)
    part = gained + (lot - gained) * (k - above) / (below - above)
    return np.where(enough, part / k, np.nan)


def _at(sums: NDArray, rows: NDArray) -> NDArray:
    """One row of each column."""
    return np.take_along_axis(sums, rows[None], axis=0)[0]


def _positive(k: float) -> None:
    if not k > 0:
        raise ValueError(f"k is {k}; expected how many cases are read, > 0")


def _checked(
    score: ArrayLike, bad: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray]:
    """Scores, which are bad, and weights of every case, or a ValueError."""
    score, bad = np.asarray(score, dtype=np.float64), np.asarray(bad)
    if score.ndim != 1 or bad.shape != score.shape:
        raise ValueError(f"score is {score.shape} and bad is {bad.shape}; expected (N,) both")
    if bad.size and bad.dtype != np.bool_:
        raise ValueError(f"bad is of type {bad.dtype}; expected bool, True = a bad case")
    if np.isnan(score).any():
        raise ValueError(
            f"{int(np.isnan(score).sum())} of {score.size} scores are NaN; "
            "leave these cases out, or give them a score of your choice"
        )
    if weights is None:
        return score, bad, np.ones(score.shape)
    weights = np.asarray(weights)
    check_weights(weights, score.size)
    # Counts of a bootstrap need no look: it would cost a pass over all of them.
    if weights.dtype.kind != "u" and not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("a weight is negative or not finite; expected multiplicities >= 0")
    return score, bad, weights
