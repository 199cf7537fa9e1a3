"""The verb `train`: from a data set to a folder with a network, its split and its curves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, SettingsDiffer, UsageError
from aleaseg.eye import choose_device
from aleaseg.pages.numbers import number
from aleaseg.predictions.working import grid_of
from aleaseg.run import Run, now, read_json, versions
from aleaseg.trainer.copies import copy_of
from aleaseg.trainer.history import COLUMNS, DICE, History
from aleaseg.trainer.model import CHECKPOINT, KIND, WEIGHTS, Model, open_model, write_weights
from aleaseg.trainer.network import build
from aleaseg.trainer.page import write_page
from aleaseg.trainer.plan import COPIES, PLAN, make_plan
from aleaseg.trainer.settings import TrainerSettings
from aleaseg.trainer.validation import Validation
from aleaseg.training.loop import Epoch, Prepared, TrainSettings, fit
from aleaseg.training.reproducible import reproducible

if TYPE_CHECKING:
    from aleaseg.training.objective import Objective

__all__ = ["Trained", "train"]

Progress = Callable[[str, int, int], None]
# Where it was trained decides no number that matters: a training may go on elsewhere.
_FREE = ("device", "precision")


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
    if not (run.path / WEIGHTS).is_file() or not (run.path / PLAN).is_file():
        dataset = open_dataset(settings.dataset, classes=settings.classes, groups=settings.groups)
        _begin(run, settings, dataset)
        plan = _plan(run, dataset, settings, device, progress)
        _fit(run, plan, device, progress, announce)
    else:
        _begin(run, settings, None)
    plan = read_json(run.path / PLAN)
    history = _history(run, plan)
    run.update_manifest(finished=run.manifest.get("finished") or now())
    page = write_page(run.path, run.manifest, plan, history)
    (run.path / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(run.path / COPIES, ignore_errors=True)
    return Trained(open_model(run.path), page, history.rows(), plan["failed"], tuple(plan["notes"]))


def _begin(run: Run, settings: TrainerSettings, dataset: Dataset | None) -> None:
    """Start a manifest, or make sure that the one there was made with the same settings."""
    asked = asdict(settings)
    if run.manifest_file.is_file():
        manifest = run.manifest
        if manifest.get("kind") != KIND:
            raise UsageError(f"{run.path} is no training; give an empty or a new folder with -o")
        made = {**asdict(TrainerSettings("")), **manifest["settings"]}
        differing = [
            f"{name}: {made.get(name)!r} then, {value!r} now"
            for name, value in asked.items()
            if name not in _FREE and _listed(made.get(name)) != _listed(value)
        ]
        if differing:
            raise SettingsDiffer(
                f"{run.path} was made with other settings ({'; '.join(differing)}); give another folder with -o, "
                "or delete it"
            )
        return
    # What a kill left of the first manifest is ours.
    if run.path.exists() and (
        not run.path.is_dir()
        or any(not file.name.startswith(".manifest.json.") for file in run.path.iterdir())
    ):
        raise UsageError(
            f"{run.path} holds other files and is no training; give an empty or a new folder with -o"
        )
    assert dataset is not None
    run.path.mkdir(parents=True, exist_ok=True)
    run.update_manifest(
        kind=KIND,
        aleaseg=version("aleaseg"),
        created=now(),
        dataset={"path": str(dataset.root), "name": dataset.name, "layout": dataset.layout},
        settings=asked,
        columns={name: {"direction": how, "text": text} for name, (how, text) in COLUMNS.items()},
        versions=versions(),
    )


def _plan(
    run: Run, dataset: Dataset, settings: TrainerSettings, device: str, progress: Progress
) -> dict[str, Any]:
    if (run.path / PLAN).is_file():
        kept: dict[str, Any] = read_json(run.path / PLAN)
        return kept
    try:
        return make_plan(run, dataset, settings, device, _precision(settings, device), progress)
    except UsageError:  # nothing can come of it, and nothing is left
        shutil.rmtree(run.path / COPIES, ignore_errors=True)
        run.manifest_file.unlink()
        with suppress(OSError):
            run.path.rmdir()
        raise


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _precision(settings: TrainerSettings, device: str) -> str:
    import torch

    if settings.precision != "auto":
        return settings.precision
    fast = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def _history(run: Run, plan: Mapping[str, Any]) -> History:
    by_values = {tuple(values): name for name, values in plan["classes"].items()}
    channels = [by_values.get((value,), f"label {value}") for value in plan["values"]]
    return History(run.path, list(plan["classes"]), channels)


def _fit(
    run: Run,
    plan: Mapping[str, Any],
    device: str,
    progress: Progress,
    announce: Callable[[str], None],
) -> None:
    """Train, and keep weights, tables and page."""
    import torch

    from aleaseg.training.objective import make_objective, settings_of

    grid, how = grid_of(plan), TrainSettings(**plan["training"])
    how = replace(how, workers=how.workers if device == "cuda" else 0)
    copies = run.path / COPIES
    train_on, held_out = ([copy_of(copies, case) for case in plan[side]] for side in ("train", "held_out"))
    _check_copies(run, [*train_on, *held_out])
    torch.manual_seed(how.seed)
    network = build(plan["network"], grid, len(plan["channels"]), len(plan["values"]), train=True)
    objective: Objective = make_objective(
        settings_of(plan["objective"]), network, plan["train"], len(plan["values"]), seed=how.seed
    )
    places = {value: index for index, value in enumerate(plan["values"], start=1)}
    validation = Validation(
        held_out,
        grid.patch,
        how,
        {name: [places[value] for value in values] for name, values in plan["classes"].items()},
        device,
    )
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
            report = fit(
                network,
                train_on,
                grid.patch,
                how,
                checkpoint=run.path / CHECKPOINT,
                device=device,
                objective=objective,
                on_step=lambda step, loss: progress("fit", step, how.steps),
                on_epoch=on_epoch,
            )
        except torch.OutOfMemoryError as error:
            raise AleasegError(
                f"the GPU has too little memory for {how.batch} patches of {' x '.join(map(str, grid.patch))} a step; "
                "begin anew in another folder with a smaller --batch or --patch"
            ) from error
    write_weights(run.path, network)
    run.update_manifest(report=report)


def _check_copies(run: Run, cases: Sequence[Prepared]) -> None:
    missing = [case.id for case in cases if not case.label.is_file()]
    if missing:
        raise UsageError(
            f"{run.path / COPIES} lacks the working copies of {len(missing)} cases, such as {missing[0]!r}; they are "
            f"needed until the training is finished; delete {run.path / PLAN}, and the same command makes them again"
        )
