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

__all__ = ["Regions"]


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
        z, t = _over_the_batch(logits), _over_the_batch(batch.target)
        weight = None if batch.weight is None else _over_the_batch(batch.weight)
        with torch.autocast(logits.device.type, enabled=False):
            if self.loss == "squared":
                return squared_error(z, t, weight).mean()
            dice, entropy = dice_and_bce(z, t, softmax=False, counted=weight, semimetric=self.soft)
            return (dice + entropy).mean()


def _over_the_batch(x: Tensor) -> Tensor:
    """(B, C, *spatial) -> (1, C, B and all voxels)."""
    return x.transpose(0, 1).flatten(1)[None]
