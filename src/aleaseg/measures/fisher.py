"""Certainty from the Fisher information of the Dirichlet distribution that logits are read as.

    a_c = softplus(f_c) + 1                                     evidence + 1, of class c
    I   = diag(psi1(a_1), ..., psi1(a_C)) - psi1(a_0) 1 1^T     a_0 = sum_c a_c, psi1: trigamma

    t_c = 1 - mean_{v predicted as c} psi1(a_c) / psi1(1),      psi1(1) = pi^2 / 6

a and I are those of "Uncertainty Estimation by Fisher Information-based
Evidential Deep Learning" (I-EDL, ICML 2023, arXiv 2303.02045), which weighs a
class's error by psi1(a_c): large where there is little evidence. t is an
adaptation to segmentation; arXiv 2604.10963 names the row "Fisher" and gives no form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import zeta

from aleaseg.measures.logits import checked_logits

__all__ = ["fisher_certainty"]

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
    array, classes = checked_logits(logits), np.asarray(predicted)
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
