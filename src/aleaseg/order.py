r"""Order with a cue: x shall rise (s = +1) or fall (s = -1) with c. One kernel for losses and metrics.

Of two points i and j, with c the cue and x what is ordered by it,

    v_ij = -s (c_i - c_j)(x_i - x_j)              > 0: the pair violates the order
    loss = mean of v over the violating pairs     0 if there are none; its gradient goes into x alone
    UR   = share of the pairs that are in order   ties, in c or in x, count half
         = (1 + s tau_a) / 2                      tau_a: Kendall's, pairs tied or not in the denominator
    UCC  = Spearman's correlation of c and x      average ranks; s is wanted

Half a tie is what chance gives: UR is 1/2 where x does not follow c, whatever is
tied, and UR(x) + UR(-x) = 1. Kendall's tau_b comes from SciPy, in O(n log n), and
tau_a = tau_b sqrt((n0 - n1)(n0 - n2)) / n0, with n0 = n (n - 1) / 2 and n1, n2 the
pairs tied in c and in x.

The authors count otherwise, and in two ways; `official_...` are their numbers under
the names of the versions ("june", "head"), to compare with and for nothing else.

Sources: "Uncertainty-Supervised Interpretable and Robust Evidential Segmentation" (MICCAI
2025, arXiv 2509.17098), whose three principles these are; Kendall (1938, 1945); Spearman (1904).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.errors import one_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Sign",
    "Version",
    "mean_violation",
    "official_pair_ur",
    "official_ucc",
    "official_ur",
    "pair_ucc",
    "pair_ur",
    "ucc",
    "ur",
]

Sign = Literal[1, -1]
Version = Literal["june", "head"]

# Of the official forms: products of differences within this of 0 are in order (june).
_SLACK = 1e-3
# Differences that are held at once.
_BLOCK = 2**22


def mean_violation(
    cue_step: Tensor,
    value_step: Tensor,
    sign: int,
    *,
    mask: Tensor | None = None,
    dim: int | None = None,
) -> Tensor:
    """Mean of v = -s dc dx over the pairs that violate the order; 0 where none does. The loss.

    Args:
        cue_step: dc, c_i - c_j of each pair, of any shape that broadcasts; no gradient goes into it.
        value_step: dx, x_i - x_j of each pair.
        sign: s, +1: x shall rise with c; -1: it shall fall.
        mask: bool, pairs that count; what the others hold does not matter. None: all of them.
        dim: axis of the pairs, which goes; None: all of them are.

    Returns:
        >= 0, in units of c times those of x; 0 = in order. (), or without the axis. Halves are worked on
        in float32.

    >>> import torch
    >>> u = torch.tensor([0.5, 0.25, 0.75])     # shall fall with the gradient (1, 2, 3)
    >>> mean_violation(torch.tensor([-1.0, -2.0]), u[0] - u[1:], -1).item()
    0.5
    """
    import torch

    _check_sign(sign)
    if value_step.dtype in (torch.float16, torch.bfloat16):
        value_step = value_step.float()
    cue_step = cue_step.detach().to(value_step.dtype)
    if mask is not None:
        # Before the product: infinite distances differ by NaN.
        cue_step = torch.where(mask, cue_step, 0.0)
        value_step = torch.where(mask, value_step, 0.0)
    v = -sign * cue_step * value_step
    if dim is None:
        v, dim = v.flatten(), 0
    return v.relu().sum(dim) / (v > 0).sum(dim).clamp(min=1)


def ur(cue: ArrayLike, value: ArrayLike, sign: int, *, mask: ArrayLike | None = None) -> float:
    """UR, the share of all pairs of points that are in order with the cue; ties count half.

    O(n log n): a million points take some 0.7 s.

    Args:
        cue: c, one number per point, of any shape; infinite ones are in order.
        value: x, the same shape.
        sign: s, +1: x shall rise with c; -1: it shall fall.
        mask: bool of the same shape, points that count; None: all of them.

    Returns:
        In [0, 1]: 1 = in order, 1/2 = chance or constant, 0 = the other way round; NaN below two points.

    Raises:
        ValueError: shapes that do not fit, another sign, or NaN at a point that counts.

    >>> ur([1, 2, 3], [0.9, 0.5, 0.1], -1), ur([1, 2, 3], [0.9, 0.5, 0.1], +1)
    (1.0, 0.0)
    >>> ur([1, 2, 3], [5, 5, 5], -1)
    0.5
    """
    from scipy.stats import kendalltau

    _check_sign(sign)
    c, x = _points(cue, value, mask)
    n = c.size
    if n < 2:
        return float("nan")
    pairs = n * (n - 1) / 2
    free = [pairs - _tied(each) for each in (c, x)]
    if not all(free):
        return 0.5
    # Pairs that rise together less those that do not: a whole number again, so that laws hold exactly.
    net = np.rint(float(kendalltau(c, x).statistic) * np.sqrt(free[0]) * np.sqrt(free[1]))
    return float((pairs + sign * net) / (2 * pairs))


def ucc(cue: ArrayLike, value: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """UCC, Spearman's correlation of x with the cue; ties have average ranks.

    Args:
        cue: c, one number per point, of any shape; infinite ones are in order.
        value: x, the same shape.
        mask: bool of the same shape, points that count; None: all of them.

    Returns:
        In [-1, 1]; wanted is s, -1 where x shall fall as c rises. NaN where either is constant, and below
        two points.

    Raises:
        ValueError: shapes that do not fit, or NaN at a point that counts.

    >>> ucc([1, 2, 3, 4], [9, 7, 2, 1])
    -1.0
    >>> round(ucc([1, 1, 2, 2, 3], [1, 2, 1, 3, 3]), 6)  # 7/12
    0.583333
    """
    from scipy.stats import rankdata

    c, x = _points(cue, value, mask)
    if c.size < 2:
        return float("nan")
    # Ranks have the mean (n + 1) / 2, ties or not.
    c, x = (rankdata(each) - (each.size + 1) / 2 for each in (c, x))
    spread = float(c @ c) * float(x @ x)
    return float(np.clip(c @ x / np.sqrt(spread), -1.0, 1.0)) if spread else float("nan")


def pair_ur(cue_step: ArrayLike, value_step: ArrayLike, sign: int) -> float:
    """UR of pairs that are given by their differences, such as each pixel's at two levels of noise.

    Args:
        cue_step: dc, a number or one per pair.
        value_step: dx, one per pair.
        sign: s, as in `ur`.

    Returns:
        In [0, 1], (number in order + half the number tied) / number; NaN without a pair.

    Raises:
        ValueError: another sign, or NaN.

    >>> pair_ur(1, [0.2, 0.1, 0.0, -0.3], +1)
    0.625
    """
    follows = _follows(cue_step, value_step, sign)
    return float((1 + follows.mean()) / 2) if follows.size else float("nan")


def pair_ucc(cue_step: ArrayLike, value_step: ArrayLike) -> float:
    """UCC of such pairs: two points have a Spearman of +1 or -1, and none if they are tied.

    Arguments and errors as in `pair_ur`.

    Returns:
        In [-1, 1], (number that rise with c - number that fall) / number of both; NaN where all are tied.

    >>> round(pair_ucc(1, [0.2, 0.1, 0.0, -0.3]), 3)
    0.333
    """
    follows = _follows(cue_step, value_step, 1)
    there = np.count_nonzero(follows)
    return float(follows.sum() / there) if there else float("nan")


def _follows(cue_step: ArrayLike, value_step: ArrayLike, sign: int) -> NDArray[np.float64]:
    """+1 where a pair is in order, -1 where it violates it, 0 where it is tied."""
    _check_sign(sign)
    steps = [np.asarray(step, dtype=np.float64) for step in (cue_step, value_step)]
    if any(np.isnan(step).any() for step in steps):
        raise ValueError("a difference of cue or value is NaN; leave these pairs out")
    return sign * np.sign(steps[0]) * np.sign(steps[1])  # signs first: a product can vanish


def _check_sign(sign: int) -> None:
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}; expected 1, rises with the cue, or -1, falls as the cue rises")


def _points(
    cue: ArrayLike, value: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cue and value of the points that count, (n,) each."""
    c, x = (np.asarray(each, dtype=np.float64) for each in (cue, value))
    counts = np.ones(c.shape, bool) if mask is None else np.asarray(mask)
    if x.shape != c.shape or counts.shape != c.shape or counts.dtype != bool:
        raise ValueError(
            f"cue is {c.shape}, value {x.shape} and mask {counts.shape} of {counts.dtype}; expected one shape, "
            "and a mask of bool"
        )
    c, x = c[counts], x[counts]
    for name, points in (("cue", c), ("value", x)):
        missing = np.count_nonzero(np.isnan(points))
        if missing:
            raise ValueError(
                f"the {name} is NaN at {missing} of {points.size} points; leave them out with a mask"
            )
    return c, x


def _tied(values: NDArray) -> float:
    """Number of tied pairs."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


# -- what the authors' code counts ----------------------------------------------------------------


def official_ur(cue: ArrayLike, value: ArrayLike, sign: int, version: Version, *, run: int = 0) -> float:
    """UR as the official code counts it, pair by pair.

    `june`: a pair is in order if s dc dx >= -0.001, so a tie is, and so is a small violation.
    `head`: if s dc dx > 0, or both are tied; other ties violate.

    Args:
        cue: (n,) c.
        value: (n,) x.
        sign: s, as in `ur`.
        version: `june` or `head` (of July 2025).
        run: the mean over runs of so many points in the order given, the last one shorter; a last run of
            one point counts as 0. 0: all points together, in O(n^2).

    Returns:
        In [0, 1]; NaN below two points.

    >>> official_ur([1, 2, 3], [5, 5, 5], -1, "june"), official_ur([1, 2, 3], [5, 5, 5], -1, "head")
    (1.0, 0.0)
    """
    _check_sign(sign)
    c, x = _points(cue, value, None)
    n = c.size
    if n < 2:
        return float("nan")
    if run:
        parts = [slice(start, start + run) for start in range(0, n, run)]
        shares = [official_ur(c[p], x[p], sign, version) for p in parts]
        return float(np.mean(np.nan_to_num(shares)))
    ordered, rows = 0.0, max(1, _BLOCK // n)
    for start in range(0, n, rows):
        some = slice(start, start + rows)
        later = np.arange(n) > np.arange(n)[some, None]
        holds = _official(c[some, None] - c, x[some, None] - x, sign, version)
        ordered += float(np.count_nonzero(holds & later))
    return ordered / (n * (n - 1) / 2)


def official_pair_ur(cue_step: ArrayLike, value_step: ArrayLike, sign: int, version: Version) -> float:
    """`pair_ur` as the official code counts it, see `official_ur`; NaN without a pair.

    >>> official_pair_ur(0.8, [0.2, 0.0, -0.001], +1, "june")
    1.0
    """
    _check_sign(sign)
    dc, dx = np.asarray(cue_step, dtype=np.float64), np.asarray(value_step, dtype=np.float64)
    holds = _official(dc, dx, sign, version)
    return float(holds.mean()) if holds.size else float("nan")


def official_ucc(cue: ArrayLike, value: ArrayLike) -> float:
    """Spearman's correlation by the position in a sort as rank, so that ties have an order of their own.

    The sort is a stable one here; with the official code it is the machine's.

    Arguments and errors as in `ucc`.

    Returns:
        In [-1, 1]; NaN below two points.

    >>> official_ucc([1, 1, 2, 2, 3], [1, 2, 1, 3, 3])
    0.9
    """
    c, x = _points(cue, value, None)
    n = c.size
    if n < 2:
        return float("nan")
    ranks = [np.argsort(np.argsort(each, kind="stable"), kind="stable") for each in (c, x)]
    return float(1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (n * (n**2 - 1)))


def _official(dc: NDArray, dx: NDArray, sign: int, version: Version) -> NDArray[np.bool_]:
    one_of("version", version, ("june", "head"))
    product = sign * dc * dx
    if version == "june":
        return product >= -_SLACK
    return (product > 0) | ((dc == 0) & (dx == 0))
