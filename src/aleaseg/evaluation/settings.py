"""What an evaluation, and a comparison, are asked to do. Light: the command line reads it for its help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from aleaseg.errors import UsageError
from aleaseg.settings import (
    Argument,
    DatasetSettings,
    Fusion,
    Option,
    Scale,
    Settings,
    table_or_regex,
    whole_path,
    whole_paths,
)

__all__ = ["CompareSettings", "EvaluationSettings", "OutcomeSettings", "thresholds"]


def thresholds(value: str | Sequence[float]) -> tuple[float, ...]:
    """Rising, each once: `.5,.6`, or numbers already."""
    try:
        found = tuple(sorted({float(t) for t in (value.split(",") if isinstance(value, str) else value)}))
    except ValueError as error:
        raise UsageError(f"--at {value}: expected confidences such as .5,.6,.8") from error
    if not found or not all(0 < t <= 1 for t in found):
        raise UsageError(
            f"--at {value}: expected confidences above 0 and up to 1, such as .5,.6,.8 (60% is .6)"
        )
    return found


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
    tolerance: Annotated[str, Option("Tolerance of NSD in mm; by class: 1,tumour=2.", "MM[,CLASS=MM]")] = (
        "1"
    )
    both_empty: Annotated[
        str,
        Option(
            "A class that neither mask has is left out, or counts as perfect.",
            choices=("skip", "perfect"),
        ),
    ] = "skip"
    only_predicted: Annotated[
        bool, Option("Leave out cases without a prediction; otherwise each is an error.")
    ] = False
    at: Annotated[
        tuple[float, ...] | None,
        Option(
            "Also compare with the voxels whose confidence reaches these: .5,.6,.8.", "T,T", form=thresholds
        ),
    ] = None
    scale: Scale = None
    fuse: Fusion = None
    confidence: Annotated[
        str | Path | None,
        Option("Test whether this ranks the bad cases: a run, or a CSV.", "RUN|CSV", form=whole_path),
    ] = None


def _cues(value: str | Sequence[str]) -> tuple[str, ...]:
    """`A,B`, or names already; each once, in the order that the tables have."""
    known = ("gradient", "distance", "noise")
    asked = {part.strip() for part in (value.split(",") if isinstance(value, str) else value)} - {""}
    wrong = sorted(asked - set(known))
    if wrong:
        raise UsageError(f"--cues: there is no cue {wrong[0]!r}; expected some of {', '.join(known)}")
    return tuple(name for name in known if name in asked)


@dataclass(frozen=True)
class EvaluationSettings(_Measuring):
    """What decides the numbers of an evaluation, and `against`, which decides none of them."""

    reference: Annotated[
        str | Path, Argument("A data set with labels, or a folder of masks.", "REFERENCE", form=whole_path)
    ]
    predictions: Annotated[
        str | Path,
        Argument(
            "A folder of predicted masks, with .npz next to them if you have any.",
            "PREDICTIONS",
            form=whole_path,
        ),
    ]
    _: KW_ONLY
    cues: Annotated[
        tuple[str, ...],
        Option("Test whether uncertainty follows these: gradient,distance,noise.", "A,B", form=_cues),
    ] = ()
    noisy: Annotated[
        tuple[str, ...],
        Option(
            "Predictions of noisy images (predict --noise), for distance and noise.",
            "FOLDER,FOLDER",
            form=whole_paths,
        ),
    ] = ()
    against: Annotated[
        str | Path | None,
        Option("Other predictions, or their evaluation, to compare with.", "OTHER", form=whole_path),
    ] = None

    def __post_init__(self) -> None:
        """Refuse cues that nothing can tell.

        Raises:
            UsageError: distance or noise without predictions of noisy images, or these without a cue.
        """
        super().__post_init__()
        if {"distance", "noise"} & set(self.cues) and not self.noisy:
            raise UsageError(
                "--cues distance and noise compare with predictions of noisy images: predict once more with "
                "--noise 0.3 --probabilities, and give the folder with --noisy"
            )
        if self.noisy and not self.cues:
            raise UsageError("--noisy is given, and no cue; expected --cues gradient,distance,noise")


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
            at=self.at,
            scale=self.scale,
            fuse=self.fuse,
        )


@dataclass(frozen=True)
class OutcomeSettings(DatasetSettings):
    """What decides how well masks predict a target."""

    # Told here again, so that it is typed first.
    dataset: Annotated[
        str | Path, Argument("The data set with the images of the patients.", "DATASET", form=whole_path)
    ]
    predictions: Annotated[
        str | Path,
        Argument(
            "A folder of predicted masks, of patients that the model never saw.",
            "PREDICTIONS",
            form=whole_path,
        ),
    ]
    _: KW_ONLY
    target: Annotated[
        str | Path, Option("A CSV: patient (or case), target, and covariates.", "CSV", form=whole_path)
    ]
    task: Annotated[
        str | None,
        Option(
            "regression or classification; default: classification if the target has few values.",
            "TASK",
            choices=("regression", "classification"),
        ),
    ] = None
    groups: Annotated[
        str | None,
        Option("The patient of a case: a regex on ids, or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    at: Annotated[
        tuple[float, ...] | None,
        Option(
            "Also use masks of the voxels whose confidence reaches these: .5,.6,.8.", "T,T", form=thresholds
        ),
    ] = None
    folds: Annotated[int, Option("By patient.", least=2)] = 5
    repeats: Annotated[int, Option("How often the folds are drawn anew.", least=1)] = 5
    permutations: Annotated[int, Option("How often targets are shuffled; 0: never.", least=0)] = 100
    seed: Annotated[int, Option("Seed of folds and permutations.", least=0)] = 0
