"""One label map of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["most_votes"]


def most_votes(labels: Sequence[NDArray]) -> NDArray | None:
    """The label that most predictions give each voxel; the smallest where they are even. None without any."""
    if len(labels) < 2:
        return np.asarray(labels[0]) if labels else None
    values = np.unique(np.concatenate([np.unique(label) for label in labels]))
    votes = np.zeros(labels[0].shape, dtype=np.int16)
    winner = np.full(labels[0].shape, values[0])
    for value in values:
        given = np.sum([label == value for label in labels], axis=0)
        winner[given > votes] = value
        np.maximum(votes, given, out=votes, casting="unsafe")
    return winner
