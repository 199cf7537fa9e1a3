"""What a network is built for, said once for all of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """The arguments of `aleaseg.networks.build`, checked and with defaults put in."""

    in_channels: int
    out_channels: int
    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    levels: tuple[int, ...] | None
    strides: tuple[tuple[int, ...], ...] | None
    size: str
    deep_supervision: bool
