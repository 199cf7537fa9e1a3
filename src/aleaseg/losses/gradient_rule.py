r"""L_gu: on boundaries uncertainty shall fall as the gradient rises. Pairs of boundary voxels.

    L_gu = mean over the violating pairs of (g_i - g_j)(u_i - u_j),   i, j among the voxels with d <= 1

per sample, then the mean over samples. Source: SURE's first principle (arXiv 2509.17098).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aleaseg.order import mean_violation

__all__ = ["block_gradient_order", "draw_pairs", "gradient_order"]

_BLOCK = 20_000


def gradient_order(
    u: Tensor,
    gradient: Tensor,
    distance: Tensor,
    pairs: Sequence[Any],
    *,
    boundary: float = 1.0,
) -> Tensor:
    """L_gu: on boundaries u shall fall as the gradient rises. Its own gradient goes into u alone.

    Args:
        u: (B, *spatial).
        gradient: (B, *spatial) g.
        distance: (B, *spatial) d.
        pairs: of each sample two arrays of indices, first and second of each pair, into its voxels with
            d <= boundary in raster order. A pair of a voxel with itself does not count.
        boundary: see `pairs`.

    Returns:
        A scalar >= 0: the mean over the violating pairs of a sample, then over the samples that have
        pairs; 0 if none has.

    Raises:
        ValueError: shapes that do not fit, or an index beyond the sample's boundary.
    """
    losses = [
        mean_violation(g, x, -1) for g, x in _pair_steps(u, gradient, distance, pairs, boundary) if len(x)
    ]
    return torch.stack(losses).mean() if losses else u[:0].sum()


def block_gradient_order(
    u: Tensor,
    gradient: Tensor,
    distance: Tensor,
    pairs: Sequence[Any],
    *,
    boundary: float = 1.0,
    block: int = _BLOCK,
) -> Tensor:
    """L_gu as the official code has it: the sum over blocks of pairs of their means, over all samples.

    Some ceil(M / 20,000) times the mean, of M pairs. Arguments and errors as in `gradient_order`.
    """
    total = u[:0].sum()
    for g, x in _pair_steps(u, gradient, distance, pairs, boundary):
        # Slices, each with a gradient of all the pairs, would take a minute on their way back.
        for of_g, of_x in zip(torch.split(g, block), torch.split(x, block), strict=True):
            total = total + mean_violation(of_g, of_x, -1)
    return total / len(u)


def draw_pairs(
    distance: Tensor,
    rng: np.random.Generator,
    *,
    most: int = 20_000,
    boundary: float = 1.0,
    official: bool = False,
) -> list[NDArray[np.int64]]:
    """Pairs for `gradient_order`: of each sample's n boundary voxels, uniformly and with replacement.

    Args:
        distance: (B, *spatial) d.
        rng: of the draw.
        most: pairs per sample; n (n - 1) / 2 of them where that is fewer.
        boundary: d up to which a voxel is on a boundary.
        official: a sample has no more pairs than each before it could have; they are overwritten so in the
            official code.

    Returns:
        Of each sample (2, M) indices; M = 0 below two voxels.
    """
    pairs = []
    for n in (distance <= boundary).flatten(1).sum(1).tolist():
        if n < 2:
            pairs.append(np.zeros((2, 0), np.int64))
            continue
        number = min(most, n * (n - 1) // 2)
        if official:
            most = number
        pairs.append(rng.integers(0, n, (2, number)))
    return pairs


def _pair_steps(
    u: Tensor, gradient: Tensor, distance: Tensor, pairs: Sequence[Any], boundary: float
) -> list[tuple[Tensor, Tensor]]:
    """Of each sample the differences of g and of u over its pairs."""
    if not (u.shape == gradient.shape == distance.shape and len(pairs) == len(u)):
        raise ValueError(
            f"u is {tuple(u.shape)}, the gradient {tuple(gradient.shape)}, the distance {tuple(distance.shape)}, "
            f"and there are pairs of {len(pairs)} samples; expected (B, *spatial) three times, and pairs of each"
        )
    steps = []
    for sample, ends in enumerate(pairs):
        i, j = (torch.as_tensor(end, dtype=torch.long) for end in ends)
        apart = i != j
        i, j = i[apart].to(u.device), j[apart].to(u.device)
        here = (distance[sample] <= boundary).flatten().nonzero()[:, 0]
        if len(i) and int(torch.max(i.max(), j.max())) >= len(here):
            raise ValueError(
                f"sample {sample} of the batch has {len(here)} voxels with d <= {boundary:g}, and its pairs an index "
                f"{int(torch.max(i.max(), j.max()))}; expected indices into those voxels"
            )
        g, x = gradient[sample].flatten()[here], u[sample].flatten()[here]
        steps.append((g[i] - g[j], x[i] - x[j]))
    return steps
