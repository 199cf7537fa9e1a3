"""Disagreement of several predictions of one case: an ensemble, or test-time augmentation.

    pairwise_dice      = mean over pairs k < l of Dice(class of k, class of l)
    mutual_information = mean_v [H(p̄(v)) - 1/K sum_k H(p_k(v))],  p̄ = 1/K sum_k p_k

H(p) = -sum_c p_c ln p_c. Mutual information is zero where all agree, however unsure
each of them is.

Sources: pairwise Dice: Roy et al., "Bayesian QuickNAT" (2019), the strongest
confidence of a whole segmentation in Zenk et al., "Comparative benchmarking of
failure detection methods in medical image segmentation" (2025). Mutual information:
Houlsby et al., "Bayesian active learning for classification and preference
learning" (2011); of segmentations with dropout: Kendall and Gal (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

__all__ = ["mutual_information", "pairwise_dice"]

_BLOCK = 2**18


def pairwise_dice(
    labels: NDArray | Sequence[NDArray], classes: Sequence[int | Sequence[int]]
) -> NDArray[np.float64]:
    """Mean Dice overlap of the members with one another, per class; low = uncertain.

    Args:
        labels: (K, *grid) hard predictions, or K of them.
        classes: the label, or the labels, of each class.

    Returns:
        (C,) in [0, 1]; 1 = all members are identical, NaN where all are empty. Two members that both
        lack a class that a third one has agree with each other: Dice 1.

    Raises:
        ValueError: fewer than two members, or their shapes differ.

    >>> pairwise_dice(np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0]]), [1, 2]).round(4).tolist()
    [0.7778, nan]
    """
    _members(labels)
    return np.array([_mean_dice([np.isin(label, wanted) for label in labels]) for wanted in classes])


def _mean_dice(masks: list[NDArray[np.bool_]]) -> float:
    sizes = [int(np.count_nonzero(mask)) for mask in masks]
    if not any(sizes):
        return float("nan")
    overlaps = [
        2 * int(np.count_nonzero(masks[k] & masks[m])) / total if (total := sizes[k] + sizes[m]) else 1.0
        for k, m in combinations(range(len(masks)), 2)
    ]
    return float(np.mean(overlaps))


def mutual_information(
    probabilities: NDArray | Sequence[NDArray], where: NDArray[np.bool_] | None = None
) -> float:
    """Mean over voxels of what the members do not agree on, H(mean p) - mean H(p); high = uncertain.

    Args:
        probabilities: (K, channel, *grid), or K of (channel, *grid); they sum to 1 over the channels.
        where: (*grid), the voxels to look at; None: all.

    Returns:
        In nats, in [0, min(ln channels, ln K)]; 0 = the members are identical. NaN without voxels.

    Raises:
        ValueError: fewer than two members, shapes differ, or a value is negative, NaN or infinite.

    >>> sure_but_apart = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])
    >>> round(mutual_information(sure_but_apart), 4)
    0.6931
    """
    _members(probabilities)
    grid = probabilities[0].shape[1:]
    if where is not None and where.shape != grid:
        raise ValueError(f"where has shape {where.shape}; expected that of the grid, {grid}")
    index = np.arange(np.prod(grid, dtype=int)) if where is None else np.flatnonzero(where)
    if not index.size:
        return float("nan")
    total = 0.0
    for channel in range(probabilities[0].shape[0]):
        flat = [member[channel].reshape(-1) for member in probabilities]
        for start in range(0, index.size, _BLOCK):
            block = index[start : start + _BLOCK]
            p = np.stack([values[block] for values in flat]).astype(np.float64)
            if not (np.isfinite(p).all() and (p >= 0).all()):
                raise ValueError(
                    f"channel {channel} holds negative, NaN or infinite values; expected probabilities"
                )
            # -p ln p is concave, so no channel's term is negative but by rounding.
            total += float(np.maximum(entr(p.mean(axis=0)) - entr(p).mean(axis=0), 0).sum())
    return total / index.size


def _members(members: NDArray | Sequence[NDArray]) -> None:
    if len(members) < 2:
        raise ValueError(f"got {len(members)} predictions of the case; expected at least 2")
    shapes = {member.shape for member in members}
    if len(shapes) > 1:
        raise ValueError(f"the predictions have shapes {sorted(shapes)}; expected one shape")
