"""Figure 5: class maps as points in a plane, by PCA and by t-SNE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["principal_plane", "standardised", "tsne_plane"]

_COMPONENTS, _PERPLEXITY, _SEED = 50, 30.0, 0


def standardised(maps: ArrayLike) -> NDArray[np.float64]:
    """Each voxel of the maps with mean 0 and variance 1 over the cases; a constant one is 0.

    Args:
        maps: (N, V).
    """
    values = np.asarray(maps, dtype=np.float64)
    spread = values.std(axis=0)
    found: NDArray[np.float64] = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return found


def principal_plane(maps: ArrayLike, components: int = 2) -> NDArray[np.float64]:
    """Coordinates (N, components) on the first principal axes, by a centred SVD.

    Signs are fixed: of each axis the entry that is largest in size is positive.

    >>> [round(x) for x in principal_plane([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]], 1).ravel()]
    [-2, 0, 2]
    """
    values = np.asarray(maps, dtype=np.float64)
    u, s, vt = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    found = np.zeros((len(values), components))
    known = min(components, len(s))
    largest = np.abs(vt[:known]).argmax(axis=1)
    signs = np.where(vt[np.arange(known), largest] < 0, -1.0, 1.0)
    found[:, :known] = u[:, :known] * s[:known] * signs
    return found


def tsne_plane(maps: ArrayLike) -> NDArray[np.float64]:
    """Coordinates (N, 2) by t-SNE of the first 50 principal components, started from the first two.

    Perplexity 30, fewer where there are fewer than 91 points; the seed is fixed.

    Raises:
        ValueError: fewer than five points.
    """
    from sklearn.manifold import TSNE

    values = principal_plane(standardised(maps), _COMPONENTS)
    if len(values) < 5:
        raise ValueError(f"t-SNE has {len(values)} points; expected at least 5")
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    found: NDArray[np.float64] = TSNE(
        2, perplexity=perplexity, init="pca", random_state=_SEED, n_jobs=1
    ).fit_transform(values)
    return found
