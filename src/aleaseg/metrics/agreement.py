"""How far the masks of several raters lie apart, and how sure they were together.

Of raters' masks Y_1 ... Y_R, with IoU(A, B) = |A and B| / |A or B|, over the pairs
r < s of whom at least one marked something,

    disagreement = 1 - mean IoU(Y_r, Y_s)

that is the mean of d(A, B) = 1 - IoU(A, B), the distance between segmentations of
the generalised energy distance (Kohl et al., "A Probabilistic U-Net", 2018). Of confidences q_cv,

    mean confidence = sum q_cv / #{(c, v): q_cv > 0}

is how sure somebody was, on the average, of what was marked at all; of raters the share of them who agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["mean_confidence", "rater_disagreement"]


def rater_disagreement(raters: ArrayLike) -> float:
    """Disagreement of the raters of one case, 1 less the mean IoU of their pairs.

    A pair where one marked nothing has an IoU of 0. A pair where both marked nothing has
    none and is left out: an empty mask agrees with another at no voxel that anybody marked.

    Args:
        raters: (R, *spatial) bool, R >= 2.

    Returns:
        In [0, 1], high = the raters disagree, 0 = all masks are the same; NaN where all are empty.

    Raises:
        ValueError: the masks are not bool, or there are fewer than two.

    >>> one, other = [True, True, False], [False, True, True]
    >>> round(rater_disagreement([one, other]), 3)
    0.667
    """
    masks = np.asarray(raters)
    if masks.dtype != np.bool_ or masks.ndim < 2 or len(masks) < 2:
        raise ValueError(
            f"raters are {masks.shape} of type {masks.dtype}; expected bool (R, *spatial) with R >= 2"
        )
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    both = flat @ flat.T
    marked = np.diag(both)
    either = marked[:, None] + marked - both
    pairs = np.triu(either > 0, k=1)
    if not pairs.any():
        return float("nan")
    return float(1 - np.mean(both[pairs] / either[pairs]))


def mean_confidence(q: ArrayLike) -> float:
    """Mean confidence of whatever was marked, each class of a voxel by itself.

    Args:
        q: of any shape, in [0, 1]; 0 = not marked, NaN = not looked at; neither counts.

    Returns:
        In (0, 1], high = sure, 1 = nobody ever doubted; NaN where nothing was marked.

    >>> mean_confidence([0.0, 0.5, 1.0, np.nan])
    0.75
    """
    found = np.asarray(q)
    marked = found[found > 0]
    return float(marked.mean(dtype=np.float64)) if marked.size else float("nan")
