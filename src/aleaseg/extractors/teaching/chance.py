"""What scenes are drawn with: random numbers for a group of them, and blur."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

__all__ = ["SLICES", "Chance", "blurred"]

SLICES = 3


class Chance:
    """Random numbers for a group of scenes, (B, 1, 1, 1) each unless said otherwise."""

    def __init__(self, seed: int, size: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.size = size

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape)."""
        shape = shape or (1, 1, 1)
        return low + (high - low) * torch.rand(self.size, *shape, generator=self.generator)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape): their logarithms are uniform."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape)."""
        return torch.randn(self.size, *shape, generator=self.generator)

    def happens(self, share: float) -> Tensor:
        """(B, 1, 1, 1) of 0 and 1."""
        return (torch.rand(self.size, 1, 1, 1, generator=self.generator) < share).float()

    def one_of(self, count: int) -> int:
        """The same for the whole group."""
        return int(torch.randint(count, (1,), generator=self.generator))


def blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """(B, 3, S, S), each scene by its own sigma (B, 1, 1, 1) in pixels."""
    reach = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (reach / sigma.view(-1, 1).clamp(min=0.05)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(SLICES, 0)
    flat, size = image.flatten(0, 1)[None], image.shape
    count = flat.shape[1]
    flat = conv2d(flat, kernel.view(count, 1, 1, -1), padding=(0, 4), groups=count)
    flat = conv2d(flat, kernel.view(count, 1, -1, 1), padding=(4, 0), groups=count)
    return flat[0].view(size)
