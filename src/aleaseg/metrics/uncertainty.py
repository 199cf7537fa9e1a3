r"""How good a map of uncertainty is: does it lie where the mask is wrong, and where raters differ.

    UEO     = max over tau in {.01, .. .99} of Dice(wrong voxels, voxels with u > tau)
    NCC     = mean of (u - mean u)(v - mean v) / (sd u sd v),   v the reference, such as q (1 - q)
    GED^2   = 2 E d(S, Y) - E d(S, S') - E d(Y, Y'),            d = 1 - IoU, 0 where both are empty

S are masks that a model gives and Y those of raters, over all pairs, a mask with itself among
them. q is the share of the raters who marked a voxel; with it goes soft Dice,

    soft Dice = 1 - sum |p - q| / sum (p + q)

which is 1 exactly at p = q, and Dice where both are hard.

Sources: Li et al., "Region-based evidential deep learning" (2023), on UEO; Kahl et al.,
"ValUES" (ICLR 2024), on NCC; Kohl et al., "A Probabilistic U-Net" (2018), on GED; Wang et al.,
"Dice semimetric losses" (MICCAI 2023, arXiv 2303.16296), on soft Dice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["ged", "ncc", "soft_dice", "ueo"]

_TAUS = np.arange(1, 100) / 100
_BLOCK = 2**22


def ueo(uncertainty: ArrayLike, wrong: ArrayLike) -> float:
    """Uncertainty-error overlap, at the best of 99 thresholds.

    Args:
        uncertainty: (*spatial) u in [0, 1], or any other that is normalised so.
        wrong: (*spatial) bool, where the winner is not the label (or, of one class, where one of the two
            is it).

    Returns:
        In [0, 1], high = it lies where the mask is wrong; 1 where nothing is wrong and a threshold leaves
        nothing uncertain.

    Raises:
        ValueError: shapes differ, `wrong` is not bool, or u lies outside [0, 1].

    >>> ueo([0.9, 0.6, 0.1, 0.1], [True, False, False, False])
    1.0
    >>> ueo([0.5, 0.5], [False, False])
    1.0
    """
    u, bad = np.asarray(uncertainty).ravel(), np.asarray(wrong).ravel()
    if np.shape(uncertainty) != np.shape(wrong) or bad.dtype != bool:
        raise ValueError(
            f"uncertainty is {np.shape(uncertainty)} and wrong {np.shape(wrong)} of {bad.dtype}; expected one "
            "shape, and bool"
        )
    if u.size and not (u.min() >= 0 and u.max() <= 1):
        raise ValueError(f"uncertainty goes from {u.min():.4g} to {u.max():.4g}; expected [0, 1], no NaN")
    # How many voxels lie above exactly so many thresholds, and how many of those are wrong.
    above, found = np.zeros((2, _TAUS.size + 1))
    for start in range(0, u.size, _BLOCK):
        some = slice(start, start + _BLOCK)
        passed = np.searchsorted(_TAUS, u[some].astype(np.float64), side="left")
        above += np.bincount(passed, minlength=above.size)
        found += np.bincount(passed, weights=bad[some], minlength=found.size)
    # Above the j-th threshold lie those that passed more than j.
    both, uncertain = (each[::-1].cumsum()[::-1][1:] for each in (found, above))
    whole = uncertain + found.sum()
    return float(np.where(whole > 0, 2 * both / np.where(whole > 0, whole, 1), 1.0).max())


def ncc(uncertainty: ArrayLike, reference: ArrayLike) -> float:
    """Normalised cross-correlation of two maps: does uncertainty lie where raters differ.

    Args:
        uncertainty: (*spatial).
        reference: (*spatial), such as q (1 - q).

    Returns:
        In [-1, 1], high = alike up to scale and offset; NaN where either is constant.

    Raises:
        ValueError: shapes differ.

    >>> round(ncc([0.0, 0.1, 0.2], [1.0, 2.0, 3.0]), 9)
    1.0
    """
    maps = [np.asarray(each, dtype=np.float64) for each in (uncertainty, reference)]
    if maps[0].shape != maps[1].shape:
        raise ValueError(
            f"uncertainty is {maps[0].shape} and reference {maps[1].shape}; expected one shape"
        )
    if not all(each.size and np.ptp(each) > 0 for each in maps):
        return float("nan")
    u, v = ((each - each.mean()).ravel() for each in maps)
    return float(np.clip(u @ v / np.sqrt((u @ u) * (v @ v)), -1.0, 1.0))


def ged(samples: ArrayLike, raters: ArrayLike) -> float:
    """Squared generalised energy distance of masks that a model gives from those of raters, of one class.

    Args:
        samples: (S, *spatial) bool; one mask alone has no spread of its own.
        raters: (R, *spatial) bool.

    Returns:
        From 0, at most 2; 0 = the masks are spread as the raters' are.

    Raises:
        ValueError: no mask, another type, or shapes that do not fit.

    >>> one, other = [True, True, False], [False, True, True]
    >>> ged([one, other], [other, one]), round(ged([one], [one, other]), 4)  # (2/3) (1 - 1/2)
    (0.0, 0.3333)
    """
    both = [np.asarray(each) for each in (samples, raters)]
    if any(each.dtype != bool or each.ndim < 2 or not len(each) for each in both) or (
        both[0].shape[1:] != both[1].shape[1:]
    ):
        raise ValueError(
            f"samples are {both[0].shape} of {both[0].dtype} and raters {both[1].shape} of {both[1].dtype}; "
            "expected bool (S, *spatial) and (R, *spatial), S and R at least 1"
        )
    masks = np.concatenate([each.reshape(len(each), -1) for each in both])
    shared = np.zeros((len(masks),) * 2)
    for start in range(0, masks.shape[1], _BLOCK):  # volumes in float64 would be held at once
        block = masks[:, start : start + _BLOCK].astype(np.float64)
        shared += block @ block.T
    marked = np.diag(shared)
    either = marked[:, None] + marked - shared
    apart = 1 - np.where(either > 0, shared / np.where(either > 0, either, 1), 1.0)
    s = len(both[0])
    return float(2 * apart[:s, s:].mean() - apart[:s, :s].mean() - apart[s:, s:].mean())


def soft_dice(predicted: ArrayLike, reference: ArrayLike, both_empty: float = float("nan")) -> float:
    """Dice of probabilities with shares of raters; of hard masks the usual one.

    Args:
        predicted: (*spatial) p in [0, 1]; a hard prediction is 0 or 1.
        reference: (*spatial) q in [0, 1].
        both_empty: what two empty maps have; NaN or 1.

    Returns:
        In [0, 1], 1 = the same.

    Raises:
        ValueError: shapes differ, or a value lies outside [0, 1].

    >>> soft_dice([0.5, 0.0], [0.5, 0.0]), soft_dice([1.0, 0.0], [0.5, 0.0])
    (1.0, 0.6666666666666667)
    """
    p, q = (np.asarray(each, dtype=np.float64) for each in (predicted, reference))
    if p.shape != q.shape:
        raise ValueError(f"predicted is {p.shape} and reference {q.shape}; expected one shape")
    for name, each in (("predicted", p), ("reference", q)):
        if each.size and not (each.min() >= 0 and each.max() <= 1):
            raise ValueError(
                f"{name} goes from {each.min():.4g} to {each.max():.4g}; expected [0, 1], no NaN"
            )
    whole = float((p + q).sum())
    return float(1 - np.abs(p - q).sum() / whole) if whole else both_empty
