"""What every bench begins with: usable cases, and a folder of its own."""

from __future__ import annotations

from aleaseg.bench.settings import BenchSettings
from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.run import Run, begin

__all__ = ["FEWEST", "begin_bench", "open_clean", "usable"]

FEWEST = 20
"""Usable cases, below which there is no population to compare a case with."""


def open_clean(settings: BenchSettings) -> Dataset:
    """The data set as it is on disk, twins in one group, unusable cases left out.

    Raises:
        UsageError: it has no labels, or too few usable cases.
    """
    from aleaseg.readers import open_dataset

    dataset, _ = usable(open_dataset(settings.dataset, **settings.reading))
    labelled = [case for case in dataset.cases if case.has_label]
    if len(labelled) < FEWEST:
        raise UsageError(
            f"{settings.dataset} has {len(labelled)} usable cases with labels; a bench needs at least {FEWEST}"
        )
    return dataset.with_cases(labelled)


def usable(opened: Dataset) -> tuple[Dataset, dict[str, str]]:
    """The cases without an error, twins in one group; and why others are left out."""
    from aleaseg.checks import check, join_groups

    result = check(opened)
    left_out = {finding.case: f"found {finding.found}" for finding in result.errors}
    dataset = join_groups(opened, result)
    return dataset.with_cases([case for case in dataset.cases if case.id not in left_out]), left_out


def begin_bench(out: Run, settings: BenchSettings, dataset: Dataset, kind: str) -> None:
    """Start a manifest, or make sure that the one there was made with the same settings.

    More draws than before, or draws elsewhere, are no other settings: what is finished is used.
    """
    asked = {**settings.asked(), "cases": len(dataset.cases)}
    begin(out.path, f"{kind} bench", asked, free=("first", "draws"))
