"""What a bench is asked to do."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.predictions.crossfit import CrossfitSettings
from aleaseg.run import Run, begin

__all__ = ["BenchSettings", "begin_bench", "open_clean", "typed"]


def typed(words: Sequence[str]) -> str:
    """The command as it was typed, folders by their own names: a page may be given away.

    >>> typed(["bench", "data/Dataset004_Hippocampus", "-o", "out/b"])
    'aleaseg bench Dataset004_Hippocampus -o b'
    """
    return shlex.join(["aleaseg", *(Path(word).name if os.sep in word else word for word in words)])


@dataclass(frozen=True)
class BenchSettings:
    """What decides the numbers of a bench; written whole into its manifest.

    Attributes:
        dataset: the folder.
        first: seed of the first draw; the others follow.
        draws: how many.
        share: of the cases that get a fault.
        folds: of cross-fitting; three, since a bench trains many times.
        steps: of each fold; None: a rule on the data.
        groups, classes: as `open_dataset` takes them.
        device: `cpu` or `cuda`.
    """

    dataset: str
    first: int = 0
    draws: int = 3
    share: float = 0.2
    folds: int = 3
    steps: int | None = None
    groups: str | None = None
    classes: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.draws < 1:
            raise UsageError(f"draws is {self.draws}; expected at least 1")
        if not 0 < self.share < 1:
            raise UsageError(f"share is {self.share}; expected a part of the cases, above 0 and below 1")

    @property
    def numbers(self) -> range:
        """The seeds of the draws."""
        return range(self.first, self.first + self.draws)

    def crossfit(self, draw: int) -> CrossfitSettings:
        """How the networks of a draw are fitted."""
        return CrossfitSettings(
            folds=self.folds, steps=self.steps, seed=draw, device=self.device, inside=True
        )


def open_clean(settings: BenchSettings) -> Dataset:
    """The data set as it is on disk, twins in one group, unusable cases left out.

    Raises:
        UsageError: it has no labels, or too few usable cases.
    """
    from aleaseg.checks import check, join_groups
    from aleaseg.readers import open_dataset

    dataset = open_dataset(settings.dataset, classes=settings.classes, groups=settings.groups)
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
    asked = {**asdict(settings), "cases": len(dataset.cases)}
    begin(out.path, f"{kind} bench", asked, free=("first", "draws"))
