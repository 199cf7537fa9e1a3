"""How many directions of a class map carry energy: two counts from its singular values.

    p_j = l_j / sum_k l_k,   l_j = s_j^2                        (4)
    effective rank       exp(-sum_j p_j ln p_j) = r^S           S: Eq. 5
    participation ratio  (sum_j l_j)^2 / sum_j l_j^2 = 1 / sum_j p_j^2

(4) and (5) of arXiv 2604.10963. The effective rank is that of Roy and Vetterli,
"The effective rank: a measure of effective dimensionality" (EUSIPCO 2007), who take
amplitudes s_j for l_j; pass those (`singular_value_energies(maps, power=1)`) for
theirs. The participation ratio is the inverse of Simpson's index of p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["effective_rank", "participation_ratio"]


def effective_rank(p: ArrayLike) -> NDArray[np.float64]:
    """Number of equal directions that would have the entropy of these energies: its exponential.

    Args:
        p: (..., r) energies, >= 0, in any order; of sum 1 or of any other.

    Returns:
        (...) float64: from 1 (one direction) to r (all alike), at most the rank; high = certain. 0 for
        a map without energy, NaN where an energy is NaN.

    Raises:
        ValueError: no axis, no energies, or one is negative or infinite.

    >>> effective_rank([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]).round(12).tolist()
    [4.0, 1.0]
    """
    p, there = _shares(p)
    return np.where(there, np.exp(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)), 0.0)


def participation_ratio(p: ArrayLike) -> NDArray[np.float64]:
    """Squared sum of the energies over the sum of their squares; less moved by small ones than the rank.

    Args:
        p: (..., r) energies, >= 0, in any order; of sum 1 or of any other.

    Returns:
        (...) float64: from 1 to r, never above the effective rank; high = certain. 0 for a map without
        energy, NaN where an energy is NaN.

    Raises:
        ValueError: no axis, no energies, or one is negative or infinite.

    >>> participation_ratio([0.9, 0.1]).round(4).tolist()
    1.2195
    """
    p, there = _shares(p)
    return np.where(there, 1 / np.where(there, (p**2).sum(-1), 1.0), 0.0)


def _shares(energies: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Energies of sum 1, and which maps have any."""
    p = np.asarray(energies, dtype=np.float64)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"energies have shape {p.shape}; expected (..., r), at least one per map")
    if (p < 0).any() or np.isinf(p).any():
        raise ValueError("energies hold negative or infinite values; expected numbers >= 0")
    p = p / np.where(p.max(-1) > 0, p.max(-1), 1.0)[..., None]  # so that no square overflows or vanishes
    total = p.sum(-1)
    there = total != 0
    return p / np.where(there, total, 1.0)[..., None], there
