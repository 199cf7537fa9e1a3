r"""How far probabilities are from the shares that come true: ECE and ACE.

Voxels are put into B bins of equal width by their confidence p in [0, 1]. With n_b
voxels in bin b, their mean confidence conf_b and the share acc_b of them that came true,

    ECE = sum_b n_b / n |acc_b - conf_b|
    ACE = mean over the bins that hold a voxel of |acc_b - conf_b|

For one class p is its probability and what comes true is that the voxel has it; for
all classes together p is the probability of the predicted label and what comes true is
that the label is right. Most voxels of a scan are far background, sure and right: ECE
over the whole image says little, ECE around the foreground more.

Written out here and not taken from MONAI: its `calibration_binning` counts in single
precision, where counting by ones ends at 2^24, that is with a scan of 512 x 512 x 64.

Sources: Naeini et al. (2015); Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Calibration", "calibration_error"]

_BLOCK = 2**22


class Calibration(NamedTuple):
    """Calibration errors, both in [0, 1], high = badly calibrated; NaN without voxels.

    Attributes:
        ece: expected: bins weigh as many voxels as they hold.
        ace: average: bins weigh alike.
    """

    ece: float
    ace: float


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> Calibration:
    """ECE and ACE over voxels.

    Args:
        confidence: (n,) probabilities in [0, 1]; 1 lies in the last bin, every other edge in the bin above it.
        correct: (n,) bool, what came true; or shares in [0, 1], such as confidences of annotators.
        bins: B, of equal width.

    Raises:
        ValueError: shapes differ, a confidence lies outside [0, 1], or bins < 1.

    >>> found = calibration_error([0.9, 0.9, 0.9, 0.3], [True, True, False, False])
    >>> round(found.ece, 3), round(found.ace, 3)
    (0.25, 0.267)
    """
    p, true = np.asarray(confidence).ravel(), np.asarray(correct).ravel()
    shares = true.dtype.kind == "f" and not (true.size and not (true.min() >= 0 and true.max() <= 1))
    if p.shape != true.shape or not (true.dtype == bool or shares):
        raise ValueError(
            f"confidence is {p.shape} and correct is {true.shape} of {true.dtype}; expected (n,) both, bool or in "
            "[0, 1]"
        )
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(f"confidence goes from {p.min():.4g} to {p.max():.4g}; expected [0, 1], no NaN")
    n, conf, acc = np.zeros((3, bins))
    for start in range(0, p.size, _BLOCK):  # a volume in float64 would be held several times
        block = p[start : start + _BLOCK].astype(np.float64)
        place = np.minimum((block * bins).astype(np.intp), bins - 1)
        n += np.bincount(place, minlength=bins)
        conf += np.bincount(place, weights=block, minlength=bins)
        acc += np.bincount(place, weights=true[start : start + _BLOCK], minlength=bins)
    held = n > 0
    if not held.any():
        return Calibration(np.nan, np.nan)
    gap = np.abs(acc[held] - conf[held])  # n_b times |acc_b - conf_b|
    return Calibration(float(gap.sum() / n.sum()), float((gap / n[held]).mean()))
