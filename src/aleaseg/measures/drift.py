"""Drift: whether new cases are of the kind that a population is made of, measure by measure.

For each measure the two-sample test of Kolmogorov and Smirnov,

    D = sup_x |F_new(x) - F_population(x)|

with F the share of cases at or below x, and its exact p where samples are small. With m tests the p-values
are stepped down (Holm 1979): sorted, p'_(k) = max_{j <= k} min(1, (m - j + 1) p_(j)). A measure drifts where
p' <= alpha. If nothing drifts, the chance of a single alarm among all m is at most alpha, however the measures
depend on one another; ties (counts, shares of 0) make the test the more careful.

The test takes cases for independent: give one case of a patient, not each of his scans.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.measures.robust import RobustScale

__all__ = ["ALPHA", "FEWEST", "QUANTILES", "Drift", "first_of_each", "step_down", "two_samples"]

ALPHA = 0.01
"""The chance of any false alarm at all."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""What is told of how a measure is spread."""
FEWEST = 5
"""Below this nothing is tested: no difference could be told from chance."""


@dataclass(frozen=True)
class Drift:
    """One measure of new cases against that of a population.

    Attributes:
        n, n_population: cases that have the measure.
        median, median_population: in the measure's unit.
        shift: of the median, in robust standard deviations of the population; > 0 = the new lie higher.
        distance: D, in [0, 1], high = other.
        p: of D, if both were of one kind.
        spread, spread_population: where `QUANTILES` lie, in robust standard deviations of the population
            from its median.
    """

    n: int
    n_population: int
    median: float
    median_population: float
    shift: float
    distance: float
    p: float
    spread: tuple[float, ...]
    spread_population: tuple[float, ...]


def two_samples(new: ArrayLike, population: ArrayLike) -> Drift | None:
    """Hold one measure of new cases against a population's.

    Args:
        new: (N,); NaN = missing.
        population: (M,) likewise.

    Returns:
        None where one side has fewer than `FEWEST` numbers, or all of both are equal.

    >>> found = two_samples([11.0, 12, 13, 14, 15], np.arange(10.0))
    >>> found.distance, round(found.p, 4), found.shift > 2
    (1.0, 0.0007, True)
    """
    from scipy.stats import ks_2samp

    ours, theirs = (_finite(values) for values in (new, population))
    if min(len(ours), len(theirs)) < FEWEST or np.ptp(np.concatenate([ours, theirs])) == 0:
        return None
    with warnings.catch_warnings():
        # Of many ties it has no exact p, and says that it takes the asymptotic one.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation", RuntimeWarning)
        found = ks_2samp(ours, theirs)
    scale = RobustScale.fit(theirs)
    spread, usual = (tuple(np.quantile(scale.z(each), QUANTILES).tolist()) for each in (ours, theirs))
    return Drift(
        len(ours),
        len(theirs),
        float(np.median(ours)),
        float(np.median(theirs)),
        float(scale.z(np.median(ours))),
        float(found.statistic),
        float(found.pvalue),
        spread,
        usual,
    )


def step_down(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's p-values: each the least alpha at which the family's error is bounded and this test still rejects.

    Args:
        p: (m,) in [0, 1].

    Returns:
        (m,), in the order of p.

    Raises:
        ValueError: a p lies outside [0, 1], or is missing.

    >>> step_down([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p is {given}; expected (m,) numbers from 0 to 1")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(1.0, np.arange(len(given), 0, -1) * given[order]))
    found = np.empty_like(given)
    found[order] = stepped
    return found


def first_of_each(groups: Sequence[str], cases: Sequence[str]) -> NDArray[np.bool_]:
    """One case of each group, the first by name: scans of one patient are not independent.

    >>> first_of_each(["p", "q", "p"], ["p_02", "q_01", "p_01"]).tolist()
    [False, True, True]
    """
    first: dict[str, int] = {}
    for row, (group, case) in enumerate(zip(groups, cases, strict=True)):
        if group not in first or case < cases[first[group]]:
            first[group] = row
    chosen = np.zeros(len(cases), dtype=bool)
    chosen[list(first.values())] = True
    return chosen


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64).ravel()
    return found[np.isfinite(found)]
