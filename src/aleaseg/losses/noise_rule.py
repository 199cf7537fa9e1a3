r"""L_mu, L_d and L_far: what noise shall do to uncertainty near boundaries, and that there is none far away.

    L_mu  = sum over three pairs of levels of mean+ of -(u_hi - u_lo)(l_hi - l_lo)
    L_d   = sum over the levels of mean+ of (d_j - d_k)(du_j - du_k),   du = u_l - u_0 near a boundary, else 0
    L_far = mean of u_0 + u_1 + u_2 over the far voxels

with `mean+` the mean over what is positive, 0 if nothing is. Source: SURE's other principles (arXiv 2509.17098).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aleaseg.order import mean_violation

__all__ = ["distance_order", "far_mean", "level_order"]


def level_order(u: Sequence[Tensor], levels: Sequence[float], near: Tensor) -> Tensor:
    """L_mu: near a boundary u shall rise with the level of noise.

    Args:
        u: three of (B, P), clean, at the first and at the second level, at the patches' centres.
        levels: (2,) l_1 and l_2.
        near: (B, P) bool, patches that count.

    Returns:
        A scalar >= 0, the sum over the three pairs of levels.
    """
    clean, first, second = u
    rises = (
        (second - first, levels[1] - levels[0]),
        (first - clean, levels[0]),
        (second - clean, levels[1]),
    )
    found = [mean_violation(clean.new_tensor(float(level)), du, 1, mask=near) for du, level in rises]
    return torch.stack(found).sum()


def distance_order(u: Sequence[Tensor], distance: Tensor, near: Tensor, there: Tensor) -> Tensor:
    """L_d: what noise adds to u shall fall with the distance, and is none far away.

    Args:
        u: as in `level_order`.
        distance: (B, P) d at the centres.
        near: (B, P) bool, patches with d <= 4; for the others the addition counts as 0.
        there: (B, P) bool, patches that count at all.

    Returns:
        A scalar >= 0: the sum over the levels of the mean over a sample's violating pairs, then the mean over
        the samples with a pair of patches at a finite distance; 0 if there is none.
    """
    patches = distance.shape[1]
    j, k = torch.triu_indices(patches, patches, 1, device=distance.device)
    there = there & distance.isfinite()
    mask = there[:, j] & there[:, k]
    total = u[0][:0].sum()
    for noised in u[1:]:
        du = torch.where(near, noised - u[0], 0.0)
        of_samples = mean_violation(
            distance[:, j] - distance[:, k], du[:, j] - du[:, k], -1, mask=mask, dim=1
        )
        total = total + of_samples.sum()
    return total / mask.any(1).sum().clamp(min=1)


def far_mean(u: Sequence[Tensor], distance: Tensor, near: float = 4.0) -> Tensor:
    """L_far: far from every boundary there shall be no uncertainty, at any level.

    Args:
        u: three of (B, *spatial).
        distance: (B, *spatial) d.
        near: beyond it is far.

    Returns:
        A scalar in [0, 3], the mean over the far voxels of the batch of the three together; 0 if there
        are none.
    """
    far = (distance > near).to(u[0].dtype)
    return (far * (u[0] + u[1] + u[2])).sum() / far.sum().clamp(min=1)
