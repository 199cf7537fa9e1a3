"""Losses for targets between 0 and 1: how sure somebody was, and not whether.

    Dice_c = sum_v w |p - t| / (sum_v w (p + t) + 1e-5)          semimetric: 0 exactly at p = t
           = 1 - (|p| + |t| - |p - t| + 1e-5) / (|p| + |t| + 1e-5)

The Dice that everybody has, by the product p t, is not smallest at p = t where t is a fraction: of a rim with
t = .5 beside a sure core it wants p = 1. For hard targets both are one number.

Source: Wang et al., "Dice Semimetric Losses", MICCAI 2023 (arXiv 2303.16296), equation of DML_1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

from aleaseg.errors import one_of
from aleaseg.losses.segmentation import SMOOTH, dice_and_bce

__all__ = ["SoftDiceBCELoss", "semimetric_dice", "squared_error"]


def semimetric_dice(p: Tensor, t: Tensor, weight: Tensor | None = None) -> Tensor:
    """Semimetric Dice loss of each sample and class, in [0, 1], 0 exactly at p = t.

    Args:
        p: (B, C, *spatial) probabilities.
        t: (B, C, *spatial) in [0, 1].
        weight: (B, 1 or C, *spatial) >= 0; None: 1.

    Returns:
        (B, C).

    >>> t = torch.tensor([[[1.0, 0.5, 0.0]]])
    >>> semimetric_dice(t, t).item(), round(semimetric_dice(torch.ones(1, 1, 3), t).item(), 4)
    (0.0, 0.3333)
    """
    w = torch.ones_like(p) if weight is None else weight.expand_as(p)
    apart, both = w * (p - t).abs(), w * (p + t)
    return apart.flatten(2).sum(-1) / (both.flatten(2).sum(-1) + SMOOTH)


def squared_error(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """(sigmoid(z) - t)^2 of each sample and class, its mean over the voxels: the Brier score as a loss.

    Args:
        logits: (B, C, *spatial), raw.
        target: (B, C, *spatial) in [0, 1].
        weight: (B, 1 or C, *spatial) >= 0; None: 1. A sample without any weight has 0.

    Returns:
        (B, C) in [0, 1].
    """
    error = (logits.float().sigmoid() - target) ** 2
    if weight is None:
        return error.flatten(2).mean(-1)
    w = weight.to(error.dtype).expand_as(error).flatten(2)
    total = w.sum(-1)
    return (w * error.flatten(2)).sum(-1) / torch.where(total > 0, total, 1)


class SoftDiceBCELoss(_Loss):
    """beta semimetric Dice + (1 - beta) cross-entropy of soft targets, each class by its own sigmoid.

    Args:
        beta: share of Dice, in [0, 1].
        reduction: `mean` over samples and classes, `sum`, or `none`: (B, C).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, *, beta: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        if not 0 <= beta <= 1:
            raise ValueError(f"beta is {beta}; expected a share in [0, 1]")
        self.beta = beta

    def forward(
        self,
        input: Tensor,  # noqa: A002
        target: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, in float32 or better, whatever the autocast.

        Args:
            input: (B, C, *spatial) raw logits, a channel for each class.
            target: (B, C, *spatial) in [0, 1].
            weight: (B, 1 or C, *spatial) >= 0, how much a voxel counts; None: all alike. It is not rescaled, and a
                sample without any costs nothing.

        Returns:
            A scalar, or (B, C) with `reduction="none"`.

        Raises:
            ValueError: the shapes do not fit.
        """
        logits, t = input.as_subclass(Tensor), target.as_subclass(Tensor)
        fits = weight is None or weight.shape in (t.shape, (len(t), 1, *t.shape[2:]))
        if logits.shape != t.shape or not fits:
            told = "none" if weight is None else str(tuple(weight.shape))
            raise ValueError(
                f"logits are {tuple(logits.shape)}, targets {tuple(t.shape)} and weights {told}; expected "
                "(B, C, *spatial) of one shape, and a weight for each voxel or for each of its classes"
            )
        with torch.autocast(logits.device.type, enabled=False):
            dice, bce = dice_and_bce(logits, t, softmax=False, counted=weight, semimetric=True)
            loss = self.beta * dice + (1 - self.beta) * bce
        if self.reduction == "none":
            return loss
        return loss.sum() if self.reduction == "sum" else loss.mean()
