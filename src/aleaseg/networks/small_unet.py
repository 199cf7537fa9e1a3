"""The module of the network `small`: MONAI's UNet, no level at full resolution.

That level would take most of a step's time and adds little Dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from monai.networks import nets
from torch import Tensor, nn

from aleaseg.networks.stages import by_size

__all__ = ["Small"]

_CHANNELS = (24, 48, 96, 128, 160)


class Small(nets.UNet):  # type: ignore[misc]  # MONAI has no types here
    """(B, in_channels, *spatial) -> raw logits (B, out_channels, *spatial).

    Attributes:
        divisor: what the edges of an image must be multiples of, per axis.
    """

    def __init__(self, in_channels: int, out_channels: int, levels: Sequence[int]) -> None:
        """Draw the weights.

        Args:
            in_channels: of the image.
            out_channels: of the logits.
            levels: how often each axis is halved; one that is halved less often is so in the deepest
                levels, where voxels are nearest to isotropic.
        """
        strides = [tuple(2 if level > step else 1 for level in levels) for step in range(max(levels))]
        strides = strides[::-1] or [(1,) * len(levels)]
        super().__init__(
            spatial_dims=len(levels),
            in_channels=in_channels,
            out_channels=out_channels,
            channels=_CHANNELS[: len(strides) + 1],
            strides=strides,
            num_res_units=0,
            norm="INSTANCE",
            act="LEAKYRELU",
        )
        self.divisor = tuple(2**level for level in levels)

    @property
    def head(self) -> nn.Module:
        """See `aleaseg.networks.build`; it also doubles the axes that are halved first."""
        return cast(nn.Module, self.model[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> logits.

        Raises:
            ValueError: an edge does not divide.
        """
        if any(edge % by for edge, by in zip(x.shape[2:], self.divisor, strict=True)):
            raise ValueError(
                f"an image of {by_size(x.shape[2:])}; expected multiples of {by_size(self.divisor)}"
            )
        logits: Tensor = super().forward(x)
        return logits
