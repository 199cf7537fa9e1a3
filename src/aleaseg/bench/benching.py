"""The verb: known faults into the data, networks fitted, measures compared, a page."""

from __future__ import annotations

import platform
from pathlib import Path

from aleaseg.bench.analysis import analyse
from aleaseg.bench.mixed import class_means, draws, suspicions
from aleaseg.bench.opening import begin_bench, open_clean
from aleaseg.bench.result import BenchResult
from aleaseg.bench.settings import DetectSettings
from aleaseg.bench.swap_in import swap_in
from aleaseg.bench.write import write_bench
from aleaseg.run import Run, now, versions
from aleaseg.training.foldplan import FoldPlan
from aleaseg.work import Progress, cores

__all__ = ["machine", "run_bench"]


def machine() -> str:
    """Cores, architecture and system: what a time was measured on."""
    return f"{cores()} cores, {platform.machine()}, {platform.system()}"


def run_bench(
    settings: DetectSettings,
    out: Run,
    *,
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
) -> tuple[BenchResult, Path]:
    """Measure which measure finds which fault, on anybody's data.

    Killed and started again it goes on where it was. The data set is only read.

    Args:
        settings: what is asked.
        out: the bench's folder.
        command: as it was typed, for the page.
        progress: called with a stage, done, total.

    Returns:
        The tables, and the page.

    Raises:
        UsageError: the arguments cannot work, or the folder was made with others.
    """
    settings = settings.settled()
    dataset = open_clean(settings)
    begin_bench(out, settings, dataset, "detection")
    every = []
    for number, draw in enumerate(draws(out, dataset, settings, progress)):
        every.append(draw)
        progress("draws", number + 1, settings.draws)
    cases = suspicions(every)
    exchanged = swap_in(every[0], progress=progress) if settings.swap_in else None
    about = {
        "dataset": dataset.name,
        "cases": len(dataset.cases),
        "groups": len({case.group or case.id for case in dataset.cases}),
        "classes": list(dataset.classes),
        "draws": list(settings.numbers),
        "share": settings.share,
        "folds": settings.folds,
        "steps": FoldPlan.read(every[0].run).steps,
        "impossible": sorted({fault for draw in every for fault in draw.impossible}),
        "command": command,
        "date": now()[:10],
        "machine": machine(),
        "versions": versions(),
    }
    progress("analyse", 0, 1)
    result = analyse(cases, about, exchanged, class_means(every))
    progress("analyse", 1, 1)
    return result, write_bench(result, out.path)
