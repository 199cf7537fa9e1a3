r"""What the measures go with: each other, the Dice of the prediction, and what they might follow in its place.

A correlation is taken within each draw, on the rows that have both numbers, and averaged:

    r = mean_d r_d        over the draws where both sides vary

since populations differ between draws. The p-value is that of Student's t for r with the
mean number of cases in a draw, not the sum: the draws are, but for the faults, the same
cases again and add hardly any. A measure that lacks more than half of the cases does not
apply, and has NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.result import CONFOUNDS
from aleaseg.bench.targets import MOST_MISSING, measures_of
from aleaseg.metrics import (
    Resamples,
    correlation_p_value,
    interval,
    nested,
    pearson,
    rank_matrix,
    spearman,
)
from aleaseg.metrics.cumulated import cumulated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["class_dice", "confounds", "dice", "ranks", "weighted_pearson", "weighted_spearman"]

_FEWEST = 4
# Variance of numbers that were scaled to a range of 1, or of ranks: below it, rounding.
_CONSTANT = 1e-20


def ranks(cases: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of every measure with every other over the cases of a bench, mean over the draws.

    Returns:
        Measure x measure in [-1, 1], symmetric; NaN where one is constant or does not apply.
    """
    import pandas as pd

    names = measures_of(cases)
    matrix = _mean_ranks(_applying(cases), cases["draw"].to_numpy())
    return pd.DataFrame(matrix, index=names, columns=names)


def confounds(cases: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of every measure with every confound over the clean cases, mean over the draws.

    Returns:
        A row per measure and confound: measure, confound, spearman in [-1, 1] (0 = does not follow it;
        NaN where the confound does not vary), p as the module has it, n (draw, case) rows with both.
    """
    import pandas as pd

    clean = cases[cases["axis"] == "clean"]
    draw, names = clean["draw"].to_numpy(), measures_of(cases)
    columns = np.hstack([_applying(clean), _numbers(clean, CONFOUNDS)])
    there = (~np.isnan(columns)).astype(int)
    n = there[:, : len(names)].T @ there[:, len(names) :]
    r = _mean_ranks(columns, draw)[: len(names), len(names) :]
    rows = [
        (name, confound, r[i, j], _p_value(r[i, j], n[i, j], draw), n[i, j])
        for i, name in enumerate(names)
        for j, confound in enumerate(CONFOUNDS)
    ]
    return pd.DataFrame(rows, columns=["measure", "confound", "spearman", "p", "n"])


def dice(cases: pd.DataFrame) -> pd.DataFrame:
    """Pearson's and Spearman's correlation of every measure with `clean_dice`, over all cases, mean over the draws.

    The interval is the percentile bootstrap of `aleaseg.metrics.bootstrap`, 1000 replicates of
    draws and of groups. A group is drawn once for all draws (`crossed`): a patient who is hard to
    segment is so in every draw.

    Returns:
        A row per measure: measure, level (`case`), n (draw, case) rows with both numbers, and pearson
        and spearman in [-1, 1], BELOW 0 = doubt where the prediction is bad, each with _low, _high and _p,
        p as the module has it.
    """
    import pandas as pd

    draw, target = cases["draw"].to_numpy().astype(str), _numbers(cases, ["clean_dice"])[:, 0]
    resamples = Resamples.make(draw, cases["group"].to_numpy(), crossed=True)
    statistics: Mapping[str, Callable] = {"pearson": weighted_pearson, "spearman": weighted_spearman}
    rows = []
    for name, values in zip(measures_of(cases), _applying(cases).T, strict=True):
        known = np.flatnonzero(np.isfinite(values) & np.isfinite(target))
        row = {"measure": name, "level": "case", "n": known.size}
        for kind, statistic in statistics.items():
            # `nested` gives every draw's part of both columns to the statistic, whatever is in the second.
            found = nested(statistic, values[known], target[known], draw[known], resamples.select(known))
            row[kind] = found.point
            row[f"{kind}_low"], row[f"{kind}_high"] = interval(found.replicates)
            row[f"{kind}_p"] = _p_value(found.point, known.size, draw)
        rows.append(row)
    return pd.DataFrame(rows)


def class_dice(means: pd.DataFrame) -> pd.DataFrame:
    """Correlation of every measure with `clean_dice` over means of classes, as the paper's Table 4 probably is.

    Args:
        means: class, clean_dice and a column per measure, high = bad.

    Returns:
        Rows as those of `dice`, level `class`, n classes; intervals from resampled classes. Empty for
        fewer than 4 classes, and without a measure that has no number in so many.
    """
    import pandas as pd

    rows = []
    target = means["clean_dice"].to_numpy(dtype=np.float64)
    for name in means.columns.difference(["class", "clean_dice"], sort=False):
        values = means[name].to_numpy(dtype=np.float64)
        row: dict[str, Any] = {"measure": name, "level": "class"}
        for kind, correlate in (("pearson", pearson), ("spearman", spearman)):
            found = correlate(values, target)
            row |= {"n": found.n, kind: found.r, f"{kind}_p": found.p}
            row |= {f"{kind}_low": found.low, f"{kind}_high": found.high}
        if row["n"] >= _FEWEST:
            rows.append(row)
    return pd.DataFrame(rows)


# -- within draws ---------------------------------------------------------------------------------


def _numbers(cases: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return cases[list(names)].to_numpy(dtype=np.float64)


def _applying(cases: pd.DataFrame) -> NDArray[np.float64]:
    """Measures (N, M), a column NaN altogether where it lacks too many of the cases."""
    columns = _numbers(cases, measures_of(cases))
    too_few = np.isnan(columns).sum(axis=0) > MOST_MISSING * len(columns)
    return np.where(too_few, np.nan, columns)


def _mean_ranks(columns: NDArray[np.float64], draw: NDArray) -> NDArray[np.float64]:
    """Spearman's r (M, M) of columns (N, M), mean over the draws that have one."""
    found = np.stack([rank_matrix(columns[draw == name]) for name in np.unique(draw)])
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        return np.nansum(found, axis=0) / (~np.isnan(found)).sum(axis=0)


def _p_value(r: float, rows: int, draw: NDArray) -> float:
    return correlation_p_value(r, round(rows / len(np.unique(draw))))


# -- with multiplicities --------------------------------------------------------------------------


def weighted_pearson(x: NDArray, y: NDArray, *, weights: NDArray) -> NDArray[np.float64]:
    """Pearson's correlation of two columns whose rows are there as often as weights say.

    Args:
        x: (n,) finite.
        y: (n,) finite.
        weights: (B, n), >= 0.

    Returns:
        (B,) in [-1, 1]; NaN where a side is constant, or n < 4.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> weighted_pearson(x, 2 * x, weights=np.array([[1, 1, 1, 1], [4, 0, 0, 0]]))
    array([ 1., nan])
    """
    return _coefficient(_unit_range(x)[:, None], _unit_range(y)[:, None], weights.T)


def weighted_spearman(x: NDArray, y: NDArray, *, weights: NDArray) -> NDArray[np.float64]:
    """Spearman's correlation of two columns as `weighted_pearson` takes them, (B,) in [-1, 1].

    Both are ranked anew under each set of weights; ties get average ranks.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> weighted_spearman(x, x**3, weights=np.array([[1, 1, 1, 1], [4, 0, 0, 0]]))
    array([ 1., nan])
    """
    by_row = weights.T.astype(np.float64)
    return _coefficient(_weighted_ranks(x, by_row), _weighted_ranks(y, by_row), by_row)


def _unit_range(values: NDArray) -> NDArray[np.float64]:
    spread = np.ptp(values) if len(values) else 0.0
    return (values - values[:1]) / (spread if spread > 0 else 1.0)


def _weighted_ranks(values: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Average ranks (n, B) of values (n,) that are there as often as weights (n, B) say."""
    _, tie, counts = np.unique(values, return_inverse=True, return_counts=True)
    sums = cumulated(weights[np.argsort(values, kind="stable")], np.cumsum(counts))
    return ((sums[:-1] + sums[1:] + 1) / 2)[tie]


def _coefficient(x: NDArray, y: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Correlations (B,) of columns (n, 1 or B) under weights (n, B)."""
    if len(x) < _FEWEST:
        return np.full(weights.shape[1], np.nan)
    share = weights / np.maximum(weights.sum(axis=0), 1)
    dx, dy = (column - (column * share).sum(axis=0) for column in (x, y))
    covariance, of_x, of_y = (
        (one * other * share).sum(axis=0) for one, other in ((dx, dy), (dx, dx), (dy, dy))
    )
    varies = (of_x > _CONSTANT) & (of_y > _CONSTANT)
    r = covariance / np.sqrt(np.where(varies, of_x * of_y, 1.0))
    return np.where(varies, np.clip(r, -1.0, 1.0), np.nan)
