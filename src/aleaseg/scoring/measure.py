"""What a measure is: a column of its own, and how the numbers of many cases become one number per case.

A measure of one case is a number in its record. What needs the population is fitted to one
and frozen, so that a new case can be compared with it and changes nothing.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.auv import AuvReference, aggregate
from aleaseg.measures.column import Column, Direction, Limits
from aleaseg.measures.log_minmax import EqualValuesWarning, log_minmax, log_range
from aleaseg.scoring.numbers import Numbers

__all__ = [
    "FROM_0",
    "PAPER",
    "UNIT",
    "Eye",
    "Family",
    "Measure",
    "Recorded",
    "Sight",
    "Spread",
    "quietly",
    "recorded",
]

Sight = Literal["image", "mask", "both"]
Family = Literal["AUV", "label quality", "uncertainty"]

PAPER = "arXiv 2604.10963"
UNIT: Limits = (0, 1)
FROM_0: Limits = (0, None)
# Documentation pages that are not called as the module is.
_PAGES = {
    "auv": "scale_and_auv",
    "robust": "scale_and_auv",
    "image_doubt": "doubt",
    "label_doubt": "doubt",
}


class Eye(StrEnum):
    """What a measure looks through; the most that it needs."""

    IMAGE = "the image"
    NETWORK = "task network, out of fold"
    MASKED = "task network, out of fold, on the image normalised by its own mask"
    OWN = "the package's prompted network, boxes of the mask"
    TRAINING = "task network that trains on the case"


@dataclass(frozen=True, kw_only=True)
class Measure(Column, ABC):
    """One way to say how doubtful a case is. Its name has a slash before the variant.

    Attributes:
        function: where the formula is.
        sees: what of the case it can see; a mask fault is chance for one that sees the image alone.
        eye: what it looks through.
        source: where it comes from.
        family: which other measures it belongs to.
        ours: not published elsewhere.
    """

    function: Callable[..., Any]
    sees: Sight
    eye: Eye
    source: str
    family: Family = "uncertainty"
    ours: bool = False

    @property
    def formula(self) -> str:
        """The function by its full name."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def sight(self) -> str:
        """What it sees, in words."""
        return "image + mask" if self.sees == "both" else self.sees

    @property
    def page(self) -> str:
        """Of the documentation, under docs/measures, without its ending."""
        module = self.function.__module__.rpartition(".")[2]
        return _PAGES.get(module, module)

    def fit(self, numbers: Numbers) -> Any:
        """What cases are compared with; None where nothing is needed, or nothing could be made."""
        return None

    @abstractmethod
    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in the measure's own direction; NaN where it does not apply."""

    def by_class(self, numbers: Numbers) -> NDArray[np.float64] | None:
        """(N, C) before classes are joined, high = bad; None for what is of the whole case."""
        return None

    def suspicion(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) high = bad."""
        return self.direction.sign * self.value(numbers, frozen)


@dataclass(frozen=True, kw_only=True)
class Recorded(Measure):
    """A number of the record, or the mean over the classes that have one.

    Attributes:
        measure, variant: in the record.
        of_classes: whether the record has one for each class.
    """

    measure: str
    variant: str = ""
    of_classes: bool = False

    def by_class(self, numbers: Numbers) -> NDArray[np.float64] | None:
        """(N, C) where the record has one for each class."""
        if not self.of_classes:
            return None
        return self.direction.sign * numbers.by_class(self.measure, self.variant)

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,)."""
        if not self.of_classes:
            return numbers.case(self.measure, self.variant)
        return aggregate(numbers.by_class(self.measure, self.variant), "mean_scale")


def recorded(name: str, title: str, text: str, direction: Direction, **more: Any) -> Recorded:
    """Unless said otherwise a number of that name and variant, from the network's maps of the image alone."""
    measure, _, variant = name.partition("/")
    usual = {"sees": "image", "eye": Eye.NETWORK, "measure": measure, "variant": variant}
    return Recorded(name=name, title=title, text=text, direction=direction, **{**usual, **more})


@dataclass(frozen=True, kw_only=True)
class Spread(Recorded):
    """A number that grows by factors: ln and min-max over the population, as Eq. 6 does for S."""

    def fit(self, numbers: Numbers) -> AuvReference | None:
        """The range of its logarithm."""
        values = Recorded.value(self, numbers, None)
        return AuvReference(*log_range(values)) if (values > 0).any() else None

    def value(self, numbers: Numbers, frozen: AuvReference | None) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        values = Recorded.value(self, numbers, None)
        if frozen is None:
            return np.full(len(numbers), np.nan)
        return quietly(log_minmax, values, low=frozen.min_log, high=frozen.max_log)


def quietly(function: Callable[..., Any], *given: Any, **named: Any) -> NDArray[np.float64]:
    """A population of equal values is put at 0.5, and nobody at a terminal can help it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EqualValuesWarning)
        found: NDArray[np.float64] = function(*given, **named)
    return found
