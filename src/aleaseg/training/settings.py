"""What a training, and a prediction, are asked to do. Light: the command line reads it for its help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from aleaseg.errors import UsageError
from aleaseg.settings import (
    Argument,
    DatasetSettings,
    Device,
    Option,
    Settings,
    table_or_regex,
    whole_path,
    whole_paths,
)

if TYPE_CHECKING:
    from aleaseg.training.augment import Augmentation

__all__ = ["PRESETS", "PredictSettings", "TrainerSettings", "TrainingProtocol", "edges", "schedule"]


@dataclass(frozen=True)
class TrainingProtocol:
    """A protocol.

    Attributes:
        network, size: of `aleaseg.networks`.
        full: at the data's own resolution (nnU-Net's rule of the median spacing), patches of a fixed size;
            else on the small working grid of cross-fitting.
        edge: of the patch, in voxels, by the number of axes; where `full`.
        batch: patches a step, by the number of axes.
        optimizer, learning_rate, augmentation: of `aleaseg.training.schedule.Schedule`.
        epochs: how many.
        iterations: steps of an epoch; None: a tenth of what a rule on the data gives (`default_steps`).
        deep_supervision: losses of several resolutions, where the network has them.
    """

    network: str
    size: str
    full: bool
    edge: dict[int, int]
    batch: dict[int, int]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: float
    augmentation: Augmentation
    epochs: int
    iterations: int | None
    deep_supervision: bool


PRESETS = {
    "small": TrainingProtocol(
        network="small",
        size="tiny",
        full=False,
        edge={},
        batch={2: 4, 3: 2},
        optimizer="adamw",
        learning_rate=3e-3,
        augmentation="light",
        epochs=10,
        iterations=None,
        deep_supervision=False,
    ),
    "paper": TrainingProtocol(
        network="unet",
        size="paper",
        full=True,
        edge={2: 512, 3: 96},
        batch={2: 12, 3: 2},
        optimizer="sgd",
        learning_rate=0.01,
        augmentation="strong",
        epochs=100,
        iterations=250,
        deep_supervision=True,
    ),
}
"""`small`: as cross-fitting trains, minutes on a CPU. `paper`: section 4 of arXiv 2604.10963, hours on a GPU;
what it leaves open (iterations, momentum, augmentation, everything in 2D) is nnU-Net's."""


def _way(value: str) -> str:
    """A way to learn from confidences, one form for what says the same; what else is typed is refused."""
    from aleaseg.training.targets import parse_strategy

    return str(parse_strategy(value))


def edges(value: str | Sequence[int]) -> tuple[int, ...]:
    """`D,H,W`, or numbers already."""
    try:
        return tuple(int(part) for part in (value.split(",") if isinstance(value, str) else value))
    except ValueError as error:
        raise UsageError(
            f"--patch {value}: expected two or three edges in voxels, such as 96,96,96"
        ) from error


@dataclass(frozen=True)
class TrainerSettings(DatasetSettings):
    """What decides the numbers of a training; written whole into its manifest."""

    preset: Annotated[
        str,
        Option("small: minutes on a CPU; paper: the paper's protocol, for a GPU.", choices=tuple(PRESETS)),
    ] = "small"
    network: Annotated[str, Option("small, unet, swin_unetr or umamba; default: the preset's.", "NAME")] = (
        ""
    )
    size: Annotated[str, Option("Size of the network, paper or tiny; default: the preset's.", "NAME")] = ""
    objective: Annotated[
        str, Option("plain, duo, rw, en, edl, sure, ...; rw:alpha=1 sets a parameter.", "NAME")
    ] = "plain"
    labels: Annotated[
        str | None,
        Option(
            "Learn from confidences: threshold:.6, soft, weight, ignore:.2,.6, multi, regress, sample; default: learn "
            "the label, or threshold:.6 if there is none.",
            "WAY",
            form=_way,
        ),
    ] = None
    dropout: Annotated[
        float, Option("Share of channels dropped after every activation, for predict --passes.", "SHARE")
    ] = 0.0
    selection: Annotated[
        str | Path | None,
        Option("Leave out what this selection drops: a run, or its files.", "RUN|FILE", form=whole_path),
    ] = None
    split: Annotated[
        str | Path | None,
        Option("A splits_final.json; default: a fifth is held out.", "FILE", form=whole_path),
    ] = None
    fold: Annotated[int, Option("Which fold of the split.", least=0)] = 0
    held_out: Annotated[float, Option("Share held out if no split is given; 0: none.")] = 0.2
    epochs: Annotated[int | None, Option("Number of epochs; default: the preset's.", least=1)] = None
    steps: Annotated[int | None, Option("Steps in all; default: the preset's.", least=1)] = None
    patch: Annotated[
        tuple[int, ...] | None,
        Option("Edges in voxels; default: the preset's.", "D,H,W", form=edges),
    ] = None
    batch: Annotated[int | None, Option("Patches per step; default: the preset's.", least=1)] = None
    learning_rate: Annotated[
        float | None, Option("Learning rate at the start; default: the preset's.", "RATE")
    ] = None
    groups: Annotated[
        str | None,
        Option(
            "Cases that stay on one side of the split: a regex on ids, or a CSV.",
            "REGEX|CSV",
            form=table_or_regex,
        ),
    ] = None
    device: Device = "auto"
    precision: Annotated[
        str, Option("auto: bfloat16 on a GPU that supports it.", choices=("auto", "float32", "bfloat16"))
    ] = "auto"
    seed: Annotated[int, Option("Seed of weights and batches, not of the split.", least=0)] = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        from aleaseg.training.objectives import refuse_labels, settings_of
        from aleaseg.training.targets import parse_strategy

        super().__post_init__()
        try:
            settings_of(self.objective)
            if self.labels is not None:
                refuse_labels(self.objective, parse_strategy(self.labels))
        except ValueError as error:
            raise UsageError(str(error)) from error
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; expected a share, 0 or more, below 1")
        if not 0 <= self.held_out < 1:
            raise UsageError(
                f"held_out is {self.held_out}; expected a part of the cases, 0 or more, below 1"
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning_rate is {self.learning_rate}; expected a number above 0")
        if self.patch is not None and (len(self.patch) not in (2, 3) or min(self.patch) < 1):
            raise UsageError(
                f"patch is {self.patch}; expected two or three edges in voxels, such as 96,96,96"
            )

    @property
    def protocol(self) -> TrainingProtocol:
        """The preset."""
        return PRESETS[self.preset]


def _noise(value: str | float | Sequence[float]) -> tuple[float, float]:
    """`0.3` (sigma), `mu=0.1,sigma=0.3`, or (mean, sigma) already."""
    try:
        if isinstance(value, str) and "=" in value:
            named = dict(part.split("=", 1) for part in value.split(","))
            found = float(named.pop("mu", 0)), float(named.pop("sigma", 0))
            if named:
                raise ValueError(named)
        else:
            found = (0.0, float(value)) if isinstance(value, str | float | int) else (value[0], value[1])
        if not (math.isfinite(found[0]) and 0 <= found[1] < math.inf):
            raise ValueError(found)
    except (ValueError, TypeError, IndexError) as error:
        raise UsageError(
            f"--noise {value}: expected its standard deviation, such as 0.3, or mu=0.1,sigma=0.3, in units of the "
            "normalised image"
        ) from error
    return found


@dataclass(frozen=True)
class PredictSettings(Settings):
    """What is predicted by what."""

    model: Annotated[
        str | Path,
        Argument("A folder made by train, or a run with cross-fitting.", "MODEL", form=whole_path),
    ]
    images: Annotated[
        str | Path, Argument("A data set, a folder of images, or one image.", "IMAGES", form=whole_path)
    ]
    probabilities: Annotated[bool, Option("Also write CASE.npz: probabilities and uncertainty.")] = False
    members: Annotated[
        tuple[str, ...],
        Option("More models, for an ensemble of all.", "MODEL,MODEL", names=("--with",), form=whole_paths),
    ] = ()
    passes: Annotated[int, Option("Mean of this many passes with dropout; 0: one without.", least=0)] = 0
    flips: Annotated[bool, Option("Mean over the image mirrored along every axis.")] = False
    noise: Annotated[
        tuple[float, float] | None,
        Option("Noise added to the image: 0.3, or mu=0.1,sigma=0.3.", "SIGMA", form=_noise),
    ] = None
    seed: Annotated[int, Option("Seed of noise and dropout.", least=0)] = 0
    held_out: Annotated[bool, Option("Only the cases that the training held out.")] = False
    device: Device = "auto"


def schedule(settings: TrainerSettings, rule: int) -> tuple[int, int]:
    """(steps in all, steps of an epoch).

    Args:
        settings: what is asked of `epochs` and `steps`; where both are, the steps are shared out.
        rule: steps that suit the data, for a preset that has no number of its own.

    >>> schedule(TrainerSettings("", "paper"), 0), schedule(TrainerSettings("", "paper", steps=600), 0)
    ((25000, 250), (600, 250))
    >>> schedule(TrainerSettings(""), 250), schedule(TrainerSettings("", epochs=3, steps=7), 250)
    ((250, 25), (7, 3))
    """
    epochs, protocol = settings.epochs or settings.protocol.epochs, settings.protocol
    usual = protocol.iterations or math.ceil(rule / protocol.epochs)
    if settings.steps is None:
        return epochs * usual, usual
    shared = settings.epochs is not None or protocol.iterations is None
    iterations = math.ceil(settings.steps / epochs) if shared else min(usual, settings.steps)
    return settings.steps, iterations
