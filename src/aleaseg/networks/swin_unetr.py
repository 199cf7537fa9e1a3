"""Swin-UNETR v2: windows that attend, convolutions before each stage, a convolutional way up.

He et al. 2023, doi 10.1007/978-3-031-43901-8_40, after Hatamizadeh et al. 2022, arXiv 2201.01266.
The network is MONAI's; here are its sizes and what its shapes ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from monai.networks import nets
from torch import Tensor, nn

from aleaseg.errors import UsageError
from aleaseg.networks.asked import Asked
from aleaseg.networks.stages import by_size, multiples, undivided

__all__ = [
    "DIVISOR",
    "SIZES",
    "SwinSize",
    "SwinUNETR",
    "build",
    "check_trainable",
    "fitting_patch",
    "padded",
]

DIVISOR = 32
"""Every axis is halved five times."""


@dataclass(frozen=True)
class SwinSize:
    """How large a network is.

    Attributes:
        features: numbers of a token of the first stage; a multiple of 12. Each stage has twice as many.
        depths: blocks of each of the four stages.
        heads: of the attention of each.
        window: edge of the cubes of tokens that attend to one another.
    """

    features: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int


SIZES = {
    "paper": SwinSize(48, (2, 2, 2, 2), (3, 6, 12, 24), 7),
    "tiny": SwinSize(12, (1, 1, 1, 1), (1, 2, 4, 8), 4),
}


class SwinUNETR(nn.Module):
    """(B, in_channels, *spatial) -> raw logits (B, out_channels, *spatial).

    Attributes:
        divisor: what the edges of an image must be multiples of, per axis; 1 where it pads.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dims: int,
        *,
        size: SwinSize = SIZES["paper"],
        pad: bool = False,
    ) -> None:
        """Draw the weights.

        Args:
            in_channels: of the image.
            out_channels: of the logits.
            dims: spatial axes.
            size: of the network.
            pad: images of any size: zeros around them up to the next multiples of 32, their logits cut off.
        """
        super().__init__()
        self.divisor = (1 if pad else DIVISOR,) * dims
        self.network = nets.SwinUNETR(
            in_channels=in_channels,
            out_channels=out_channels,
            spatial_dims=dims,
            feature_size=size.features,
            depths=size.depths,
            num_heads=size.heads,
            window_size=size.window,
            use_v2=True,
        )

    @property
    def head(self) -> nn.Module:
        """See `aleaseg.networks.build`."""
        return self.network.out

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> logits.

        Raises:
            ValueError: an edge does not divide.
        """
        edges = x.shape[2:]
        if any(edge % by for edge, by in zip(edges, self.divisor, strict=True)):
            raise ValueError(f"an image of {by_size(edges)}; expected multiples of {DIVISOR}")
        around = [
            ((whole - edge) // 2, (whole - edge + 1) // 2)
            for edge, whole in zip(edges, padded(edges), strict=True)
        ]
        wide = F.pad(x, [width for pair in reversed(around) for width in pair])
        inside = tuple(
            slice(before, before + edge) for (before, _), edge in zip(around, edges, strict=True)
        )
        return self.network(wide)[(..., *inside)]


def padded(edges: Sequence[int]) -> tuple[int, ...]:
    """The next multiples of 32."""
    return tuple(math.ceil(edge / DIVISOR) * DIVISOR for edge in edges)


def check_trainable(patch: Sequence[int]) -> None:
    """Whether anything is left at the bottom for instance norm to measure.

    Args:
        patch: edges in voxels, before they are padded.

    Raises:
        UsageError: one voxel is left.
    """
    if padded(patch) != _trainable(padded(patch)):
        raise UsageError(
            f"a patch of {by_size(patch)} is one voxel at the bottom of swin_unetr, and its instance norm needs two to "
            f"train; expected {by_size(_trainable(patch))} at least"
        )


def _trainable(patch: Sequence[int]) -> tuple[int, ...]:
    """The patch, or the smallest of which two voxels are left at the bottom."""
    smallest = (*(DIVISOR,) * (len(patch) - 1), 2 * DIVISOR)
    return tuple(patch) if any(edge > DIVISOR for edge in patch) else smallest


def fitting_patch(patch: tuple[int, ...], spacing_mm: tuple[float, ...], size: str) -> tuple[int, ...]:
    """See `aleaseg.networks.fitting_patch`."""
    return _trainable(padded(patch))


def build(asked: Asked) -> SwinUNETR:
    """See `aleaseg.networks.build`; spacing, levels and deep supervision mean nothing to it."""
    patch = asked.patch
    if asked.strides is not None:
        raise UsageError("swin_unetr takes no strides: it halves every axis five times; leave them out")
    if padded(patch) != patch:
        near = map(_trainable, multiples(patch, (DIVISOR,) * len(patch)))
        raise undivided(patch, (DIVISOR,), "the five halvings of swin_unetr ask for", near)
    check_trainable(patch)
    return SwinUNETR(asked.in_channels, asked.out_channels, len(patch), size=SIZES[asked.size])
