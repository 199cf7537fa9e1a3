"""Where an nnU-Net-shaped network halves which axis, and how far its convolutions reach.

The rules are those by which nnU-Net plans its networks (Isensee et al. 2021,
doi 10.1038/s41592-020-01008-z, supplement; `get_pool_and_conv_props` of nnunetv2 2.8). An
axis with thick slices waits until the others have become as coarse. With one step more: 6
voxels become 3, so that a patch of 96 x 96 x 96 has six stages and 3 x 3 x 3 at the bottom,
as the network of 31 million parameters has that arXiv 2604.10963 trains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aleaseg.errors import UsageError

__all__ = [
    "Stages",
    "by_size",
    "given_stages",
    "halvings",
    "multiples",
    "next_patch",
    "plan_stages",
    "undivided",
]

_FROM = 8  # voxels from which an axis is halved,
_ALONE = 12  # where no other axis is halved with it,
_LAST = 6  # and what is halved all the same: 3 are left
_COARSE = 2  # times the finest spacing: too coarse to be halved, or to be convolved across


@dataclass(frozen=True)
class Stages:
    """Stages of an encoder, from fine to coarse.

    Attributes:
        strides: of the first convolution of each stage, (stage, axis); the first stage keeps every voxel.
        kernels: edges of the convolutions of each stage, (stage, axis).
    """

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.strides)

    @property
    def divisor(self) -> tuple[int, ...]:
        """What the edges of an image must be multiples of, per axis."""
        return tuple(math.prod(along) for along in zip(*self.strides, strict=True))


def plan_stages(patch: Sequence[int], spacing_mm: Sequence[float], most: int | None = None) -> Stages:
    """The stages that suit a patch.

    Args:
        patch: edges in voxels.
        spacing_mm: of the voxels.
        most: stages at most; None: as many as the patch allows.

    Raises:
        UsageError: the patch is too small for a second stage, or an edge does not divide as often as it
            would be halved.
    """
    stages = _stages(patch, spacing_mm, most)
    if len(stages) == 1:
        raise UsageError(
            f"a patch of {by_size(patch)} is too small for a U-Net; expected {_ALONE} voxels or more along an "
            f"axis (or {_FROM} along two) whose spacing is not twice the finest"
        )
    if any(edge % divisor for edge, divisor in zip(patch, stages.divisor, strict=True)):
        near = [next_patch(patch, spacing_mm, most, larger=larger) for larger in (False, True)]
        raise undivided(patch, stages.divisor, "its network would halve it", filter(None, near))
    return stages


def given_stages(
    strides: Sequence[Sequence[int]], patch: Sequence[int], spacing_mm: Sequence[float]
) -> Stages:
    """Stages with these strides, and kernels that suit the spacing.

    Raises:
        UsageError: fewer than two stages, a first stage that leaves out voxels, or a patch that does not divide
            or of which one voxel is left at the bottom.
    """
    whole = tuple(tuple(map(int, one)) for one in strides)
    if len(whole) < 2 or any(stride != 1 for stride in whole[0]):
        raise UsageError(
            f"strides are {whole}; expected those of two stages at least, the first of them all 1"
        )
    stages = Stages(whole, _kernels(whole, spacing_mm))
    if any(edge % by for edge, by in zip(patch, stages.divisor, strict=True)):
        raise undivided(patch, stages.divisor, "the strides ask for", multiples(patch, stages.divisor))
    if tuple(patch) == stages.divisor:
        raise UsageError(
            f"a patch of {by_size(patch)} is one voxel at the bottom, and instance norm needs two to train; expected a "
            "larger patch, or fewer strides"
        )
    return stages


def next_patch(
    patch: Sequence[int], spacing_mm: Sequence[float], most: int | None, *, larger: bool
) -> tuple[int, ...] | None:
    """The patch itself, or the next larger or smaller one, that its own stages divide; None where there is none.

    Args:
        patch: edges in voxels.
        spacing_mm: of the voxels.
        most: stages at most, see `plan_stages`.
        larger: the next larger.
    """
    way = math.ceil if larger else math.floor
    now = tuple(patch)
    while all(now):
        stages = _stages(now, spacing_mm, most)
        rounded = tuple(way(edge / by) * by for edge, by in zip(now, stages.divisor, strict=True))
        if rounded == now:
            return now if len(stages) > 1 else None
        now = rounded
    return None


def halvings(patch: Sequence[float]) -> tuple[int, ...]:
    """How often the small network halves each axis: down to four voxels, or so often as it has levels.

    >>> halvings((40, 96)), halvings((8.0, 15.9, 300.0))
    ((3, 4), (1, 1, 3))
    """
    most = 4 if len(patch) == 2 else 3
    return tuple(min(most, max(0, int(math.log2(max(edge, 4) / 4)))) for edge in patch)


def multiples(patch: Sequence[int], divisor: Sequence[int]) -> list[tuple[int, ...]]:
    """The next smaller and the next larger patch that divide."""
    pairs = list(zip(patch, divisor, strict=True))
    return [tuple(max(1, way(edge / by)) * by for edge, by in pairs) for way in (math.floor, math.ceil)]


def undivided(
    patch: Sequence[int], divisor: Sequence[int], why: str, near: Iterable[Sequence[int]]
) -> UsageError:
    """The error of a patch that does not divide."""
    return UsageError(
        f"a patch of {by_size(patch)} is not divisible by {by_size(divisor)}, as {why}; the nearest that fit: "
        f"{' or '.join(dict.fromkeys(map(by_size, near)))}"
    )


def by_size(edges: Sequence[int]) -> str:
    """As in `96 x 96 x 96`."""
    return " x ".join(map(str, edges))


def _stages(patch: Sequence[int], spacing_mm: Sequence[float], most: int | None) -> Stages:
    edges, spacing = list(patch), list(spacing_mm)
    strides = [(1,) * len(edges)]
    while most is None or len(strides) < most:
        large = [axis for axis, edge in enumerate(edges) if edge >= _FROM or edge == _LAST]
        finest = min((spacing[axis] for axis in large), default=0.0)
        halved = [axis for axis in large if spacing[axis] < _COARSE * finest]
        if not halved or (len(halved) == 1 and edges[halved[0]] < _ALONE):
            break
        for axis in halved:
            edges[axis], spacing[axis] = math.ceil(edges[axis] / 2), 2 * spacing[axis]
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(edges))))
    return Stages(tuple(strides), _kernels(strides, spacing_mm))


def _kernels(strides: Sequence[Sequence[int]], spacing_mm: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """3 from the stage on in which an axis is no longer coarse beside the finest, 1 before; 3 at the bottom."""
    spacing, reached = list(spacing_mm), [False] * len(spacing_mm)
    kernels = []
    for _, halving in itertools.pairwise(strides):
        reached = [was or mm < _COARSE * min(spacing) for was, mm in zip(reached, spacing, strict=True)]
        kernels.append(tuple(3 if yes else 1 for yes in reached))
        spacing = [mm * stride for mm, stride in zip(spacing, halving, strict=True)]
    return (*kernels, (3,) * len(spacing_mm))
