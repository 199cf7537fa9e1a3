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

from aleaseg.networks.asked import Asked
from aleaseg.networks.stages import Stages, by_size, given_stages, next_patch, plan_stages

__all__ = ["SIZES", "Block", "PlainConvs", "UNet", "UNetSize", "Up", "build", "fitting_patch", "sized"]

Block = Callable[[int, int, Sequence[int], Sequence[int], int], nn.Module]
"""(channels in, channels out, kernel, stride, how many) -> what a stage does; the first does the stride."""

Up = Callable[[int, int, Sequence[int]], nn.Module]
"""(channels in, channels out, stride) -> what makes the way up finer by the stride."""


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
        self,
        channels: int,
        widths: Sequence[int],
        stages: Stages,
        block: Block,
        repeats: Sequence[int],
        bottom: nn.Module | None,
    ) -> None:
        super().__init__()
        made = []
        for width, kernel, stride, times in zip(
            widths, stages.kernels, stages.strides, repeats, strict=True
        ):
            made.append(nn.Sequential(block(channels, width, kernel, stride, times)))
            channels = width
        if bottom is not None:
            made[-1].append(bottom)
        self.stages = nn.ModuleList(made)

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
        up: Up,
        repeats: Sequence[int],
        out_channels: int,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        ones = (1,) * len(stages.strides[0])
        self.stages = nn.ModuleList()
        self.transpconvs = nn.ModuleList()
        # Last, so that the last convolution of the network is the one that gives the logits.
        self.seg_layers = nn.ModuleList()
        for depth, times in zip(reversed(range(len(stages) - 1)), repeats, strict=True):
            above, below = widths[depth], widths[depth + 1]
            self.transpconvs.append(up(below, above, stages.strides[depth + 1]))
            self.stages.append(block(2 * above, above, stages.kernels[depth], ones, times))
            self.seg_layers.append(convolution(above, out_channels, ones, ones))

    def forward(self, features: list[Tensor]) -> Tensor | list[Tensor]:
        """The features of every stage -> logits (B, out_channels, *spatial), or a list from fine to coarse."""
        *skips, x = features
        logits = []
        for up, stage, head in zip(self.transpconvs, self.stages, self.seg_layers, strict=True):
            x = stage(torch.cat((up(x), skips.pop()), dim=1))
            if self.deep_supervision or not skips:
                logits.append(head(x))
        return logits[::-1] if self.deep_supervision else logits[-1]


def transposed(channels: int, width: int, stride: Sequence[int]) -> nn.Module:
    """A transposed convolution: every voxel becomes as many as the stride says."""
    conv = nn.ConvTranspose2d if len(stride) == 2 else nn.ConvTranspose3d
    return conv(channels, width, stride, stride)  # type: ignore[arg-type]  # two or three of them


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
        up: Up = transposed,
        stem: bool = False,
        bottom: nn.Module | None = None,
        deep_supervision: bool = False,
    ) -> None:
        """Draw the weights.

        Args:
            in_channels: of the image.
            out_channels: of the logits.
            widths: channels of each stage.
            stages: strides and kernels.
            repeats: how often each stage repeats what it does.
            repeats_up: the same on the way up, from coarse to fine; one fewer.
            block: what a stage does.
            up: what leads from a stage to the finer one.
            stem: what the first stage does is done once more before it.
            bottom: what the features of the last stage go through besides, their shape unchanged.
            deep_supervision: logits of every stage of the way up.
        """
        super().__init__()
        self.divisor = stages.divisor
        self.stem: nn.Module = nn.Identity()
        if stem:
            self.stem = block(in_channels, widths[0], stages.kernels[0], stages.strides[0], repeats[0])
        self.encoder = Encoder(widths[0] if stem else in_channels, widths, stages, block, repeats, bottom)
        self.decoder = Decoder(widths, stages, block, up, repeats_up, out_channels, deep_supervision)
        self.apply(_initialise)

    @property
    def head(self) -> nn.Module:
        """See `aleaseg.networks.build`."""
        return self.decoder.seg_layers[-1]

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *spatial) -> logits.

        Raises:
            ValueError: an edge does not divide.
        """
        if any(edge % by for edge, by in zip(x.shape[2:], self.divisor, strict=True)):
            raise ValueError(
                f"an image of {by_size(x.shape[2:])}; expected multiples of {by_size(self.divisor)}"
            )
        logits: Tensor | list[Tensor] = self.decoder(self.encoder(self.stem(x)))
        return logits


def convolution(channels: int, width: int, kernel: Sequence[int], stride: Sequence[int]) -> nn.Module:
    """A convolution whose output has the edges of its input, divided by the stride."""
    conv = nn.Conv2d if len(kernel) == 2 else nn.Conv3d
    return conv(channels, width, kernel, stride, [edge // 2 for edge in kernel])  # type: ignore[arg-type]


def instance_norm(width: int, dims: int) -> nn.Module:
    """Instance norm with a scale and a shift for each channel."""
    return (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d)(width, affine=True)


def _initialise(module: nn.Module) -> None:
    """Convolutions over the image as nnU-Net draws them: He et al. 2015 for a slope of 0.01, biases 0."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def sized(make: Callable[..., UNet], asked: Asked) -> UNet:
    """What makes a network, called with the widths and repeats of a size, and the stages that suit the patch."""
    size, patch, spacing_mm = SIZES[asked.size], asked.patch, asked.spacing_mm
    stages = (
        plan_stages(patch, spacing_mm, size.stages)
        if asked.strides is None
        else given_stages(asked.strides, patch, spacing_mm)
    )
    return make(
        asked.in_channels,
        asked.out_channels,
        size.widths(stages),
        stages,
        repeats=(size.repeats,) * len(stages),
        repeats_up=(size.repeats,) * (len(stages) - 1),
        deep_supervision=asked.deep_supervision,
    )


def fitting_patch(
    patch: tuple[int, ...], spacing_mm: tuple[float, ...], size: str
) -> tuple[int, ...] | None:
    """See `aleaseg.networks.fitting_patch`."""
    return next_patch(patch, spacing_mm, SIZES[size].stages, larger=True)


def build(asked: Asked) -> UNet:
    """See `aleaseg.networks.build`; it plans its levels itself."""
    return sized(UNet, asked)
