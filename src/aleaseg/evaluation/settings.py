"""What an evaluation, and a comparison, are asked to do. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from aleaseg.settings import Argument, Option, Settings, table_or_regex, whole_path

__all__ = ["CompareSettings", "EvaluationSettings"]


@dataclass(frozen=True)
class _Measuring(Settings):
    """How predictions are measured."""

    _: KW_ONLY
    groups: Annotated[
        str | None,
        Option("Cases resampled together: a regex on ids, or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    classes: Annotated[
        str | None, Option("Classes to keep, or name=value where none are declared.", "A,B")
    ] = None
    tolerance: Annotated[str, Option("Of NSD in mm; by class: 1,tumour=2.", "MM[,CLASS=MM]")] = "1"
    both_empty: Annotated[
        str,
        Option(
            "A class that neither mask has: left out, or a perfect prediction.",
            choices=("skip", "perfect"),
        ),
    ] = "skip"
    only_predicted: Annotated[
        bool, Option("Leave cases without a prediction out; else each is an error.")
    ] = False
    confidence: Annotated[
        str | Path | None,
        Option("Whether this ranks the bad cases: a run, or a CSV.", "RUN|CSV", form=whole_path),
    ] = None


@dataclass(frozen=True)
class EvaluationSettings(_Measuring):
    """What decides the numbers of an evaluation, and `against`, which decides none of them."""

    reference: Annotated[
        str | Path, Argument("A data set with labels, or a folder of masks.", "REFERENCE", form=whole_path)
    ]
    predictions: Annotated[
        str | Path,
        Argument("A folder of predicted masks, .npz beside them.", "PREDICTIONS", form=whole_path),
    ]
    _: KW_ONLY
    against: Annotated[
        str | Path | None,
        Option("Other predictions, or their evaluation, to compare with.", "OTHER", form=whole_path),
    ] = None


@dataclass(frozen=True)
class CompareSettings(_Measuring):
    """How folders of predictions are measured before they are compared."""

    _: KW_ONLY
    reference: Annotated[
        str | Path | None,
        Option("What folders of predictions are measured against.", "REFERENCE", form=whole_path),
    ] = None

    @property
    def evaluation(self) -> EvaluationSettings | None:
        """How predictions are evaluated; None: there is nothing to measure them against."""
        if self.reference is None:
            return None
        return EvaluationSettings(
            self.reference,
            "",
            classes=self.classes,
            tolerance=self.tolerance,
            both_empty=self.both_empty,
            only_predicted=self.only_predicted,
            confidence=self.confidence,
        )
