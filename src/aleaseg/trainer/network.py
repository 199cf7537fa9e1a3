"""The networks that a training can have, by name, and patches that suit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aleaseg import networks
from aleaseg.errors import UsageError
from aleaseg.training.grid import Grid
from aleaseg.training.network import build_network

if TYPE_CHECKING:
    import torch

__all__ = ["NAMES", "build", "check_network", "fitting_patch", "outputs_of"]

NAMES = ("small", *networks.NETWORKS)
"""`small` is the one of cross-fitting."""


def check_network(name: str, size: str) -> None:
    """Refuse a name or size that there is not.

    Raises:
        UsageError: with the valid names.
    """
    if name not in NAMES:
        raise UsageError(f"there is no network {name!r}; expected one of: {', '.join(NAMES)}")
    if size not in networks.SIZES:
        raise UsageError(f"there is no size {size!r}; expected one of: {', '.join(networks.SIZES)}")


def fitting_patch(about: Mapping[str, Any], grid: Grid) -> tuple[int, ...]:
    """A patch that nobody asked for, as it is or made so large that the network can halve it.

    Raises:
        UsageError: it is too small for the network.
    """
    if about["name"] == "small":
        return grid.patch
    return networks.fitting_patch(about["name"], grid.patch, spacing_mm=grid.spacing_mm, size=about["size"])


def build(
    about: Mapping[str, Any], grid: Grid, channels: int, classes: int, *, train: bool
) -> torch.nn.Module:
    """A network with random weights, drawn from torch's global generator.

    Args:
        about: `name`, `size` and `deep_supervision`, as the plan keeps them.
        grid: spacing and patch.
        channels: of the image.
        classes: foreground label values.
        train: with the outputs that only a training asks for.

    Raises:
        UsageError: the patch does not divide as the network would halve it.
    """
    if about["name"] == "small":
        divisor = [2**level for level in grid.levels]
        if any(edge % by for edge, by in zip(grid.patch, divisor, strict=True)):
            nearest = [max(1, round(edge / by)) * by for edge, by in zip(grid.patch, divisor, strict=True)]
            raise UsageError(
                f"a patch of {_size(grid.patch)} does not divide by {_size(divisor)}, as the network halves it; "
                f"give --patch {','.join(map(str, nearest))}, say"
            )
        return build_network(grid, channels, 1 + classes)
    return networks.build(
        about["name"],
        dims=len(grid.patch),
        in_channels=channels,
        out_channels=1 + classes,
        patch=grid.patch,
        spacing_mm=grid.spacing_mm,
        size=about["size"],
        deep_supervision=train and about["deep_supervision"],
    )


def outputs_of(name: str, deep_supervision: bool) -> bool:
    """Whether a network is to give several outputs: asked for, and to be had."""
    return deep_supervision and name in networks.DEEP_SUPERVISION


def _size(edges: Sequence[int]) -> str:
    return " x ".join(map(str, edges))
