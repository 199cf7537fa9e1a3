"""Out-of-fold predictions: from cross-fitting, a folder, the reference, or the package's own network."""

from __future__ import annotations

import time

from aleaseg.auditing.eye import channel_number
from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Dataset
from aleaseg.run import Run
from aleaseg.work import Progress, choose_device

__all__ = ["predict_cases", "source_of"]

# What cross-fitting leaves of a budget for checking, scoring and the page.
_CROSSFIT_SHARE = 0.75


def source_of(settings: AuditSettings, dataset: Dataset) -> str | None:
    """Where predictions come from; cross-fitting needs labels, a folder does not."""
    trained = settings.predictions in ("crossfit", "own")  # both start from the labels
    return str(settings.predictions) if dataset.has_labels or not trained else None


def predict_cases(
    run: Run,
    dataset: Dataset,
    settings: AuditSettings,
    reference: Run | None,
    started: float,
    progress: Progress,
) -> list[str]:
    """See to it that there are out-of-fold predictions; returns notes for the page."""
    compared = [] if reference is None else [f"Compared with the frozen population of {reference.path}."]
    if not dataset.has_labels:
        compared = ["There are no labels: only the image axis was measured.", *compared]
    if source_of(settings, dataset) is None:
        run.update_manifest(predictions=None)
        return compared
    if settings.predictions == "own":
        return [*compared, _ask_own_network(run, dataset, settings, progress)]
    if settings.predictions != "crossfit":
        return compared + _open_folder(run, dataset, settings)
    if reference is not None:
        run.update_manifest(predictions={"source": "reference", "path": str(reference.path)})
        return compared
    return _crossfit(run, dataset, settings, started, progress)


def _ask_own_network(run: Run, dataset: Dataset, settings: AuditSettings, progress: Progress) -> str:
    from aleaseg.extractors.opinions import give_opinions

    about = give_opinions(
        run,
        dataset,
        channel=channel_number(settings.channel, dataset) or 0,
        device=choose_device(settings.device, here=False),
        progress=lambda done, total: progress("look", done, total),
    )
    run.update_manifest(predictions={"source": "own", **about})
    return (
        "No network was trained on this data: the label axis compares each mask with the outline that the "
        "package's own prompted network sees where the mask told it to look."
    )


def _open_folder(run: Run, dataset: Dataset, settings: AuditSettings) -> list[str]:
    from aleaseg.predictions.folder import PredictionFolder

    folder = str(settings.predictions)
    predictions = PredictionFolder(folder, dataset)
    found = len(predictions)
    run.update_manifest(predictions={"source": "folder", "path": folder, "cases": found})
    missing = len(dataset.cases) - found
    what = "case has" if missing == 1 else "cases have"
    return [*([f"{missing} {what} no prediction in {folder}."] if missing else []), *predictions.oddities()]


def _crossfit(
    run: Run, dataset: Dataset, settings: AuditSettings, started: float, progress: Progress
) -> list[str]:
    from aleaseg.predictions.crossfit import CrossfitSettings, crossfit

    budget = None
    if settings.budget is not None:
        spent = time.monotonic() - started
        budget = max(10.0, settings.budget * 60 * _CROSSFIT_SHARE - spent)
    done = crossfit(
        run,
        dataset,
        CrossfitSettings(
            folds=settings.folds,
            steps=settings.steps,
            budget_seconds=budget,
            seed=settings.seed,
            device=choose_device(settings.device, here=False),
            inside=settings.measures == "all",
        ),
        progress=progress,
    )
    run.update_manifest(predictions={"source": "crossfit"}, crossfit=done)
    if not done["stopped_by_budget"]:
        return []
    steps = ", ".join(str(fold["steps"]) for fold in done["folds"])
    return [
        f"The budget of {settings.budget:g} minutes ended the training of the folds at step {steps} "
        f"of {done['steps']}: the label axis is weaker than it could be, and depends on this machine's speed."
    ]
