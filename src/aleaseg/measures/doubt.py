"""Doubt: two axes, image and label, each a robust distance from the population.

A case is doubtful where it lies far out among cases of its own data set. The
image axis asks the scan alone (how far its statistics lie, in a shrunk, robust
Mahalanobis metric, from the centre of the population, and from the scans that are
most like it); the label axis asks the mask (against an
out-of-fold prediction, by its own size, pieces and place, and along its border).
`doubt` is the larger of the two: a bad scan with a good mask is as doubtful as a
good scan with a bad mask, and the gap between the axes says where to send the case.

All doubts are in (0, 1), high = bad, 0.5 at a robust z of 3, and rise strictly
with the z behind them. A population is fitted once and frozen; a new case is
compared with it and changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.measures.image_doubt import ImageReference as ImageReference
from aleaseg.measures.label_doubt import LabelReference as LabelReference
from aleaseg.measures.label_signals import LabelSignals as LabelSignals
from aleaseg.measures.robust import SMALLEST_POPULATION as SMALLEST_POPULATION

__all__ = ["SMALLEST_POPULATION", "ImageReference", "LabelReference", "LabelSignals", "doubt_from_z"]


def doubt_from_z(z: ArrayLike) -> NDArray[np.float64]:
    """Doubt in (0, 1), high = bad: strictly rising in z, 0.5 at a robust z of 3.

    >>> doubt_from_z([0.0, 3.0, 6.0]).round(2).tolist()
    [0.05, 0.5, 0.95]
    """
    return 1 / (1 + np.exp(-(np.clip(np.asarray(z, dtype=float), -30, 30) - 3.0)))
