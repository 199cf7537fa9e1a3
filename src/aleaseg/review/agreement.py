"""How far the raters of a review agree, and on which cases they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from aleaseg.metrics.kappa import MISSING, Agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from aleaseg.review.decisions import Decision
from aleaseg.review.event import VERDICTS

__all__ = ["Raters", "raters_of"]

_PAIRS = 15  # of raters; more pairs than that nobody reads


@dataclass(frozen=True)
class Raters:
    """What raters say together.

    Attributes:
        raters: who decided about any case, by name, and about how many.
        cohen: of each pair that decided about one case or more together, the first 15 of them by name.
        more_pairs: how many pairs beyond these there are.
        fleiss: of all, of the cases that all decided about; None with one rater.
        krippendorff: of all, of the cases that two or more decided about; None with one rater.
        disputed: ids of cases on which two say different things.
    """

    raters: dict[str, int]
    cohen: dict[tuple[str, str], Agreement]
    more_pairs: int
    fleiss: Agreement | None
    krippendorff: Agreement | None
    disputed: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """For a page; what is not defined is null."""

        def one(found: Agreement | None) -> dict[str, float | int | None] | None:
            if found is None:
                return None
            return {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in found._asdict().items()
            }

        return {
            "raters": self.raters,
            "cohen": [{"raters": list(pair), **(one(found) or {})} for pair, found in self.cohen.items()],
            "more_pairs": self.more_pairs,
            "fleiss": one(self.fleiss),
            "krippendorff": one(self.krippendorff),
            "disputed": list(self.disputed),
        }


def raters_of(decisions: Sequence[Decision]) -> Raters:
    """How far raters agree about whole cases.

    Args:
        decisions: that hold; those about one class are left out.
    """
    of_case: dict[str, dict[str, str]] = {}
    for one in decisions:
        if not one.class_name:
            of_case.setdefault(one.case, {})[one.rater] = one.verdict
    counts: dict[str, int] = {}
    for verdicts in of_case.values():
        for rater in verdicts:
            counts[rater] = counts.get(rater, 0) + 1
    raters = sorted(counts)
    codes = np.array(
        [
            [VERDICTS.index(verdicts[rater]) if rater in verdicts else MISSING for rater in raters]
            for verdicts in of_case.values()
        ]
    ).reshape(len(of_case), len(raters))
    several = len(raters) > 1
    rated = codes != MISSING
    pairs = [(a, b) for a, b in combinations(range(len(raters)), 2) if (rated[:, a] & rated[:, b]).any()]
    cohen = {(raters[a], raters[b]): cohen_kappa(codes[:, [a, b]]) for a, b in pairs[:_PAIRS]}
    return Raters(
        {rater: counts[rater] for rater in raters},
        cohen,
        max(0, len(pairs) - _PAIRS),
        fleiss_kappa(codes) if several else None,
        krippendorff_alpha(codes) if several else None,
        tuple(sorted(case for case, verdicts in of_case.items() if len(set(verdicts.values())) > 1)),
    )
