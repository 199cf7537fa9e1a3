"""The U-Net that nnU-Net trains: plain convolutions, instance norm, leaky ReLU.

Isensee et al. 2021, doi 10.1038/s41592-020-01008-z. Held in the tests against nnU-Net's own
`PlainConvUNet`: the same parameters by the same names (of those that it lists twice, once),
and the same logits. It is here because that one comes with nnunetv2 and half a hundred
packages, and MONAI's DynUNet takes other names and gives other outputs under deep supervision.

    image ─ stage ─ stage ─ ... ─ bottom      each stage: (convolution, norm, ReLU) twice,
              │       │             │           the first with the stage's stride
    logits ─ stage ─ stage ─ ... ───┘         upwards: transposed convolution, beside the skip, stage
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aleaseg.networks.stages import Stages, by_size, given_stages, plan_stages

__all__ = ["SIZES", "Block", "UNet", "UNetSize", "build", "initialise"]

Block = Callable[[int, int, Sequence[int], Sequence[int], int], nn.Module]
"""(channels in, channels out, kernel, stride, how many) -> what a stage does; the first does the stride."""


@dataclass(frozen=True)
class UNetSize:
    """How large a network is.

    Attributes:
        features: of the first stage; each stage has twice those of the one above it,
        most_2d, most_3d: but no more than these.
        repeats: of what a stage repeats.
        stages: at most; None: as many as the patch allows.
    """

    features: int
    most_2d: int
    most_3d: int
    repeats: int
    stages: int | None

    def widths(self, stages: Stages) -> tuple[int, ...]:
        """Channels of each stage."""
        most = self.most_2d if len(stages.strides[0]) == 2 else self.most_3d
        return tuple(min(self.features * 2**depth, most) for depth in range(len(stages)))


SIZES = {"paper": UNetSize(32, 512, 320, 2, None), "tiny": UNetSize(8, 64, 64, 1, 4)}


class PlainConvs(nn.Module):
    """(convolution, instance norm, leaky ReLU), several times."""

    def __init__(
        self, channels: int, width: int, kernel: Sequence[int], stride: Sequence[int], repeats: int
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        self.convs = nn.Sequential(
            *(
                _ConvNormReLU(width if later else channels, width, kernel, ones if later else stride)
                for later in range(repeats)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, *spatial) -> (B, width, *spatial / stride)."""
        return self.convs(x)


class _ConvNormReLU(nn.Module):
    def __init__(self, channels: int, width: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.conv = convolution(channels, width, kernel, stride)
        self.norm = instance_norm(width, len(kernel))
        self.relu = nn.LeakyReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


class Encoder(nn.Module):
    """Every stage, from fine to coarse."""

    def __init__(
        self, channels: int, widths: Sequence[int], stages: Stages, block: Block, repeats: Sequence[int]
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for width, kernel, stride, times in zip(
            widths, stages.kernels, stages.strides, repeats, strict=True
        ):
            self.stages.append(nn.Sequential(block(channels, width, kernel, stride, times)))
            channels = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, *spatial) -> the features of every stage."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """From the bottom up; with deep supervision logits of every stage.

    Attributes:
        deep_supervision: may be changed at any time; nnU-Net does so, by this name.
    """

    def __init__(
        self,
        widths: Sequence[int],
        stages: Stages,
        block: Block,
        repeats: Sequence[int],
        out_channels: int,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        dims = len(stages.strides[0])
        self.stages = nn.ModuleList()
        self.transpconvs = nn.ModuleList()
        # Last, so that the last convolution of the network is the one that gives the logits.
        self.seg_layers = nn.ModuleList()
        up = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        for depth, times in zip(reversed(range(len(stages) - 1)), repeats, strict=True):
            above, below = widths[depth], widths[depth + 1]
            kernel, stride = stages.kernels[depth], stages.strides[depth + 1]
            self.transpconvs.append(up(below, above, stride, stride))  # type: ignore[arg-type]  # dims of them
            self.stages.append(block(2 * above, above, kernel, (1,) * dims, times))
            self.seg_layers.append(convolution(above, out_channels, (1,) * dims, (1,) * dims))

    def forward(self, features: list[Tensor]) -> Tensor | list[Tensor]:
        """The features of every stage -> logits (B, out_channels, *spatial), or a list from fine to coarse."""
        *skips, x = features
        logits = []
        for up, stage, head in zip(self.transpconvs, self.stages, self.seg_layers, strict=True):
            x = stage(torch.cat((up(x), skips.pop()), dim=1))
            if self.deep_supervision or not skips:
                logits.append(head(x))
        return logits[::-1] if self.deep_supervision else logits[-1]


class UNet(nn.Module):
    """(B, in_channels, *spatial) -> raw logits (B, out_channels, *spatial), or a list of them.

    Attributes:
        divisor: what the edges of an image must be multiples of, per axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        stages: Stages,
        *,
        repeats: Sequence[int],
        repeats_up: Sequence[int],
        block: Block = PlainConvs,
        bottom: nn.Module | None = None,
        deep_supervision: bool = False,
    ) -> None:
        """Draw the weights.

        Args:
            in_channels: of the image.
            out_channels: of the logits.
            widths: channels of each stage.
            stages: strides and kernels.
            repeats: convolutions of each stage (or whatever `block` repeats).
            repeats_up: the same on the way up, from coarse to fine; one fewer.
            block: what a stage is made of.
            bottom: what the features of the last stage go through besides, their shape unchanged.
            deep_supervision: logits of every stage of the way up.
        """
        super().__init__()
        self.divisor = stages.divisor
        self.encoder = Encoder(in_channels, widths, stages, block, repeats)
        if bottom is not None:
            self.encoder.stages[-1].append(bottom)
        self.decoder = Decoder(widths, stages, block, repeats_up, out_channels, deep_supervision)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *spatial) -> logits.

        Raises:
            ValueError: an edge does not divide.
        """
        if any(edge % by for edge, by in zip(x.shape[2:], self.divisor, strict=True)):
            raise ValueError(
                f"an image of {by_size(x.shape[2:])}; expected multiples of {by_size(self.divisor)}"
            )
        return self.decoder(self.encoder(x))


def convolution(channels: int, width: int, kernel: Sequence[int], stride: Sequence[int]) -> nn.Module:
    """A convolution whose output has the edges of its input, divided by the stride."""
    conv = nn.Conv2d if len(kernel) == 2 else nn.Conv3d
    return conv(channels, width, kernel, stride, [edge // 2 for edge in kernel])  # type: ignore[arg-type]


def instance_norm(width: int, dims: int) -> nn.Module:
    """Instance norm with a scale and a shift for each channel."""
    return (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d)(width, affine=True)


def initialise(module: nn.Module) -> None:
    """Convolutions over the image as nnU-Net draws them: He et al. 2015 for a slope of 0.01, biases 0."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(
    *,
    in_channels: int,
    out_channels: int,
    patch: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    strides: tuple[tuple[int, ...], ...] | None,
    size: str,
    deep_supervision: bool,
) -> UNet:
    """See `aleaseg.networks.build`."""
    how = SIZES[size]
    stages = (
        plan_stages(patch, spacing_mm, how.stages)
        if strides is None
        else given_stages(strides, patch, spacing_mm)
    )
    return UNet(
        in_channels,
        out_channels,
        how.widths(stages),
        stages,
        repeats=(how.repeats,) * len(stages),
        repeats_up=(how.repeats,) * (len(stages) - 1),
        deep_supervision=deep_supervision,
    )
