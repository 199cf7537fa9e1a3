"""Volume that the slices of a class map span, as Ma's "semantic scale" of a class has it for its samples.

    Vol(Z) = 1/2 log2 det(I + d/m (Z - mean)^T (Z - mean)),    Z in R^{m x p}

Rows are the m samples, columns the p features, the mean is that over the samples.
"Delving into Semantic Scale Imbalance" (Ma et al., ICLR 2023, arXiv 2212.14613);
the authors' public script takes m = rows and leaves d to the caller, with 1 in its
example. Here d = p, the dimension, as in the coding rate the formula descends from,
and a class map is read as in S: m = D slices of p = H W voxels, or m = H rows of
p = W voxels in 2D.

The determinant is the product of 1 + d/m s^2 over the singular values s of the centred matrix.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["semantic_volume"]


def semantic_volume(matrix: NDArray | ArrayLike) -> float:
    """Volume spanned by the rows of a matrix about their mean; high = rich, read as certain.

    Not free of scale, unlike S: it rises by about one bit per direction when the matrix is doubled, and
    with m and p. Compare maps of one network and alike in shape only. An offset that all rows share,
    voxel by voxel, does not matter.

    Args:
        matrix: (m, p), finite, any real dtype: a class map (D, H, W) as `map.reshape(D, -1)`, a 2D map
            (H, W) as it is.

    Returns:
        In bits, >= 0, unbounded; 0 if all rows are equal.

    Raises:
        ValueError: not two axes, no entry, or NaN or infinity.

    >>> round(semantic_volume([[1.0, 0.0], [-1.0, 0.0]]), 4)  # d/m = 1: half the log2 of 1 + 2
    0.7925
    >>> semantic_volume([[5.0, 7.0], [5.0, 7.0]])
    0.0
    """
    z = np.asarray(matrix)
    if z.ndim != 2 or z.size == 0:
        raise ValueError(
            f"matrix has shape {z.shape}; expected (rows, columns): a map (D, H, W) as map.reshape(D, -1)"
        )
    m, p = z.shape
    large = "matrix holds NaN, infinite or too large values; expected finite numbers"
    with np.errstate(over="ignore", invalid="ignore"):  # not finite: answered below
        centred = np.subtract(z, z.mean(axis=0, dtype=np.float64), dtype=np.float64)
        if not np.isfinite(centred).all():
            raise ValueError(large)
        # Not by the Gram matrix: where values are large, the rounding of their squares would fill the direction
        # that the mean took away with volume.
        triangle = np.linalg.qr(centred.T if m <= p else centred, mode="r")
        bits = np.log1p(p / m * np.linalg.svd(triangle, compute_uv=False) ** 2) / (2 * math.log(2))
    if not np.isfinite(bits).all():
        raise ValueError(large)
    return float(bits.sum())
