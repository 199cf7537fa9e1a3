"""What to look at first, and what a random sample says of the rest.

Expected faults per minute. A case of doubt d is faulty with a probability that rises with d: isotonic regression
(Ayer et al. 1955) of the verdicts so far on d, with a prior of its own at every case, whose weight is that of
two verdicts in all and whose value is d. Looking takes exp(a + b ln slices) seconds, a and b by ridge regression of the
logarithms so far, towards 30 seconds and towards b = 0. The order is that of probability over time.

A random sample. All cases in an order drawn by lot; the sample is its longest beginning that was decided whole, so
that nobody chose it. Of N cases K are bad, and x of the n of the sample: x is hypergeometric, and the interval of K
holds every K for which neither x or more nor x or fewer would be rarer than 1 in 40 (exact, as Clopper and Pearson
1934 for the binomial).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.review.decisions import Decision

__all__ = ["Sample", "bad_in_all", "drawn_order", "faults_per_minute", "found_bad", "sample_of"]

_PRIOR_SECONDS, _PRIOR_WEIGHT = 30.0, 2.0
_RIDGE = 4.0
_LEVEL = 0.95


def found_bad(decisions: Iterable[Decision]) -> dict[str, bool]:
    """Case -> whether it is bad: whether at least half of those who are sure say anything but keep."""
    said: dict[str, list[bool]] = {}
    for one in decisions:
        if not one.class_name and one.verdict != "unsure":
            said.setdefault(one.case, []).append(one.verdict != "keep")
    return {case: sum(bad) * 2 >= len(bad) for case, bad in said.items()}


def faults_per_minute(
    doubt: ArrayLike, slices: ArrayLike, bad: ArrayLike, seconds: ArrayLike
) -> NDArray[np.float64]:
    """How many faults a minute spent on each case is expected to find.

    Args:
        doubt: (N,) in [0, 1]; NaN where unknown, then it is taken to be the median.
        slices: (N,) of each case, from 1.
        bad: (N,) 1 or 0 as far as a case is decided; NaN where it is not.
        seconds: (N,) that its verdict took; NaN where unknown.
    """
    d, depth, y, t = (np.asarray(one, dtype=np.float64) for one in (doubt, slices, bad, seconds))
    if not len(d):
        return np.zeros(0)
    known = d[np.isfinite(d)]
    d = np.where(np.isfinite(d), d, np.median(known) if len(known) else 0.5)
    return 60 * _probability(d, y) / _time(depth, t)


def _probability(d: NDArray, y: NDArray) -> NDArray[np.float64]:
    from sklearn.isotonic import isotonic_regression

    seen = np.isfinite(y)
    weight = _PRIOR_WEIGHT / len(d) + seen
    target = (_PRIOR_WEIGHT / len(d) * d + np.where(seen, y, 0)) / weight
    order = np.argsort(d, kind="stable")
    found = np.empty(len(d))
    found[order] = isotonic_regression(target[order], sample_weight=weight[order], y_min=0, y_max=1)
    return found


def _time(depth: NDArray, t: NDArray) -> NDArray[np.float64]:
    seen = np.isfinite(t) & (t > 0)
    x = np.log(np.maximum(depth, 1.0))
    x = x - x.mean()
    rows = np.column_stack([np.ones(seen.sum()), x[seen]])
    left = np.log(t[seen] / _PRIOR_SECONDS)
    a, b = np.linalg.solve(rows.T @ rows + np.diag([_PRIOR_WEIGHT, _RIDGE]), rows.T @ left)
    return np.asarray(_PRIOR_SECONDS * np.exp(a + b * x))


# -- a random sample ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """What a random sample says of all cases.

    Attributes:
        size: cases of the sample.
        bad: how many of them are bad.
        cases: how many there are in all.
        low, high: 95% interval of how many of all are bad.
        found: how many bad ones were found, in the sample or outside it.
        left_low, left_high: of how many bad ones are left among those that nobody decided about.
    """

    size: int
    bad: int
    cases: int
    low: int
    high: int
    found: int
    left_low: int
    left_high: int


def drawn_order(cases: Sequence[str], seed: str) -> list[str]:
    """The cases in an order drawn by lot: the same for the same seed, whatever order they come in."""
    return sorted(
        cases, key=lambda case: hashlib.sha256(f"{seed}\n{case}".encode("utf-8", "replace")).digest()
    )


def sample_of(order: Sequence[str], bad: Mapping[str, bool]) -> Sample:
    """What the beginning of a drawn order says of all of it.

    Args:
        order: all cases, as `drawn_order` gives them.
        bad: of those that were decided.
    """
    size = next((place for place, case in enumerate(order) if case not in bad), len(order))
    x = sum(bad[case] for case in order[:size])
    low, high = bad_in_all(len(order), size, x)
    found = sum(bad.get(case, False) for case in order)
    unseen = sum(case not in bad for case in order)
    # What was found outside the sample is bad for sure.
    low, high = max(low, found), min(max(high, found), found + unseen)
    return Sample(size, x, len(order), low, high, found, low - found, high - found)


def bad_in_all(cases: int, size: int, bad: int, level: float = _LEVEL) -> tuple[int, int]:
    """The exact interval of how many of all cases are bad.

    Args:
        cases: how many there are.
        size: of the sample.
        bad: in the sample.
        level: of the interval.
    """
    from scipy.stats import hypergeom

    possible = np.arange(bad, cases - size + bad + 1)
    tail = (1 - level) / 2
    as_many = hypergeom.sf(bad - 1, cases, possible, size)
    as_few = hypergeom.cdf(bad, cases, possible, size)
    kept = possible[(as_many > tail) & (as_few > tail)]
    return (int(kept.min()), int(kept.max())) if len(kept) else (bad, bad)
