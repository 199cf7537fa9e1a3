"""What a cut is asked to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

from aleaseg.errors import UsageError
from aleaseg.run import Run
from aleaseg.selection.cutting import Reading
from aleaseg.settings import Argument, Option, Settings

__all__ = ["CutSettings", "SelectSettings"]


@dataclass(frozen=True)
class CutSettings(Settings):
    """Where a run is cut, and what the cut must leave."""

    run: Annotated[Run | str | Path, Argument("A run folder.")]
    _: KW_ONLY
    by: Annotated[
        str | None,
        Option(
            "A score: a column of cases.csv, or of scores.csv where a class or a reading over classes is asked for. "
            "Its direction comes from the manifest. Without it: `doubt`; for classes, `auv`."
        ),
    ] = None
    quantile: Annotated[
        float | None,
        Option(
            "p in (0, 1]: keep what is no worse than F^-1(p) = inf{v : p <= F(v)} of the cases with a score (Eq. 7 "
            "of the AUV paper, arXiv 2604.10963), ties kept."
        ),
    ] = None
    worst: Annotated[int | None, Option("Drop so many of the worst; among equals, the first ids.")] = None
    threshold: Annotated[float | None, Option("Drop what is beyond it, on the score's bad side.")] = None
    listed: Annotated[
        str | Path | Sequence[str] | None,
        Option(
            "In place of a score: a file with one id per line (or a CSV with a column case), or the ids; exactly "
            "those go."
        ),
    ] = None
    drop: Annotated[
        Sequence[str],
        Option("Ids that are dropped too, whatever their score; several are separated by commas."),
    ] = ()
    keep: Annotated[Sequence[str], Option("Ids that are kept, whatever their score.")] = ()
    class_name: Annotated[
        str | None,
        Option("Cut by the score of this class (Eq. 8-9); cases without it are kept, and are outside F."),
    ] = None
    reading: Annotated[
        Reading,
        Option(
            "Of Eq. 9. `class`: as above. `any`: keep a case where any of its classes passes that class's threshold. "
            "`all`: keep it only where all of them do."
        ),
    ] = "class"
    force: Annotated[bool, Option("Make the cut even if it harms a class.")] = False
    floor: Annotated[float, Option("The share of its cases that every class must keep.")] = 0.8
    minimum: Annotated[int, Option("The number of cases that every class must keep.")] = 5

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        named = [
            name for name in ("quantile", "worst", "threshold", "listed") if getattr(self, name) is not None
        ]
        if len(named) > 1:
            raise UsageError(
                f"found {' and '.join(named)}; expected one of quantile, worst, threshold, listed; leave one"
            )
        for name in ("drop", "keep"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, (getattr(self, name),))
        if self.listed is not None and (self.by or self.class_name or self.reading != "class"):
            raise UsageError("found a list and a score to cut by; expected one of them; leave one")
        if self.quantile is not None and not 0 < self.quantile <= 1:
            raise UsageError(
                f"quantile is {self.quantile:g}; expected a share of cases to keep in (0, 1], such as 0.95"
            )
        if self.worst is not None and self.worst < 0:
            raise UsageError(f"worst is {self.worst}; expected a number of cases, 0 or more")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(f"threshold is {self.threshold}; expected a finite number")
        if not 0 <= self.floor <= 1 or self.minimum < 0:
            raise UsageError(
                f"floor is {self.floor:g}, minimum {self.minimum}; expected a share in [0, 1] and a count"
            )
        if self.reading not in ("class", "any", "all"):
            raise UsageError(f"reading is {self.reading!r}; expected one of class, any, all")
        if self.reading != "class" and self.worst is not None:
            raise UsageError(
                "worst counts cases of one ranking; with reading any or all give quantile or threshold"
            )


@dataclass(frozen=True)
class SelectSettings(CutSettings):
    """A cut, and what is written of it."""

    _: KW_ONLY
    write: Annotated[
        Literal["splits", "dataset", "csv"] | None,
        Option("What to write, see `aleaseg.selection.write`; None writes nothing."),
    ] = None
    splits: Annotated[str | Path | None, Option("An existing splits_final.json to filter.")] = None
    grouped: Annotated[bool, Option("Draw folds that keep groups together.")] = False
