"""Learning dynamics: what a training says of a case that it learns from, look after look.

A look is the network's raw logits f(v) of the case at some moment of the training;
y(v) is the label that voxel v was given, p = softmax(f). Over E looks, per voxel:

    aum          = 1/E sum_e (f_y - max_{k != y} f_k)                        low  = mislabelled
    forgetting   = #{e : right at e, wrong at e + 1}; E if never right       high = bad
    confidence   = 1/E sum_e p_y                                             low  = bad
    variability  = sqrt(1/E sum_e (p_y - confidence)^2)                      high = ambiguous
    el2n         = || p - onehot(y) ||_2 at one early look                   high = bad

and of the case the mean over the voxels near its mask. Unlike measures of label
agreement these are of a network that trains on the case itself: what it learns
late, or against its will, is suspect.

Sources: AUM: Pleiss et al., "Identifying mislabeled data using the area under the
margin ranking" (2020). Forgetting: Toneva et al., "An empirical study of example
forgetting during deep neural network learning" (2019); an example that is never
learned counts as often forgotten as it was looked at, as in the authors' code.
Cartography: Swayamdipta et al., "Dataset cartography" (2020). EL2N: Paul, Ganguli
and Dziugaite, "Deep learning on a data diet" (2021). They speak of whole images;
the mean over voxels is this package's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.label_loss import Evidence, annotated

__all__ = ["Dynamics"]


@dataclass
class Dynamics:
    """What has been seen of one case: about 24 bytes for each voxel that counts, none for the others.

    Start with `start`, `update` at each look in the order of the training, read `summary` at any time.

    Attributes:
        shape: of the grid.
        index: (n,) flat indices of the voxels that count.
        label: (n,) the class index that each was given.
        margin: (n,) mean margin so far.
        confidence: (n,) mean p_y so far.
        deviation: (n,) sum of squared deviations of p_y from its mean so far.
        forgotten: (n,) transitions from right to wrong.
        right: (n,) right at the last look.
        learned: (n,) right at any look.
        looks: how many there were.
        el2n: of the first early look; NaN before.
    """

    shape: tuple[int, ...]
    index: NDArray[np.unsignedinteger]
    label: NDArray[np.integer]
    margin: NDArray[np.float32]
    confidence: NDArray[np.float32]
    deviation: NDArray[np.float32]
    forgotten: NDArray[np.uint16]
    right: NDArray[np.bool_]
    learned: NDArray[np.bool_]
    looks: int = 0
    el2n: float = float("nan")

    @classmethod
    def start(cls, label: NDArray, where: NDArray[np.bool_] | None = None) -> Dynamics:
        """Before the first look.

        Args:
            label: (*grid) class indices; 255 = not annotated, does not count.
            where: (*grid), the voxels to watch (those near the mask); None: all.

        Raises:
            ValueError: the shapes differ.
        """
        index = annotated(label, where)
        zeros = np.zeros(index.size, dtype=np.float32)
        never = np.zeros(index.size, dtype=bool)
        return cls(
            shape=label.shape,
            index=index.astype(np.min_scalar_type(label.size)),
            label=np.take(label, index),
            margin=zeros,
            confidence=zeros,
            deviation=zeros,
            forgotten=np.zeros(index.size, dtype=np.uint16),
            right=never,
            learned=never,
        )

    def update(self, logits: Iterable[NDArray], early: bool = False) -> None:
        """One more look.

        Arrays are replaced, never written to, so what `to_arrays` gave before stays as it was.

        Args:
            logits: (channel, *grid) raw, channel 0 = background; or its channels, one after another.
            early: take EL2N here. The first early look counts, so `early=progress >= 0.2` will do.

        Raises:
            ValueError: shapes differ, a logit is NaN or infinite, or a label has no channel.
        """
        evidence = Evidence.of(logits, self.shape, self.index, self.label)
        right = evidence.margin > 0
        self.forgotten = self.forgotten + (self.right & ~right)
        self.right, self.learned = right, self.learned | right
        self.looks += 1
        share = np.float32(1 / self.looks)
        self.margin = self.margin + share * (evidence.margin - self.margin)
        # Welford (1962): mean and squared deviations in one pass, without cancellation.
        before = evidence.probability - self.confidence
        self.confidence = self.confidence + share * before
        self.deviation = self.deviation + before * (evidence.probability - self.confidence)
        if early and np.isnan(self.el2n):
            self.el2n = _mean(evidence.error)

    def summary(self) -> dict[str, float]:
        """Means over the voxels; NaN without voxels or looks, `el2n` also without an early look.

        Returns:
            `aum`: any real, in units of the logits, low = bad. `forgetting`: in [0, E], high = bad; at
            most E/2 for a voxel that was ever right. `cartography_confidence`: in [0, 1], low = bad.
            `cartography_variability`: in [0, 0.5], high = bad. `el2n`: in [0, sqrt 2], high = bad.

        >>> dynamics = Dynamics.start(np.array([0, 1]))
        >>> for step in range(1, 4):
        ...     dynamics.update(np.array([[2.0, -2.0], [-2.0, 2.0]]) * step, early=step >= 2)
        >>> {name: round(value, 3) for name, value in dynamics.summary().items()}  # doctest: +NORMALIZE_WHITESPACE
        {'aum': 8.0, 'forgetting': 0.0, 'cartography_confidence': 0.994,
         'cartography_variability': 0.008, 'el2n': 0.0}
        """
        if not self.looks:
            return dict.fromkeys(
                ("aum", "forgetting", "cartography_confidence", "cartography_variability", "el2n"),
                float("nan"),
            )
        return {
            "aum": _mean(self.margin),
            "forgetting": _mean(np.where(self.learned, self.forgotten, self.looks)),
            "cartography_confidence": _mean(self.confidence),
            "cartography_variability": _mean(np.sqrt(np.maximum(self.deviation, 0) / self.looks)),
            "el2n": self.el2n,
        }

    def to_arrays(self) -> dict[str, NDArray]:
        """For `numpy.savez`: every attribute as an array of that name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> Dynamics:
        """What `to_arrays` gave.

        Raises:
            ValueError: an array is missing.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(
                f"the learning dynamics lack {', '.join(missing)}; expected {', '.join(names)}"
            )
        found = {name: arrays[name] for name in names}
        shape = tuple(int(size) for size in found.pop("shape"))
        looks, el2n = int(found.pop("looks")), float(found.pop("el2n"))
        return cls(shape=shape, looks=looks, el2n=el2n, **found)


def _mean(values: NDArray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")
