"""What a training is asked to do: presets, and what is said beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from aleaseg.errors import UsageError
from aleaseg.training.augment import Augmentation

__all__ = ["PRESETS", "TrainerSettings", "TrainingProtocol", "schedule"]


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
        batch={2: 8, 3: 4},
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


@dataclass(frozen=True)
class TrainerSettings:
    """What decides the numbers of a training; written whole into its manifest.

    Attributes:
        dataset: the folder.
        preset: of `PRESETS`.
        network, size: empty: the preset's.
        objective: of `aleaseg.training.objective.OBJECTIVES`, with `:alpha=1` and the like behind it.
        selection: what leaves cases out of the training: a run with a selection, its folder `selection`,
            the manifest or the CSV in it; or a splits_final.json, which is then the split.
        split: a splits_final.json; None: a fifth of the cases is held out, whole groups, always the same.
        fold: which of its folds.
        held_out: share of the cases that is held out where no split is given; 0: none.
        epochs, steps: how many, in all; None: the preset's.
        patch: edges in voxels; None: the preset's.
        batch, learning_rate: None: the preset's.
        groups, classes: as `open_dataset` takes them.
        device: `auto`, `cpu` or `cuda`.
        precision: `float32`, `bfloat16`, or `auto`: the latter on a GPU that has it.
        seed: of weights, batches and noise; the split is another matter.
    """

    dataset: str
    preset: str = "small"
    network: str = ""
    size: str = ""
    objective: str = "plain"
    selection: str | None = None
    split: str | None = None
    fold: int = 0
    held_out: float = 0.2
    epochs: int | None = None
    steps: int | None = None
    patch: tuple[int, ...] | None = None
    batch: int | None = None
    learning_rate: float | None = None
    groups: str | None = None
    classes: str | None = None
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.preset not in PRESETS:
            raise UsageError(f"unknown preset {self.preset!r}; expected one of: {', '.join(PRESETS)}")
        from aleaseg.training.objective import settings_of

        try:
            settings_of(self.objective)
        except ValueError as error:
            raise UsageError(str(error)) from error
        for name in ("epochs", "steps", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
        if self.seed < 0 or self.fold < 0:
            raise UsageError(f"seed is {self.seed} and fold {self.fold}; expected 0 or more")
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
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"unknown precision {self.precision!r}; expected auto, float32 or bfloat16")

    @property
    def protocol(self) -> TrainingProtocol:
        """The preset."""
        return PRESETS[self.preset]


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
