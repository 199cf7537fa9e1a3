"""Certainty from the Fisher information of the Dirichlet distribution that logits are read as.

    a_c = softplus(f_c) + 1                                     evidence + 1, of class c
    I   = diag(psi1(a_1), ..., psi1(a_C)) - psi1(a_0) 1 1^T     a_0 = sum_c a_c, psi1: trigamma
    ln det I = sum_c ln psi1(a_c) + ln(1 - sum_c psi1(a_0) / psi1(a_c))

    t_c = 1 - mean_{v predicted as c} psi1(a_c) / psi1(1),      psi1(1) = pi^2 / 6
    u   = 1 - mean_c t_c over the foreground classes that are predicted

a, I and ln det I are those of "Uncertainty Estimation by Fisher Information-based
Evidential Deep Learning" (I-EDL, ICML 2023, arXiv 2303.02045), which weighs a
class's error by psi1(a_c): large where there is little evidence. t and u are an
adaptation to segmentation; arXiv 2604.10963 names the row "Fisher" and gives no form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import zeta

__all__ = ["HIGHER_IS_WORSE", "fisher_certainty", "fisher_uncertainty", "log_det_fisher"]

HIGHER_IS_WORSE = {"fisher_certainty": False, "fisher_uncertainty": True, "log_det_fisher": True}

_CHUNK = 2**20


def fisher_certainty(logits: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """t_c of each foreground class: 1 - the mean trigamma of its evidence, in parts of its largest value.

    Logits are read as evidence, whose level counts: unlike a softmax, t changes with an offset common
    to all channels. A network trained with cross-entropy has such an offset by chance.

    Args:
        logits: (channel, *grid), any real dtype; channel 0 = background.
        predicted: (*grid) predicted classes, 0 to channel - 1.

    Returns:
        (channel - 1,) float64, classes 1, 2, ...: in [0, 1], high = certain, 0 = no evidence. NaN for a
        class that is not predicted.

    Raises:
        ValueError: shapes that do not fit, fewer than two channels, a predicted class without a channel,
            or NaN or infinity in a logit that counts.

    >>> logits = np.array([[[9.0, 9.0]], [[-999.0, 3.0]], [[0.0, 0.0]]])
    >>> fisher_certainty(logits, [[1, 1]]).round(4).tolist()
    [0.4149, nan]
    """
    array, classes = np.asarray(logits), np.asarray(predicted)
    if array.ndim < 2 or array.shape[0] < 2:
        raise ValueError(
            f"logits have shape {array.shape}; expected (channel, *grid) with 2 channels or more, "
            "channel 0 = background"
        )
    if classes.shape != array.shape[1:]:
        raise ValueError(
            f"predicted has shape {classes.shape}; expected the logits' grid {array.shape[1:]}"
        )
    if classes.size and not (classes.min() >= 0 and classes.max() < array.shape[0]):
        raise ValueError(
            f"predicted holds classes {classes.min()} to {classes.max()}; expected 0 to "
            f"{array.shape[0] - 1}, the logits' channels"
        )
    return np.array([_certainty(array[c][classes == c]) for c in range(1, array.shape[0])])


def fisher_uncertainty(logits: ArrayLike, predicted: ArrayLike) -> float:
    """1 - the mean `fisher_certainty` over the foreground classes that are predicted; high = uncertain.

    Args:
        logits: (channel, *grid), any real dtype; channel 0 = background.
        predicted: (*grid) predicted classes, 0 to channel - 1.

    Returns:
        In [0, 1]; NaN if no foreground is predicted.

    Raises:
        ValueError: as `fisher_certainty`.

    >>> fisher_uncertainty(np.array([[[0.0]], [[-999.0]]]), [[1]])  # no evidence
    1.0
    """
    certainty = fisher_certainty(logits, predicted)
    there = certainty[~np.isnan(certainty)]
    return float(1 - there.mean()) if there.size else float("nan")


def log_det_fisher(alpha: ArrayLike) -> NDArray[np.float64]:
    """Log-determinant of the Fisher information matrix of a Dirichlet distribution; high = little evidence.

    The determinant vanishes with growing evidence: for a sum of 1e8 half of the digits are left.

    Args:
        alpha: (channel, *grid) concentrations, > 0.

    Returns:
        (*grid) float64, unbounded, in nats.

    Raises:
        ValueError: a concentration is not above 0 and finite.

    >>> log_det_fisher([[1.0, 10.0], [1.0, 10.0]]).round(4).tolist()
    [-0.5378, -8.195]
    """
    a = np.asarray(alpha, dtype=np.float64)
    if not (np.isfinite(a).all() and (a > 0).all()):
        raise ValueError("alpha holds values that are not above 0 and finite; expected concentrations > 0")
    per_class = _trigamma(a)
    rest = 1 - (_trigamma(a.sum(axis=0)) / per_class).sum(axis=0)
    return np.log(per_class).sum(axis=0) + np.log(rest)


def _certainty(logits: NDArray) -> float:
    """Certainty of one class from its logits where it is predicted."""
    if not logits.size:
        return float("nan")
    if not np.isfinite(logits).all():
        raise ValueError("logits hold NaN or infinite values where their class is predicted")
    total = 0.0
    for start in range(0, logits.size, _CHUNK):
        a = np.logaddexp(0.0, logits[start : start + _CHUNK].astype(np.float64)) + 1
        total += float(_trigamma(a).sum())
    return min(max(1 - total / logits.size / float(_trigamma(np.ones(()))), 0.0), 1.0)


def _trigamma(a: NDArray[np.float64]) -> NDArray[np.float64]:
    return zeta(2, a)  # Hurwitz's: sum_k 1 / (a + k)^2
