"""The small U-Net of cross-fitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.training.grid import Grid

if TYPE_CHECKING:
    import torch

__all__ = ["build_network"]

# No level at full resolution: it would take most of a step's time and adds little Dice.
_CHANNELS = (24, 48, 96, 128, 160)


def build_network(grid: Grid, in_channels: int, out_channels: int) -> torch.nn.Module:
    """MONAI's UNet with strides that follow the patch: thick slices are halved less often.

    Args:
        grid: the working grid.
        in_channels: image channels.
        out_channels: background and foreground classes.

    Returns:
        (batch, in_channels, *patch) -> raw logits (batch, out_channels, *patch).
    """
    from monai.networks.nets import UNet

    # An axis with fewer levels is halved in the deepest ones, where voxels are nearest to isotropic.
    strides = [
        tuple(2 if level > step else 1 for level in grid.levels)
        for step in reversed(range(max(grid.levels)))
    ]
    strides = strides or [(1,) * len(grid.patch)]
    network: torch.nn.Module = UNet(
        spatial_dims=len(grid.patch),
        in_channels=in_channels,
        out_channels=out_channels,
        channels=_CHANNELS[: len(strides) + 1],
        strides=strides,
        num_res_units=0,
        norm="INSTANCE",
        act="LEAKYRELU",
    )
    return network
