"""The run that cases are compared with."""

from __future__ import annotations

from collections.abc import Mapping

from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.run import Run
from aleaseg.scoring.population import is_readable

__all__ = ["open_reference"]


def open_reference(settings: AuditSettings, dataset: Dataset) -> Run | None:
    """The reference run, made sure to be one for data of this kind; None where there is none.

    Raises:
        UsageError: cases of this data set cannot be compared with it.
    """
    if settings.reference is None:
        return None
    reference = Run(settings.reference)
    classes = reference.manifest["dataset"]["classes"]
    here = {name: list(values) for name, values in dataset.classes.items()}
    if dataset.has_labels and list(classes.items()) != list(here.items()):
        raise UsageError(
            f"the reference {reference.path} has the classes {_named(classes)}; "
            f"this data set has {_named(here)}; they must be the same"
        )
    channels = reference.manifest["dataset"]["channels"]
    if len(channels) != len(dataset.channels):
        raise UsageError(
            f"the reference {reference.path} has {len(channels)} channels, this data set {len(dataset.channels)}; "
            "they must be the same"
        )
    if not (reference.path / "population.json").exists():
        raise UsageError(f"the reference {reference.path} has no population (fewer than 20 cases)")
    if not is_readable(reference.population):
        raise UsageError(
            f"the population of {reference.path} was made by another version of aleaseg; audit it again"
        )
    made_by = (reference.manifest.get("predictions") or {}).get("source")
    if dataset.has_labels and settings.predictions == "crossfit" and made_by != "crossfit":
        raise UsageError(
            f"the reference {reference.path} has no models that could predict new cases; "
            f"{'give --fast, as it did' if made_by == 'own' else 'give their predictions with `--predictions FOLDER`'}"
        )
    return reference


def _named(classes: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name}={'+'.join(map(str, values))}" for name, values in classes.items()) or "(none)"
