"""A small prompted network for any structure in any modality: slices with their neighbours, a prompt, logits.

In 2.5 dimensions: each slice is seen with the one before and the one after it, so that
thin stacks and single pictures are the same to it. Works at half the resolution of its
input but for the last step, which sees the image itself once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

__all__ = [
    "CHANNELS",
    "OUTSIDE",
    "Prompted",
    "PromptedSize",
    "answer",
    "cut",
    "look",
    "on_square",
    "paste",
    "pasted",
    "square_about",
    "window_about",
]

CHANNELS = ("slice before", "slice", "slice after", "region prompt", "point prompt")
"""Of the input: grey levels, about 0 to 1; the region is 1 inside a box or mask, points are +1 and -1 disks."""
OUTSIDE = -20.0
"""Logit of what lies outside the window that was looked at."""


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


# -- from a stack of slices to the network's square, and back -----------------------------------------


def window_about(region: Tensor, margin: float = 0.5, least: float = 5.0) -> tuple[float, float, float]:
    """The square that holds a region of (D, H, W) on every slice, with a margin.

    Args:
        region: non-zero somewhere.
        margin: on each side, in parts of half the longest side of the region.
        least: half a side, pixels.

    Returns:
        x and y of its centre, and half its side, in pixels.
    """
    flat = region.bool().any(0)
    rows, columns = flat.any(1).nonzero()[:, 0], flat.any(0).nonzero()[:, 0]
    y0, y1, x0, x1 = (float(end) for line in (rows, columns) for end in (line[0], line[-1]))
    return square_about((x0, y0, x1, y1), margin, least)


def square_about(
    box: tuple[float, float, float, float], margin: float = 0.5, least: float = 5.0
) -> tuple[float, float, float]:
    """The same of the box (x0, y0, x1, y1) about a region, ends included."""
    x0, y0, x1, y1 = box
    half = max(least, (1 + margin) * max(x1 - x0 + 1, y1 - y0 + 1) / 2)
    return (x0 + x1) / 2, (y0 + y1) / 2, half


def cut(layers: Tensor, window: Tensor, side: int, mode: str = "bilinear") -> Tensor:
    """What lies in a window, on the network's square.

    Args:
        layers: (B, C, H, W); beyond its border the border goes on.
        window: (B, 3) x, y, half a side, in pixels.
        side: of the square.
        mode: `bilinear` or `nearest`.

    Returns:
        (B, C, side, side).
    """
    height, width = layers.shape[-2:]
    line = (torch.arange(side, dtype=torch.float32) + 0.5) / side * 2 - 1
    x, y = window[:, 0:1] + window[:, 2:] * line, window[:, 1:2] + window[:, 2:] * line
    across, down = (x + 0.5) / width * 2 - 1, (y + 0.5) / height * 2 - 1
    grid = torch.stack(
        [across[:, None, :].expand(-1, side, -1), down[:, :, None].expand(-1, -1, side)], dim=-1
    )
    return grid_sample(layers, grid, mode=mode, padding_mode="border", align_corners=False)


def paste(logits: Tensor, window: tuple[float, float, float], shape: tuple[int, int]) -> Tensor:
    """Logits of a window back on the pixels of their slices, `OUTSIDE` elsewhere.

    Args:
        logits: (D, side, side).
        window: x, y, half a side, in pixels.
        shape: (H, W).

    Returns:
        (D, H, W).
    """
    whole = torch.full((len(logits), *shape), OUTSIDE)
    rows, columns, found = pasted(logits, window, shape)
    whole[:, rows, columns] = found
    return whole


def pasted(
    logits: Tensor, window: tuple[float, float, float], shape: tuple[int, int]
) -> tuple[slice, slice, Tensor]:
    """What `paste` puts inside the window: its rows and columns, and (D, rows, columns)."""
    x, y, half = window
    (columns, across), (rows, down) = (
        _within((torch.arange(size, dtype=torch.float32) - middle) / half)
        for size, middle in ((shape[1], x), (shape[0], y))
    )
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None]
    if not grid.numel():
        return rows, columns, logits.new_zeros((len(logits), len(down), len(across)))
    grid = grid.expand(len(logits), -1, -1, -1)
    found = grid_sample(logits[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return rows, columns, found[:, 0]


def _within(line: Tensor) -> tuple[slice, Tensor]:
    """Which places of a rising line lie in [-1, 1], and what it is there."""
    inside = (line.abs() <= 1).nonzero()[:, 0]
    if not len(inside):
        return slice(0, 0), line[:0]
    part = slice(int(inside[0]), int(inside[-1]) + 1)
    return part, line[part]


def look(
    network: Prompted,
    image: Tensor,
    region: Tensor,
    points: Tensor | None = None,
    *,
    window: tuple[float, float, float] | None = None,
    batch: int = 32,
) -> tuple[Tensor, tuple[float, float, float]]:
    """Look for one thing on every slice of a stack.

    Args:
        network: trained.
        image: (D, H, W), grey levels 0 to 1; a picture is a stack of one.
        region: (D, H, W), 1 inside the box or mask that prompts; slices may be empty.
        points: (D, H, W), +1 and -1 where points are (disks of about five pixels of the square); None: none.
        window: x, y, half a side in pixels; None: about the region.
        batch: slices at a time.

    Returns:
        Raw logits (D, side, side), > 0: inside, and the window that they fill.

    Raises:
        ValueError: there is neither a region nor a window.
    """
    if window is None:
        if not region.any():
            raise ValueError("the prompt is empty: expected a region that is 1 somewhere, or a window")
        window = window_about(region)
    side = network.size.side
    levels = on_square([image], window, side)
    prompts = [
        torch.zeros_like(levels) if one is None else on_square([one], window, side, "nearest")
        for one in (region, points)
    ]
    return answer(network, levels, *prompts, batch=batch), window


def on_square(
    stacks: Iterable[Tensor], window: tuple[float, float, float], side: int, mode: str = "bilinear"
) -> Tensor:
    """What lies in one window on every slice, (D, side, side).

    Args:
        stacks: (d, H, W) each, a few slices at a time: the slices of all of them follow one another.
        window: x, y, half a side, in pixels.
        side: of the network's square.
        mode: `bilinear` or `nearest`.
    """
    where = torch.tensor([window])
    return torch.cat(
        [cut(some[:, None].float(), where.expand(len(some), -1), side, mode)[:, 0] for some in stacks]
    )


def answer(
    network: Prompted, levels: Tensor, region: Tensor, points: Tensor | None = None, *, batch: int = 32
) -> Tensor:
    """What the network says of slices that lie on its square already.

    Args:
        network: trained.
        levels: (D, side, side), grey levels 0 to 1.
        region: (D, side, side), 1 inside the box or mask that prompts.
        points: (D, side, side); None: none.
        batch: slices at a time.

    Returns:
        Raw logits (D, side, side), > 0: inside.
    """
    depth = len(levels)
    before, after = levels[[0, *range(depth - 1)]], levels[[*range(1, depth), depth - 1]]
    seen = torch.stack(
        [before, levels, after, region, torch.zeros_like(levels) if points is None else points], dim=1
    )
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(piece.to(device)).float().cpu() for piece in torch.split(seen, batch)])
