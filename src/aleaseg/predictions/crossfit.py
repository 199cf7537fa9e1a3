"""Cross-fitting: every case is predicted by a network that never saw it, its group or its twin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, file_stamps, usable_image
from aleaseg.errors import AleasegError, UsageError
from aleaseg.predictions.folds import make_folds
from aleaseg.predictions.late import catch_up, folds_of_groups
from aleaseg.predictions.learning import read_learning
from aleaseg.predictions.prediction import Prediction
from aleaseg.predictions.working import (
    fold_weights,
    grid_of,
    one_line,
    prepare_case,
    prepared_file,
    small_image,
)
from aleaseg.run import Run, read_json, write_json
from aleaseg.training.grid import choose_grid, default_steps
from aleaseg.training.loop import predict_logits
from aleaseg.training.prepare import IGNORE, fit_normalisation

if TYPE_CHECKING:
    import torch

__all__ = ["Crossfit", "CrossfitSettings", "crossfit", "plan_crossfit"]

Progress = Callable[[str, int, int], None]
_BATCH = {2: 8, 3: 4}
# What predicting the held-out cases, and starting the processes, takes of a budget.
_PREDICTION_SHARE = 0.1


@dataclass(frozen=True)
class CrossfitSettings:
    """How cross-fitting is done.

    Attributes:
        folds: fewer where there are fewer groups.
        steps: of each fold; None: a rule on the data (`default_steps`).
        budget_seconds: the most the call may take, preparing and predicting within; None: no limit.
        seed: of folds, weights, batches.
        device: `cpu` or `cuda`.
        workers: folds side by side; None: one per core (one on `cuda`).
        inside: also keep what the measures of a network's inside need (features, augmented
            and mask-normalised predictions, learning dynamics): some more time, a little more disk.
    """

    folds: int = 5
    steps: int | None = None
    budget_seconds: float | None = None
    seed: int = 0
    device: str = "cpu"
    workers: int | None = None
    inside: bool = False


def plan_crossfit(
    run: Run, dataset: Dataset, settings: CrossfitSettings, progress: Progress
) -> dict[str, Any]:
    """Choose grid, normalisation, folds and steps, write working copies; kept in models/plan.json.

    Raises:
        UsageError: no case can be trained on, or fewer groups than folds need.
    """
    from joblib import Parallel, delayed

    # Before anything is read: what changes from now on is seen to have changed.
    files = {case.id: file_stamps(case) for case in dataset.cases if case.has_label}
    geometries, failed = {}, {}
    for case in dataset.cases:
        try:
            geometries[case.id] = case.read_geometry()
        except Exception as error:  # whatever one case does, the others go on; the text names it
            failed[case.id] = one_line(case, error)
    cases = [case for case in dataset.cases if case.id in geometries and case.has_label]
    dims = [len(geometries[case.id].shape) for case in cases]
    most = max(set(dims), key=dims.count) if dims else 0
    for case, dim in zip(list(cases), dims, strict=True):
        if dim != most:
            cases.remove(case)
            failed[case.id] = (
                f"{case.id}: found a {dim}D image; expected {most}D as the others; leave it out"
            )
    if not cases:
        raise UsageError("no case can be trained on; `aleaseg check` says why for each")
    grid = choose_grid([geometries[case.id] for case in cases])
    rules = fit_normalisation(cases, dataset.channels, dataset.values)
    (run.path / "models" / "prepared").mkdir(parents=True, exist_ok=True)
    jobs = (
        delayed(prepare_case)(
            case, prepared_file(run, case.id), grid, rules, dataset.values, dataset.ignore
        )
        for case in cases
    )
    workers = min(settings.workers or os.cpu_count() or 1, len(cases))
    outcomes = Parallel(n_jobs=workers, return_as="generator")(jobs)
    for done, (case, outcome) in enumerate(zip(cases, outcomes, strict=True), start=1):
        if outcome is not None:
            failed[case.id] = outcome
        progress("prepare", done, len(cases))
    usable = {case.id: case.group or case.id for case in cases if case.id not in failed}
    try:
        folds = make_folds(usable, settings.folds, settings.seed)
    except ValueError as error:
        raise UsageError(
            f"{error}; found {len(set(usable.values()))} among {len(usable)} usable cases"
        ) from error
    trained_on = len(usable) - max(map(len, folds))
    batch = min(_BATCH[most], trained_on)
    plan = {
        "grid": grid.to_dict(),
        "normalisation": rules,
        "channels": len(dataset.channels),
        "values": list(dataset.values),
        "folds": folds,
        "groups": usable,
        "files": files,
        "steps": settings.steps or default_steps(trained_on, len(dataset.values), batch),
        "batch": batch,
        "seed": settings.seed,
        "device": settings.device,
        "inside": settings.inside,
        "failed": failed,
    }
    write_json(run.path / "models" / "plan.json", plan)
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
        no prediction.

    Raises:
        UsageError: too few usable cases, or too many label values.
        AleasegError: a fold's process died; its last lines are in the message.
    """
    if len(dataset.values) > IGNORE - 1:
        raise UsageError(
            f"{dataset.name} has {len(dataset.values)} label values; cross-fitting can train at most "
            f"{IGNORE - 1}; name those that matter with `--classes`, or give `--predictions FOLDER`"
        )
    started = time.monotonic()
    file = run.path / "models" / "plan.json"
    again = file.exists()
    plan = read_json(file) if again else plan_crossfit(run, dataset, settings, progress)
    folds = range(len(plan["folds"]))
    todo = [fold for fold in folds if not _fold_report(run, fold).exists()]
    workers = settings.workers or (1 if settings.device == "cuda" else (os.cpu_count() or 1))
    workers = max(1, min(workers, len(folds)))
    seconds = None
    if settings.budget_seconds is not None:
        left = settings.budget_seconds - (time.monotonic() - started)
        rounds = -(-len(todo) // workers)
        seconds = max(1.0, left * (1 - _PREDICTION_SHARE) / max(1, rounds))
    _run_folds(run, plan, todo, workers, seconds, progress)
    reports = [read_json(_fold_report(run, fold)) for fold in folds]
    for path in (run.path / "models" / "prepared").glob("*.npy"):
        path.unlink()
    if again:
        plan = catch_up(
            run,
            dataset,
            {**plan, "device": settings.device},
            workers=1 if settings.device == "cuda" else (settings.workers or os.cpu_count() or 1),
            progress=lambda done, total: progress("prepare", done, total),
        )
        write_json(file, plan)
    return {
        **{name: value for name, value in plan.items() if name not in ("folds", "groups", "files")},
        **{key: value for key, value in asdict(settings).items() if key in ("budget_seconds",)},
        "fold_sizes": [len(fold) for fold in plan["folds"]],
        "folds": reports,
        "stopped_by_budget": any(report["stopped_by_budget"] for report in reports),
    }


def _fold_report(run: Run, fold: int) -> Path:
    return run.path / "models" / f"fold_{fold}.json"


def _run_folds(
    run: Run,
    plan: Mapping[str, Any],
    todo: Sequence[int],
    workers: int,
    seconds: float | None,
    progress: Progress,
) -> None:
    """Run the folds that are left as processes side by side, each on one thread.

    Processes and not a pool: a script or notebook that calls us needs no
    `if __name__ == "__main__"`, and a child whose parent is gone finds its pipe
    closed and stops.
    """
    sizes = [len(fold) for fold in plan["folds"]]
    per_fold = [plan["steps"] + size for size in sizes]
    done = {fold: (0 if fold in todo else per_fold[fold]) for fold in range(len(sizes))}
    messages: SimpleQueue[tuple[int, dict[str, Any] | None]] = SimpleQueue()
    running: dict[int, subprocess.Popen[str]] = {}
    waiting = list(todo)

    def listen(fold: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.startswith("{"):
                    messages.put((fold, json.loads(line)))
        messages.put((fold, None))

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                fold = waiting.pop(0)
                log = (run.path / "models" / f"fold_{fold}.log").open("w", encoding="utf-8")
                command = [
                    sys.executable,
                    "-m",
                    "aleaseg.predictions.fold",
                    str(run.path.resolve()),
                    str(fold),
                ]
                command += [] if seconds is None else [str(seconds)]
                with log:
                    process = subprocess.Popen(
                        command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
                    )
                running[fold] = process
                threading.Thread(target=listen, args=(fold, process), daemon=True).start()
            fold, message = messages.get()
            if message is not None:
                done[fold] = message["done"]
            else:
                process = running.pop(fold)
                if process.wait() != 0 or not _fold_report(run, fold).exists():
                    text = (run.path / "models" / f"fold_{fold}.log").read_text(encoding="utf-8").strip()
                    last = text.splitlines()[-1] if text else f"exit status {process.returncode}"
                    raise AleasegError(
                        f"fold {fold} of cross-fitting stopped: {last}; what is finished is kept, "
                        "run the same command again to go on"
                    )
                done[fold] = per_fold[fold]
            progress("train", sum(done.values()), sum(per_fold))
    finally:
        for process in running.values():
            process.terminate()
        deadline = time.monotonic() + 10
        for process in running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


class Crossfit:
    """Predictions of cross-fitting.

    Args:
        run: the run that holds models and predictions.
        dataset: the data set whose cases are asked for.
        new: the cases are new to the run: each fold's network predicts them; of a case
            whose id, group or image the run knows, only the one that saw none of these
            (there is no prediction where every network saw one).
        image_hashes: case -> hash of its voxels, for the cases that are new.
    """

    source = "crossfit"

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        *,
        new: bool = False,
        image_hashes: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        self.dataset = dataset
        self.new = new
        self.image_hashes = image_hashes or {}
        # The eye and the label axis ask for the same case one after the other.
        self._last: tuple[str, list[Prediction]] | None = None

    @cached_property
    def _plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = read_json(self.run.path / "models" / "plan.json")
        return plan

    @cached_property
    def _networks(self) -> list[torch.nn.Module]:
        return [fold_weights(self.run, self._plan, fold) for fold in range(len(self._plan["folds"]))]

    @cached_property
    def _folds_of_groups(self) -> dict[str, set[int]]:
        return folds_of_groups(self._plan, {})

    @cached_property
    def _fold_of(self) -> dict[str, int]:
        return {case_id: fold for fold, ids in enumerate(self._plan["folds"]) for case_id in ids}

    @cached_property
    def _known_images(self) -> dict[str, set[str]]:
        """Hash of an image -> the cases of the run that have it."""
        found: dict[str, set[str]] = {}
        for record in self.run.records() if self.image_hashes else ():
            found.setdefault(record.image_hash, set()).add(record.case)
        return found

    def _unbiased(self, case: Case) -> list[int]:
        """The folds whose networks saw neither the new case nor a relative of it."""
        twins = self._known_images.get(self.image_hashes.get(case.id) or "none", set())
        known = set[int]().union(
            *(self._folds_of_groups.get(name, set()) for name in {case.id, case.group, *twins})
        )
        folds = range(len(self._plan["folds"]))
        return [fold for fold in folds if known <= {fold}]

    def _prediction(self, case: Case, maps: NDArray, shape: tuple[int, ...]) -> Prediction:
        return Prediction(maps, "logit", shape, self.dataset.classes)

    def read(self, case: Case) -> list[Prediction]:
        """The out-of-fold logits of a case; for a new case those of every fold."""
        if self._last is None or self._last[0] != case.id:
            self._last = (case.id, self._read(case))
        return self._last[1]

    def _read(self, case: Case) -> list[Prediction]:
        if self.new:
            image = usable_image(case)
            grid = grid_of(self._plan)
            small = small_image(case, image, grid, self._plan["normalisation"])
            return [
                self._prediction(
                    case, predict_logits(self._networks[fold], small, grid.patch), image.geometry.shape
                )
                for fold in self._unbiased(case)
            ]
        path = self.run.prediction_file(case.id)
        if not path.exists():
            return []
        from safetensors.numpy import load_file

        arrays = {**load_file(path), **read_learning(self.run, case.id)}
        prediction = self._prediction(case, arrays.pop("logits"), case.read_geometry().shape)
        model = f"fold_{self._fold_of[case.id]}" if case.id in self._fold_of else ""
        return [replace(prediction, inside=arrays, model=model)]
