r"""Two ways to do the same cases, compared: the mean difference, its interval, and a rank test.

With x_ci the number of class c and case i (NaN where there is none), and w_bi how often
case i is in replicate b of a bootstrap that draws groups of cases,

    mean       = mean over classes of the mean over cases      (cases first: a class weighs as a class)
    difference = mean of y_ci - x_ci, over what both have
    interval   = the middle 95% of the same over replicates

Replicates are shared, so that what is common to both cancels. Wilcoxon's signed-rank test
asks whether the differences lie around 0; it takes its rows for independent, so it is
given one per group: the mean over the group's cases of the mean over classes.

A difference is the second less the first, here and wherever it is shown: above 0 the second is higher. The first is
what something is compared with (the baseline), the second what is asked about. Of networks that were trained
S times each, on seeds s,

    difference = mean over s of (y_sci - x_sci), then as above

and its interval knows nothing of the scatter between trainings; the signs of the S differences do. Something is
claimed only where both agree.

An interval over fewer than five groups would be a number without a meaning: there is none.

Of m comparisons some are below .05 by chance. Holm's p, of p_(1) <= ... <= p_(m), keeps the chance that any of
them is claimed wrongly at what it says, however they depend on one another:

    p'_(k) = max over j <= k of min(1, (m - j + 1) p_(j))

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993); Wilcoxon,
"Individual comparisons by ranking methods" (1945); Holm, "A simple sequentially rejective multiple test
procedure" (1979).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from aleaseg.metrics.bootstrap import Replicated, Resamples, interval

__all__ = [
    "FEWEST_GROUPS",
    "Mean",
    "Paired",
    "Repeated",
    "case_resamples",
    "holm",
    "mean_over_cases",
    "mean_with_interval",
    "paired_difference",
    "repeated_difference",
    "signed_rank",
]

FEWEST_GROUPS = 5


class Mean(NamedTuple):
    """A mean over cases, then over classes.

    Attributes:
        mean: NaN without a number.
        low, high: percentile interval; NaN with fewer than five groups.
        cases: that have a number, in any class.
        groups: of them.
    """

    mean: float
    low: float
    high: float
    cases: int
    groups: int


class Paired(NamedTuple):
    """The second less the first, over the same cases.

    Attributes:
        first, second: their means over the cases (and classes) that both have.
        difference: second less first.
        low, high: percentile interval of the difference; NaN with fewer than five groups.
        p: of Wilcoxon's signed-rank test over groups, two-sided.
        cases: that both have a number for, in any class.
        groups: of them.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    cases: int
    groups: int


class Repeated(NamedTuple):
    """The second less the first, over the same cases, of several trainings of each.

    Attributes:
        difference: second less first, mean over the seeds.
        low, high: 95% interval over the cases, resampled by group; of these seeds only; NaN with fewer than
            five groups.
        signs: `+`, `-` or `0` of the difference in each seed.
        claim: `helps` (the second is higher) or `harms` where all of several seeds agree and the interval
            leaves out 0; else `no claim`.
    """

    difference: float
    low: float
    high: float
    signs: str
    claim: str


def case_resamples(group: ArrayLike, *, replicates: int = 1000, seed: int = 0) -> Resamples:
    """Replicates of N cases that draw whole groups; make them once for all that is to be compared.

    Args:
        group: (N,) labels.
        replicates: B.
        seed: of the drawing.
    """
    return Resamples.make(np.zeros(np.shape(group), dtype=int), group, replicates=replicates, seed=seed)


def mean_over_cases(values: ArrayLike, resamples: Resamples) -> Replicated:
    """The mean over cases, then over classes, of the data and of each replicate.

    Args:
        values: (C, N) or (N,), NaN where there is no number; N cases, those of the resamples.
        resamples: see `case_resamples`.

    Returns:
        The point; (B,) replicates, in which a class that no case is left of does not count.

    Raises:
        ValueError: the cases are not those of the resamples.

    >>> mean_over_cases([[1, 2, 3, np.nan], [4, 4, 4, 4]], case_resamples(["p", "p", "q", "r"])).point
    3.0
    """
    x = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if x.ndim != 2 or x.shape[1:] != resamples.draw.shape:
        raise ValueError(f"values are {x.shape}; expected (C, N) or (N,) with N = {resamples.draw.size}")
    known = ~np.isnan(x)
    # The data are one more replicate, where every case is there once.
    w = np.vstack([np.ones(x.shape[1]), resamples.weights])
    total = w @ known.T
    sums = w @ np.where(known, x, 0.0).T
    of_class = np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    counted = (total > 0).sum(axis=1)
    means = np.divide(np.nansum(of_class, axis=1), counted, out=np.full(len(w), np.nan), where=counted > 0)
    return Replicated(float(means[0]), means[1:])


def mean_with_interval(values: ArrayLike, group: ArrayLike, resamples: Resamples | None = None) -> Mean:
    """The mean over cases, then over classes, with its interval.

    Args:
        values: as in `mean_over_cases`.
        group: (N,) labels.
        resamples: of these cases, to share; None: made here.

    >>> found = mean_with_interval([1, 2, 3, 4, 5, np.nan], list("abcdef"))
    >>> found.mean, found.low < 3 < found.high, found.cases
    (3.0, True, 5)
    """
    cases, groups = _counted(values, group)
    found = mean_over_cases(values, case_resamples(group) if resamples is None else resamples)
    low, high = interval(found.replicates) if groups >= FEWEST_GROUPS else (np.nan, np.nan)
    return Mean(found.point, low, high, cases, groups)


def paired_difference(
    first: ArrayLike, second: ArrayLike, group: ArrayLike, resamples: Resamples | None = None
) -> Paired:
    """How far the second lies above the first, on what both have.

    Args:
        first: x, (C, N) or (N,), NaN where there is no number.
        second: y, the same shape.
        group: (N,) labels.
        resamples: of these cases, to share; None: made here.

    Raises:
        ValueError: the shapes differ.

    >>> found = paired_difference([0.7, 0.8, 0.6, 0.9, 0.5], [0.8, 0.9, 0.7, 1.0, 0.6], list("abcde"))
    >>> round(found.difference, 3), round(found.low, 3), found.p
    (0.1, 0.1, 0.0625)
    """
    x, y = (np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in (first, second))
    if x.shape != y.shape:
        raise ValueError(f"first is {x.shape} and second is {y.shape}; expected one shape, (C, N) or (N,)")
    gaps = y - x
    missing = np.isnan(gaps)
    drawn = case_resamples(group) if resamples is None else resamples
    found = mean_with_interval(gaps, group, drawn)
    one, other = (mean_over_cases(np.where(missing, np.nan, each), drawn).point for each in (x, y))
    return Paired(
        one, other, found.mean, found.low, found.high, signed_rank(gaps, group), found.cases, found.groups
    )


def repeated_difference(
    first: ArrayLike, second: ArrayLike, group: ArrayLike, resamples: Resamples | None = None
) -> Repeated:
    """How far the second lies above the first: trainings of both from the same seeds, on the same cases.

    Args:
        first: x, (S, N) or (S, C, N) of S seeds, high = good; NaN where there is no number.
        second: y, the same shape.
        group: (N,) labels.
        resamples: of these cases, to share; None: made here.

    Raises:
        ValueError: the shapes differ.

    >>> better = np.array([[0.8, 0.9, 0.7, 0.6, 0.9], [0.9, 0.9, 0.8, 0.7, 0.8]])
    >>> found = repeated_difference(better - 0.1, better, list("pqrst"))
    >>> round(found.difference, 6), found.signs, found.claim
    (0.1, '++', 'helps')
    """
    x, y = (np.asarray(each, dtype=np.float64) for each in (first, second))
    if x.shape != y.shape or x.ndim not in (2, 3):
        raise ValueError(
            f"first is {x.shape} and second is {y.shape}; expected one shape, (seeds, cases) or (seeds, classes, cases)"
        )
    gaps, drawn = y - x, case_resamples(group) if resamples is None else resamples
    found = mean_with_interval(gaps.mean(axis=0), group, drawn)
    of_seed = [mean_over_cases(gap, drawn).point for gap in gaps]
    signs = "".join("+" if gap > 0 else "-" if gap < 0 else "0" for gap in of_seed)
    claim = "no claim"
    # One training would agree with itself.
    if len(signs) > 1 and set(signs) == {"+"} and found.low > 0:
        claim = "helps"
    if len(signs) > 1 and set(signs) == {"-"} and found.high < 0:
        claim = "harms"
    return Repeated(found.mean, found.low, found.high, signs, claim)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """The p of several comparisons, corrected for their number.

    Args:
        p: (m,) in [0, 1]; NaN is no comparison.

    Returns:
        (m,), none below what it was, NaN where it was.

    >>> holm([0.01, 0.04, 0.03, np.nan]).round(3).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    values = np.asarray(p, dtype=np.float64)
    found = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    times = np.arange(len(order), 0, -1)
    found[order] = np.minimum(1, np.maximum.accumulate(times * values[order])) if len(order) else []
    return found


def signed_rank(differences: ArrayLike, group: ArrayLike) -> float:
    """Wilcoxon's signed-rank test, a row per group: the mean over its cases of the mean over classes.

    Args:
        differences: (C, N) or (N,), NaN where there is none.
        group: (N,) labels.

    Returns:
        p, two-sided, exact for up to 50 groups without ties; 1 where no group differs, NaN without groups.

    >>> signed_rank([1, 2, 3, 4, 5], list("abcde"))
    0.0625
    """
    d = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    counts = (~np.isnan(d)).sum(axis=0)
    there = counts > 0
    if not there.any():
        return float("nan")
    by_case = np.nansum(d[:, there], axis=0) / counts[there]
    _, of_group = np.unique(np.asarray(group).astype(str)[there], return_inverse=True)
    by_group = np.bincount(of_group, weights=by_case) / np.bincount(of_group)
    if not by_group.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a sample is small is told by its number
        return float(stats.wilcoxon(by_group).pvalue)


def _counted(values: ArrayLike, group: ArrayLike) -> tuple[int, int]:
    """Cases with a number in any class, and groups of them."""
    known = (~np.isnan(np.atleast_2d(np.asarray(values, dtype=np.float64)))).any(axis=0)
    return int(known.sum()), len(set(np.asarray(group).astype(str)[known].tolist()))
