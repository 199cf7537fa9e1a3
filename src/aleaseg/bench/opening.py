"""What every bench begins with: usable cases, and a folder of its own."""

from __future__ import annotations

from aleaseg.bench.settings import BenchSettings
from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.run import Run, begin

__all__ = ["begin_bench", "open_clean"]


def open_clean(settings: BenchSettings) -> Dataset:
    """The data set as it is on disk, twins in one group, unusable cases left out.

    Raises:
        UsageError: it has no labels, or too few usable cases.
    """
    from aleaseg.checks import check, join_groups
    from aleaseg.readers import open_dataset

    dataset = open_dataset(settings.dataset, **settings.reading)
    result = check(dataset)
    dataset = join_groups(dataset, result)
    bad = {finding.case for finding in result.errors}
    usable = [case for case in dataset.cases if case.has_label and case.id not in bad]
    if len(usable) < 20:
        raise UsageError(
            f"{settings.dataset} has {len(usable)} usable cases with labels; a bench needs at least 20"
        )
    return dataset.with_cases(usable)


def begin_bench(out: Run, settings: BenchSettings, dataset: Dataset, kind: str) -> None:
    """Start a manifest, or make sure that the one there was made with the same settings.

    More draws than before, or draws elsewhere, are no other settings: what is finished is used.
    """
    asked = {**settings.asked(), "cases": len(dataset.cases)}
    begin(out.path, f"{kind} bench", asked, free=("first", "draws"))
