"""Folds side by side, each a process of its own on one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from aleaseg.errors import AleasegError
from aleaseg.predictions.foldplan import FoldPlan, fold_file
from aleaseg.run import Run

__all__ = ["run_folds"]

Progress = Callable[[str, int, int], None]


def run_folds(
    run: Run,
    plan: FoldPlan,
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
    sizes = [len(fold) for fold in plan.folds]
    per_fold = [plan.steps + size for size in sizes]
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
                log = fold_file(run, fold, ".log").open("w", encoding="utf-8")
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
                if process.wait() != 0 or not fold_file(run, fold, ".json").exists():
                    text = fold_file(run, fold, ".log").read_text(encoding="utf-8").strip()
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
