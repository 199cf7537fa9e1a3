"""The small U-Net that cross-fitting trains on a CPU; importing this imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.errors import UsageError
from aleaseg.networks.asked import Asked
from aleaseg.networks.stages import halvings, multiples, undivided

if TYPE_CHECKING:
    from aleaseg.networks.small_unet import Small

__all__ = ["build", "fitting_patch"]


def fitting_patch(patch: tuple[int, ...], spacing_mm: tuple[float, ...], size: str) -> tuple[int, ...]:
    """See `aleaseg.networks.fitting_patch`."""
    return multiples(patch, [2**level for level in halvings(patch)])[-1]


def build(asked: Asked) -> Small:
    """See `aleaseg.networks.build`; it has one size, and spacing and deep supervision mean nothing to it."""
    if asked.strides is not None:
        raise UsageError("small takes no strides but levels, how often each axis is halved; leave them out")
    levels = halvings(asked.patch) if asked.levels is None else asked.levels
    divisor = [2**level for level in levels]
    if any(edge % by for edge, by in zip(asked.patch, divisor, strict=True)):
        raise undivided(asked.patch, divisor, "the network halves it", multiples(asked.patch, divisor))
    # MONAI takes seconds to import, and a plan needs none of it.
    from aleaseg.networks.small_unet import Small

    return Small(asked.in_channels, asked.out_channels, levels)
