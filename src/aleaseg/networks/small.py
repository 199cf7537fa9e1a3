"""The small U-Net that cross-fitting trains on a CPU; importing this imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aleaseg.errors import UsageError
from aleaseg.networks.stages import by_size, halvings

if TYPE_CHECKING:
    from aleaseg.networks.small_unet import Small

__all__ = ["build", "fitting_patch"]


def fitting_patch(patch: tuple[int, ...], spacing_mm: tuple[float, ...], size: str) -> tuple[int, ...]:
    """See `aleaseg.networks.fitting_patch`."""
    return _multiples(patch, [2**level for level in halvings(patch)])[-1]


def build(
    *,
    in_channels: int,
    out_channels: int,
    patch: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    levels: tuple[int, ...] | None,
    strides: tuple[tuple[int, ...], ...] | None,
    size: str,
    deep_supervision: bool,
) -> Small:
    """See `aleaseg.networks.build`; it has one size, and spacing and deep supervision mean nothing to it."""
    if strides is not None:
        raise UsageError("small takes no strides but levels, how often each axis is halved; leave them out")
    levels = halvings(patch) if levels is None else levels
    divisor = [2**level for level in levels]
    if any(edge % by for edge, by in zip(patch, divisor, strict=True)):
        near = " or ".join(dict.fromkeys(map(by_size, _multiples(patch, divisor))))
        raise UsageError(
            f"a patch of {by_size(patch)} does not divide by {by_size(divisor)}, as the network halves it; the nearest "
            f"that fit: {near}"
        )
    # MONAI takes seconds to import, and a plan needs none of it.
    from aleaseg.networks.small_unet import Small

    return Small(in_channels, out_channels, levels)


def _multiples(patch: Sequence[int], divisor: Sequence[int]) -> list[tuple[int, ...]]:
    """The next smaller and the next larger patch that divide."""
    pairs = list(zip(patch, divisor, strict=True))
    return [tuple(max(1, way(edge / by)) * by for edge, by in pairs) for way in (math.floor, math.ceil)]
