"""Folds side by side, in processes of their own, each on one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

from aleaseg.errors import AleasegError
from aleaseg.run import Run
from aleaseg.training.foldplan import FoldPlan, fold_file
from aleaseg.work import Progress, elsewhere, map_cases

__all__ = ["run_folds"]

Messages = SimpleQueue[tuple[int, dict[str, Any] | None]]


def run_folds(
    run: Run,
    plan: FoldPlan,
    todo: Sequence[int],
    workers: int,
    seconds: float | None,
    progress: Progress,
) -> None:
    """Run the folds that are left in processes side by side, each on one thread.

    Processes and not a pool: a script or notebook that calls us needs no
    `if __name__ == "__main__"`, and a child whose parent is gone finds its pipe
    closed and stops. A process does its share of the folds one after the other,
    since it takes seconds to start.
    """
    sizes = [len(fold) for fold in plan.folds]
    per_fold = [plan.steps + size for size in sizes]
    done = {fold: (0 if fold in todo else per_fold[fold]) for fold in range(len(sizes))}
    if todo and elsewhere() is not None:
        _run_elsewhere(run, plan, todo, seconds, progress)
        return
    messages: Messages = SimpleQueue()
    shares = [todo[first::workers] for first in range(min(workers, len(todo)))]
    running: dict[int, subprocess.Popen[str]] = {}

    try:
        for number, share in enumerate(shares):
            running[number] = _start(run, share, seconds)
            threading.Thread(target=_listen, args=(number, running[number], messages), daemon=True).start()
        while running:
            number, message = messages.get()
            if message is None:
                _finished(run, shares[number], running.pop(number).wait())
                continue
            done[message["fold"]] = message["done"]
            progress("train", sum(done.values()), sum(per_fold))
    finally:
        _end(list(running.values()))


def _run_elsewhere(
    run: Run, plan: FoldPlan, todo: Sequence[int], seconds: float | None, progress: Progress
) -> None:
    """Each fold by a worker, as a process of its own there; how far they are is told when one is finished."""
    fold = partial(_run_fold, Run(run.path.resolve()), seconds)
    before, steps = len(plan.folds) - len(todo), sum(plan.steps + len(held) for held in plan.folds)

    def tell(done: int, total: int) -> None:
        progress("train", steps * (before + done) // len(plan.folds), steps)

    for _ in map_cases(fold, todo, device=plan.device, progress=tell):
        pass


def _run_fold(run: Run, seconds: float | None, fold: int) -> None:
    if fold_file(run, fold, ".json").exists():  # by another process that shares the folder
        return
    messages: Messages = SimpleQueue()
    process = _start(run, [fold], seconds)
    try:
        _listen(fold, process, messages)
        _finished(run, [fold], process.wait())
    finally:
        _end([process])


def _start(run: Run, share: Sequence[int], seconds: float | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "aleaseg.predictions.fold", str(run.path.resolve())]
    command += [",".join(map(str, share)), *([] if seconds is None else [str(seconds)])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with fold_file(run, share[0], ".log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)


def _listen(number: int, process: subprocess.Popen[str], messages: Messages) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if line.startswith("{"):
                messages.put((number, json.loads(line)))
    messages.put((number, None))


def _finished(run: Run, share: Sequence[int], status: int) -> None:
    """Make sure that a process that has ended did all the folds it should."""
    left = [fold for fold in share if not fold_file(run, fold, ".json").exists()]
    if status == 0 and not left:
        return
    fold = left[0] if left else share[-1]
    text = fold_file(run, share[0], ".log").read_text(encoding="utf-8").strip()
    last = text.splitlines()[-1] if text else f"exit status {status}"
    raise AleasegError(
        f"fold {fold} of cross-fitting stopped: {last}; what is finished is kept, run the same command again to resume"
    )


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 10
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
