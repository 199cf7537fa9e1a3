"""What the channels of a network stand for, and what a target says about them. Checked at the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Channels", "Target"]


class Target(NamedTuple):
    """What is to be learned.

    Attributes:
        y: (B, C_fg, *spatial) in [0, 1]; a label map (B, 1, *spatial) if there are `labels`.
        labels: label values of the classes that count, in their order; None without a label map.
        counted: (B, 1, *spatial) bool, voxels that count; None: all of them.
    """

    y: Tensor
    labels: range | None
    counted: Tensor | None

    def one_hot(self) -> Tensor:
        """(B, C_fg, *spatial), a channel for each class that counts."""
        if self.labels is None:
            return self.y
        values = torch.tensor(self.labels, device=self.y.device).view(-1, *[1] * (self.y.ndim - 2))
        return self.y == values


@dataclass(frozen=True)
class Channels:
    """What the channels of a network stand for.

    Attributes:
        softmax: classes that exclude one another; False: classes or regions that may overlap.
        background: channel 0 is the background, which does not count.
        first_label: label value of the first channel that counts.
        ignore_index: label value of voxels that do not count; in a target with channels a further, last
            channel marks them.
        as_labels: the target is a label map; None: whichever its channels say.
    """

    softmax: bool
    background: bool
    first_label: int
    ignore_index: int | None
    as_labels: bool | None

    def read(self, logits: Tensor, target: Tensor) -> Target:
        """Check logits and target of a batch, and take the target apart.

        Args:
            logits: (B, C, *spatial).
            target: (B, 1, *spatial) label map or (B, C, *spatial) channels, one more with `ignore_index`.

        Raises:
            ValueError: they do not fit one another, or a label has no channel.
        """
        batch, channels, *grid = self._checked(logits)
        ignoring = self.ignore_index is not None
        as_labels = self.as_labels
        if as_labels is None:
            as_labels = target.ndim > 1 and target.shape[1] == 1 and (channels > 1 or ignoring)
        label_map, one_hot = (batch, 1, *grid), (batch, channels + ignoring, *grid)
        if target.shape != (label_map if as_labels else one_hot):
            last = ", the last of which marks the voxels to ignore" if ignoring else ""
            wanted = {
                True: f"a label map {label_map}",
                False: f"channels {one_hot}{last}",
                None: f"a label map {label_map} or channels {one_hot}{last}",
            }
            raise ValueError(
                f"the target has shape {tuple(target.shape)} where the logits have {tuple(logits.shape)}; "
                f"expected {wanted[self.as_labels]}"
            )
        if not as_labels:
            return Target(
                _in_range(target[:, int(self.background) : channels]),
                None,
                target[:, -1:].eq(0) if ignoring else None,
            )
        labels = range(self.first_label, self.first_label + channels - self.background)
        counted = target.ne(self.ignore_index) if self.ignore_index is not None else None
        self._check_labels(target, counted, labels[-1])
        return Target(target, labels, counted)

    def _checked(self, logits: Tensor) -> torch.Size:
        shape, least = logits.shape, 2 if self.softmax or self.background else 1
        if self.softmax and len(shape) > 1 and shape[1] == 1:
            raise ValueError("the logits have one channel, whose softmax is always 1; pass sigmoid=True")
        if len(shape) not in (4, 5) or shape[1] < least or not logits.numel():
            raise ValueError(
                f"the logits have shape {tuple(shape)}; expected (B, C, D, H, W) or (B, C, H, W) with "
                f"C >= {least}" + ", channel 0 the background" * self.background
            )
        return shape

    def _check_labels(self, target: Tensor, counted: Tensor | None, last: int) -> None:
        """Raise for a label without a channel: it would count as background, and nobody would know."""
        if target.dtype == torch.bool:
            return
        strange = (target < 0) | (target > last)
        if target.is_floating_point():
            strange |= target != target.round()  # NaN too
        if counted is not None:
            strange &= counted
        if bool(strange.any()):
            sample = int(strange.flatten(1).any(1).nonzero()[0])
            value = target[sample][strange[sample]][0].item()
            ignored = "" if self.ignore_index is None else f", or {self.ignore_index} to ignore"
            raise ValueError(
                f"sample {sample} of the batch holds the label {value:g}; expected whole numbers from 0 to "
                f"{last}, for which there are channels{ignored}"
            )


def _in_range(soft: Tensor) -> Tensor:
    """The channels, none of them beyond [0, 1]; NaN passes, and is found with its sample in the loss."""
    if soft.dtype != torch.bool:
        low, high = soft.aminmax()
        if low < 0 or high > 1:
            raise ValueError(
                f"the target's channels hold values from {low:g} to {high:g}; expected [0, 1], as one-hot, or "
                "one channel with a label map"
            )
    return soft
