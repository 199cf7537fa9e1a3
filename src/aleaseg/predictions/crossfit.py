"""Cross-fitting: every case is predicted by a network that never saw it, its group or its twin."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from aleaseg.case import Dataset, file_stamps
from aleaseg.errors import UsageError
from aleaseg.predictions.folds import default_folds, make_folds
from aleaseg.predictions.late import catch_up
from aleaseg.predictions.processes import run_folds
from aleaseg.run import Run, read_json
from aleaseg.training.copies import make_copies
from aleaseg.training.foldplan import FoldPlan, copies_folder, fold_file, plan_file
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.planning import plan_preprocessing, screened
from aleaseg.training.preprocessing import check_values
from aleaseg.training.schedule import default_steps
from aleaseg.training.settings import PRESETS
from aleaseg.work import Progress, elsewhere, side_by_side

__all__ = ["CrossfitSettings", "crossfit", "plan_crossfit"]

# What predicting the held-out cases, and starting the processes, takes of a budget.
_PREDICTION_SHARE = 0.1


@dataclass(frozen=True)
class CrossfitSettings:
    """How cross-fitting is done: trainings as of the preset `small`.

    Attributes:
        folds: fewer where there are fewer groups; None: a rule on the cases (`default_folds`).
        steps: of each fold; None: a rule on the data (`default_steps`).
        budget_seconds: the most the call may take, preparing and predicting within; None: no limit.
        seed: of folds, weights, batches.
        device: `cpu` or `cuda`.
        workers: folds side by side; None: one per core (one on `cuda`).
        inside: also keep what the measures of a network's inside need (features, augmented
            and mask-normalised predictions, learning dynamics): some more time, a little more disk.
        network, size: of `aleaseg.networks`.
        objective: what the folds make small, of `aleaseg.training.objectives`.
    """

    folds: int | None = None
    steps: int | None = None
    budget_seconds: float | None = None
    seed: int = 0
    device: str = "cpu"
    workers: int | None = None
    inside: bool = False
    network: str = "small"
    size: str = "tiny"
    objective: str = "plain"


def plan_crossfit(run: Run, dataset: Dataset, settings: CrossfitSettings, progress: Progress) -> FoldPlan:
    """Choose grid, normalisation, folds and steps, write working copies; kept in models/plan.json.

    Raises:
        UsageError: no case can be trained on, or fewer groups than folds need.
    """
    protocol, network = PRESETS["small"], NetworkPlan.chosen(settings.network, settings.size)
    labelled = [case for case in dataset.cases if case.has_label]
    # Before anything is read: what changes from now on is seen to have changed.
    files = {case.id: file_stamps(case) for case in labelled}
    geometries, failed = screened(labelled)
    cases = [case for case in labelled if case.id in geometries]
    if not cases:
        raise UsageError("no case can be trained on; `aleaseg check` says why for each")
    preprocessing = plan_preprocessing(dataset, cases, list(geometries.values()), network, protocol)
    copies = make_copies(
        cases,
        geometries,
        copies_folder(run),
        preprocessing,
        workers=settings.workers,
        progress=lambda done, total: progress("prepare", done, total),
    )
    failed |= {case: about["failed"] for case, about in copies.items() if "failed" in about}
    usable = {case.id: case.group or case.id for case in cases if case.id not in failed}
    try:
        folds = make_folds(usable, settings.folds or default_folds(len(usable)), settings.seed)
    except ValueError as error:
        raise UsageError(
            f"{error}; found {len(set(usable.values()))} among {len(usable)} usable cases"
        ) from error
    trained_on = len(usable) - max(map(len, folds))
    batch = min(protocol.batch[len(preprocessing.grid.patch)], trained_on)
    plan = FoldPlan(
        preprocessing,
        network,
        tuple(dataset.channels),
        dict(dataset.classes),
        tuple(map(tuple, folds)),
        usable,
        files,
        settings.steps or default_steps(trained_on, len(dataset.values), batch),
        batch,
        settings.seed,
        settings.device,
        settings.inside,
        failed,
        settings.objective,
    )
    plan.write(run)
    return plan


def crossfit(
    run: Run,
    dataset: Dataset,
    settings: CrossfitSettings,
    *,
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Train K networks and predict every case by the one that did not see it.

    Killed and started again it goes on where it was; from the same seed come the
    same numbers, whatever the number of workers. Called again when it is finished,
    it predicts the cases that were mended or changed since, by networks that saw
    neither them nor their group.

    Args:
        run: where models and predictions are kept.
        dataset: with labels; twins (the same image under two ids) already in one group.
        settings: how.
        progress: called with stage (`prepare` or `train`), done, total.

    Returns:
        What was done, for the manifest: folds, steps, seconds, ...; `failed`: case -> why it has
        no prediction; `label`, what it is, where confidences make it.

    Raises:
        UsageError: too few usable cases, or too many label values.
        AleasegError: a fold's process died; its last lines are in the message.
    """
    check_values(dataset, ", or give `--predictions FOLDER`")
    started = time.monotonic()
    again = plan_file(run).exists()
    plan = FoldPlan.read(run) if again else plan_crossfit(run, dataset, settings, progress)
    todo = [fold for fold in range(len(plan.folds)) if not fold_file(run, fold, ".json").exists()]
    there = elsewhere()
    workers = (
        side_by_side(len(plan.folds), device=settings.device, workers=settings.workers)
        if there is None
        else max(1, min(len(plan.folds), there.room(settings.device)))
    )
    seconds = None
    if settings.budget_seconds is not None:
        left = settings.budget_seconds - (time.monotonic() - started)
        rounds = -(-len(todo) // workers)
        seconds = max(1.0, left * (1 - _PREDICTION_SHARE) / max(1, rounds))
    run_folds(run, plan, todo, workers, seconds, progress)
    shutil.rmtree(copies_folder(run), ignore_errors=True)
    if again:
        plan = catch_up(
            run,
            dataset,
            replace(plan, device=settings.device),
            workers=settings.workers,
            progress=lambda done, total: progress("prepare", done, total),
        )
        plan.write(run)
    label = "" if dataset.confidence is None else dataset.confidence.label_is
    return {**_told(run, plan, settings), **({"label": label} if label else {})}


def _told(run: Run, plan: FoldPlan, settings: CrossfitSettings) -> dict[str, Any]:
    reports = [read_json(fold_file(run, fold, ".json")) for fold in range(len(plan.folds))]
    alike = ("network", "channels", "steps", "batch", "seed", "device", "inside", "failed")
    kept = asdict(plan)
    return {
        **{name: kept["preprocessing"][name] for name in ("grid", "normalisation", "values")},
        **{name: kept[name] for name in alike},
        "budget_seconds": settings.budget_seconds,
        "fold_sizes": [len(fold) for fold in plan.folds],
        "folds": reports,
        "stopped_by_budget": any(report["stopped_by_budget"] for report in reports),
    }
