"""What a training makes small: the loss of a batch, and what is learned beside the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from aleaseg.training.batches import Batch, Maps
from aleaseg.training.preprocessing import IGNORE

__all__ = ["Objective", "Plain", "finest"]


class Objective(nn.Module):
    """The loss of a batch. Its parameters, if any, are trained with the network and kept in the checkpoint.

    Under deep supervision it is the mean over the levels, each of half the weight of the one finer than it;
    the coarsest does not count (as in nnU-Net). Targets are resampled by the nearest voxel; soft ones are the mean
    over a coarser voxel, each voxel by its weight.
    """

    maps: Maps | None = None
    """What it wants to know of each patch; made with the batch, where that is made."""
    soft: bool = False
    """Whether targets lie between 0 and 1."""

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, (); asks the network as often as it needs.

        Args:
            network: gives raw logits (B, C, *patch), or a list of them, finest first.
            batch: of the training.
        """
        return self.of(network(batch.image), batch)

    def of(self, outputs: Tensor | Sequence[Tensor], batch: Batch) -> Tensor:
        """The loss of what the network said, ().

        Args:
            outputs: (B, C, *patch) raw logits, or a list of them, finest first.
            batch: what it was asked.
        """
        levels = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        shares = [2.0**-level for level in range(len(levels))]
        if len(levels) > 1:
            shares[-1] = 0.0
        noise = self.noise(batch.ids, levels)
        # From coarse to fine: what was seen last is the finest.
        losses = [
            share / sum(shares) * self.at(logits, _resampled(batch, logits, self.soft), of_level)
            for share, logits, of_level in reversed(list(zip(shares, levels, noise, strict=True)))
            if share
        ]
        return torch.stack(losses).sum() + self.penalty()

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        """The loss of one level, whose size the batch's target has."""
        raise NotImplementedError

    def noise(self, ids: Sequence[str], levels: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """What is taken off the target of each level."""
        return [None] * len(levels)

    def penalty(self) -> Tensor | float:
        """What is added once a batch."""
        return 0.0

    def seen(self) -> Tensor | None:
        """(2, classes) weights and scales of the last batch, means over its cases; None: there are none."""
        return None

    def end_epoch(self) -> None:
        """An epoch has ended."""


def finest(outputs: Tensor | Sequence[Tensor]) -> Tensor:
    """Of what a network said, the level of the patch itself."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _resampled(batch: Batch, like: Tensor, soft: bool) -> Batch:
    size = like.shape[2:]
    if batch.target.shape[2:] == size:
        return batch
    y, weight = batch.target.float(), batch.weight
    if not soft:
        y = nn.functional.interpolate(y, size, mode="nearest-exact")
        if weight is not None:
            weight = nn.functional.interpolate(weight, size, mode="nearest-exact")
        return replace(batch, target=y.to(batch.target.dtype), weight=weight, confidence=None)
    if weight is None:
        y = nn.functional.interpolate(y, size, mode="area")
    else:
        total = nn.functional.interpolate(weight * y, size, mode="area")
        weight = nn.functional.interpolate(weight, size, mode="area")
        y = (total / torch.where(weight > 0, weight, 1)).clamp(0, 1)
    return replace(batch, target=y, weight=weight, confidence=None)


class Plain(Objective):
    """Soft Dice of the foreground over the batch + cross-entropy."""

    def __init__(self) -> None:
        from monai.losses import DiceLoss

        super().__init__()
        self.dice = DiceLoss(
            softmax=True, to_onehot_y=True, include_background=False, batch=True, ignore_index=IGNORE
        )

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        """See `Objective.at`."""
        target = batch.target
        if bool((target == IGNORE).all()):
            return logits.sum() * 0.0
        entropy = nn.functional.cross_entropy(logits, target[:, 0], ignore_index=IGNORE)
        loss: Tensor = self.dice(logits, target) + entropy
        return loss
