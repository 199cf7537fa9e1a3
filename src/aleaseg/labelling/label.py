"""The label map of one case, of its confidences: thresholds, levels, and the voxels that do not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import UsageError
from aleaseg.levels import ConfidenceMap, LevelMap, as_label
from aleaseg.training.targets import Strategy, targets

__all__ = ["STOCK", "Labeller", "Made"]

STOCK = ("threshold", "ignore", "multi")
"""The ways that make a label map which stock nnU-Net learns; the others need the confidences, and a trainer of ours."""


class Made(NamedTuple):
    """The label of a case.

    Attributes:
        label: (*spatial).
        marked: voxels with a class.
        lost: voxels at which two classes collide and the surer one was kept.
        unseen: voxels that do not count.
        rounded: voxels whose confidence lies between two steps.
    """

    label: NDArray[np.int16]
    marked: int
    lost: int
    unseen: int
    rounded: int = 0


@dataclass(frozen=True)
class Labeller:
    """How confidences become a label map that nnU-Net reads.

    Attributes:
        strategy: `threshold`, `ignore` and `multi` make what stock nnU-Net learns; of the others the map has the
            confidences themselves, in steps.
        classes: name -> label values of the data set.
        order: values in the order of classes that share some, as nnU-Net writes them; empty where none do.
        steps: of the confidences, where the map has them.
    """

    strategy: Strategy
    classes: Mapping[str, tuple[int, ...]]
    order: tuple[int, ...] = ()
    steps: int = 10

    @classmethod
    def of(
        cls,
        strategy: Strategy,
        classes: Mapping[str, tuple[int, ...]],
        about: Mapping[str, Any],
        steps: int = 10,
    ) -> Labeller:
        """For the classes of a data set.

        Args:
            strategy: the way.
            classes: name -> label values.
            about: its dataset.json, which may say the order of regions; empty where there is none.
            steps: of the confidences: as many as raters drew masks, or ten.

        Raises:
            UsageError: regions share values, and the way or the lack of an order does not allow that.
        """
        shared = [value for values in classes.values() for value in values]
        if len(set(shared)) == len(shared):
            # Classes that exclude one another get the values 1, 2, 3, ...
            return cls(strategy, {name: (place,) for place, name in enumerate(classes, start=1)}, (), steps)
        if strategy.kind not in ("threshold", "ignore"):
            raise UsageError(
                f"{strategy.kind} writes the levels of classes that exclude one another, and these share label values "
                f"({', '.join(classes)}); choose with --classes, or take threshold or ignore"
            )
        order = about.get("regions_class_order")
        if not isinstance(order, list) or len(order) != len(classes):
            raise UsageError(
                "classes that share label values need regions_class_order in dataset.json, a value for each of "
                f"{', '.join(classes)}; add it"
            )
        return cls(strategy, classes, tuple(map(int, order)))

    @property
    def level_map(self) -> LevelMap | ConfidenceMap | None:
        """The levels that are written; None where regions share values."""
        if self.order:
            return None
        if self.strategy.kind not in STOCK:
            return ConfidenceMap(tuple(self.classes), self.steps)
        thresholds = self.strategy.thresholds
        return LevelMap(
            tuple(self.classes), thresholds if self.strategy.kind == "multi" else thresholds[-1:]
        )

    @property
    def ignore(self) -> int:
        """The value of voxels that do not count: one more than the largest, as nnU-Net wants it."""
        level_map = self.level_map
        values = level_map.values if level_map else [v for values in self.classes.values() for v in values]
        return max(values) + 1

    def declared(self, with_ignore: bool) -> dict[str, Any]:
        """`labels` and `regions_class_order` of dataset.json.

        A region of one value is that number, and not a list: nnU-Net learns regions where any list has two.
        """
        level_map = self.level_map
        regions = level_map.regions if level_map else self.classes
        labels: dict[str, Any] = {"background": 0}
        labels |= {
            name: values[0] if len(values) == 1 else list(values) for name, values in regions.items()
        }
        if with_ignore:
            labels["ignore"] = self.ignore
        if all(len(values) == 1 for values in regions.values()):
            return {"labels": labels}
        # Later ones are written over earlier ones: of a class the highest level that is reached.
        order = self.order or [values[0] for values in regions.values()]
        return {"labels": labels, "regions_class_order": list(order)}

    def make(self, q: NDArray[np.float32]) -> Made:
        """The label map of confidences (C, *spatial)."""
        level_map = self.level_map
        if level_map is None:
            label, lost = as_label(q, self._values, self.strategy.thresholds[-1])
        else:
            label, lost = level_map.encode(q)
        marked = int(np.count_nonzero(label))
        rounded = 0
        if isinstance(level_map, ConfidenceMap):
            steps = q * level_map.steps
            rounded = int((np.abs(steps - np.rint(steps)) > 1e-3).any(axis=0).sum())
        # What `sample` draws is of no weight.
        weight = targets(q, self.strategy, np.random.default_rng(0))[1]
        unseen = 0
        if weight is not None:
            blind = (label == 0) & (weight == 0).any(axis=0)
            label[blind] = self.ignore
            unseen = int(blind.sum())
        return Made(label, marked, lost, unseen, rounded)

    @property
    def _values(self) -> Sequence[tuple[int, ...]]:
        return tuple(self.classes.values())
