r"""Where a model is unsure, is it wrong? Voxels and wrong voxels by their uncertainty.

Voxels are put into B bins of equal width by their uncertainty u in [0, 1]. With n_b voxels in
bin b and w_b wrong ones among them, the share wrong is

    e_b = w_b / n_b                                of one case, and
    e_b = sum_i w_ib / sum_i n_ib                  of several, their voxels together

and a model knows where it is wrong if e_b rises with b. On the diagonal, e_b = u_b, uncertainty would be the
probability of being wrong; neither K / A nor the entropy promises that.

Source: Guo et al., "On calibration of modern neural networks" (2017), on reliability diagrams; Laves et al.,
"Well-calibrated model uncertainty" (2019), on errors by uncertainty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.metrics.bootstrap import interval
from aleaseg.metrics.paired import FEWEST_GROUPS, case_resamples

__all__ = ["BINS", "errors_by_uncertainty", "shares_wrong"]

BINS = 20
_BLOCK = 2**22


def errors_by_uncertainty(uncertainty: ArrayLike, wrong: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """Voxels, and wrong voxels, in bins of uncertainty.

    Args:
        uncertainty: (n,) u in [0, 1]; 1 lies in the last bin, every other edge in the bin above it.
        wrong: (n,) bool, where the winner is not the label.
        bins: B, of equal width.

    Returns:
        (2, B): voxels, and the wrong ones among them.

    Raises:
        ValueError: shapes differ, `wrong` is not bool, u lies outside [0, 1], or bins < 1.

    >>> errors_by_uncertainty([0.0, 0.4, 0.6, 1.0], [False, True, True, True], bins=2).tolist()
    [[2, 2], [1, 2]]
    """
    u, bad = np.asarray(uncertainty).ravel(), np.asarray(wrong).ravel()
    if u.shape != bad.shape or bad.dtype != bool:
        raise ValueError(
            f"uncertainty is {u.shape} and wrong {bad.shape} of {bad.dtype}; expected (n,) both, and bool"
        )
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    if u.size and not (u.min() >= 0 and u.max() <= 1):
        raise ValueError(f"uncertainty goes from {u.min():.4g} to {u.max():.4g}; expected [0, 1], no NaN")
    counts = np.zeros((2, bins), dtype=np.int64)
    for start in range(0, u.size, _BLOCK):  # a volume in float64 would be held several times
        some = slice(start, start + _BLOCK)
        place = np.minimum((u[some].astype(np.float64) * bins).astype(np.intp), bins - 1)
        counts[0] += np.bincount(place, minlength=bins)
        counts[1] += np.bincount(place[bad[some]], minlength=bins)
    return counts


def shares_wrong(voxels: ArrayLike, wrong: ArrayLike, group: ArrayLike) -> NDArray[np.float64]:
    """The share of wrong voxels in each bin, of all cases together, with intervals over groups of cases.

    Args:
        voxels: (N, B) voxels of N cases.
        wrong: (N, B) the wrong ones among them.
        group: (N,) labels.

    Returns:
        (3, B): e, and the ends of its 95% interval; NaN where there is no voxel, and no interval where fewer
        than five groups have one.

    Raises:
        ValueError: shapes differ.

    >>> shares_wrong([[8, 0], [2, 0]], [[1, 0], [1, 0]], ["p", "q"]).tolist()
    [[0.2, nan], [nan, nan], [nan, nan]]
    """
    n, w = (np.asarray(each, dtype=np.float64) for each in (voxels, wrong))
    labels = np.asarray(group).astype(str)
    if n.ndim != 2 or n.shape != w.shape or n.shape[:1] != labels.shape:
        raise ValueError(
            f"voxels are {n.shape}, wrong {w.shape} and group {labels.shape}; expected (N, B), (N, B) and (N,)"
        )
    # The data are one more replicate, where every case is there once.
    often = np.vstack([np.ones(len(n)), case_resamples(labels).weights])
    total = often @ n
    e = np.divide(often @ w, total, out=np.full(total.shape, np.nan), where=total > 0)
    found = np.full((3, n.shape[1]), np.nan)
    found[0] = e[0]
    for place, held in enumerate(n.T > 0):
        if len(set(labels[held])) >= FEWEST_GROUPS:
            found[1:, place] = interval(e[1:, place])
    return found
