"""What an audit is asked to do. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated

from aleaseg.errors import UsageError
from aleaseg.settings import (
    DatasetSettings,
    Device,
    Option,
    Seed,
    path_unless,
    table_or_regex,
    whole_path,
)

__all__ = ["SCENARIOS", "AuditOfFolder", "AuditSettings"]

SCENARIOS = {"a": "raw", "b": "raw", "c": "foreground", "d": "foreground"}
"""Table 5 of arXiv 2604.10963: raw (X-hat) or mask-normalised (X) input; a and c cut by all classes, b and d by one."""


def two_numbers(value: str | tuple[float, float] | list[float]) -> tuple[float, float]:
    """`LOW,HIGH`, or two numbers already."""
    try:
        low, high = (float(part) for part in (value.split(",") if isinstance(value, str) else value))
    except ValueError as error:
        raise UsageError(f"--window {value}: expected two numbers, LOW,HIGH, such as -160,240") from error
    return low, high


@dataclass(frozen=True)
class AuditSettings(DatasetSettings):
    """What decides the numbers of a run, and three things that do not: `accept_licence`, `cache` and `refit`."""

    _: KW_ONLY
    predictions: Annotated[
        str | Path,
        Option(
            "crossfit; own: as --fast; or a folder of out-of-fold predictions.",
            "crossfit|own|FOLDER",
            form=path_unless("crossfit", "own"),
        ),
    ] = "crossfit"
    extractor: Annotated[
        str,
        Option(
            "What S and AUV come from: auto, own, task, variance, medsam2, mobilesam, segvol, universal, nnunet.",
            "NAME",
        ),
    ] = "auto"
    prompt: Annotated[
        str, Option("What tells the extractor where to look; default: its own.", "PROMPT")
    ] = ""
    normalize: Annotated[str, Option("raw, or foreground: by each case's own mask.", "raw|foreground")] = ""
    scenario: Annotated[
        str | None,
        Option(
            "Input as in the paper: a, b raw; c, d foreground; b, d: one class.", choices=tuple(SCENARIOS)
        ),
    ] = None
    weights: Annotated[
        str | Path | None,
        Option(
            "The extractor's weights, a file or folder; random: untrained.",
            "PATH|random",
            form=path_unless("random"),
        ),
    ] = None
    window: Annotated[
        tuple[float, float] | None,
        Option("Grey range of the raw image, such as -160,240.", "LOW,HIGH", form=two_numbers),
    ] = None
    channel: Annotated[
        str | int | None, Option("The channel that a model with one channel sees.", "NAME|NUMBER", form=str)
    ] = None
    pixels: Annotated[
        int | None,
        Option("Side of the image the extractor sees, in pixels; default: its own.", "NUMBER", least=1),
    ] = None
    precision: Annotated[
        str, Option("Precision of the extractor.", choices=("auto", "float32", "bfloat16"))
    ] = "auto"
    accept_licence: Annotated[bool, Option("You accept the licence of restricted weights.", free=True)] = (
        False
    )
    cache: Annotated[
        str | Path | None,
        Option("A folder in which class maps are kept.", "FOLDER", form=whole_path, free=True),
    ] = None
    folds: Annotated[
        int | None,
        Option("Folds of cross-fitting; default: 3, or 5 with fewer than 100 cases.", least=2),
    ] = None
    steps: Annotated[int | None, Option("Training steps of each fold; default: by the data.", least=1)] = (
        None
    )
    budget: Annotated[
        float | None,
        Option("A cap in minutes; training stops early when it is used up.", "MINUTES", least=0.1),
    ] = None
    groups: Annotated[
        str | None,
        Option("Cases that share a fold: a regex on ids, or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    sites: Annotated[
        str | None,
        Option("Where scans come from: a regex or a CSV.", "REGEX|CSV", form=table_or_regex),
    ] = None
    device: Device = "auto"
    seed: Seed = 0
    reference: Annotated[
        str | PathLike[str] | None, Option("A run to compare these cases with.", "RUN", form=whole_path)
    ] = None
    refit: Annotated[
        bool,
        Option(
            "Compare all cases anew; otherwise new cases are compared with the population as it was.",
            free=True,
        ),
    ] = False
    measures: Annotated[
        str,
        Option(
            "all: every other measure too, in every_measure.csv; takes longer.",
            choices=("default", "all"),
        ),
    ] = "default"

    @property
    def normalization(self) -> str:
        """`raw` or `foreground`, of the scenario where one is given; empty: the extractor's default."""
        if self.scenario is None:
            return self.normalize
        meant = SCENARIOS[self.scenario]
        if self.normalize not in ("", meant):
            raise UsageError(
                f"--scenario {self.scenario} means --normalize {meant}, and --normalize {self.normalize} was "
                "given too; leave one of them out"
            )
        return meant


@dataclass(frozen=True)
class AuditOfFolder(AuditSettings):
    """What a person types, or calls `aleaseg.audit` with: the settings, and the folder of the run."""

    out: Annotated[
        str | Path,
        Option("The run's folder; new, or one to resume.", "RUN", ("--out", "-o"), free=True),
    ]
