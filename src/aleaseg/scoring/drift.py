"""Drift of a run: each measure of the cases that came in, against the population that they are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.drift import ALPHA, FEWEST, QUANTILES, Drift, first_of_each, step_down, two_samples
from aleaseg.run import Record
from aleaseg.scoring.columns import COLUMNS
from aleaseg.scoring.numbers import Numbers

__all__ = ["DRIFT_COLUMNS", "EVERYONE", "FROM_NETWORKS", "Drifted", "Sample", "find_drift"]

EVERYONE = "all"
"""The part that all new cases are."""
FROM_NETWORKS = ("oof_dice", "softmin", "false_positive_mm3")
"""What says more of who predicted than of the case, where the two sides were predicted in different ways."""
_ENOUGH = 20  # of a site, to be compared with itself
DRIFT_COLUMNS = (
    "part",
    "against",
    "measure",
    "class",
    "n",
    "n_population",
    "median",
    "median_population",
    "shift",
    "distance",
    "p",
    "p_adjusted",
    "drifts",
    *(f"new_{q * 100:.0f}" for q in QUANTILES),
    *(f"population_{q * 100:.0f}" for q in QUANTILES),
)


@dataclass(frozen=True)
class Sample:
    """The cases of one side.

    Attributes:
        numbers: of N cases.
        groups, sites: of each.
    """

    numbers: Numbers
    groups: Sequence[str]
    sites: Sequence[str]

    @classmethod
    def of(cls, records: Iterable[Record], classes: Sequence[str]) -> Sample:
        """From records; each is let go before the next one comes."""
        groups: list[str] = []
        sites: list[str] = []

        def noted() -> Iterable[Record]:
            for record in records:
                groups.append(record.group)
                sites.append(record.site)
                yield record

        return cls(Numbers.of(noted(), classes), groups, sites)

    def take(self, rows: NDArray[np.bool_]) -> Sample:
        """Some of them."""
        chosen = np.flatnonzero(rows).tolist()
        return Sample(
            self.numbers.take(rows), [self.groups[i] for i in chosen], [self.sites[i] for i in chosen]
        )

    @property
    def independent(self) -> Sample:
        """One case of each group."""
        return self.take(first_of_each(self.groups, self.numbers.cases))


@dataclass(frozen=True)
class Drifted:
    """One test.

    Attributes:
        part: of the new cases: `all`, `batch 2`, `site A`.
        against: the same site's, or the whole population.
        measure, class_name: what was held against what; class empty: of the whole case.
        found: the two samples.
        p_adjusted: of the whole family of tests.
    """

    part: str
    against: str
    measure: str
    class_name: str
    found: Drift
    p_adjusted: float

    @property
    def drifts(self) -> bool:
        """Whether this is an alarm."""
        return self.p_adjusted <= ALPHA

    def row(self) -> dict[str, Any]:
        """Of drift.csv."""
        found = self.found
        spreads = (("new", found.spread), ("population", found.spread_population))
        return {
            "part": self.part,
            "against": self.against,
            "measure": self.measure,
            "class": self.class_name,
            **{name: getattr(found, name) for name in ("n", "n_population", "median", "median_population")},
            **{name: getattr(found, name) for name in ("shift", "distance", "p")},
            "p_adjusted": self.p_adjusted,
            "drifts": self.drifts,
            **{
                f"{side}_{q * 100:.0f}": value
                for side, spread in spreads
                for q, value in zip(QUANTILES, spread, strict=True)
            },
        }


def find_drift(
    new: Sample,
    population: Sample,
    batches: Mapping[str, int] | None = None,
    *,
    leave_out: Sequence[str] = (),
) -> list[Drifted]:
    """Test every measure of the new cases, of the latest batch, and of each site.

    One case of each group counts. A site is held against itself where the population has 20 of it, else, as
    everybody, against all. All tests are one family.

    Args:
        new: the cases that came in.
        population: those they are compared with.
        batches: case -> arrival; the latest is a part of its own where there were several.
        leave_out: measures that cannot be compared.

    Returns:
        The strongest first; empty where fewer than five new cases can be tested.
    """
    new, population = new.independent, population.independent
    tests: list[tuple[str, str, str, str, Drift]] = []
    for part, rows, theirs, against in _parts(new, population, batches or {}):
        ours = new.take(rows).numbers
        for key in sorted(ours.columns):
            measure, variant, class_name = key
            known = _base(measure) in COLUMNS and measure not in leave_out
            if variant or not known or key not in theirs.columns:
                continue
            if (found := two_samples(ours.columns[key], theirs.columns[key])) is not None:
                tests.append((part, against, measure, class_name, found))
    adjusted = step_down([found.p for *_, found in tests])
    drifted = [Drifted(*test, float(p)) for test, p in zip(tests, adjusted, strict=True)]
    return sorted(drifted, key=lambda one: (one.p_adjusted, one.found.p, -one.found.distance))


def _parts(
    new: Sample, population: Sample, batches: Mapping[str, int]
) -> Iterable[tuple[str, NDArray[np.bool_], Numbers, str]]:
    """Which of the new are held against whom; the same cases are not tested twice."""
    everyone, whole = np.ones(len(new.numbers), dtype=bool), population.numbers
    seen = [everyone]
    yield EVERYONE, everyone, whole, "population"
    numbers = np.array([batches.get(case, 0) for case in new.numbers.cases])
    if len(numbers) and numbers.max() > 1:
        latest = numbers == numbers.max()
        seen.append(latest)
        yield f"batch {numbers.max()}", latest, whole, "population"
    for site in sorted({*new.sites} - {""}):
        of_site = np.array([each == site for each in new.sites])
        then = np.array([each == site for each in population.sites])
        own = then.sum() >= _ENOUGH
        if of_site.sum() < FEWEST or (not own and any(np.array_equal(of_site, each) for each in seen)):
            continue
        theirs = population.take(then).numbers if own else whole
        yield f"site {site}", of_site, theirs, f"site {site}" if own else "population"


def _base(measure: str) -> str:
    """A statistic of one of several channels has its number behind it."""
    base, _, channel = measure.rpartition("_")
    return base if measure.startswith("img_") and channel.isdigit() else measure
