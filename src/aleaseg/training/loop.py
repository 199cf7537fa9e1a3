"""One training loop: resumable at any step, the same numbers from the same seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import AleasegError
from aleaseg.training.batches import Batch, Batches
from aleaseg.training.checkpoint import Checkpoint, Progress
from aleaseg.training.copies import WorkingCopy, copy_of
from aleaseg.training.plan import TrainingPlan
from aleaseg.training.schedule import Schedule
from aleaseg.training.targets import Strategy

if TYPE_CHECKING:
    import torch

    from aleaseg.training.objective import Objective

__all__ = ["Epoch", "draw_network", "fit", "fit_plan"]

OnStep = Callable[[int, float], None]


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        number: 1, 2, ...
        step: steps done.
        loss: mean over its steps.
        learning_rate: of its last step.
        seconds: of the whole training so far.
        seen: (2, classes) weights and scales, means over its steps, where the objective has them.
    """

    number: int
    step: int
    loss: float
    learning_rate: float
    seconds: float
    seen: NDArray[np.float64] | None


OnEpoch = Callable[[Epoch], None]


def draw_network(plan: TrainingPlan) -> torch.nn.Module:
    """The network of a plan with the weights that its seed draws, ready to be trained."""
    import torch

    torch.manual_seed(plan.schedule.seed)
    return plan.build(train=True)


def fit_plan(
    plan: TrainingPlan,
    network: torch.nn.Module,
    copies: Path,
    *,
    checkpoint: Path,
    device: str = "cpu",
    on_step: OnStep = lambda step, loss: None,
    on_epoch: OnEpoch = lambda epoch: None,
) -> dict[str, Any]:
    """Do what a plan says, from the checkpoint if there is one.

    Args:
        plan: what is trained on, how, and what is made small.
        network: of `draw_network`, trained in place.
        copies: folder of the working copies.
        checkpoint: where the state is kept on the way.
        device: `cpu` or `cuda`.
        on_step: called with the steps done and the loss.
        on_epoch: called at the end of each epoch.

    Returns:
        The report of `fit`, whose errors these are.
    """
    from aleaseg.training.objectives import make_objective, settings_of

    grid = plan.preprocessing.grid
    objective = make_objective(
        settings_of(plan.objective),
        network,
        plan.train,
        len(plan.preprocessing.values) if plan.regions is None else len(plan.regions),
        seed=plan.schedule.seed,
        spacing_mm=grid.spacing_mm,
        labels=plan.strategy,
    )
    return fit(
        network,
        [copy_of(copies, case) for case in plan.train],
        grid.patch,
        plan.schedule,
        checkpoint=checkpoint,
        device=device,
        objective=objective,
        labels=plan.strategy,
        on_step=on_step,
        on_epoch=on_epoch,
    )


def fit(
    network: torch.nn.Module,
    cases: Sequence[WorkingCopy],
    patch: Sequence[int],
    schedule: Schedule,
    *,
    checkpoint: Path,
    device: str = "cpu",
    objective: Objective | None = None,
    labels: Strategy | None = None,
    on_step: OnStep = lambda step, loss: None,
    on_epoch: OnEpoch = lambda epoch: None,
) -> dict[str, Any]:
    """Train, from the checkpoint if there is one.

    Args:
        network: trained in place; gives logits, or in training a list of them, finest first.
        cases: on the working grid.
        patch: what the network sees.
        schedule: how.
        checkpoint: where the state is kept on the way; removed by nobody.
        device: `cpu` or `cuda`.
        objective: what is made small, made for this network; None: the plain one.
        labels: how confidences are learnt; None: the label is.
        on_step: called with the steps done and the loss.
        on_epoch: called at the end of each epoch.

    Returns:
        steps (done), stopped_by_budget, seconds, loss (mean of the last tenth).

    Raises:
        AleasegError: loss or weights are no finite numbers, or a checkpoint cannot be written; the last one is kept.
        UsageError: the checkpoint is damaged, or that of another network or training.
    """
    import torch

    from aleaseg.training.objectives import make_objective

    torch.manual_seed(schedule.seed)
    step = _Step(
        network.to(device).train(),
        (make_objective(None, network, (), 0, labels=labels) if objective is None else objective)
        .to(device)
        .train(),
        schedule,
        device,
    )
    kept = Checkpoint(checkpoint, schedule, patch, step.parts)
    done, out_of_time = _go_on(
        step, Batches(cases, patch, schedule, step.objective.maps, labels), kept, on_step, on_epoch
    )
    tail = done.losses[-max(1, len(done.losses) // 10) :]
    return {
        "steps": done.step,
        "stopped_by_budget": out_of_time,
        "seconds": round(done.seconds, 1),
        "loss": float(np.mean(tail)) if tail else None,
    }


def _go_on(
    step: _Step,
    made: Batches,
    kept: Checkpoint,
    on_step: OnStep,
    on_epoch: OnEpoch,
) -> tuple[Progress, bool]:
    """From the checkpoint to the last step; how far it came, and whether the time was up."""
    schedule = step.schedule
    done = kept.load(step.device)
    began = time.monotonic() - done.seconds
    batches, cases = made.after(done.step), len(made.cases)
    out_of_time = False
    while done.step < schedule.steps and not (out_of_time := _out_of_time(schedule, done)):
        progress = _progress(schedule, done)
        rate = schedule.learning_rate * max(1 - progress, 0.01) ** 0.9
        done.losses.append(step(replace(next(batches), progress=progress), rate))
        done.seen.append(step.objective.seen())
        done.step += 1
        done.seconds = time.monotonic() - began
        epochs = schedule.epochs_at(done.step, cases)
        ended = epochs > schedule.epochs_at(done.step - 1, cases)
        if ended:
            step.objective.end_epoch()
        # Before the checkpoint: what is killed while it looks at a step comes to that step again.
        on_step(done.step, done.losses[-1])
        if ended:
            loss = float(np.mean(done.losses[-len(done.seen) :]))
            on_epoch(Epoch(epochs, done.step, loss, rate, done.seconds, _mean(done.seen)))
            step.network.train()
            done.seen = []
        done.seconds = time.monotonic() - began
        if done.step % schedule.checkpoint_every == 0:
            kept.save(done)
    kept.save(done)
    return done, out_of_time


def _progress(schedule: Schedule, done: Progress) -> float:
    """How far a training is, by its steps or by its time."""
    elapsed = 0.0 if schedule.seconds is None else done.seconds / schedule.seconds
    return max(done.step / schedule.steps, elapsed)


def _out_of_time(schedule: Schedule, done: Progress) -> bool:
    # The first steps show nothing yet; a fold that saw no step at all would be random.
    return schedule.seconds is not None and done.seconds >= schedule.seconds and done.step >= 10


class _Step:
    """One step of the optimiser."""

    def __init__(
        self, network: torch.nn.Module, objective: Objective, schedule: Schedule, device: str
    ) -> None:
        self.network, self.objective, self.schedule, self.device = network, objective, schedule, device
        self.trained = [*network.parameters(), *objective.parameters()]
        self.optimizer = _optimizer(self.trained, schedule)
        self.parts = {"network": network, "objective": objective, "optimizer": self.optimizer}

    def __call__(self, batch: Batch, rate: float) -> float:
        """Take it; returns the loss."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seed, number = batch.seed
        # What a network draws (dropout) is the step's own, as its batch is.
        torch.manual_seed(seed * 1_000_003 + number)
        with torch.autocast(
            torch.device(self.device).type, torch.bfloat16, self.schedule.precision == "bfloat16"
        ):
            loss = self.objective(self.network, batch.on(self.device))
        value = float(loss.detach())
        if not np.isfinite(value):
            raise AleasegError(
                f"the loss became {value} at step {number + 1}; expected a finite number; look for images of another "
                "unit or modality than the others, and leave them out"
            )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 12.0)
        self.optimizer.step()
        return value


def _optimizer(trained: Sequence[torch.nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    import torch

    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            trained, lr=schedule.learning_rate, momentum=0.99, nesterov=True, weight_decay=3e-5
        )
    return torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=1e-4)


def _mean(seen: Sequence[torch.Tensor | None]) -> NDArray[np.float64] | None:
    """Means over the steps that know; NaN where none does."""
    # After a kill they come from a checkpoint, and lie where the network does.
    known = [one.cpu().numpy() for one in seen if one is not None]
    if not known:
        return None
    rows = np.stack(known).astype(np.float64)
    count = np.isfinite(rows).sum(axis=0)
    return np.where(count > 0, np.nansum(rows, axis=0) / np.maximum(count, 1), np.nan)
