"""How a network is trained: how long, how fast, and from which seed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aleaseg.training.augment import Augmentation

__all__ = ["Schedule", "default_steps"]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        steps: of the optimiser.
        batch: patches a step.
        learning_rate: at the start; falls as (1 - progress)^0.9.
        seed: of everything random.
        seconds: the most that training may take; None: no limit. Where it bites
            the learning rate still reaches its end, but numbers depend on the machine.
        checkpoint_every: steps between checkpoints.
        optimizer: `adamw`, or `sgd` as nnU-Net has it (Nesterov momentum 0.99, weight decay 3e-5).
        epoch_steps: steps of an epoch; None: an epoch is a pass over the cases.
        augmentation: `light`, or `strong` as nnU-Net changes its patches.
        precision: `float32`, or `bfloat16` where an operation bears it.
        workers: processes that make batches ahead of time; they change no number.
    """

    steps: int
    batch: int
    learning_rate: float = 3e-3
    seed: int = 0
    seconds: float | None = None
    checkpoint_every: int = 25
    optimizer: Literal["adamw", "sgd"] = "adamw"
    epoch_steps: int | None = None
    augmentation: Augmentation = "light"
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = 0

    def decide(self) -> dict[str, Any]:
        """What decides the numbers."""
        free = ("seconds", "checkpoint_every", "workers")
        return {name: value for name, value in asdict(self).items() if name not in free}

    def epochs_at(self, step: int, cases: int) -> int:
        """How many epochs have ended after so many steps; a last, shorter one ends with the training."""
        if self.epoch_steps is None:
            return step * self.batch // cases
        return -(-step // self.epoch_steps) if step == self.steps else step // self.epoch_steps


def default_steps(training_cases: int, classes: int, batch: int) -> int:
    """How many steps a fold trains for: a rule on the data.

    About six looks at each training case; more classes take longer to tell
    apart; never fewer than 375 steps or more than 3000. On a CPU small
    batches teach more in the same time (benchmarks/audit.md).

    Args:
        training_cases: of one fold.
        classes: foreground label values.
        batch: cases a step.
    """
    steps = 6 * training_cases / batch * (1 + 0.1 * math.log2(max(1, classes)))
    return int(min(3000, max(375, 10 * round(steps / 10))))
