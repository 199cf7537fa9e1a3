"""The plain objective of confidences: channels are regions, a sigmoid each, since confidences may overlap.

    hard targets     1 - (2 sum w p t + 1e-5) / (sum w (p + t) + 1e-5) + sum w BCE / sum w
    soft ones        sum w |p - t| / (sum w (p + t) + 1e-5) + sum w BCE / sum w
    squared          sum w (p - t)^2 / sum w

of each channel over the whole batch, and their mean. The first two are one number where targets are 0 and 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aleaseg.losses.segmentation import dice_and_bce
from aleaseg.losses.soft import squared_error
from aleaseg.training.batches import Batch
from aleaseg.training.objective import Objective
from aleaseg.training.targets import Loss

__all__ = ["Regions", "over_the_batch", "region_loss"]


class Regions(Objective):
    """Dice of every region over the batch + cross-entropy, or the squared error.

    Args:
        loss: `objective`: Dice by p t, for hard targets; `semimetric`: by |p - t|, for soft ones; `squared`.
    """

    def __init__(self, loss: Loss = "objective") -> None:
        super().__init__()
        self.loss = loss
        self.soft = loss != "objective"

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        """See `Objective.at`. Finite whatever the weights; a channel without any costs nothing."""
        z, t = over_the_batch(logits), over_the_batch(batch.target)
        return region_loss(z, t, None if batch.weight is None else over_the_batch(batch.weight), self.loss)


def region_loss(logits: Tensor, target: Tensor, weight: Tensor | None, loss: Loss) -> Tensor:
    """The mean over samples and channels of one of the formulas above, in float32 or better.

    Args:
        logits: (B, C, *spatial), raw.
        target: (B, C, *spatial) in [0, 1].
        weight: (B, 1 or C, *spatial) >= 0, how much a voxel counts; None: all alike. What has none costs nothing.
        loss: see `Regions`.

    Returns:
        A scalar.
    """
    with torch.autocast(logits.device.type, enabled=False):
        if loss == "squared":
            return squared_error(logits, target, weight).mean()
        soft = loss == "semimetric"
        dice, entropy = dice_and_bce(logits, target, softmax=False, counted=weight, semimetric=soft)
        return (dice + entropy).mean()


def over_the_batch(x: Tensor) -> Tensor:
    """(B, C, *spatial) -> (1, C, B and all voxels), so that sums are over the batch."""
    return x.transpose(0, 1).flatten(1)[None]
