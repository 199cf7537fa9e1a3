"""A small prompted network for any structure in any modality: slices with their neighbours, a prompt, logits.

In 2.5 dimensions: each slice is seen with the one before and the one after it, so that
thin stacks and single pictures are the same to it. Works at half the resolution of its
input but for the last step, which sees the image itself once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["CHANNELS", "Prompted", "PromptedSize"]

CHANNELS = ("slice before", "slice", "slice after", "region prompt", "point prompt")
"""Of the input: grey levels, about 0 to 1; the region is 1 inside a box or mask, points are +1 and -1 disks."""


@dataclass(frozen=True)
class PromptedSize:
    """How large it is.

    Attributes:
        side: pixels of the square that it sees.
        stem: channels at full resolution.
        widths: channels of each level, from half the resolution down.
    """

    side: int = 64
    stem: int = 12
    widths: tuple[int, ...] = (24, 48, 96, 192)


def _block(given: int, made: int) -> nn.Sequential:
    # Groups, not instances: how bright the inside of the prompt is, is what it must see.
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1, bias=False),
        nn.GroupNorm(8, made),
        nn.SiLU(inplace=True),
        nn.Conv2d(made, made, 3, padding=1, bias=False),
        nn.GroupNorm(8, made),
        nn.SiLU(inplace=True),
    )


class Prompted(nn.Module):
    """A U-Net: (B, 5, side, side) of `CHANNELS` -> raw logits (B, side, side), > 0: inside."""

    def __init__(self, size: PromptedSize | None = None) -> None:
        super().__init__()
        size = size or PromptedSize()
        self.size = size
        first, *deeper = size.widths
        self.stem = nn.Sequential(nn.Conv2d(len(CHANNELS), size.stem, 3, padding=1), nn.SiLU(inplace=True))
        self.halve = nn.Conv2d(size.stem, first, 2, stride=2)
        self.enter = _block(first, first)
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = first
        for width in deeper:
            self.down.append(nn.Sequential(nn.Conv2d(before, width, 2, stride=2), _block(width, width)))
            self.up.append(nn.ConvTranspose2d(width, before, 2, stride=2))
            self.join.append(_block(2 * before, before))
            before = width
        self.widen = nn.ConvTranspose2d(first, size.stem, 2, stride=2)
        self.last = nn.Sequential(
            nn.Conv2d(2 * size.stem, size.stem, 3, padding=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(size.stem, 1, 1),
        )

    def forward(self, seen: Tensor) -> Tensor:
        """See the class."""
        stem = self.stem(seen)
        levels = [self.enter(self.halve(stem))]
        for down in self.down:
            levels.append(down(levels[-1]))
        found = levels.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            found = join(torch.cat([up(found), levels.pop()], dim=1))
        logits: Tensor = self.last(torch.cat([self.widen(found), stem], dim=1))[:, 0]
        return logits
