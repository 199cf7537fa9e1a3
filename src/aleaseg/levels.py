"""From confidences to masks and back: who is in at a threshold, and at how many of several thresholds.

A confidence q in [0, 1] says how sure somebody is that a voxel belongs to a class; NaN says that nobody
looked. In single precision .7 and .9 lie below themselves, and a mean of five raters or a resampling
moves the last digit. So one rule, and here alone:

    q >= t   means   q >= t - 1e-6
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONFIDENCE_KEY",
    "LEVELS_KEY",
    "TOLERANCE",
    "ConfidenceMap",
    "LevelMap",
    "as_label",
    "at_least",
    "at_most",
    "confidence_of_levels",
    "k_of",
    "levels",
    "running_minimum",
]

LEVELS_KEY = "aleaseg_levels"
"""The key of a dataset.json that says which levels its label values are; nnU-Net copies it beside predictions."""
CONFIDENCE_KEY = "aleaseg_confidence"
"""The key of a dataset.json that says which confidences its label values are; it travels likewise."""
TOLERANCE = 1e-6
"""What a confidence may lie below a threshold and still reach it."""


def at_least(q: Any, threshold: float) -> Any:
    """Whether a confidence reaches a threshold; where nobody looked it does not.

    Args:
        q: confidences, an array, a tensor or a number.
        threshold: in (0, 1].

    >>> at_least(np.array([0.6, 3 / 5, 0.5, np.nan], np.float32), 0.6).tolist()
    [True, True, False, False]
    """
    return q >= threshold - TOLERANCE


def at_most(q: Any, threshold: float) -> Any:
    """Whether a confidence does not exceed a threshold; where nobody looked it is not known to.

    >>> at_most(np.array([0.2, 1 / 5, 0.3, np.nan], np.float32), 0.2).tolist()
    [True, True, False, False]
    """
    return q <= threshold + TOLERANCE


def levels(q: NDArray, thresholds: Sequence[float]) -> NDArray[np.int16]:
    """How many of rising thresholds each voxel reaches: L = #{k: q >= t_k}; 0 where nobody looked.

    Args:
        q: confidences of any shape.
        thresholds: t_1 < t_2 < ...

    >>> levels(np.array([0.1, 0.2, 0.5, 1.0]), [0.2, 0.4, 0.6, 0.8]).tolist()
    [0, 1, 2, 4]
    """
    found = np.zeros(np.shape(q), dtype=np.int16)
    for threshold in thresholds:
        found += at_least(q, threshold)
    return found


def k_of(threshold: float, raters: int) -> int:
    """How many of R raters a threshold asks for: the least k with k / R >= t.

    Thresholds of one k make one mask: of four raters .6 and .75 both ask for three.

    >>> [k_of(t, 4) for t in (0.5, 0.6, 0.75, 1)], [k_of(t, 5) for t in (0.5, 0.6)]
    ([2, 3, 3, 4], [3, 3])
    """
    return next(k for k in range(1, raters + 1) if k == raters or at_least(k / raters, threshold))


def running_minimum(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of rising levels that do not rise: p_k' = min(p_1, ..., p_k).

    Whoever is above a higher level is above the lower ones; networks that learn each level by itself may say
    otherwise.

    Args:
        p: (m, *spatial), of `q >= t_k` for rising t_k.
    """
    falling: NDArray[np.float32] = np.minimum.accumulate(p, axis=0)
    return falling


def confidence_of_levels(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """The confidence that probabilities of levels say: q^ = mean_k p_k', in [0, 1].

    Args:
        p: (m, *spatial), of `q >= t_k` for rising t_k.

    >>> confidence_of_levels(np.array([[0.9], [0.8], [0.1], [0.3]], np.float32)).round(3).tolist()
    [0.4749999940395355]
    """
    mean: NDArray[np.float32] = running_minimum(p).mean(axis=0, dtype=np.float32)
    return mean


def as_label(
    q: NDArray[np.float32], values: Sequence[Sequence[int]], threshold: float = 0.5
) -> tuple[NDArray[np.int16], int]:
    """One label for each voxel: the classes that reach a threshold; 0 where none does.

    Regions share values: the value is the one that belongs to these classes and no others. Where none does,
    as where two classes overlap that exclude one another, it is that of the surest, the first of equals.

    Args:
        q: (C, *spatial) confidences; NaN where nobody looked.
        values: label values of each class.
        threshold: in (0, 1].

    Returns:
        (*spatial) label values, and at how many voxels no value says which classes are there.

    >>> label, lost = as_label(np.array([[.4, .5, .9], [.3, .2, .95]]), [(3,), (5,)])
    >>> label.tolist(), lost
    ([0, 3, 5], 1)
    >>> label, lost = as_label(np.array([[.4, .5, .9], [.3, .2, .8]]), [(1, 2), (2,)])
    >>> label.tolist(), lost
    ([0, 1, 2], 0)
    """
    seen = np.where(np.isnan(q), 0, q)
    inside = at_least(seen, threshold)
    firsts = np.array([each[0] for each in values], dtype=np.int16)
    unsaid = inside.any(axis=0)
    label = np.where(unsaid, firsts[seen.argmax(axis=0)], 0).astype(np.int16)
    for value in sorted({value for each in values for value in each}):
        of_value = np.array([value in each for each in values])
        here = (inside == of_value.reshape(-1, *[1] * (q.ndim - 1))).all(axis=0)
        label[here] = value
        unsaid &= ~here
    return label, int(unsaid.sum())


@dataclass(frozen=True)
class LevelMap:
    """Levels of several classes in one label map, for networks that learn label maps and regions.

    Class c (from 1) at level k (of m) is the value (c - 1) m + k, and the region "at least t_k" of a class is all
    its values from level k on. A voxel can be at a level of one class alone.

    Attributes:
        classes: names, in order.
        thresholds: t_1 < ... < t_m.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """All foreground values."""
        return tuple(range(1, len(self.classes) * len(self.thresholds) + 1))

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Name of each region -> its values: classes in order, rising thresholds."""
        m = len(self.thresholds)
        if m == 1:
            return {name: (place + 1,) for place, name in enumerate(self.classes)}
        return {
            f"{'' if len(self.classes) == 1 else f'{name}_'}at_least_{_percent(threshold)}": tuple(
                range(place * m + k + 1, place * m + m + 1)
            )
            for place, name in enumerate(self.classes)
            for k, threshold in enumerate(self.thresholds)
        }

    def encode(self, q: NDArray[np.float32]) -> tuple[NDArray[np.int16], int]:
        """The map of confidences (C, *spatial), and at how many voxels two classes are above the first threshold.

        There the surest class is written, and the other one is lost.
        """
        one_each = [(place,) for place in range(1, len(self.classes) + 1)]
        base, lost = as_label(q, one_each, self.thresholds[0])
        reached = levels(q, self.thresholds)
        level = np.take_along_axis(reached, np.maximum(base - 1, 0)[None].astype(np.intp), axis=0)[0]
        m = len(self.thresholds)
        return np.where(base > 0, (base - 1) * m + level, 0).astype(np.int16), lost

    def decode(self, label: NDArray) -> NDArray[np.int16]:
        """The level of each class, (C, *spatial), in 0..m; other values are none."""
        m = len(self.thresholds)
        return np.stack(
            [
                np.where((label > place * m) & (label <= (place + 1) * m), label - place * m, 0)
                for place in range(len(self.classes))
            ]
        ).astype(np.int16)

    def confidence(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """q^ of each class, (C, *spatial), of the probabilities of the regions, (C m, *spatial)."""
        m = len(self.thresholds)
        return np.stack(
            [
                confidence_of_levels(probabilities[place * m : place * m + m])
                for place in range(len(self.classes))
            ]
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """For a JSON file."""
        return {"classes": list(self.classes), "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> LevelMap:
        """Of a JSON file.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(tuple(map(str, saved["classes"])), tuple(map(float, saved["thresholds"])))


@dataclass(frozen=True)
class ConfidenceMap:
    """Confidences of several classes in one label map, each in m equal steps.

    Class c (from 1) with q = k / m is the value (c - 1) m + k, and all m values of a class are its region, so that a
    network of regions has one channel for each class. A voxel can be of one class alone.

    Attributes:
        classes: names, in order.
        steps: m, at least 2: that many raters, or ten.
    """

    classes: tuple[str, ...]
    steps: int

    @property
    def values(self) -> tuple[int, ...]:
        """All foreground values."""
        return self._levels.values

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Name of each class -> its values, the lowest confidence first."""
        m = self.steps
        return {
            name: tuple(range(place * m + 1, place * m + m + 1)) for place, name in enumerate(self.classes)
        }

    def encode(self, q: NDArray[np.float32]) -> tuple[NDArray[np.int16], int]:
        """The map of confidences (C, *spatial), each at the nearest step, and at how many voxels two classes are.

        There the surest class is written, and the other one is lost. Where nobody looked it is 0.

        >>> label, lost = ConfidenceMap(("a", "b"), 4).encode(np.array([[.3, .1, 0], [0, 0, 1]], np.float32))
        >>> label.tolist(), lost
        ([1, 0, 8], 0)
        """
        return self._levels.encode(q)

    def decode(self, label: NDArray) -> NDArray[np.float32]:
        """The confidence of each class, (C, *spatial) in [0, 1]; other values are 0.

        >>> ConfidenceMap(("a", "b"), 4).decode(np.array([1, 0, 8])).tolist()
        [[0.25, 0.0, 0.0], [0.0, 0.0, 1.0]]
        """
        return (self._levels.decode(label) / self.steps).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return {"classes": list(self.classes), "steps": self.steps}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ConfidenceMap:
        """Of a JSON file.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        steps = int(saved["steps"])
        if steps < 2:
            raise ValueError(f"{steps} steps")
        return cls(tuple(map(str, saved["classes"])), steps)

    @property
    def _levels(self) -> LevelMap:
        """Rounded to the nearest step: level k is reached half a step below k / m."""
        return LevelMap(self.classes, tuple((k - 0.5) / self.steps for k in range(1, self.steps + 1)))


def _percent(threshold: float) -> str:
    """20 for .2; 33.3 for a third."""
    return f"{100 * threshold:.3g}"
