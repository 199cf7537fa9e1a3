"""What a network says of one case, whatever network it was, brought to the case's own grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aleaseg.training.channels import Kind as Kind
from aleaseg.training.channels import Maps, alpha_of, channels, part_of, plane, sweep
from aleaseg.training.channels import resample as resample

__all__ = ["Kind", "Prediction", "resample"]


def _surprise(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """-p ln p, and 0 where p is."""
    p = np.clip(p, 1e-12, 1)
    found: NDArray[np.float32] = -p * np.log(p)
    return found


@dataclass(frozen=True)
class Prediction:
    """What a model that never saw the case says, brought to the case's grid one channel at a time.

    Attributes:
        maps: (channel, *grid) on the model's grid; a label map (1, *grid) for kind `label`.
        kind: raw logits before a softmax; raw logits z of an evidential network, whose Dirichlet distribution has
            alpha = softplus(z) + 1 and A = sum alpha; probabilities; or a finished label map.
        shape: of the case.
        classes: name -> label values, in the data set's order.
        regions: the channels are the classes themselves, each a sigmoid (overlapping
            regions); else they are background and the label values, a softmax.
        inside: what the model said beside its logits, where it was asked for (see `aleaseg.predictions.inside`).
        model: which of several models it was; features of two models cannot be compared.
        stated: (*shape) in [0, 1], the uncertainty that the model stated of each voxel, where a file holds it.
    """

    maps: Maps
    kind: Kind
    shape: tuple[int, ...]
    classes: Mapping[str, tuple[int, ...]]
    regions: bool = False
    inside: Mapping[str, NDArray] = field(default_factory=dict)
    model: str = ""
    stated: NDArray | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ValueError: evidence of overlapping regions.
        """
        if self.regions and self.kind == "evidence":
            raise ValueError("an evidential network tells classes apart, and gives no overlapping regions")

    @property
    def values(self) -> tuple[int, ...]:
        """Foreground label values, in the order of the channels after background."""
        return tuple(sorted({value for values in self.classes.values() for value in values}))

    @property
    def largest(self) -> int:
        """The largest value that a label map can hold."""
        return max(self.values)

    def _channels(self) -> Iterator[NDArray[np.float32]]:
        return channels(self.maps, self.shape)

    @property
    def _label(self) -> NDArray:
        """The finished label map, (*case shape), in the type that it came in."""
        if self.maps.shape[1:] != self.shape:
            raise ValueError(f"a label map of shape {self.maps.shape[1:]} for a case of shape {self.shape}")
        label: NDArray = self.maps[0]
        return label

    @cached_property
    def _winner(self) -> tuple[NDArray[np.integer], NDArray[np.float32] | None]:
        """The label map, and what a channel's part is told by; see `Sweep`."""
        if self.kind == "label":
            label = self._label
            kept = label.dtype.kind in "iu" and label.dtype.itemsize <= 4
            return label if kept else label.astype(np.int32), None
        return sweep(self.maps, self.kind, self.shape, self.values)[:2]

    @cached_property
    def _hard(self) -> NDArray[np.integer]:
        """The label map alone: which logit is the largest is seen without the logarithm of their sum."""
        if "_winner" in vars(self) or self.kind != "logit":
            return self._winner[0]
        return sweep(self.maps, "probability", self.shape, self.values).label

    def _part(self, channel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability that a channel stands for; not with regions."""
        return part_of(channel, self._winner[1], self.kind)

    @cached_property
    def _region_masks(self) -> dict[str, NDArray[np.bool_]]:
        threshold = 0.0 if self.kind == "logit" else 0.5
        return {
            name: channel > threshold for name, channel in zip(self.classes, self._channels(), strict=True)
        }

    def labels(self) -> NDArray[np.integer]:
        """The hard prediction in label values, (*case shape), in a type that holds them; not to be changed."""
        if not self.regions:
            return self._hard
        label = np.zeros(self.shape, dtype=np.int32)
        for name, value in self._painted():
            label[self._region_masks[name]] = value
        return label

    def _painted(self) -> Iterator[tuple[str, int]]:
        """Regions and the label value each is painted with, in order: larger ones first, smaller ones on top."""
        for name in sorted(self.classes, key=lambda name: -len(self.classes[name])):
            smaller = [
                value
                for other, values in self.classes.items()
                if set(values) < set(self.classes[name])
                for value in values
            ]
            # The value that only the smaller one has.
            own = [value for value in self.classes[name] if value not in smaller]
            yield name, (own or list(self.classes[name]))[0]

    def slice(self, axis: int, k: int) -> NDArray[np.int32]:
        """One slice of `labels()`, without the rest: (rows, columns) across an axis of a volume.

        Linear interpolation is separable, so two slices of the model's grid tell it. Where two channels are
        equal up to rounding, the label may be the other one.

        Args:
            axis: 0, 1 or 2.
            k: the place along it.

        Raises:
            ValueError: the case is no volume.
        """
        if len(self.shape) != 3:
            raise ValueError(f"a case of shape {self.shape} has no slices; expected (D, H, W)")
        if self.kind == "label":
            return np.take(self._label, k, axis=axis).astype(np.int32)
        channels = (plane(self.maps[c], self.shape, axis, k) for c in range(len(self.maps)))
        flat = [size for other, size in enumerate(self.shape) if other != axis]
        label = np.zeros(flat, dtype=np.int32)
        if self.regions:
            threshold = 0.0 if self.kind == "logit" else 0.5
            within = {name: one > threshold for name, one in zip(self.classes, channels, strict=True)}
            for name, value in self._painted():
                label[within[name]] = value
            return label
        best = np.full(flat, -np.inf, dtype=np.float32)
        for value, channel in zip((0, *self.values), channels, strict=True):
            wins = channel > best
            label[wins] = value
            np.maximum(best, channel, out=best)
        return label

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The hard prediction of one class, (*case shape)."""
        if self.regions:
            return self._region_masks[name]
        return np.isin(self._hard, self.classes[name])

    def given(self, label: NDArray) -> NDArray[np.float32] | None:
        """The probability of the label that each voxel was given; None where only hard labels are known.

        With regions: the least over the regions of the probability of being in, or out, as the label says.

        Args:
            label: (*case shape), label values.
        """
        if self.kind == "label":
            return None
        if self.regions:
            given = np.ones(self.shape, dtype=np.float32)
            for values, channel in zip(self.classes.values(), self._channels(), strict=True):
                p = 1 / (1 + np.exp(-channel)) if self.kind == "logit" else channel
                np.minimum(given, np.where(np.isin(label, values), p, 1 - p), out=given)
            return given
        # A value that is not declared counts as background here; the check has named it.
        found = sweep(self.maps, self.kind, self.shape, self.values, label)
        vars(self)["_hard"] = found.label  # found on the way
        own = found.given
        assert own is not None
        return np.clip(own, 0, 1, out=own)

    def probability(self, name: str) -> NDArray[np.float32] | None:
        """The probability of one class, (*case shape) in [0, 1]; None where only hard labels are known."""
        if self.kind == "label":
            return None
        if self.regions:
            channel = resample(self.maps[list(self.classes).index(name)], self.shape)
            p = 1 / (1 + np.exp(-channel)) if self.kind == "logit" else channel
            return np.clip(p, 0, 1)
        found = np.zeros(self.shape, dtype=np.float32)
        for value in self.classes[name]:
            found += self._part(resample(self.maps[1 + self.values.index(value)], self.shape))
        return np.clip(found, 0, 1)

    def own_probabilities(self) -> NDArray[np.float32]:
        """Of every channel on the model's own grid, (channel, *grid); not with regions, nor of hard labels."""
        if self.regions or self.kind == "label":
            raise ValueError("only channels of background and label values add up to probabilities")
        maps = np.asarray(self.maps[:], dtype=np.float32)
        if self.kind == "probability":
            return maps
        if self.kind == "evidence":
            alpha = alpha_of(maps)
            return np.asarray(alpha / alpha.sum(axis=0), dtype=np.float32)
        from scipy.special import softmax

        return np.asarray(softmax(maps, axis=0), dtype=np.float32)

    def uncertainty(self) -> NDArray[np.float32] | None:
        """How unsure the model is of each voxel, (*case shape) in [0, 1], 1 = it has no idea.

        What the model stated, where a file says it; of evidence u = K / A, the Dirichlet distribution's vacuity
        (Sensoy et al. 2018); else the entropy of the probabilities over ln K, and with regions that of the most
        doubtful one over ln 2. None where only hard labels are known.
        """
        if self.stated is not None:
            return np.asarray(self.stated, dtype=np.float32)
        if self.kind == "label":
            return None
        if self.kind == "evidence":
            total = self._winner[1]
            assert total is not None
            return np.asarray(len(self.maps) / total, dtype=np.float32)
        found = np.zeros(self.shape, dtype=np.float32)
        if self.regions:
            for name in self.classes:
                p = self.probability(name)
                assert p is not None
                np.maximum(found, _surprise(p) + _surprise(1 - p), out=found)
            return np.clip(found / np.log(2, dtype=np.float32), 0, 1)
        for channel in self._channels():
            found += _surprise(self._part(channel))
        return np.clip(found / np.log(len(self.maps), dtype=np.float32), 0, 1)

    def class_map(self, name: str) -> NDArray[np.float32]:
        """The decoded map of one class on the model's own grid.

        A class of one label value: its raw logit (or probability). A region made of
        several softmax channels: its log-odds, ln sum_in exp z - ln sum_out exp z, of
        evidence ln sum_in alpha - ln sum_out alpha (or the sum of the probabilities).
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
        if self.kind == "evidence":
            alpha = alpha_of(channels(range(len(self.maps))))
            within = alpha[wanted].sum(axis=0)
            log_odds: NDArray[np.float32] = np.log(within / (alpha.sum(axis=0) - within))
            return log_odds
        rest = [channel for channel in range(len(self.maps)) if channel not in wanted]
        inside: NDArray[np.float32] = np.logaddexp.reduce(channels(wanted), axis=0)
        return inside - np.logaddexp.reduce(channels(rest), axis=0)
