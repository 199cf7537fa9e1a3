"""What an audit is asked, and how its manifest begins."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.run import Run, begin

__all__ = ["KIND", "Settings", "begin_audit", "file_hashes"]

KIND = "audit"


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a run; written whole into its manifest.

    Attributes:
        dataset: the folder.
        predictions: `crossfit`, `eye` (the package's own prompted network, no training), or a folder of
            out-of-fold predictions.
        extractor: `auto` or a name.
        prompt, normalize, weights, window, channel, precision: of the extractor, as
            `aleaseg.extractors.ExtractorSettings` has them.
        scenario: `a` to `d` of the paper's Table 5, or None.
        steps: of cross-fitting; None: a rule on the data.
        budget_minutes: the most cross-fitting and the rest may take; None: no cap.
        groups, sites, classes: as `open_dataset` takes them.
        device: `auto`, `cpu` or `cuda`.
        seed: of everything random.
        reference: a run whose models and population these cases are compared with.
        measures: `default`, or `all` that there are, side by side.
    """

    dataset: str
    predictions: str = "crossfit"
    extractor: str = "auto"
    prompt: str = ""
    normalize: str = ""
    weights: str | None = None
    window: tuple[float, float] | None = None
    channel: str | None = None
    precision: str = "auto"
    scenario: str | None = None
    steps: int | None = None
    budget_minutes: float | None = None
    groups: str | None = None
    sites: str | None = None
    classes: str | None = None
    device: str = "auto"
    seed: int = 0
    reference: str | None = None
    measures: str = "default"


def begin_audit(run: Run, settings: Settings, dataset: Dataset) -> None:
    """Start a run, or make sure that the one there was made with the same settings, of the same data."""
    classes = {name: list(values) for name, values in dataset.classes.items()}
    about = {"classes": classes, "ignore": dataset.ignore, "channels": list(dataset.channels)}
    asked = {
        **asdict(settings),
        "cases": len(dataset.cases),
        "case_ids": _hash("\0".join(case.id for case in dataset.cases)),
        "labels": classes,
        "ignore": dataset.ignore,
        "channels": list(dataset.channels),
        "groups_and_sites": _hash("\0".join(f"{case.group}\1{case.site}" for case in dataset.cases)),
        "reference_population": _reference_hash(settings.reference),
    }
    begin(
        run.path,
        KIND,
        asked,
        usual=asdict(Settings("")),  # a setting that came later had its default before
        about={
            "dataset": {
                "path": str(dataset.root),
                "name": dataset.name,
                "layout": dataset.layout,
                **about,
                "cases": len(dataset.cases),
            },
            "crossfit": None,
            "predictions": None,
        },
    )


def file_hashes(run: Run, dataset: Dataset) -> dict[str, str]:
    """SHA-256 of what decides the numbers beside the settings: dataset.json and the folds' weights."""
    paths = [*sorted((run.path / "models").glob("fold_*.safetensors")), dataset.root / "dataset.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def _reference_hash(reference: str | None) -> str | None:
    file = Path(reference or "") / "population.json"
    return _hash(file.read_text(encoding="utf-8")) if reference is not None and file.exists() else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
