"""Which cases go: a threshold over one score, or over one score per class.

Inside this module every score is badness: high = bad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aleaseg.measures.auv import quantile_threshold

__all__ = ["Cut", "Reading", "Verdict", "judge"]

Reading = Literal["class", "any", "all"]


@dataclass(frozen=True)
class Cut:
    """Where to cut: exactly one of the three is set.

    Attributes:
        quantile: keep what is no worse than F^-1(p) = inf{v : p <= F(v)} (Eq. 7), ties kept.
        worst: drop so many; among equals, the first ids.
        threshold: drop what is worse.
    """

    quantile: float | None
    worst: int | None
    threshold: float | None

    def apply(self, badness: Mapping[str, float]) -> tuple[set[str], float]:
        """The ids to drop, and the limit: the worst badness that may stay (-inf where none stays)."""
        if self.worst is not None:
            order = sorted(badness, key=lambda case: (-badness[case], case))
            out, rest = order[: self.worst], order[self.worst :]
            return set(out), badness[rest[0]] if rest else -math.inf
        limit = self.threshold
        if limit is None:
            assert self.quantile is not None
            limit = quantile_threshold(list(badness.values()), self.quantile)
        return {case for case, value in badness.items() if value > limit}, limit


@dataclass(frozen=True, order=True)
class Verdict:
    """What one class says of a case. Ordered: the greater, the worse the case.

    Attributes:
        excess: badness beyond the limit.
        badness: the score, high = bad.
        class_name: empty for a score of the whole case.
        limit: the worst badness that may stay.
        goes: whether this class would drop the case.
    """

    excess: float
    badness: float
    class_name: str
    limit: float
    goes: bool


def judge(
    badness: Mapping[str, Mapping[str, float]], cut: Cut, reading: Reading
) -> tuple[list[str], dict[str, Verdict]]:
    """Cut each class by itself and join what the classes say.

    Args:
        badness: class -> case -> badness; the class is empty for a score of the whole case.
        cut: where.
        reading: `any`: a case stays where any of its classes lets it; else all must let it.

    Returns:
        The ids that go, worst first; and for each case the verdict that decided.
    """
    verdicts: dict[str, list[Verdict]] = {}
    for name, values in badness.items():
        if not values:
            continue
        out, limit = cut.apply(values)
        for case, value in values.items():
            excess = value - limit if math.isfinite(limit) else value
            verdicts.setdefault(case, []).append(Verdict(excess, value, name, limit, case in out))
    decided = {case: (min if reading == "any" else max)(found) for case, found in verdicts.items()}
    goes = [case for case, verdict in decided.items() if verdict.goes]
    return sorted(goes, key=lambda case: (-decided[case].excess, -decided[case].badness, case)), decided
