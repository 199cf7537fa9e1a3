"""Networks as pure torch modules: they know no case, no path, no setting.

`build` makes those that segment an image without any prompt, by name; the others are parts of
the eyes in `aleaseg.extractors`. Importing this imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from aleaseg.errors import UsageError
from aleaseg.networks.asked import Asked

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DEEP_SUPERVISION", "NETWORKS", "SIZES", "build", "check", "fitting_patch"]

NETWORKS = {
    "small": "aleaseg.networks.small",
    "unet": "aleaseg.networks.unet",
    "swin_unetr": "aleaseg.networks.swin_unetr",
    "umamba": "aleaseg.networks.umamba",
}
"""Name -> the module whose `build` makes the network; it is imported when it is asked for."""

SIZES = ("paper", "tiny")
"""As large as the originals; and small enough for a CPU."""

DEEP_SUPERVISION = frozenset({"unet", "umamba"})
"""Networks that give logits at several resolutions where they are asked to; the others always give one."""


def build(
    name: str,
    *,
    dims: int,
    in_channels: int,
    out_channels: int,
    patch: Sequence[int],
    spacing_mm: Sequence[float] | None = None,
    levels: Sequence[int] | None = None,
    strides: Sequence[Sequence[int]] | None = None,
    size: str = "paper",
    deep_supervision: bool = False,
) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    Args:
        name: one of `NETWORKS`.
        dims: spatial axes, 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits: background and classes, or one for each region.
        patch: edges of what it will be trained on, in voxels, `dims` of them, slowest axis first.
        spacing_mm: distance between voxel centres along each axis; None: the same along all. An axis with
            thick slices is halved later, and convolved later.
        levels: how often `small` halves each axis; None: by the patch. The others plan it themselves.
        strides: of each stage, (stage, axis), as in nnU-Net's plans: the first is (1, ..., 1); None: planned
            from patch and spacing. Not for `small`, nor for `swin_unetr`, which halves every axis five times.
        size: `paper` or `tiny`.
        deep_supervision: several outputs, where the network has them (`DEEP_SUPERVISION`).

    Returns:
        A module, (batch, in_channels, *patch) -> raw logits (batch, out_channels, *patch); with deep
        supervision a list of logits from fine to coarse, in training and in evaluation. Its attribute
        `divisor`, a number for each axis, says of what the edges of an image must be multiples; patches of
        other sizes than `patch` work too. Its attribute `head` is the layer that makes the (finest) logits:
        what is put into it are the features that a measure of the network's inside may look at.

    Raises:
        UsageError: an unknown name or size, or numbers that do not fit one another; of a patch that does
            not divide, the message names the nearest that do.
    """
    check(name, size)
    _check_shape(dims, patch, spacing_mm)
    for one in strides or ():
        _check_axes("strides", one, dims)
    if levels is not None and len(levels) != dims:
        raise UsageError(f"levels is {tuple(levels)}; expected {dims} numbers, one for each axis")
    if in_channels < 1 or out_channels < 1:
        raise UsageError(f"{in_channels} channels in and {out_channels} out; expected one at least")
    asked = Asked(
        in_channels,
        out_channels,
        tuple(patch),
        (1.0,) * dims if spacing_mm is None else tuple(spacing_mm),
        None if levels is None else tuple(levels),
        None if strides is None else tuple(map(tuple, strides)),
        size,
        deep_supervision,
    )
    made: nn.Module = _module(name).build(asked)
    return made


def fitting_patch(
    name: str, patch: Sequence[int], *, spacing_mm: Sequence[float] | None = None, size: str = "paper"
) -> tuple[int, ...]:
    """The patch where the network takes it, else the next larger one that it takes.

    Args:
        name: one of `NETWORKS`.
        patch: edges in voxels, two or three.
        spacing_mm: of the voxels; None: the same along all axes.
        size: `paper` or `tiny`.

    Raises:
        UsageError: an unknown name or size, or a patch that is too small for a network.

    >>> fitting_patch("unet", (44, 56, 40))
    (48, 56, 40)
    """
    dims = len(patch)
    check(name, size)
    _check_shape(dims, patch, spacing_mm)
    spacing = (1.0,) * dims if spacing_mm is None else tuple(spacing_mm)
    found: tuple[int, ...] | None = _module(name).fitting_patch(tuple(patch), spacing, size)
    if found is None:
        raise UsageError(
            f"a patch of {tuple(patch)} is too small for {name}; expected 12 voxels or more along an axis"
        )
    return found


def _module(name: str) -> ModuleType:
    return importlib.import_module(NETWORKS[name])


def check(name: str, size: str) -> None:
    """Refuse a name or size that there is not.

    Raises:
        UsageError: with the valid names.
    """
    if name not in NETWORKS:
        raise UsageError(f"there is no network {name!r}; expected one of {', '.join(NETWORKS)}")
    if size not in SIZES:
        raise UsageError(f"there is no size {size!r} of {name}; expected one of {', '.join(SIZES)}")


def _check_shape(dims: int, patch: Sequence[int], spacing_mm: Sequence[float] | None) -> None:
    if dims not in (2, 3):
        raise UsageError(f"{dims} spatial axes; networks have 2 or 3")
    _check_axes("patch", patch, dims)
    if spacing_mm is not None:
        _check_axes("spacing_mm", spacing_mm, dims)


def _check_axes(what: str, numbers: Sequence[float], dims: int) -> None:
    if len(numbers) != dims or not all(number > 0 for number in numbers):
        raise UsageError(f"{what} is {tuple(numbers)}; expected {dims} numbers above 0, one for each axis")
