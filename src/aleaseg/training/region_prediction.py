"""What a network of regions, that learnt confidences, says of one case: on the case's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aleaseg.levels import LevelMap, as_label, at_least, running_minimum
from aleaseg.training.prediction import Kind, Prediction, resample
from aleaseg.training.targets import Strategy

__all__ = ["RegionPrediction", "level_map_of"]


def level_map_of(strategy: Strategy, classes: Mapping[str, tuple[int, ...]]) -> LevelMap | None:
    """What the values of a mask mean where levels were learnt; None where classes were."""
    return LevelMap(tuple(classes), strategy.thresholds) if strategy.kind == "multi" else None


@dataclass(frozen=True)
class RegionPrediction:
    """Probabilities of regions, which may overlap.

    Attributes:
        p: (channel, *case shape) in [0, 1]; the levels of each class side by side.
        classes: name -> label values, in the data set's order.
        strategy: how confidences were learnt.
    """

    p: NDArray[np.float32]
    classes: Mapping[str, tuple[int, ...]]
    strategy: Strategy

    @classmethod
    def of(
        cls,
        maps: NDArray[np.float32],
        kind: Kind,
        shape: tuple[int, ...],
        classes: Mapping[str, tuple[int, ...]],
        strategy: Strategy,
    ) -> RegionPrediction:
        """Brought to the case's grid.

        Args:
            maps: (channel, *working), of `Asking`.
            kind: `logit` or `probability`.
            shape: of the case.
            classes: name -> label values.
            strategy: how confidences were learnt.
        """
        from scipy.special import expit

        own = np.stack([resample(channel, shape) for channel in maps])
        p = expit(own) if kind == "logit" else own.clip(0, 1)
        return cls(np.asarray(p, dtype=np.float32), classes, strategy)

    @property
    def largest(self) -> int:
        """The largest value that `labels` can hold."""
        level_map = level_map_of(self.strategy, self.classes)
        return max(self.soft.values if level_map is None else level_map.values)

    @cached_property
    def _falling(self) -> NDArray[np.float32]:
        """(C, levels, *shape); no level above the one below it."""
        levels = self.p.reshape(len(self.classes), -1, *self.p.shape[1:])
        return np.stack([running_minimum(of_class) for of_class in levels])

    @cached_property
    def soft(self) -> Prediction:
        """The probability of each class; of levels q^, their mean."""
        q = self._falling.mean(axis=1, dtype=np.float32)
        return Prediction(q, "probability", self.p.shape[1:], self.classes, regions=True)

    def labels(self) -> NDArray[np.int16]:
        """One value for each voxel, that of the surest class where several are there: classes with p >= .5, or of
        the levels of a class the highest with p >= .5, as `LevelMap` numbers them.
        """
        q = np.asarray(self.soft.maps[:], dtype=np.float32)
        level_map = level_map_of(self.strategy, self.classes)
        if level_map is None:
            return as_label(q, list(self.classes.values()))[0]
        reached = at_least(self._falling, 0.5).sum(axis=1)
        surest = np.where(reached > 0, q, -1).argmax(axis=0)[None]
        level = np.take_along_axis(reached, surest, axis=0)[0]
        value = surest[0] * len(level_map.thresholds) + level
        return np.where(level > 0, value, 0).astype(np.int16)
