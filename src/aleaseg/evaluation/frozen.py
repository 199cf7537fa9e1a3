"""Masks that somebody's model gave of patients it never saw: whether that is so, as far as anybody says."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.run import Run
from aleaseg.training.model import open_models

__all__ = ["refuse_seen"]


def refuse_seen(predictions: str | Path, dataset: Dataset, patients: Collection[str]) -> list[str]:
    """Refuse predictions of a model that was trained on some of the patients.

    Args:
        predictions: a folder; one made by `aleaseg predict` names its models.
        dataset: says who the patient of a case is.
        patients: of the table.

    Returns:
        Notes, where nobody says what the model was trained on.

    Raises:
        UsageError: patients of the table were trained on.
    """
    run = Run(predictions)
    manifest: Any = run.manifest if run.manifest_file.is_file() else {}
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    named = [settings.get("model"), *(settings.get("members") or [])] if isinstance(settings, dict) else []
    try:
        models = [model for path in named if path for model in open_models(path)]
    except AleasegError:
        models = []
    if not models:
        return [
            "Nobody says which cases the model was trained on: only out-of-fold predictions, or those of a model that "
            "saw none of these patients, can tell what masks are good for."
        ]
    group = {case.id: case.group or case.id for case in dataset.cases}
    trained = {group.get(case, case) for model in models for case in model.plan.train}
    seen = sorted(trained & set(patients))
    if seen:
        raise UsageError(
            f"{len(seen)} of the {len(patients)} patients were trained on by {named[0]}, such as {seen[0]!r}; take "
            "predictions of the cases that it held out (aleaseg predict --held-out), or leave these patients out of "
            "the table"
        )
    return []
