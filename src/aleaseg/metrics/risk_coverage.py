r"""Whether a model knows which of its cases are bad: the area under the risk-coverage curve.

Cases are accepted from the most confident on. With r_(1), ..., r_(n) their risks in that
order (risk = 1 - Dice, say),

    AURC   = 1/n sum_k 1/k sum_(j <= k) r_(j)          mean risk of the k most confident, meaned over k
    E-AURC = AURC - AURC of the order by risk          what a perfect confidence would leave
    nAURC  = (mean risk - AURC) / (mean risk - AURC of the order by risk)

A constant risk r has AURC = r, a random order has the mean risk on average, whatever n is.
Equal confidences are in random order, and AURC is its mean over those orders: each of
them then has the mean risk of its lot. Weights w are multiplicities; a lot of weight w and
mean risk r that begins after weight N and summed risk R adds

    sum_(j = 1..w) (R + j r) / (N + j) = w r + (R - N r) (H(N + w) - H(N))

with H the harmonic numbers, so B bootstrap replicates cost one sorting.

The form `fd_shifts` is the trapezoid rule over the n points k / n, n - 1 steps, as the
package of that name has it: smaller by about the first step's area, so that a constant
risk of 0.3 in ten cases gives 0.27. For comparison with numbers published so, only.

Sources: Geifman and El-Yaniv, "Selective classification for deep neural networks" (2017),
and Geifman et al. (2019) on E-AURC; Jaeger et al., "A call to reflect on evaluation
practices for failure detection in image classification" (2023), for `fd_shifts`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from aleaseg.metrics.cumulated import check_weights, cumulated

__all__ = ["aurc", "excess_aurc", "normalised_aurc", "optimal_aurc"]

Form = Literal["mean", "fd_shifts"]
# A number for one set of weights (or none), (B,) for a batch of them.
Value: TypeAlias = Any
# A share of a risk below this is rounding.
_NOTHING = 1e-12


def aurc(
    risk: ArrayLike, confidence: ArrayLike, *, weights: ArrayLike | None = None, form: Form = "mean"
) -> Value:
    """Area under the risk-coverage curve.

    Args:
        risk: (N,), high = bad.
        confidence: (N,), high = the model is sure.
        weights: (N,) or (B, N) multiplicities; without them every case counts once.
        form: `mean`, or `fd_shifts` (without weights).

    Returns:
        Between the smallest and the mean risk or above it, low = confidence puts the bad cases last;
        (B,) for a batch of weights. NaN without cases.

    Raises:
        ValueError: shapes do not fit, a number is NaN, or `fd_shifts` with weights.

    >>> round(float(aurc([0.1, 0.2, 0.6], [0.9, 0.8, 0.1])), 4)
    0.1833
    """
    risk, confidence, weights = _checked(risk, confidence, weights)
    if form == "fd_shifts":
        if weights is not None:
            raise ValueError("form `fd_shifts` knows no weights; use form `mean`")
        return _fd_shifts(risk, confidence)
    by_case = (np.ones((risk.size, 1)) if weights is None else np.atleast_2d(weights).T).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    last = (
        np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) + 1 if risk.size else np.array([], int)
    )
    N = cumulated(by_case[order], last)
    R = cumulated(by_case[order] * risk[order, None], last)
    w, lot = np.diff(N, axis=0), np.diff(R, axis=0)
    r = np.divide(lot, w, out=np.zeros_like(lot), where=w > 0)
    harmonic = digamma(N + 1)
    area = (lot + (R[:-1] - N[:-1] * r) * np.diff(harmonic, axis=0)).sum(axis=0)
    found = np.divide(area, N[-1], out=np.full(len(area), np.nan), where=N[-1] > 0)
    return found.reshape(() if weights is None else weights.shape[:-1])[()]


def optimal_aurc(risk: ArrayLike, *, weights: ArrayLike | None = None, form: Form = "mean") -> Value:
    """AURC of the order by risk itself: the least there is; arguments and errors as in `aurc`.

    >>> round(float(optimal_aurc([0.6, 0.1, 0.2])), 4)
    0.1833
    """
    return aurc(risk, -np.asarray(risk, dtype=np.float64), weights=weights, form=form)


def excess_aurc(
    risk: ArrayLike, confidence: ArrayLike, *, weights: ArrayLike | None = None, form: Form = "mean"
) -> Value:
    """E-AURC: what a perfect confidence would leave of AURC.

    From 0 = perfect order, low = good. Arguments and errors as in `aurc`.

    >>> float(excess_aurc([0.1, 0.2, 0.6], [0.9, 0.8, 0.1]))
    0.0
    """
    return aurc(risk, confidence, weights=weights, form=form) - optimal_aurc(
        risk, weights=weights, form=form
    )


def normalised_aurc(risk: ArrayLike, confidence: ArrayLike, *, weights: ArrayLike | None = None) -> Value:
    """nAURC: where AURC lies between a random order and the perfect one.

    At most 1 = perfect order, 0 = as good as random, below it worse; NaN where all risks are the same.
    Arguments and errors as in `aurc`.

    >>> float(normalised_aurc([0.1, 0.2, 0.6], [0.9, 0.8, 0.1]))
    1.0
    """
    best = optimal_aurc(risk, weights=weights)
    found = aurc(risk, confidence, weights=weights)
    risk, _, weights = _checked(risk, confidence, weights)
    if weights is None:
        mean: Any = risk.mean() if risk.size else np.nan
    else:
        total = np.asarray(weights.sum(axis=-1), dtype=np.float64)
        mean = np.divide(weights @ risk, total, out=np.full(total.shape, np.nan), where=total > 0)
    reach = mean - best
    known = reach > _NOTHING * np.maximum(np.abs(mean), _NOTHING)
    return np.where(known, (mean - found) / np.where(known, reach, 1.0), np.nan)[()]


def _fd_shifts(risk: NDArray[np.float64], confidence: NDArray[np.float64]) -> float:
    """The trapezoid rule as the package of that name lays its points, ties included."""
    n = risk.size
    if n == 0:
        return float("nan")
    order = np.argsort(confidence)
    ordered = confidence[order]
    # Mean risk of what is left when the i least confident are gone, i = 0 ... n - 1.
    left = np.cumsum(risk[order][::-1])[::-1] / np.arange(n, 0, -1)
    # A point after each removal, but not after those of a case as confident as the one before it.
    gone = np.arange(1, n)
    kept = gone[np.append(True, ordered[1:-1] != ordered[:-2])] if n > 1 else gone
    points, steps = left[np.append(0, kept)], np.diff(np.append(0, kept)) / n
    tail = (n - 1 - (kept[-1] if kept.size else 0)) / n  # down to no coverage, flat
    return float((steps * (points[1:] + points[:-1]) / 2).sum() + tail * points[-1])


def _checked(
    risk: ArrayLike, confidence: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray | None]:
    risk, confidence = (np.asarray(each, dtype=np.float64) for each in (risk, confidence))
    if risk.ndim != 1 or confidence.shape != risk.shape:
        raise ValueError(f"risk is {risk.shape} and confidence is {confidence.shape}; expected (N,) both")
    if np.isnan(risk).any() or np.isnan(confidence).any():
        raise ValueError("a risk or a confidence is NaN; leave these cases out")
    if weights is None:
        return risk, confidence, None
    weights = np.asarray(weights)
    check_weights(weights, risk.size)
    return risk, confidence, weights
