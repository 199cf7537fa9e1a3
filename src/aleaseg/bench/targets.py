"""The cases of a target, the measures' scores there, and what is drawn from them again and again.

A target is a set of faults: `masks`, `images`, `both`, or one fault by its name. Its cases
are those with such a fault and the clean ones, of the draws that have both; cases with
another fault are left out.

Scores are ranks within a draw, since populations differ between draws. A case without a
number stands in the middle of its draw, at the median of the measure; a measure without a
number for more than half of a target's cases does not apply to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.result import CASE_FIELDS, CONFOUNDS
from aleaseg.corruption import FAULTS
from aleaseg.metrics import Replicated, Resamples, auroc, nested

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AXES",
    "MOST_MISSING",
    "Sample",
    "measures_of",
    "missing",
    "pairwise_auroc",
    "samples",
    "targets_of",
]

AXES: Mapping[str, tuple[str, ...]] = {
    "masks": ("mask",),
    "images": ("image",),
    "both": ("mask", "image"),
}
"""The targets that join faults, and the axes of these."""
MOST_MISSING = 0.5
"""Share of cases without a number above which a measure does not apply."""


def measures_of(cases: pd.DataFrame) -> list[str]:
    """The columns of `cases` that are measures."""
    return [name for name in cases.columns if name not in {*CASE_FIELDS, *CONFOUNDS}]


def missing(cases: pd.DataFrame) -> dict[str, float]:
    """Measure -> share in [0, 1] of the cases, of all draws, that it has no number for."""
    return {name: float(cases[name].isna().mean()) for name in measures_of(cases)}


def targets_of(cases: pd.DataFrame) -> list[str]:
    """The keys of `AXES`, and every fault that was dealt."""
    dealt = set(cases["fault"])
    return [*AXES, *(fault for fault in FAULTS if fault in dealt)]


@dataclass(frozen=True, eq=False)
class Sample:
    """The n cases of a target.

    Attributes:
        target: its name.
        bad: (n,) which have its faults; the others are clean.
        draw: (n,) labels.
        resamples: of these rows.
        scores: measure -> (n,), high = bad, compared within a draw only; without those that do not apply.
    """

    target: str
    bad: NDArray[np.bool_]
    draw: NDArray[np.str_]
    resamples: Resamples
    scores: Mapping[str, NDArray[np.float64]]

    def replicated(self, measure: str, statistic: Callable = auroc) -> Replicated:
        """Mean over the draws of a statistic of `aleaseg.metrics`, with its replicates; NaN without scores."""
        if measure not in self.scores:
            return Replicated(np.nan, np.full(len(self.resamples.draws), np.nan))
        return nested(statistic, self.scores[measure], self.bad, self.draw, self.resamples)

    def mean(self, measure: str, statistic: Callable) -> float:
        """The same, without replicates; there are scores."""
        score = self.scores[measure]
        draws = [self.draw == name for name in np.unique(self.draw)]
        return float(np.mean([statistic(score[rows], self.bad[rows]) for rows in draws]))


def samples(cases: pd.DataFrame, targets: Sequence[str]) -> Iterator[Sample]:
    """The cases of one target after the other; all are drawn again by the same 1000 replicates."""
    draw, axis, fault = (cases[name].to_numpy().astype(str) for name in ("draw", "axis", "fault"))
    resamples = Resamples.make(draw, cases["group"].to_numpy())
    values = {name: cases[name].to_numpy(dtype=np.float64) for name in measures_of(cases)}
    scores = {name: _standing(column, draw) for name, column in values.items()}
    clean = axis == "clean"
    for target in targets:
        bad = np.isin(axis, AXES[target]) if target in AXES else fault == target
        both = np.isin(draw, draw[bad]) & np.isin(draw, draw[clean])
        rows = np.flatnonzero((bad | clean) & both)
        applying = [
            name for name, of in values.items() if rows.size and np.isnan(of[rows]).mean() <= MOST_MISSING
        ]
        yield Sample(
            target,
            bad[rows],
            draw[rows],
            resamples.select(rows),
            {name: scores[name][rows] for name in applying},
        )


def _standing(values: NDArray[np.float64], draw: NDArray) -> NDArray[np.float64]:
    """Rank within its draw, (N,); the median of the draw where there is no number."""
    import pandas as pd

    ranks = pd.Series(values).groupby(draw).rank()
    # A draw without any number has none to compare.
    known = ranks.fillna(ranks.groupby(draw).transform("median")).fillna(0.0)
    return np.asarray(known, dtype=np.float64)


def pairwise_auroc(score: NDArray, bad: NDArray, *, weights: NDArray) -> NDArray[np.float64]:
    """`aleaseg.metrics.auroc` from all pairs of a bad and a good case: some four times as fast where few are bad.

    Args:
        score: (n,), high = bad, no NaN.
        bad: (n,) bool.
        weights: (B, n), >= 0.

    Returns:
        (B,) in [0, 1], high = finds the bad ones; NaN without bad or without good cases.

    >>> score, bad = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    >>> pairwise_auroc(score, bad, weights=np.array([[1, 1, 1, 1], [0, 2, 1, 1]]))
    array([0.875, 0.75 ])
    """
    of_bad, of_good = weights.T[bad].astype(np.float64), weights.T[~bad].astype(np.float64)
    one, other = score[bad][:, None], score[~bad]
    won = (one > other) + 0.5 * (one == other)
    pairs = of_bad.sum(axis=0) * of_good.sum(axis=0)
    # In place of `@`: waking the threads of a BLAS costs more than these few products.
    wins = np.einsum("ij,jb->ib", won, of_good)
    area = (of_bad * wins).sum(axis=0) / np.where(pairs > 0, pairs, 1.0)
    return np.where(pairs > 0, area, np.nan)
