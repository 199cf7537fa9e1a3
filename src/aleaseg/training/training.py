"""The verb `train`: from a data set to a folder with a network, its split and its curves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.pages.numbers import number
from aleaseg.run import Run, begin, now
from aleaseg.training.copies import copy_of
from aleaseg.training.history import COLUMNS, DICE, History
from aleaseg.training.loop import Epoch, draw_network, fit_plan
from aleaseg.training.model import (
    CHECKPOINT,
    COPIES,
    KIND,
    PLAN,
    WEIGHTS,
    Model,
    open_model,
    write_weights,
)
from aleaseg.training.page import write_page
from aleaseg.training.plan import TrainingPlan
from aleaseg.training.planning import make_plan
from aleaseg.training.reproducible import reproducible
from aleaseg.training.settings import TrainerSettings
from aleaseg.training.validation import Validation
from aleaseg.work import Progress, choose_device

__all__ = ["Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """How a training ended.

    Attributes:
        model: to predict with.
        page: the curves.
        rows: of training.csv, one for each epoch.
        failed: case -> why it was not used.
        notes: what is to be known of the split.
    """

    model: Model
    page: Path
    rows: list[dict[str, Any]]
    failed: Mapping[str, str]
    notes: tuple[str, ...]


def train(
    settings: TrainerSettings,
    out: str | Path,
    *,
    progress: Progress = lambda stage, done, total: None,
    announce: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Train a network.

    Killed and started again it goes on from the last checkpoint, with the numbers that it would have had
    (on a CPU to the bit). A finished training is not trained again.

    Args:
        settings: what is asked.
        out: the folder; new, empty, or begun with the same settings.
        progress: called with stage (`prepare`, `fit`), done, total.
        announce: called with a line at the end of each epoch.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
        AleasegError: a disk is full, a GPU too small, the loss no number; what is finished is kept.
    """
    from aleaseg.readers import open_dataset

    run = Run(out)
    device = choose_device(settings.device)
    dataset = None
    if not (run.path / WEIGHTS).is_file() or not (run.path / PLAN).is_file():
        dataset = open_dataset(settings.dataset, **settings.reading)
    begin(
        run.path,
        KIND,
        settings.asked(),
        # Where it was trained decides no number that matters: a training may go on elsewhere.
        free=("device", "precision"),
        usual=TrainerSettings("").asked(),
        about={
            "dataset": {"path": str(dataset.root), "name": dataset.name, "layout": dataset.layout},
            "columns": {name: {"direction": how, "text": text} for name, (how, text) in COLUMNS.items()},
        }
        if dataset
        else None,
    )
    if dataset is not None:
        plan = _plan(run, dataset, settings, device, progress)
        _fit(run, plan, device, progress, announce)
    plan = TrainingPlan.read(run.path / PLAN)
    history = _history(run, plan)
    run.update_manifest(finished=run.manifest.get("finished") or now())
    page = write_page(run.path, run.manifest, plan, history)
    (run.path / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(run.path / COPIES, ignore_errors=True)
    return Trained(open_model(run.path), page, history.rows(), plan.failed, plan.notes)


def _plan(
    run: Run, dataset: Dataset, settings: TrainerSettings, device: str, progress: Progress
) -> TrainingPlan:
    if (run.path / PLAN).is_file():
        return TrainingPlan.read(run.path / PLAN)
    try:
        return make_plan(run, dataset, settings, device, _precision(settings, device), progress)
    except UsageError:  # nothing can come of it, and nothing is left
        shutil.rmtree(run.path / COPIES, ignore_errors=True)
        run.manifest_file.unlink()
        with suppress(OSError):
            run.path.rmdir()
        raise


def _precision(settings: TrainerSettings, device: str) -> str:
    import torch

    if settings.precision != "auto":
        return settings.precision
    fast = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def _history(run: Run, plan: TrainingPlan) -> History:
    if plan.regions is not None:
        return History(run.path, list(plan.classes), plan.regions)
    by_values = {values: name for name, values in plan.classes.items()}
    channels = [by_values.get((value,), f"label {value}") for value in plan.preprocessing.values]
    return History(run.path, list(plan.classes), channels)


def _fit(
    run: Run,
    plan: TrainingPlan,
    device: str,
    progress: Progress,
    announce: Callable[[str], None],
) -> None:
    """Train, and keep weights, tables and page."""
    import torch

    how = replace(plan.schedule, workers=plan.schedule.workers if device == "cuda" else 0)
    copies, patch = run.path / COPIES, plan.preprocessing.grid.patch
    _check_copies(run, plan)
    network = draw_network(plan)
    validation = Validation([copy_of(copies, case) for case in plan.held_out], plan, how, device)
    history, manifest = _history(run, plan), run.manifest

    def on_epoch(epoch: Epoch) -> None:
        row = history.add(epoch, validation(network))
        write_page(run.path, manifest, plan, history)
        announce(
            f"epoch {row['epoch']}, step {row['step']} of {how.steps}: loss {row['loss']:.3f}, validation "
            f"{number(row['validation_loss'], '.3f')}, pseudo-Dice {number(row[DICE], '.3f')}, "
            f"{row['seconds']:.0f} s"
        )

    with reproducible(device == "cpu"):
        try:
            report = fit_plan(
                replace(plan, schedule=how),
                network,
                copies,
                checkpoint=run.path / CHECKPOINT,
                device=device,
                on_step=lambda step, loss: progress("fit", step, how.steps),
                on_epoch=on_epoch,
            )
        except torch.OutOfMemoryError as error:
            raise AleasegError(
                f"the GPU has too little memory for {how.batch} patches of {' x '.join(map(str, patch))} per step; "
                "start again in another folder with a smaller --batch or --patch"
            ) from error
    write_weights(run.path / WEIGHTS, network)
    run.update_manifest(report=report)


def _check_copies(run: Run, plan: TrainingPlan) -> None:
    copies = run.path / COPIES
    missing = [case for case in (*plan.train, *plan.held_out) if not copy_of(copies, case).places.is_file()]
    if missing:
        raise UsageError(
            f"{copies} lacks the working copies of {len(missing)} cases, such as {missing[0]!r}; they are "
            f"needed until the training is finished; delete {run.path / PLAN}, and the same command makes them again"
        )
