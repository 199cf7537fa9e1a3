"""Variance of the intensities, inside a class or over the whole image.

    u = 1/|V| sum_{v in V} (x_v - mean_V x)^2

The "data variance" that arXiv 2604.10963 compares AUV with (Table 1, row
Variance). The paper gives no form for segmentation; taken here are V = the voxels
of a class or of the foreground, or the whole image. Compared with AUV on its own
pattern: `log_minmax(u)`. `residual_variance` is the variance of DVA (Zhang et al.),
the method that the paper's noise head comes from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["intensity_variance", "residual_variance"]


def intensity_variance(image: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Population variance of the intensities; high = uncertain.

    Unlike S it has a unit: it grows with the square of the intensities, so images have to be
    normalised alike before cases are compared.

    Args:
        image: (channel, *spatial) intensities, any real dtype.
        mask: (*spatial), non-zero = inside: a class, or the whole foreground. None: the whole image.

    Returns:
        Variance in squared intensity units, >= 0; the mean over channels. NaN if the mask is empty.

    Raises:
        ValueError: the mask has another shape, or a voxel inside is NaN or infinite.

    >>> image = np.array([[[0.0, 2.0], [4.0, 100.0]]])
    >>> intensity_variance(image, [[1, 1], [1, 0]]).__format__(".4f")
    '2.6667'
    """
    array = np.asarray(image)
    if array.ndim < 2:
        raise ValueError(f"image has shape {array.shape}; expected (channel, *spatial)")
    channels = array.reshape(array.shape[0], -1)
    if mask is not None:
        inside = np.asarray(mask)
        if inside.shape != array.shape[1:]:
            raise ValueError(f"mask has shape {inside.shape}; expected the image's {array.shape[1:]}")
        channels = channels[:, inside.reshape(-1) != 0]
    if channels.size == 0:
        return float("nan")
    variance = float(np.mean([_variance(channel) for channel in channels]))
    if not np.isfinite(variance):
        raise ValueError("image holds NaN or infinite values inside the mask; expected finite intensities")
    return variance


def residual_variance(residuals: ArrayLike) -> tuple[float, float]:
    """Variance that varies from sample to sample, and the rest, in closed form.

    The homoscedastic form of DVA, the parent of the paper's noise head: of residuals
    r_i the variance sigma^2 = mean(r^2) - mean(r)^2 is put down to the data, and
    s^2 = mean(r)^2 to the predictor; together they are mean(r^2).

    Args:
        residuals: any shape, finite: of a case, 1 - p(given label) in every voxel, say.

    Returns:
        sigma^2 and s^2, >= 0, in squared units of the residuals; high = uncertain. NaN without residuals.

    >>> residual_variance([1.0, 2.0, 4.0, 5.0])
    (2.5, 9.0)
    """
    values = np.asarray(residuals, dtype=np.float64).ravel()
    if not values.size:
        return float("nan"), float("nan")
    return _variance(values), float(values.mean() ** 2)


def _variance(values: NDArray) -> float:
    # Two passes in float64 over pieces: the one-pass formula cancels where the mean is large (CT), and
    # numpy's own var would hold a second image in float64.
    pieces = np.array_split(values, max(1, values.size // 2**20))
    with np.errstate(over="ignore", invalid="ignore"):  # not finite: answered by the caller
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / values.size
        return sum(float(((piece - np.float64(mean)) ** 2).sum()) for piece in pieces) / values.size
