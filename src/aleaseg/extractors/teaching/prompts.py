"""Prompts of a thing that is known: boxes tight, loose and wrong, masks drawn by hand, points."""

from __future__ import annotations

import torch
from torch import Tensor

from aleaseg.extractors.teaching.chance import Chance, blurred

__all__ = ["prompts_of"]


def _edges(mask: Tensor) -> Tensor:
    """(B, 4): first and last column, first and last row of (B, S, S); nonsense where it is empty."""
    columns, rows = mask.any(1), mask.any(2)
    last = mask.shape[-1] - 1

    def ends(line: Tensor) -> tuple[Tensor, Tensor]:
        whole = line.float()
        return whole.argmax(1), last - whole.flip(1).argmax(1)

    return torch.stack([*ends(columns), *ends(rows)], dim=1).float()


def _inside(edges: Tensor, side: int) -> Tensor:
    """(B, S, S): 1 inside the boxes."""
    line = torch.arange(side, dtype=torch.float32)
    x0, x1, y0, y1 = edges[:, :, None].unbind(1)
    columns, rows = (line >= x0) & (line <= x1), (line >= y0) & (line <= y1)
    return (rows[:, :, None] & columns[:, None, :]).float()


def _points(mask: Tensor, chance: Chance) -> Tensor:
    """(B, S, S): +1 disks inside, -1 disks outside, at most three of each."""
    size, side = len(mask), mask.shape[-1]
    found = torch.zeros(mask.shape)
    line = torch.arange(side, dtype=torch.float32)
    for sign, of in ((1.0, mask), (-1.0, ~mask)):
        for _ in range(2):
            weight = of.flatten(1).float() * torch.rand(size, side * side, generator=chance.generator)
            place = weight.argmax(1)
            y, x = (place // side).float(), (place % side).float()
            disk = (line[None, :, None] - y[:, None, None]) ** 2 + (
                line[None, None] - x[:, None, None]
            ) ** 2 <= 6
            found = torch.where(disk & chance.happens(0.6)[:, 0].bool(), sign * torch.ones(()), found)
    return found


def prompts_of(meant: Tensor, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
    """Region and point prompts, (B, S, S) each, and the window about them (B, 4)."""
    middle, side = meant[:, 1], meant.shape[-1]
    own, whole = _edges(middle), _edges(meant.any(1))
    solid = chance.happens(0.3)[:, 0, :, 0]  # one box for all slices
    edges = solid * whole + (1 - solid) * own
    wide = torch.stack([edges[:, 1] - edges[:, 0], edges[:, 3] - edges[:, 2]], 1).repeat_interleave(2, 1)
    # Half of the boxes are about tight, half lie beyond the thing, each side by its own amount.
    loose = chance.happens(0.5)[:, 0, :, 0]
    grow = chance.uniform(-0.5, 1, 4) * (0.05 * wide + 0.6) + loose * chance.uniform(0, 1, 4) * (
        0.12 * wide + 2
    )
    edges = edges + grow * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    # Some are plainly wrong, shifted and of another size: what is meant is still the thing, all of it.
    wrong, shift = chance.happens(0.35)[:, 0, :, 0], chance.uniform(-0.45, 0.45, 2).repeat_interleave(2, 1)
    size = chance.uniform(-0.3, 0.3, 2).repeat_interleave(2, 1) * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    edges = edges + wrong * (shift + size) * wide
    region = _inside(edges, side)
    drawn = (
        blurred(meant.float(), chance.uniform(0.3, 2.5))[:, 1] > chance.uniform(0.25, 0.75)[:, 0]
    ).float()
    region = torch.where(chance.happens(0.1)[:, 0].bool(), drawn, region)
    points = _points(middle, chance) * chance.happens(0.2)[:, 0]
    alone = chance.happens(0.06)[:, 0] * (points > 0).flatten(1).any(1)[:, None, None]
    region = region * (1 - alone)
    # The window holds the box with a margin; for things that grow or shrink along the stack it may be far larger.
    centre = (edges[:, 0::2] + edges[:, 1::2]) / 2
    half = wide.amax(1, keepdim=True) / 2 * chance.uniform(1.2, 1.9, 1)
    half = torch.where(
        chance.happens(0.35)[:, 0, :, 0].bool(), half * chance.uniform(1, 2.2, 1), half
    ).clamp(min=5)
    centre = centre + chance.uniform(-0.15, 0.15, 2) * half
    return region, points, torch.cat([centre, half], dim=1)
