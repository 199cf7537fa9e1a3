"""Robust location and scale: how far out a number lies in a population that may hold faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CLIP", "FAR_OUT", "SMALLEST_POPULATION", "RobustScale"]

# Below this a median and a scale say more about chance than about the data.
SMALLEST_POPULATION = 20
# The largest robust z of a single number: what is absurd counts as very far.
CLIP = 12.0
# So far out that it is no chance: of Gaussian numbers one in three million.
FAR_OUT = 5.0

# A median absolute deviation of Gaussian numbers times this is their standard deviation.
_GAUSSIAN = 1.4826


@dataclass(frozen=True)
class RobustScale:
    """Median and robust standard deviations below and above it, frozen with a population.

    The scale of each side is the larger of two: the median absolute deviation of
    all numbers, and that of the numbers on its side. A skewed measure so gets a
    longer ruler on its long side, and a few faults do not stretch it.

    Attributes:
        center: the median.
        below, above: standard deviations, > 0.
    """

    center: float
    below: float
    above: float

    @classmethod
    def fit(cls, values: ArrayLike, floor: float = 1e-6) -> RobustScale:
        """Fit to numbers (NaN are left out).

        Args:
            values: any shape.
            floor: the least scale: where most numbers are equal, a difference smaller
                than this is no difference.

        >>> RobustScale.fit([1.0, 2.0, 3.0, 4.0, 100.0]).center
        3.0
        """
        found = np.asarray(values, dtype=float).ravel()
        found = found[np.isfinite(found)]
        if not found.size:
            return cls(0.0, 1.0, 1.0)
        center = float(np.median(found))
        deviation = found - center
        both = float(np.median(np.abs(deviation)))

        def side(part: NDArray) -> float:
            return _GAUSSIAN * max(both, float(np.median(part)) if part.size else 0.0)

        # Numbers at the median count on both sides: one number beside many equal ones is far out.
        below, above = side(-deviation[deviation <= 0]), side(deviation[deviation >= 0])
        return cls(center, max(below, floor), max(above, floor))

    @classmethod
    def fit_trimmed(cls, values: ArrayLike, floor: float = 1e-6) -> RobustScale:
        """The same without what lies far above, left out again until nothing more does.

        Faults that lie far above, in a tenth of Gaussian cases, make the upper scale 1.22 times as long, in
        a fifth 1.79 times. What lies beyond a z of `FAR_OUT` is taken for such and teaches nothing. At
        least half of the numbers always count, however far they spread.

        Args:
            values: any shape; NaN are left out. High = suspicious.
            floor: as in `fit`.

        >>> numbers = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 40.0, 41.0]
        >>> RobustScale.fit(numbers).center, RobustScale.fit_trimmed(numbers).center
        (1.0, 0.0)
        """
        found = np.asarray(values, dtype=float).ravel()
        kept = found = found[np.isfinite(found)]
        scale = cls.fit(found, floor)
        while len(found) / 2 <= len(closer := kept[scale.z(kept) <= FAR_OUT]) < len(kept):
            kept = closer
            scale = cls.fit(kept, floor)
        return scale

    def z(self, values: ArrayLike) -> NDArray[np.float64]:
        """Signed robust z: 0 at the median, in standard deviations of the number's own side."""
        deviation = np.asarray(values, dtype=float) - self.center
        return np.where(deviation < 0, deviation / self.below, deviation / self.above)

    def to_dict(self) -> dict[str, float]:
        """For population.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> RobustScale:
        """Back from `to_dict`."""
        return cls(float(entries["center"]), float(entries["below"]), float(entries["above"]))
