"""The verb `compare`, and `evaluate --against`: folders in, a comparison in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aleaseg.errors import UsageError
from aleaseg.evaluation.comparing import Comparison, compare_evaluations, distinct_names
from aleaseg.evaluation.evaluating import evaluate
from aleaseg.evaluation.evaluation import Evaluation, is_evaluation, open_evaluation
from aleaseg.evaluation.markdown import comparison_markdown
from aleaseg.evaluation.page import write_comparison_page
from aleaseg.evaluation.predicted import find_predictions
from aleaseg.evaluation.reference import open_reference
from aleaseg.evaluation.settings import EvaluationSettings
from aleaseg.run import Run, begin, write_aside, write_frame
from aleaseg.work import Progress

__all__ = ["compare", "evaluate_against", "write_comparison"]

KIND = "comparison"


def compare(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    settings: EvaluationSettings | None = None,
    groups: str | None = None,
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> tuple[Comparison, Path]:
    """Compare each folder with the first.

    Args:
        folders: evaluations, or predictions, which are then evaluated into `OUT/evaluations/`.
        out: the folder; new, empty, or made by the same call, then made anew.
        settings: how predictions are evaluated (`predictions` in it does not matter); None: none are among them.
        groups: as `open_dataset` takes them; None: those of the first evaluation.
        command: as it was typed, for the page.
        progress: called with `evaluate` or `report`, done, total.
        workers: processes; None: one per core.

    Returns:
        What was found, and the path of the page.

    Raises:
        UsageError: the arguments cannot work, or the folders are not comparable.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise UsageError("compare takes two folders or more")
    names = distinct_names(paths)
    finished = _finished(paths, settings)
    run = Run(out)
    asked = {
        "folders": [str(path.resolve()) for path in paths],
        "groups": groups,
        "reference": None if settings is None else settings.reference,
    }
    fresh = begin(run.path, KIND, asked)
    try:
        evaluations = []
        for path, name, is_finished in zip(paths, names, finished, strict=True):
            if is_finished:
                evaluations.append(open_evaluation(path))
                continue
            assert settings is not None
            own = replace(settings, predictions=str(path.resolve()), groups=settings.groups or groups)
            folder = run.path / "evaluations" / name.replace("/", "_")
            evaluations.append(evaluate(own, folder, progress=progress, workers=workers))
        found = compare_evaluations(evaluations, names, groups)
    except UsageError:
        if fresh:  # nothing was done, and nothing is left
            run.manifest_file.unlink()
            with suppress(OSError):
                run.path.rmdir()
        raise
    return found, write_comparison(found, run.path, command, progress)


def _finished(paths: Sequence[Path], settings: EvaluationSettings | None) -> list[bool]:
    """Which folders are evaluations; the others are predictions, and settings say how they are measured."""
    finished = [is_evaluation(path) for path in paths]
    if settings is None and not all(finished):
        raise UsageError(
            f"{paths[finished.index(False)]} is not an evaluation; evaluate it first, or say with --reference what the "
            "predictions in it are measured against"
        )
    if settings is not None and all(finished):
        raise UsageError("--reference is for folders of predictions; all that are given are evaluations")
    return finished


def evaluate_against(
    settings: EvaluationSettings,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> tuple[Evaluation, Comparison, Path]:
    """Evaluate predictions, and compare them with others (`settings.against`), which are the first.

    Args:
        settings: `against` is an evaluation, or a folder of predictions, evaluated into `OUT/against/`.
        out: as `evaluate` takes it.
        command: as it was typed, for the page.
        progress: called with `evaluate` or `report`, done, total.
        workers: processes; None: one per core.

    Returns:
        The evaluation, the comparison, and the path of the page.

    Raises:
        UsageError: the arguments cannot work, or the two are not comparable.
    """
    assert settings.against is not None
    names = distinct_names([Path(settings.against), Path(settings.predictions)])
    if not is_evaluation(settings.against):
        # Before anything is written: what would fail later fails now.
        reference = open_reference(settings.reference, classes=settings.classes, groups=settings.groups)
        find_predictions(settings.against, reference.dataset.cases)
    mine = evaluate(settings, out, progress=progress, workers=workers)
    if is_evaluation(settings.against):
        other = open_evaluation(settings.against)
    else:
        its = replace(settings, predictions=settings.against, against=None)
        other = evaluate(its, Path(out) / "against", progress=progress, workers=workers)
    found = compare_evaluations([other, mine], names)
    return mine, found, write_comparison(found, Path(out), command, progress)


def write_comparison(
    comparison: Comparison,
    out: Path,
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
) -> Path:
    """Write comparison.csv, comparison.md and the page, whose path is returned; `progress` is told `report`."""
    progress("report", 0, 1)
    write_frame(out / "comparison.csv", comparison.rows)
    text = comparison_markdown(comparison, command)
    write_aside(out / "comparison.md", text.encode("utf-8", "replace"))
    page = write_comparison_page(comparison, out, command)
    progress("report", 1, 1)
    return page
