"""What a network says of one case, whatever network it was, brought to the case's own grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kind", "Prediction"]

Kind = Literal["logit", "probability", "label"]


def _resample(channel: NDArray, shape: Sequence[int]) -> NDArray[np.float32]:
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


@dataclass(frozen=True)
class Prediction:
    """What a model that never saw the case says, brought to the case's grid one channel at a time.

    Attributes:
        maps: (channel, *grid) on the model's grid; a label map (1, *grid) for kind `label`.
        kind: raw logits before a softmax, probabilities, or a finished label map.
        shape: of the case.
        classes: name -> label values, in the data set's order.
        regions: the channels are the classes themselves, each a sigmoid (overlapping
            regions); else they are background and the label values, a softmax.
        inside: what the model said beside its logits, where it was asked for (see `aleaseg.predictions.inside`).
        model: which of several models it was; features of two models cannot be compared.
    """

    maps: NDArray
    kind: Kind
    shape: tuple[int, ...]
    classes: Mapping[str, tuple[int, ...]]
    regions: bool = False
    inside: Mapping[str, NDArray] = field(default_factory=dict)
    model: str = ""

    @property
    def values(self) -> tuple[int, ...]:
        """Foreground label values, in the order of the channels after background."""
        return tuple(sorted({value for values in self.classes.values() for value in values}))

    def _channels(self) -> Iterator[NDArray[np.float32]]:
        for channel in self.maps:
            yield _resample(channel, self.shape)

    @cached_property
    def _winner(self) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """The label map, and for logits the log of the softmax's denominator: one channel in memory at a time."""
        if self.kind == "label":
            if self.maps.shape[1:] != self.shape:
                raise ValueError(
                    f"a label map of shape {self.maps.shape[1:]} for a case of shape {self.shape}"
                )
            return self.maps[0].astype(np.int32), None
        values = np.array([0, *self.values], dtype=np.int32)
        best = np.full(self.shape, -np.inf, dtype=np.float32)
        total = np.full(self.shape, -np.inf, dtype=np.float32)
        label = np.zeros(self.shape, dtype=np.int32)
        for value, channel in zip(values, self._channels(), strict=True):
            wins = channel > best
            label[wins] = value
            np.maximum(best, channel, out=best)
            if self.kind == "logit":
                np.logaddexp(total, channel, out=total)
        return label, total if self.kind == "logit" else None

    @cached_property
    def _region_masks(self) -> dict[str, NDArray[np.bool_]]:
        threshold = 0.0 if self.kind == "logit" else 0.5
        return {
            name: channel > threshold for name, channel in zip(self.classes, self._channels(), strict=True)
        }

    def labels(self) -> NDArray[np.int32]:
        """The hard prediction in label values, (*case shape)."""
        if not self.regions:
            return self._winner[0]
        label = np.zeros(self.shape, dtype=np.int32)
        # Larger regions first, smaller ones on top: the value that only the smaller one has.
        for name in sorted(self.classes, key=lambda name: -len(self.classes[name])):
            smaller = [
                value
                for other, values in self.classes.items()
                if set(values) < set(self.classes[name])
                for value in values
            ]
            own = [value for value in self.classes[name] if value not in smaller]
            label[self._region_masks[name]] = (own or list(self.classes[name]))[0]
        return label

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The hard prediction of one class, (*case shape)."""
        if self.regions:
            return self._region_masks[name]
        return np.isin(self._winner[0], self.classes[name])

    def given(self, label: NDArray) -> NDArray[np.float32] | None:
        """The probability of the label that each voxel was given; None where only hard labels are known.

        With regions: the least over the regions of the probability of being in, or out, as the label says.

        Args:
            label: (*case shape), label values.
        """
        if self.kind == "label":
            return None
        given = np.zeros(self.shape, dtype=np.float32)
        if self.regions:
            given[:] = 1.0
            for values, channel in zip(self.classes.values(), self._channels(), strict=True):
                p = 1 / (1 + np.exp(-channel)) if self.kind == "logit" else channel
                np.minimum(given, np.where(np.isin(label, values), p, 1 - p), out=given)
            return given
        total = self._winner[1]
        known = (0, *self.values)
        for value, channel in zip(known, self._channels(), strict=True):
            # A value that is not declared counts as background here; the check has named it.
            where = label == value if value else ~np.isin(label, self.values)
            given[where] = np.exp((channel - total)[where]) if total is not None else channel[where]
        return np.clip(given, 0, 1)

    def probability(self, name: str) -> NDArray[np.float32] | None:
        """The probability of one class, (*case shape) in [0, 1]; None where only hard labels are known."""
        if self.kind == "label":
            return None
        if self.regions:
            channel = _resample(self.maps[list(self.classes).index(name)], self.shape)
            p = 1 / (1 + np.exp(-channel)) if self.kind == "logit" else channel
            return np.clip(p, 0, 1)
        total = self._winner[1]
        found = np.zeros(self.shape, dtype=np.float32)
        for value in self.classes[name]:
            channel = _resample(self.maps[1 + self.values.index(value)], self.shape)
            found += np.exp(channel - total) if total is not None else channel
        return np.clip(found, 0, 1)

    def class_map(self, name: str) -> NDArray[np.float32]:
        """The decoded map of one class on the model's own grid.

        A class of one label value: its raw logit (or probability). A region made of
        several softmax channels: its log-odds, ln sum_in exp z - ln sum_out exp z
        (or the sum of the probabilities).
        """
        if self.kind == "label":
            raise ValueError("a hard label map has no class maps")

        def channels(wanted: Sequence[int]) -> NDArray[np.float32]:
            # Picked before they are converted: the whole stack may be a hundred channels of half precision.
            return np.asarray(self.maps[list(wanted)], dtype=np.float32)

        if self.regions:
            return channels([list(self.classes).index(name)])[0]
        wanted = [1 + self.values.index(value) for value in self.classes[name]]
        if len(wanted) == 1:
            return channels(wanted)[0]
        if self.kind == "probability":
            return channels(wanted).sum(axis=0)
        rest = [channel for channel in range(len(self.maps)) if channel not in wanted]
        inside: NDArray[np.float32] = np.logaddexp.reduce(channels(wanted), axis=0)
        return inside - np.logaddexp.reduce(channels(rest), axis=0)
