"""Where the processor time of an audit goes: seconds of each stage, and the peak memory of a process.

    python benchmarks/audit.py DATASET RUN [--fast] [--profile FILE]

One process at a time does the work (LOKY_MAX_CPU_COUNT=1), each on one thread, so that what is counted is work and
not waiting. Folds are processes of their own and count as children. With `--profile` everything is done in one
process and FILE gets cProfile's statistics, by processor time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import resource
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

os.environ |= {"LOKY_MAX_CPU_COUNT": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

STAGES = {
    "headers": "_open",
    "eye": "choose_eye",
    "check": "_check",
    "predict": "predict_cases",
    "score": "score_cases",
    "tables": "write_tables",
    "map": "keep_maps",
}
MB = 1024


def spent() -> float:
    """Processor seconds of this process and of those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak(who: int) -> int:
    """The most memory that a process held, in MB."""
    return resource.getrusage(who).ru_maxrss // MB


def timed(name: str, function: Callable[..., Any], found: dict[str, Any]) -> Callable[..., Any]:
    """The same function, which adds what it took."""

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        before = spent()
        try:
            return function(*given, **named)
        finally:
            found[name] = round(found.get(name, 0.0) + spent() - before, 2)
            found["peak_mb"][name] = peak(resource.RUSAGE_SELF)

    return call


def in_this_process(run: Any, plan: Any, todo: Any, workers: Any, seconds: Any, progress: Any) -> None:
    """Folds one after the other, where a profiler sees them."""
    from aleaseg.predictions.fold import main as fold

    for number in todo:
        fold(str(run.path), number, seconds)


def main() -> None:
    """Audit a data set and print what each stage took, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("run")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--groups")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--profile", type=Path)
    asked = parser.parse_args()
    import aleaseg.auditing.running as running
    from aleaseg.auditing.settings import AuditOfFolder
    from aleaseg.predictions import crossfit
    from aleaseg.report import write_report
    from aleaseg.run import Run

    found: dict[str, Any] = {"peak_mb": {}}
    found["start"] = round(spent(), 2)
    for name, function in STAGES.items():
        setattr(running, function, timed(name, getattr(running, function), found))
    crossfit.make_copies = timed("prepare", crossfit.make_copies, found)  # type: ignore[attr-defined]
    crossfit.run_folds = timed("folds", in_this_process if asked.profile else crossfit.run_folds, found)  # type: ignore[attr-defined]
    settings = AuditOfFolder(
        asked.dataset,
        predictions="own" if asked.fast else "crossfit",
        groups=asked.groups,
        steps=asked.steps,
        device="cpu",
        out=asked.run,
    )
    profiler = cProfile.Profile(time.process_time) if asked.profile else None
    if profiler is not None:
        profiler.enable()
    outcome = running.run_audit(settings, Run(asked.run), page=False)
    dataset = running.open_dataset(asked.dataset, **settings.reading)
    timed("report", write_report, found)(outcome.run, dataset)
    if profiler is not None:
        profiler.disable()
        profiler.dump_stats(asked.profile)
    cases = len(dataset.cases)
    found |= {"cases": cases, "total": round(spent(), 2), "each": round(spent() / cases, 3)}
    found["peak_mb"]["children"] = peak(resource.RUSAGE_CHILDREN)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
