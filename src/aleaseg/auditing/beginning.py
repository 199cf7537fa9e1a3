"""The folder of an audit: begun, or gone on with by the same settings and of the same data."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from os import PathLike
from pathlib import Path

from aleaseg.auditing.growth import Growth
from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Dataset
from aleaseg.errors import SettingsDiffer
from aleaseg.run import Run, begin, sha256_of

__all__ = ["KIND", "begin_audit", "file_hashes"]

KIND = "audit"


# What may change where cases are compared anew, or with a population that is not theirs.
_OF_THE_CASES = ("cases", "case_ids", "groups_and_sites")


def begin_audit(run: Run, settings: AuditSettings, dataset: Dataset, growth: Growth | None = None) -> None:
    """Start a run, or make sure that the one there was made with the same settings, of the same data.

    Args:
        run: the folder.
        settings: of the audit.
        dataset: as it is now.
        growth: what came in since the run's population was made: the others have to be the same.

    Raises:
        SettingsDiffer: it was made with others, or of other data.
        UsageError: the folder holds something else.
    """
    classes = {name: list(values) for name, values in dataset.classes.items()}
    about = {"classes": classes, "ignore": dataset.ignore, "channels": list(dataset.channels)}
    then = [case for case in dataset.cases if growth is None or case.id in growth.before]
    asked = {
        **settings.asked(),
        "cases": len(then),
        "case_ids": _hash("\0".join(case.id for case in then)),
        "labels": classes,
        "ignore": dataset.ignore,
        "channels": list(dataset.channels),
        "groups_and_sites": _hash("\0".join(f"{case.group}\1{case.site}" for case in then)),
        "reference_population": _reference_hash(settings.reference),
    }
    anew = settings.refit or settings.reference is not None
    try:
        new = begin(
            run.path,
            KIND,
            asked,
            free=_OF_THE_CASES if anew else (),
            usual={**AuditSettings("").asked(), **_renamed(run)},
            about={
                "dataset": {
                    "path": str(dataset.root),
                    "name": dataset.name,
                    "layout": dataset.layout,
                    **about,
                    "cases": len(dataset.cases),
                    **_stated(dataset),
                },
                "crossfit": None,
                "predictions": None,
            },
        )
    except SettingsDiffer as error:
        if run.manifest["settings"].get("case_ids") == asked["case_ids"]:
            raise
        raise SettingsDiffer(
            f"{error}; or, if cases were removed or have other groups, give `--refit` to compare all anew"
        ) from None
    if not new and (growth is not None or anew):
        run.update_manifest(
            dataset={**run.manifest["dataset"], "cases": len(dataset.cases)},
            arrivals=list(growth.arrivals) if growth else None,
        )


def _stated(dataset: Dataset) -> dict[str, object]:
    """How confidences are stated, where there are some, and what the label is, where they make it."""
    if dataset.confidence is None:
        return {}
    return {"confidence": {**asdict(dataset.confidence), "label": dataset.confidence.label_is}}


def _renamed(run: Run) -> dict[str, object]:
    """What an older manifest has under another name."""
    made = run.manifest.get("settings", {}) if run.manifest_file.is_file() else {}
    return {"budget": made["budget_minutes"]} if "budget_minutes" in made else {}


def file_hashes(run: Run, dataset: Dataset) -> dict[str, str]:
    """SHA-256 of what decides the numbers beside the settings: dataset.json and the folds' weights."""
    paths = [*sorted((run.path / "models").glob("fold_*.safetensors")), dataset.root / "dataset.json"]
    return {path.name: known for path in paths if (known := sha256_of(path)) is not None}


def _reference_hash(reference: str | PathLike[str] | None) -> str | None:
    file = Path(reference or "") / "population.json"
    return _hash(file.read_text(encoding="utf-8")) if reference is not None and file.exists() else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
