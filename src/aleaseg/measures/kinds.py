"""Kinds of cases: whose masks are compared with whose.

The rarest class that a case has says what kind it is: a scan with a liver and a lesion is
another kind of case than one with a liver alone, and an empty mask is a third. Numbers of whole
cases (the least sure voxel, the largest of all signals) differ between kinds for no fault of
anybody's, so each kind has medians and scales of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from aleaseg.measures.robust import SMALLEST_POPULATION, RobustScale

__all__ = ["FEWEST", "NOTHING", "Kind", "place_in", "sort_kinds", "widened"]

# Three cases are no rule.
FEWEST = 5
# So common is the rarest class of a mask without any: more than all.
NOTHING = 2.0
_UNKNOWN = RobustScale(0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Kind:
    """How cases of one kind vary as a whole.

    Attributes:
        above, upto: share of the population that has a case's rarest class: cases between the two, the upper
            one among them, are of this kind; up to `NOTHING`: cases whose mask is empty.
        cases: how many it was fitted to.
        softmin: location and scale of softmin, as a logit that is turned round.
        parts: those of each part that the axis is joined from; None where no case of the kind has it.
        whole: those of what the axis is joined to.
    """

    above: float
    upto: float
    cases: int
    softmin: RobustScale
    parts: tuple[RobustScale | None, ...] = ()
    whole: RobustScale = _UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """For population.json."""
        return {
            "above": self.above,
            "upto": self.upto,
            "cases": self.cases,
            "softmin": self.softmin.to_dict(),
            "parts": [None if part is None else part.to_dict() for part in self.parts],
            "whole": self.whole.to_dict(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Kind:
        """Back from `to_dict`."""
        return cls(
            float(entries["above"]),
            float(entries["upto"]),
            int(entries["cases"]),
            RobustScale.from_dict(entries["softmin"]),
            tuple(None if part is None else RobustScale.from_dict(part) for part in entries["parts"]),
            RobustScale.from_dict(entries["whole"]),
        )


def sort_kinds(rarest: NDArray[np.float64]) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """Sort a population into kinds by how common the rarest class of each case is.

    From the rarest on, cases go together until they are enough for a population, or until some of
    them (`FEWEST`) meet many. Fewer than that are no kind and teach nothing: those that are rarer than
    all others are measured by the next kind, those at the end, where a class that most cases have was
    forgotten, by the last one.

    Args:
        rarest: (N,) share of the population that has it; `NOTHING` for an empty mask.

    Returns:
        For each kind above which share and up to which it goes, and (N,) which cases it is made of.

    >>> found = sort_kinds(np.repeat([0.05, 0.2, 1.0, NOTHING], [3, 6, 30, 24]))
    >>> [(above, upto, int(those.sum())) for above, upto, those in found]
    [(0.0, 0.2, 9), (0.2, 1.0, 30), (1.0, 2.0, 24)]
    """
    found: list[tuple[float, float, NDArray[np.bool_]]] = []
    shares, counts = np.unique(rarest[rarest < NOTHING], return_counts=True)
    above, size, last = 0.0, 0, 0.0
    for share, count in zip([*shares.tolist(), 1.0], [*counts.tolist(), SMALLEST_POPULATION], strict=True):
        if size >= SMALLEST_POPULATION or count >= SMALLEST_POPULATION:
            if size >= FEWEST:
                found.append((above, last, (rarest > above) & (rarest <= last)))
            above, size = last, 0
        size, last = size + count, share
    if found:
        found[-1] = (found[-1][0], 1.0, found[-1][2])
    empty = rarest >= NOTHING
    return [*found, (1.0, NOTHING, empty)] if empty.sum() >= FEWEST else found


def place_in(kinds: Sequence[Kind], rarest: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) which kind each case is of; -1 where no kind is like it.

    A few empty masks are no kind: they are measured by the commonest one. Masks that are not empty
    are never measured by empty ones.
    """
    if not kinds:
        return np.full(len(rarest), -1)
    place = np.searchsorted([kind.upto for kind in kinds], rarest).clip(max=len(kinds) - 1)
    foreign = (rarest < NOTHING) & (np.array([kind.upto for kind in kinds])[place] >= NOTHING)
    return np.where(foreign, -1, place)


def widened(scale: RobustScale, cases: int) -> RobustScale:
    """A scale of few cases says little: a z of 3 becomes Student's quantile of the same chance.

    Args:
        scale: as fitted.
        cases: to how many; from `SMALLEST_POPULATION` on it stays as it is.

    >>> round(widened(RobustScale(0.0, 1.0, 1.0), 10).above, 2)
    1.43
    """
    if cases >= SMALLEST_POPULATION:
        return scale
    factor = float(t.isf(norm.sf(3), cases - 1)) * math.sqrt(1 + 1 / cases) / 3
    return replace(scale, below=factor * scale.below, above=factor * scale.above)
