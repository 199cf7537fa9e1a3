"""Mean entropy of the class probabilities: how undecided a network is between the classes.

    u = 1/|V| sum_{v in V} H(p_v) / ln C,    H(p) = -sum_c p_c ln p_c,    p = softmax(f)

Shannon (1948); the mean over voxels is the usual summary of it for a whole case,
as in the benchmarks ValUES and the DKFZ's of failure detection in segmentation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.measures.logits import mean_inside

__all__ = ["mean_entropy", "softmax_entropy"]


def softmax_entropy(logits: ArrayLike) -> NDArray[np.float64]:
    """Shannon entropy of the softmax in each voxel, in parts of ln C; high = undecided.

    Args:
        logits: (channel, *grid), finite, at least two channels; an offset common to all channels of a
            voxel does not matter.

    Returns:
        (*grid) float64 in [0, 1]: 0 = one class has all, 1 = all classes alike.

    >>> softmax_entropy([[0.0, 1000.0], [0.0, 0.0]]).tolist()
    [1.0, 0.0]
    """
    f = np.asarray(logits, dtype=np.float64)
    f = f - f.max(axis=0)
    weight = np.exp(f)
    total = weight.sum(axis=0)
    entropy = np.log(total) - (weight * f).sum(axis=0) / total
    return np.clip(entropy / np.log(f.shape[0]), 0.0, 1.0)


def mean_entropy(logits: ArrayLike, where: ArrayLike) -> float:
    """Mean entropy of the softmax over some voxels, in parts of ln C; high = uncertain.

    Over the whole image the many sure voxels of the background hide the few others, and the mean
    falls with the size of the structure: choose `where` near the structure, and alike for all cases.

    Args:
        logits: (channel, *grid), any real dtype; channel 0 = background.
        where: (*grid), non-zero = counts.

    Returns:
        Mean over the voxels that count, in [0, 1]; NaN if there are none.

    Raises:
        ValueError: shapes that do not fit, fewer than two channels, or NaN or infinity where it counts.

    >>> logits = np.array([[[0.0, 50.0]], [[0.0, 0.0]]])
    >>> round(mean_entropy(logits, [[1, 1]]), 6), mean_entropy(logits, [[1, 0]])
    (0.5, 1.0)
    """
    return mean_inside(softmax_entropy, logits, where)
