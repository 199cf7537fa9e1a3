"""The channels of a prediction, on the model's grid, brought to a case's grid and compared: which one wins.

A few channels are taken one at a time, and a few slices at a time where the model's grid is the case's. Of many (a
hundred structures) all are taken slice by slice: linear interpolation is separable, so two slices of the model's grid
tell one of the case's, and what is made of it stays in the processor's cache. The two ways agree up to rounding; where
two channels are equal up to that, either may win.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.regions import Regions, indices, slabs

__all__ = ["MANY", "Kind", "Maps", "Sweep", "alpha_of", "channels", "part_of", "plane", "resample", "sweep"]

Kind = Literal["logit", "evidence", "probability", "label"]
MANY = 32
"""Channels from which on they are taken slice by slice."""
# A case of fewer voxels is swept in the time that working out a table takes.
_WORTH_A_TABLE = 2**20


class Maps(Protocol):
    """(channel, *grid) numbers: an array, or what makes those parts of one that are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many channels, and their grid."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a part comes in."""
        ...

    def __len__(self) -> int:
        """How many channels."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Channels, as an array is asked for them: a number, a list, a slice; after it a slice of the first axis."""
        ...


class Sweep(NamedTuple):
    """What one look at every channel tells of each voxel.

    Attributes:
        label: (*shape) the value of the largest channel.
        total: (*shape) the log of the softmax's denominator for logits, A for evidence; None for probabilities, and
            where `given` was asked for.
        given: (*shape) the probability of the label that the voxel was given; None where none was asked for.
    """

    label: NDArray[np.integer]
    total: NDArray[np.float32] | None
    given: NDArray[np.float32] | None


def resample(channel: NDArray, shape: Sequence[int]) -> NDArray[np.float32]:
    """One map over the same field of view, linearly."""
    if channel.shape == tuple(shape):
        return np.asarray(channel, dtype=np.float32)
    import torch

    mode = "trilinear" if len(shape) == 3 else "bilinear"
    tensor = torch.as_tensor(np.asarray(channel, dtype=np.float32))[None, None]
    resampled: NDArray[np.float32] = torch.nn.functional.interpolate(
        tensor, size=tuple(shape), mode=mode, align_corners=False
    )[0, 0].numpy()
    return resampled


def channels(maps: Maps, shape: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    """Each channel on a grid of some shape, one in memory at a time."""
    for number in range(len(maps)):
        yield resample(maps[number], shape)


def _along(array: NDArray, size: int, axis: int, at: int | None = None) -> NDArray[np.float32]:
    """Linear along one axis, to a length, over the same field of view; with `at` that one place of it alone.

    What `resample` does along this axis: output i lies at (i + 1/2) n / size - 1/2 of n, and not before 0.
    """
    n = array.shape[axis]
    places = np.arange(size) if at is None else np.array([at])
    if n == size:
        found = np.asarray(np.take(array, places, axis=axis), dtype=np.float32)
    else:
        source = np.maximum((places + np.float32(0.5)) * np.float32(n / size) - np.float32(0.5), 0)
        low = np.minimum(source.astype(np.int64), n - 1)
        part = (source - low).astype(np.float32)
        part = part.reshape([-1 if other == axis else 1 for other in range(array.ndim)])
        first = np.asarray(np.take(array, low, axis=axis), dtype=np.float32)
        found = first + part * (np.take(array, np.minimum(low + 1, n - 1), axis=axis) - first)
    return found if at is None else np.asarray(found.squeeze(axis))


def plane(channel: NDArray, shape: Sequence[int], axis: int, k: int) -> NDArray[np.float32]:
    """The k-th slice across an axis of what `resample` gives: two slices mixed, then each of their axes by itself."""
    flat = _along(channel, shape[axis], axis, k)
    for place, size in enumerate(size for other, size in enumerate(shape) if other != axis):
        flat = _along(flat, size, place)
    return flat


def alpha_of(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the Dirichlet distribution: one more than the evidence softplus(z)."""
    alpha: NDArray[np.float32] = np.logaddexp(logits, np.float32(0)) + np.float32(1)
    return alpha


def part_of(
    channel: NDArray[np.float32], total: NDArray[np.float32] | None, kind: Kind
) -> NDArray[np.float32]:
    """The probability that a channel stands for.

    Args:
        channel: on the case's grid.
        total: of `Sweep`; None: the channels are probabilities.
        kind: of the channels.
    """
    if total is None:
        return channel
    if kind == "evidence":
        of_total: NDArray[np.float32] = alpha_of(channel) / total
        return of_total
    found = channel - total
    return np.exp(found, out=found)


def sweep(
    maps: Maps, kind: Kind, shape: tuple[int, ...], values: Sequence[int], given: NDArray | None = None
) -> Sweep:
    """Look at every channel once.

    Args:
        maps: (channel, *grid), background and the label values.
        kind: no finished label map.
        shape: of the case, 2D or 3D.
        values: label values, in the order of the channels after background.
        given: (*shape) label values whose probability is asked for; an unknown one counts as background.
    """
    if len(maps) > MANY and kind != "evidence":
        return _by_slices(maps, kind, shape, values, given)
    if maps.shape[1:] == tuple(shape):
        return _in_slabs(maps, kind, shape, values, given)
    return _by_channels(channels(maps, shape), kind, shape, values, given)


def _in_slabs(
    maps: Maps, kind: Kind, shape: tuple[int, ...], values: Sequence[int], given: NDArray | None
) -> Sweep:
    """Of channels that lie on the case's grid already: a few slices of all of them at a time."""
    label = np.empty(shape, _least_type(values))
    total = None if kind == "probability" or given is not None else np.empty(shape, np.float32)
    own = None if given is None else np.empty(shape, np.float32)
    sweeping = _looked_up(maps, kind, shape, values) or partial(_by_channels, kind=kind, values=values)
    for part in slabs(shape):
        known = None if given is None else given[part]
        found = sweeping([maps[k, part] for k in range(len(maps))], shape=label[part].shape, given=known)
        for whole, one in zip((label, total, own), found, strict=True):
            if whole is not None:
                whole[part] = one
    return Sweep(label, total, own)


def _looked_up(
    maps: Maps, kind: Kind, shape: tuple[int, ...], values: Sequence[int]
) -> Callable[..., Sweep] | None:
    """A sweep of one class in half precision, against a background that is one number; None where it is none.

    So it is where the package's own network tells a class from 0. All that a voxel has follows from one of the
    numbers that 16 bits hold: each is worked out once and looked up.
    """
    if len(maps) != 2 or maps.dtype != np.float16 or math.prod(shape) < _WORTH_A_TABLE:
        return None
    background = maps[0, :1].flat[0]
    if not all(bool((maps[0, part] == background).all()) for part in slabs(shape)):
        return None
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    both = [np.full_like(every, background), every]
    with np.errstate(invalid="ignore", over="ignore"):  # infinite and no number are among them
        plain = _by_channels(both, kind, every.shape, values, None)
        outside, inside = (
            _by_channels(both, kind, every.shape, values, np.full(every.shape, value)).given
            for value in (0, values[0])
        )
    assert outside is not None
    assert inside is not None

    def sweeping(each: Sequence[NDArray], shape: tuple[int, ...], given: NDArray | None) -> Sweep:
        at = each[1].view(np.uint16)
        label = np.take(plain.label, at)
        if given is None:
            return Sweep(label, None if plain.total is None else np.take(plain.total, at), None)
        own = np.take(outside, at)
        marked = given == values[0]
        own[marked] = np.take(inside, at[marked])
        return Sweep(label, None, own)

    return sweeping


def _by_channels(
    each: Iterable[NDArray],
    kind: Kind,
    shape: tuple[int, ...],
    values: Sequence[int],
    given: NDArray | None,
) -> Sweep:
    label = np.zeros(shape, _least_type(values))
    best = np.full(shape, -np.inf, dtype=np.float32)
    start = {"logit": -np.inf, "evidence": 0.0}.get(kind)
    total = None if start is None else np.full(shape, start, dtype=np.float32)
    own = None if given is None else np.zeros(shape, dtype=np.float32)
    regions = None if given is None else Regions.of(given, values)
    for value, whole in zip((0, *values), each, strict=True):
        channel = np.asarray(whole, np.float32)
        for part in slabs(shape):
            here = channel[part]
            np.copyto(label[part], value, where=here > best[part])
            np.maximum(best[part], here, out=best[part])
            if total is not None and kind == "logit":
                np.logaddexp(total[part], here, out=total[part])
            elif total is not None:
                total[part] += alpha_of(here)
        if own is not None and regions is not None:
            # The background comes first, and what is not declared counts as such.
            window = regions.window((value,)) if value else (slice(None),) * len(shape)
            where = regions.mask((value,), window) if value else True
            np.copyto(own[window], channel[window], where=where)
    return Sweep(label, total, None) if own is None else Sweep(label, None, part_of(own, total, kind))


def _by_slices(
    maps: Maps, kind: Kind, shape: tuple[int, ...], values: Sequence[int], given: NDArray | None
) -> Sweep:
    import torch

    label = np.zeros(shape, _least_type(values))
    total = np.empty(shape, np.float32) if kind == "logit" and given is None else None
    own = None if given is None else np.empty(shape, np.float32)
    names = np.array([0, *values], label.dtype)
    volume = len(shape) == 3
    for k in range(shape[0] if volume else 1):
        here = k if volume else ...
        if volume and maps.shape[1] == shape[0]:
            mixed = np.asarray(maps[:, k : k + 1], np.float32)[:, 0]
        else:
            mixed = _along(maps[:], shape[0], 1, k) if volume else np.asarray(maps[:], np.float32)
        stack = torch.nn.functional.interpolate(
            torch.from_numpy(mixed)[None], size=shape[-2:], mode="bilinear", align_corners=False
        )[0].numpy()
        best, place = stack[0].copy(), np.zeros(shape[-2:], np.intp)
        for number, channel in enumerate(stack[1:], start=1):
            np.copyto(place, number, where=channel > best)
            np.maximum(best, channel, out=best)
        label[here] = names[place]
        asked = None if given is None else indices(given[here], values)[None]
        one = None if asked is None else np.take_along_axis(stack, asked, axis=0)[0]
        sums = None
        if kind == "logit":
            stack -= best
            sums = np.log(np.exp(stack, out=stack).sum(axis=0)) + best
        if own is not None and one is not None:
            own[here] = part_of(one, sums, kind)
        elif total is not None:
            total[here] = sums
    return Sweep(label, total, own)


def _least_type(values: Sequence[int]) -> type[np.signedinteger]:
    return np.int16 if max(map(abs, values), default=0) <= np.iinfo(np.int16).max else np.int32
