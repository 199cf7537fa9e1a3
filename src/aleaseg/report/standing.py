"""Where a value stands in its population, and whether a measure follows size instead of quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["association", "confound_table", "percentiles"]


def percentiles(values: NDArray) -> NDArray[np.float64]:
    """For each value the share of the others below it (ties count half), in [0, 1]; NaN stays NaN.

    >>> percentiles(np.array([10.0, 20.0, 30.0]))
    array([0. , 0.5, 1. ])
    """
    from scipy.stats import rankdata

    values = np.asarray(values, dtype=np.float64)
    result = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    count = int(known.sum())
    if count == 1:
        result[known] = 0.5
    elif count > 1:
        result[known] = (rankdata(values[known]) - 1) / (count - 1)
    return result


def association(values: NDArray, against: NDArray) -> tuple[float, int]:
    """How far a measure goes with something that it should not go with.

    Spearman's rank correlation (average ranks for ties) against a number; the
    correlation ratio of the ranks against a class set or a site: the square
    root of epsilon squared, the share of their variance that lies between the
    groups, less what chance puts there (else many small groups explain all).

    Args:
        values: (n,) numbers; NaN is left out.
        against: (n,) numbers, or texts (dtype object).

    Returns:
        rho in [-1, 1] (eta in [0, 1] against texts), NaN where either is
        constant or fewer than three pairs remain; and the number of pairs.
    """
    from scipy.stats import rankdata

    values = np.asarray(values, dtype=np.float64)
    if against.dtype == object:
        known = np.isfinite(values) & np.array([text not in ("", None) for text in against], dtype=bool)
    else:
        known = np.isfinite(values) & np.isfinite(against.astype(np.float64))
    count = int(known.sum())
    if count < 3 or len(set(values[known])) < 2 or len(set(against[known])) < 2:
        return float("nan"), count
    ranks = rankdata(values[known])
    if against.dtype == object:
        _, group = np.unique(against[known].astype(str), return_inverse=True)
        sizes = np.bincount(group)
        total = float(((ranks - ranks.mean()) ** 2).sum())
        between = float((sizes * (np.bincount(group, ranks) / sizes - ranks.mean()) ** 2).sum())
        if count == len(sizes):
            return float("nan"), count
        within = (total - between) / (count - len(sizes))
        return float(np.sqrt(max(0.0, between - (len(sizes) - 1) * within) / total)), count
    return float(np.corrcoef(ranks, rankdata(against[known].astype(np.float64)))[0, 1]), count


def confound_table(
    columns: dict[str, NDArray], measures: Sequence[str], confounds: Sequence[str]
) -> list[dict[str, Any]]:
    """Every measure against every confound: `measure`, `confound`, `rho`, `n`, `kind` (`rho` or `eta`)."""
    table = []
    for measure in measures:
        for confound in confounds:
            rho, count = association(columns[measure], columns[confound])
            kind = "eta" if columns[confound].dtype == object else "rho"
            table.append({"measure": measure, "confound": confound, "rho": rho, "n": count, "kind": kind})
    return table
