"""The label map of one case, of its confidences: thresholds, levels, and the voxels that do not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import UsageError
from aleaseg.levels import LevelMap, as_label
from aleaseg.training.targets import Strategy, targets

__all__ = ["Labeller", "Made"]


class Made(NamedTuple):
    """The label of a case.

    Attributes:
        label: (*spatial).
        marked: voxels with a class.
        lost: voxels at which two classes collide and the surer one was kept.
        unseen: voxels that do not count.
    """

    label: NDArray[np.int16]
    marked: int
    lost: int
    unseen: int


@dataclass(frozen=True)
class Labeller:
    """How confidences become a label map that stock nnU-Net reads.

    Attributes:
        strategy: `threshold`, `ignore` or `multi`.
        classes: name -> label values of the data set.
        order: values in the order of classes that share some, as nnU-Net writes them; empty where none do.
    """

    strategy: Strategy
    classes: Mapping[str, tuple[int, ...]]
    order: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, strategy: Strategy, classes: Mapping[str, tuple[int, ...]], about: Mapping[str, Any]
    ) -> Labeller:
        """For the classes of a data set.

        Args:
            strategy: the way.
            classes: name -> label values.
            about: its dataset.json, which may say the order of regions; empty where there is none.

        Raises:
            UsageError: regions share values, and the way or the lack of an order does not allow that.
        """
        shared = [value for values in classes.values() for value in values]
        if len(set(shared)) == len(shared):
            # Classes that exclude one another get the values 1, 2, 3, ...
            return cls(strategy, {name: (place,) for place, name in enumerate(classes, start=1)})
        if strategy.kind == "multi":
            raise UsageError(
                "multi writes the levels of classes that exclude one another, and these share label values "
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
    def level_map(self) -> LevelMap | None:
        """The levels that are written; None where regions share values."""
        if self.order:
            return None
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
        # `threshold`, `ignore` and `multi` draw nothing by lot.
        weight = targets(q, self.strategy, np.random.default_rng(0))[1]
        unseen = 0
        if weight is not None:
            blind = (label == 0) & (weight == 0).any(axis=0)
            label[blind] = self.ignore
            unseen = int(blind.sum())
        return Made(label, marked, lost, unseen)

    @property
    def _values(self) -> Sequence[tuple[int, ...]]:
        return tuple(self.classes.values())
