"""A data set that grows: cases that came in since a run's population was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Dataset
from aleaseg.run import Run, now
from aleaseg.scoring.population import is_readable

__all__ = ["Arrival", "Growth", "growth_of"]


class Arrival(TypedDict):
    """One audit that found new cases: when, and which."""

    at: str
    cases: list[str]


@dataclass(frozen=True)
class Growth:
    """What came in.

    Attributes:
        before: the cases that were there when the population was made, measured or not.
        arrivals: each audit that found new cases, the oldest first.
    """

    before: frozenset[str]
    arrivals: tuple[Arrival, ...]

    @property
    def batches(self) -> dict[str, int]:
        """Case -> the arrival that it came with, from 1; who was there before is not named."""
        named = enumerate(self.arrivals, 1)
        return {case: number for number, each in named for case in each["cases"]}


def growth_of(settings: AuditSettings, run: Run, dataset: Dataset) -> Growth | None:
    """What came into a data set since the run's population was made.

    Args:
        settings: of the audit.
        run: a folder that may be none yet.
        dataset: as it is now.

    Returns:
        None where all cases are to be compared anew: the run has no population, nothing came in, cases are
        gone, or a refit was asked for, now or by a call that was stopped.
    """
    if settings.refit or settings.reference is not None or not (run.path / "population.json").exists():
        return None
    population = run.population
    before, here = frozenset(population.get("ids", ())), {case.id for case in dataset.cases}
    if not before or not before < here or not is_readable(population):
        return None
    # The manifest counts the cases that are compared with one another: more of them, and a refit has begun.
    if run.manifest["settings"].get("cases") != len(before):
        return None
    kept: list[Arrival] = run.manifest.get("arrivals") or []
    told = {case for each in kept for case in each["cases"]}
    latest = [case.id for case in dataset.cases if case.id not in before and case.id not in told]
    return Growth(before, (*kept, *([Arrival(at=now(), cases=latest)] if latest else [])))
