"""Dropout for any network, so that it can be asked more than once (Gal and Ghahramani 2016)."""

from __future__ import annotations

from torch import nn

from aleaseg.errors import UsageError

__all__ = ["add_dropout"]

_ACTIVATIONS = (nn.LeakyReLU, nn.ReLU, nn.GELU, nn.SiLU)


def add_dropout(network: nn.Module, rate: float, dims: int) -> None:
    """Drop after every activation: whole channels of feature maps, single features of tokens (GELU).

    No parameter changes its name, so weights fit a network with and without.

    Args:
        network: changed in place.
        rate: share that is dropped, in [0, 1); 0: nothing is added.
        dims: spatial axes, 2 or 3.

    Raises:
        UsageError: the network has no activation that is known.
    """
    if not rate:
        return
    of_maps = nn.Dropout2d if dims == 2 else nn.Dropout3d
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, _ACTIVATIONS)
    ]
    if not found:
        raise UsageError(f"{type(network).__name__} has no activation to drop after; train without dropout")
    for parent, name, child in found:
        drop = nn.Dropout(rate) if isinstance(child, nn.GELU) else of_maps(rate)
        setattr(parent, name, nn.Sequential(child, drop))
