"""What the benches are asked to do. Light: the command line reads it for its help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Self

from aleaseg.errors import UsageError
from aleaseg.evaluation.settings import thresholds
from aleaseg.settings import DatasetSettings, Option, table_or_regex
from aleaseg.training.settings import edges

if TYPE_CHECKING:
    from aleaseg.predictions.crossfit import CrossfitSettings

__all__ = ["BenchSettings", "ConfidenceSettings", "DetectSettings", "DownstreamSettings", "RatersSettings"]


@dataclass(frozen=True)
class BenchSettings(DatasetSettings):
    """What decides the numbers of any bench; written whole into its manifest."""

    _: KW_ONLY
    first: Annotated[int, Option("Seed of the first draw; the others follow.", least=0)] = 0
    folds: Annotated[int, Option("Folds of cross-fitting.", least=2)] = 3
    steps: Annotated[int | None, Option("Training steps of each fold; default: by the data.", least=1)] = (
        None
    )
    groups: Annotated[
        str | None,
        Option("Cases that share a fold: a regex on ids, or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    device: Annotated[str, Option("Where networks run.", choices=("auto", "cpu", "cuda"))] = "auto"

    def settled(self) -> Self:
        """The same, with the device that `auto` stands for: where the networks of this call run, here or elsewhere.

        Raises:
            UsageError: a GPU is asked for, and there is none.
        """
        from aleaseg.work import choose_device

        return replace(self, device=choose_device(self.device, here=False))

    def crossfit(self, draw: int) -> CrossfitSettings:
        """How the networks of a draw are fitted."""
        from aleaseg.predictions.crossfit import CrossfitSettings

        return CrossfitSettings(
            folds=self.folds,
            steps=self.steps,
            seed=draw,
            device=self.settled().device,
            inside=True,
        )


@dataclass(frozen=True)
class DetectSettings(BenchSettings):
    """Of the bench that asks which measure finds which fault."""

    _: KW_ONLY
    draws: Annotated[int, Option("How often faults are assigned anew.", least=1)] = 3
    share: Annotated[float, Option("Share of the cases that are given a fault.")] = 0.2
    swap_in: Annotated[
        bool,
        Option("Also test every fault at every strength.", names=("--swap-in/--no-swap-in",), free=True),
    ] = True
    objective: Annotated[
        str, Option("What the training of the folds minimises: plain, edl, sure, ...", "NAME")
    ] = "plain"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        _check_share("share", self.share)
        if self.objective != "plain":  # others need torch to be known
            _check_objective(self.objective)

    def crossfit(self, draw: int) -> CrossfitSettings:
        """How the networks of a draw are fitted."""
        return replace(super().crossfit(draw), objective=self.objective)

    @property
    def numbers(self) -> range:
        """The seeds of the draws."""
        return range(self.first, self.first + self.draws)


@dataclass(frozen=True)
class RatersSettings(BenchSettings):
    """Of the bench that holds measures against several raters, who outline one thing: no classes to choose."""

    _: KW_ONLY
    classes: None = None


def _check_share(name: str, share: float) -> None:
    """Refuse what is no part of the cases.

    Raises:
        UsageError: it is 0 or less, or 1 or more.
    """
    if not 0 < share < 1:
        raise UsageError(f"{name} is {share}; expected a part of the cases, above 0 and below 1")


def _check_objective(name: str) -> None:
    """Refuse an objective that there is not.

    Raises:
        UsageError: with those that there are.
    """
    from aleaseg.training.objectives import settings_of

    try:
        settings_of(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _named(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))


@dataclass(frozen=True)
class DownstreamSettings(BenchSettings):
    """Of the bench that asks whether leaving the doubtful out helps.

    `first` is the seed of the split, the faults, the cross-fitting and the choices by lot; `steps` are those
    of every training.
    """

    _: KW_ONLY
    share: Annotated[float, Option("Share of the training cases that are given a fault; 0: none.")] = 0.4
    leave_out: Annotated[
        float | None, Option("Share that each choice leaves out; default: as many as are faulty.")
    ] = None
    objectives: Annotated[
        str, Option("How networks are trained: plain, duo, rw, en, ...; the first is the baseline.", "A,B")
    ] = "plain"
    held_out: Annotated[float, Option("Share of the cases in the clean test part, in whole groups.")] = 0.25
    measures: Annotated[str, Option("Measures that decide what is left out; empty: none.", "A,B")] = (
        "doubt, label_doubt, softmin, auv, auv/foreground"
    )
    randoms: Annotated[int, Option("Number of random choices.", least=1)] = 2
    trainings: Annotated[int, Option("Trainings of each choice, from the seeds 0, 1, ...", least=1)] = 3

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        from aleaseg.scoring.catalogue import MEASURES

        super().__post_init__()
        if self.share != 0:
            _check_share("share", self.share)
        elif self.leave_out is None:
            raise UsageError(
                "share is 0, so no case is faulty; say with leave_out how many are to be left out"
            )
        if self.leave_out is not None:
            _check_share("leave_out", self.leave_out)
        _check_share("held_out", self.held_out)
        for name in self.ways:
            _check_objective(name)
        unknown = [name for name in self.names if name not in MEASURES]
        if unknown:
            raise UsageError(f"unknown measures {', '.join(unknown)}; known are {', '.join(MEASURES)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The measures."""
        return _named(self.measures)

    @property
    def ways(self) -> tuple[str, ...]:
        """The objectives."""
        return _named(self.objectives) or ("plain",)

    @property
    def seeds(self) -> range:
        """Of the trainings."""
        return range(self.trainings)


def _ways(value: str | Sequence[str]) -> tuple[str, ...]:
    """Ways to learn from confidences, each once; `threshold:.5,ignore:.2,.6`, or several already."""
    from aleaseg.training.targets import parse_strategy

    # A way begins with a letter, and what belongs to it with a number.
    parts = re.split(r",(?=\s*[a-z])", value) if isinstance(value, str) else value
    return tuple(dict.fromkeys(str(parse_strategy(part)) for part in parts if part.strip()))


@dataclass(frozen=True)
class ConfidenceSettings(BenchSettings):
    """Of the bench that learns from confidences in every way, and holds each against every reference."""

    _: KW_ONLY
    first: Annotated[int, Option("Seed of the folds, and of the first training.", least=0)] = 0
    folds: Annotated[
        int, Option("Folds, by group; each case is predicted by the model that held it out.", least=2)
    ] = 3
    steps: Annotated[int | None, Option("Steps of each training; default: by the data.", least=1)] = None
    labels: Annotated[
        tuple[str, ...] | None,
        Option(
            "Ways to learn, as in train --labels; default: the thresholds that the data can tell apart, and "
            "every other way.",
            "WAY,WAY",
            form=_ways,
        ),
    ] = None
    at: Annotated[
        tuple[float, ...] | None,
        Option(
            "References: the voxels whose confidence reaches these; default: the thresholds that the data can tell "
            "apart.",
            "T,T",
            form=thresholds,
        ),
    ] = None
    seeds: Annotated[int, Option("Trainings of each way and fold.", least=1, free=True)] = 3
    network: Annotated[str, Option("small, unet, swin_unetr or umamba.", "NAME")] = "small"
    size: Annotated[str, Option("Size of the network, paper or tiny.", "NAME")] = "tiny"
    patch: Annotated[
        tuple[int, ...] | None,
        Option("Edges of a patch in voxels; default: by the data.", "D,H,W", form=edges),
    ] = None
    batch: Annotated[int | None, Option("Patches per step; default: 8 in 2D, 4 in 3D.", least=1)] = None
    learning_rate: Annotated[
        float | None, Option("Learning rate at the start; default: 0.003.", "RATE")
    ] = None

    @property
    def numbers(self) -> range:
        """The seeds of the trainings."""
        return range(self.first, self.first + self.seeds)
