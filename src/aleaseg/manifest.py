"""The manifest: what was asked, of which data, with which code."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.run import Run

__all__ = ["Settings", "begin", "file_hashes", "now", "other_versions", "versions"]

_PACKAGES = (
    "aleaseg",
    "torch",
    "monai",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "nibabel",
    "SimpleITK",
    "transformers",
    "nnunetv2",
)


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


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def begin(run: Run, settings: Settings, dataset: Dataset) -> None:
    """Start a manifest, or make sure that the one there was made with the same settings."""
    asked = {
        **asdict(settings),
        "cases": len(dataset.cases),
        "case_ids": _hash("\0".join(case.id for case in dataset.cases)),
        "labels": {name: list(values) for name, values in dataset.classes.items()},
        "ignore": dataset.ignore,
        "channels": list(dataset.channels),
        "groups_and_sites": _hash("\0".join(f"{case.group}\1{case.site}" for case in dataset.cases)),
        "reference_population": _reference_hash(settings.reference),
    }
    if run.manifest_file.exists():
        # A setting that came later had its default before; JSON knows no tuples.
        made = {**asdict(Settings("")), **run.manifest.get("settings", {})}
        differing = [name for name in asked if _listed(made.get(name)) != _listed(asked[name])]
        if differing:
            lines = "; ".join(f"{name}: {made.get(name)!r} then, {asked[name]!r} now" for name in differing)
            raise SettingsDiffer(
                f"{run.path} was made with other settings ({lines}); give another folder with -o, or delete it"
            )
        return
    if run.path.exists() and not run.path.is_dir():
        raise UsageError(f"{run.path} is a file; give a new folder with -o")
    # What a kill left of the first manifest is ours.
    if run.path.exists() and any(not f.name.startswith(".manifest.json.") for f in run.path.iterdir()):
        raise UsageError(
            f"{run.path} holds other files and is no run; give an empty or a new folder with -o"
        )
    run.path.mkdir(parents=True, exist_ok=True)
    run.update_manifest(
        aleaseg=version("aleaseg"),
        created=now(),
        dataset={
            "path": str(dataset.root),
            "name": dataset.name,
            "layout": dataset.layout,
            "classes": {name: list(values) for name, values in dataset.classes.items()},
            "ignore": dataset.ignore,
            "channels": list(dataset.channels),
            "cases": len(dataset.cases),
        },
        settings=asked,
        versions=versions(),
        crossfit=None,
        predictions=None,
    )


def other_versions(run: Run) -> list[str]:
    """A note where the run was begun with other packages than go on with it."""
    then = run.manifest.get("versions", {})
    other = [
        f"{name} {then.get(name)}, now {found}"
        for name, found in versions().items()
        if then.get(name) != found
    ]
    if not other:
        return []
    return [f"This run was begun with other versions ({'; '.join(other)}): its numbers may mix the two."]


def file_hashes(run: Run, dataset: Dataset) -> dict[str, str]:
    """SHA-256 of what decides the numbers beside the settings: dataset.json and the folds' weights."""
    paths = [*sorted((run.path / "models").glob("fold_*.safetensors")), dataset.root / "dataset.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def _reference_hash(reference: str | None) -> str | None:
    file = Path(reference or "") / "population.json"
    return _hash(file.read_text(encoding="utf-8")) if reference is not None and file.exists() else None


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
