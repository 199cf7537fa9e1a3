"""Running sums of many sets of weights at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["REPLICATES", "check_weights", "cumulated"]

# Sets of weights at a time: long rows to add, and a few hundred cases stay in a core's cache.
REPLICATES = 256


def check_weights(weights: NDArray, cases: int) -> None:
    """Raise ValueError unless there is a weight for each case, or a batch of such."""
    if weights.ndim not in (1, 2) or weights.shape[-1] != cases:
        raise ValueError(f"weights are {weights.shape}; expected ({cases},) or (B, {cases})")


def cumulated(weights: NDArray, counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sums of the first 0, counts[0], counts[1], ... rows.

    Args:
        weights: (N, B), a column per set.
        counts: (T,) in [0, N].

    Returns:
        (T + 1, B), zeros first.

    >>> cumulated(np.array([[1, 1], [2, 0], [1, 3]]), np.array([2, 3])).tolist()
    [[0.0, 0.0], [3.0, 1.0], [4.0, 4.0]]
    """
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    sums[1:] = weights
    # np.cumsum goes down one column after the other, which is three times slower.
    for above, row in pairwise(sums):
        row += above
    return sums[np.append(0, counts)]
