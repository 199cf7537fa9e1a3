"""U-Mamba with its Mamba at the bottom ("U-Mamba_Bot"; Ma, Li and Wang 2024, arXiv 2401.04722).

An nnU-Net-shaped U-Net of residual blocks, whose coarsest features are read voxel after voxel by
one Mamba layer, so that every corner of the patch can know of those before it. Depth, repeats and
the nearest neighbour on the way up are as in the authors' code (their repository's `UMambaBot_3d`):
a stem of residual blocks at full resolution; in the deeper half of the encoder, and in the finer
half of the way up, each stage has one block. Written anew; weights of theirs do not fit, but for
the Mamba layer's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from aleaseg.networks.asked import Asked
from aleaseg.networks.mamba import Mamba
from aleaseg.networks.stages import Stages
from aleaseg.networks.unet import UNet, convolution, instance_norm, sized
from aleaseg.networks.unet import fitting_patch as fitting_patch

__all__ = ["Residuals", "VoxelMamba", "build", "fitting_patch", "umamba"]


class Residuals(nn.Sequential):
    """Residual blocks; the first does the stride and the change of channels."""

    def __init__(
        self, channels: int, width: int, kernel: Sequence[int], stride: Sequence[int], repeats: int
    ) -> None:
        same = (1,) * len(kernel)
        first = _Residual(channels, width, kernel, stride, convolution(channels, width, same, stride))
        later = (_Residual(width, width, kernel, same, nn.Identity()) for _ in range(1, repeats))
        super().__init__(first, *later)


class _Residual(nn.Module):
    """ReLU(x + norm(conv(ReLU(norm(conv(x)))))), where x goes past through `skip`."""

    def __init__(
        self, channels: int, width: int, kernel: Sequence[int], stride: Sequence[int], skip: nn.Module
    ) -> None:
        super().__init__()
        self.skip = skip
        self.conv1 = convolution(channels, width, kernel, stride)
        self.norm1 = instance_norm(width, len(kernel))
        self.conv2 = convolution(width, width, kernel, (1,) * len(kernel))
        self.norm2 = instance_norm(width, len(kernel))
        self.relu = nn.LeakyReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + self.skip(x))


class VoxelMamba(nn.Module):
    """Layer norm and Mamba over the voxels of a feature, slowest axis first; never in half precision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, C, *spatial); float32 where float16 or bfloat16 came."""
        with torch.autocast(feature.device.type, enabled=False):
            wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
            tokens = self.mamba(self.norm(rearrange(wide, "b c ... -> b (...) c")))
            return rearrange(tokens, "b l c -> b c l").reshape(feature.shape)


def nearest(channels: int, width: int, stride: Sequence[int]) -> nn.Module:
    """A 1 x 1 x 1 convolution, and every voxel as many times as the stride says.

    In this order, which gives the same and has fewer voxels to convolve.
    """
    same = (1,) * len(stride)
    return nn.Sequential(
        convolution(channels, width, same, same),
        nn.Upsample(scale_factor=tuple(map(float, stride)), mode="nearest"),
    )


def umamba(
    in_channels: int,
    out_channels: int,
    widths: Sequence[int],
    stages: Stages,
    *,
    repeats: Sequence[int],
    repeats_up: Sequence[int],
    deep_supervision: bool = False,
) -> UNet:
    """The network; arguments as of `UNet`.

    The deeper half of the stages, and the finer half on the way up, has one residual block each, whatever
    the repeats say.
    """
    half = math.ceil(len(stages) / 2)
    return UNet(
        in_channels,
        out_channels,
        widths,
        stages,
        repeats=[*repeats[:half], *(1,) * len(repeats[half:])],
        repeats_up=[*repeats_up[:half], *(1,) * len(repeats_up[half:])],
        stem=True,
        block=Residuals,
        up=nearest,
        bottom=VoxelMamba(widths[-1]),
        deep_supervision=deep_supervision,
    )


def build(asked: Asked) -> UNet:
    """See `aleaseg.networks.build`; it plans its levels itself."""
    return sized(umamba, asked)
