"""From confidences to masks: who is in at a threshold, and at how many of several thresholds.

A confidence q in [0, 1] says how sure somebody is that a voxel belongs to a class; NaN says that nobody
looked. In single precision .7 and .9 lie below themselves, and a mean of five raters or a resampling
moves the last digit. So one rule, and here alone:

    q >= t   means   q >= t - 1e-6
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "TOLERANCE",
    "at_least",
    "at_most",
    "confidence_of_levels",
    "k_of",
    "levels",
    "running_minimum",
]

TOLERANCE = 1e-6
"""What a confidence may lie below a threshold and still reach it."""


def at_least(q: Any, threshold: float) -> Any:
    """Whether a confidence reaches a threshold; where nobody looked it does not.

    Args:
        q: confidences, an array, a tensor or a number.
        threshold: in (0, 1].

    >>> at_least(np.array([0.6, 3 / 5, 0.5, np.nan], np.float32), 0.6).tolist()
    [True, True, False, False]
    """
    return q >= threshold - TOLERANCE


def at_most(q: Any, threshold: float) -> Any:
    """Whether a confidence does not exceed a threshold; where nobody looked it is not known to.

    >>> at_most(np.array([0.2, 1 / 5, 0.3, np.nan], np.float32), 0.2).tolist()
    [True, True, False, False]
    """
    return q <= threshold + TOLERANCE


def levels(q: NDArray, thresholds: Sequence[float]) -> NDArray[np.int16]:
    """How many of rising thresholds each voxel reaches: L = #{k: q >= t_k}; 0 where nobody looked.

    Args:
        q: confidences of any shape.
        thresholds: t_1 < t_2 < ...

    >>> levels(np.array([0.1, 0.2, 0.5, 1.0]), [0.2, 0.4, 0.6, 0.8]).tolist()
    [0, 1, 2, 4]
    """
    found = np.zeros(np.shape(q), dtype=np.int16)
    for threshold in thresholds:
        found += at_least(q, threshold)
    return found


def k_of(threshold: float, raters: int) -> int:
    """How many of R raters a threshold asks for: the least k with k / R >= t.

    Thresholds of one k make one mask: of four raters .6 and .75 both ask for three.

    >>> [k_of(t, 4) for t in (0.5, 0.6, 0.75, 1)], [k_of(t, 5) for t in (0.5, 0.6)]
    ([2, 3, 3, 4], [3, 3])
    """
    return next(k for k in range(1, raters + 1) if k == raters or at_least(k / raters, threshold))


def running_minimum(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of rising levels that do not rise: p_k' = min(p_1, ..., p_k).

    Whoever is above a higher level is above the lower ones; networks that learn each level by itself may say
    otherwise.

    Args:
        p: (m, *spatial), of `q >= t_k` for rising t_k.
    """
    falling: NDArray[np.float32] = np.minimum.accumulate(p, axis=0)
    return falling


def confidence_of_levels(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """The confidence that probabilities of levels say: q^ = mean_k p_k', in [0, 1].

    Args:
        p: (m, *spatial), of `q >= t_k` for rising t_k.

    >>> confidence_of_levels(np.array([[0.9], [0.8], [0.1], [0.3]], np.float32)).round(3).tolist()
    [0.4749999940395355]
    """
    mean: NDArray[np.float32] = running_minimum(p).mean(axis=0, dtype=np.float32)
    return mean
