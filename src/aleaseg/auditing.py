"""The main verb: check, score, compare, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.case import Dataset, Finding
from aleaseg.errors import UsageError
from aleaseg.eye import (
    channel_number,
    check_same_eye,
    choose_device,
    choose_eye,
    given_predictions,
    given_weights,
    warnings_before,
)
from aleaseg.manifest import Settings, begin_audit, file_hashes
from aleaseg.run import Run, now, other_versions

if TYPE_CHECKING:
    from aleaseg.extractors import Extractor

__all__ = ["Outcome", "Settings", "audit", "run_audit"]

Progress = Callable[[str, int, int], None]
# What cross-fitting leaves of a budget for checking, scoring and the page.
_CROSSFIT_SHARE = 0.75


@dataclass(frozen=True)
class Outcome:
    """How an audit ended.

    Attributes:
        run: the folder.
        findings: errors of the check.
        troubles: case -> what could not be used in scoring.
        page: the report, or None where none was asked for.
    """

    run: Run
    findings: tuple[Finding, ...]
    troubles: dict[str, str]
    page: Path | None


def audit(
    dataset: str | Path,
    out: str | Path,
    *,
    predictions: str | Path = "crossfit",
    extractor: str = "auto",
    prompt: str = "",
    normalize: str = "",
    scenario: str | None = None,
    weights: str | Path | None = None,
    window: tuple[float, float] | None = None,
    channel: str | int | None = None,
    precision: str = "auto",
    accept_licence: bool = False,
    cache: str | Path | None = None,
    steps: int | None = None,
    budget: float | None = None,
    groups: str | None = None,
    sites: str | None = None,
    classes: str | None = None,
    device: str = "auto",
    seed: int = 0,
    reference: str | Path | Run | None = None,
    measures: str = "default",
) -> Run:
    """Find the doubtful cases of a data set: what `aleaseg audit DATASET -o RUN` does.

    Args:
        dataset: a folder in any layout that `open_dataset` knows.
        out: the run's folder; made, or gone on with.
        predictions: `crossfit`; `eye`: the package's own prompted network in its place, no training (what
            `--fast` does); or a folder of out-of-fold predictions.
        extractor: `auto`, or a name: `task`, `variance`, `medsam2`, `segvol`, `universal`, `nnunet`, or
            one that another package adds.
        prompt: what tells the extractor where to look; empty: its default.
        normalize: `raw` or `foreground`; empty: the extractor's default.
        scenario: `a` to `d` of the paper's Table 5, in place of `normalize`.
        weights: a file (nnU-Net: a results folder), or `random`; None: what was fetched.
        window: lowest and highest value of the raw image, where the extractor takes a window.
        channel: which image channel a model of one channel looks at, its name or its number from 0.
        precision: `float32`, `bfloat16`, or `auto`: the latter on a GPU.
        accept_licence: you have read the licence of restricted weights and accept it.
        cache: a folder where class maps are kept.
        steps: of cross-fitting; None: a rule on the data.
        budget: the most minutes it may take; None: no cap.
        groups: cases that share a fold: a regular expression on case ids, or a CSV.
        sites: where scans come from: likewise.
        classes: names to keep, or `name=value` where the layout declares none.
        device: `auto`, `cpu` or `cuda`.
        seed: of everything random.
        reference: a finished run to compare these cases with.
        measures: `default`, or `all`: every other way of measuring uncertainty beside it, in
            `every_measure.csv`; takes some more time.

    Returns:
        The run: `run.cases` has one row per case, doubt in [0, 1], high = bad.

    Raises:
        UsageError: the arguments cannot work, or the run was made with others.
    """
    if isinstance(reference, Run):
        reference = reference.path
    settings = Settings(
        dataset=str(Path(dataset).resolve()),
        predictions=given_predictions(predictions),
        extractor=extractor,
        prompt=prompt,
        normalize=normalize,
        scenario=scenario,
        weights=given_weights(weights),
        window=window,
        channel=None if channel is None else str(channel),
        precision=precision,
        steps=steps,
        budget_minutes=budget,
        groups=groups,
        sites=sites,
        classes=classes,
        device=device,
        seed=seed,
        reference=None if reference is None else str(Path(reference).resolve()),
        measures=measures,
    )
    return run_audit(settings, Run(out), accept_licence=accept_licence, cache=cache).run


def run_audit(
    settings: Settings,
    run: Run,
    *,
    progress: Progress = lambda stage, done, total: None,
    announce: Callable[[str], None] = lambda text: None,
    page: bool = True,
    accept_licence: bool = False,
    cache: str | Path | None = None,
) -> Outcome:
    """All stages, each going on where it was left.

    Args:
        settings: what is asked.
        run: where.
        progress: called with stage (`check`, `prepare`, `train`, `score`, `report`), done, total.
        announce: called with a line that a person should read before a long stage starts.
        page: whether to write the report.
        accept_licence: of restricted weights.
        cache: a folder where class maps are kept; None: nowhere.

    Raises:
        UsageError: the arguments cannot work, or the run was made with others.
    """
    from aleaseg.checks import check, join_groups, write_check
    from aleaseg.extractors import make_extractor
    from aleaseg.predictions import open_predictions
    from aleaseg.readers import open_dataset
    from aleaseg.scoring import score_cases, write_tables

    started = time.monotonic()
    dataset = open_dataset(
        settings.dataset, classes=settings.classes, groups=settings.groups, sites=settings.sites
    )
    if not dataset.cases and not dataset.findings:
        raise UsageError(f"{settings.dataset} holds no case; expected at least one image")
    reference = _reference(settings, dataset)
    own: dict[str, Any] = {
        "accept_licence": accept_licence,
        "cache": None if cache is None else str(Path(cache).resolve()),
    }
    model = _can_work(settings, dataset, reference, own)
    for line in warnings_before(model, dataset) if model else ():
        announce(line)
    begin_audit(run, settings, dataset)
    result = check(dataset, progress=lambda done, total: progress("check", done, total))
    write_check(run.path, result)
    run.update_manifest(check={"errors": len(result.errors), "notes": len(result.notes)})
    dataset = join_groups(dataset, result)
    notes = _predict(run, dataset, settings, reference, started, progress)
    named = run.manifest["predictions"]
    asked, why = choose_eye(settings, dataset, named["source"] if named else None, reference, **own)
    eye = model or make_extractor(asked, dataset, open_predictions(run, dataset))
    run.update_manifest(
        extractor={"name": asked.name, "title": eye.title, "why": why, **eye.identity()},
        hashes=file_hashes(run, dataset),
    )
    troubles = score_cases(
        run,
        dataset,
        asked,
        result.image_hashes,
        progress=lambda done, total: progress("score", done, total),
    )
    # What could not be trained on has no prediction: the fault is the case's, and it is named.
    untrained = (run.manifest.get("crossfit") or {}).get("failed") or {}
    troubles = {**untrained, **troubles}
    # Records of cases that are no longer in the data set would stay in the population.
    run.forget_others([case.id for case in dataset.cases])
    # Without labels there may be one map a case, whatever classes the data set declares.
    classes = list(dataset.classes) if dataset.has_labels or reference or eye.maps_classes else []
    write_tables(
        run, classes, reference.population if reference else None, every=settings.measures == "all"
    )
    notes += [*other_versions(run), *_notes(run, dataset, troubles)]
    run.update_manifest(notes=notes, finished=now())
    index = None
    if page:
        from aleaseg.report import write_report

        index = write_report(run, dataset, progress=lambda done, total: progress("report", done, total))
    return Outcome(run, result.errors, troubles, index)


def _can_work(
    settings: Settings, dataset: Dataset, reference: Run | None, own: Mapping[str, Any]
) -> Extractor | None:
    """Refuse what cannot work before anything is written or computed; the extractor, if it brings a model."""
    from aleaseg.extractors import extractor_class, make_extractor

    source = _source(settings, dataset)
    asked, _ = choose_eye(settings, dataset, source, reference, **own)
    traits = extractor_class(asked.name).traits
    model = make_extractor(asked, dataset) if traits.weights or traits.own_weights else None
    if model is not None:
        # Let go again: whoever scores cases brings a network of their own.
        make_extractor(asked, dataset).load()
    # Chosen by itself, an eye without a model is the reference's, or looks where the reference's cannot.
    if reference is not None and (model is not None or settings.extractor != "auto"):
        check_same_eye(asked.name, model, reference)
    if settings.seed < 0:
        raise UsageError(f"seed is {settings.seed}; expected 0 or more")
    if settings.steps is not None and settings.steps < 1:
        raise UsageError(f"steps is {settings.steps}; expected at least 1")
    choose_device(settings.device)
    if settings.measures not in ("default", "all"):
        raise UsageError(f"unknown measures {settings.measures!r}; expected default or all")
    if settings.measures == "all" and (source != "crossfit" or settings.reference is not None):
        raise UsageError(
            "`--measures all` looks inside the networks of cross-fitting; it needs labels, `--predictions crossfit` "
            "and no `--reference`"
        )
    if source not in (None, "crossfit", "eye"):
        from aleaseg.predictions.folder import PredictionFolder

        PredictionFolder(source, dataset)
    return model


def _reference(settings: Settings, dataset: Dataset) -> Run | None:
    """The reference run, made sure to be one for data of this kind."""
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
    kept = reference.population
    if "bank" not in kept["image"] or "heard" not in (kept["label"] or {"heard": None}):
        raise UsageError(
            f"the population of {reference.path} was made by another version of aleaseg; audit it again"
        )
    made_by = (reference.manifest.get("predictions") or {}).get("source")
    if dataset.has_labels and settings.predictions == "crossfit" and made_by != "crossfit":
        raise UsageError(
            f"the reference {reference.path} trained no models that could predict new cases; "
            f"{'say --fast, as it did' if made_by == 'eye' else 'give their predictions with `--predictions FOLDER`'}"
        )
    return reference


def _named(classes: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name}={'+'.join(map(str, values))}" for name, values in classes.items()) or "(none)"


def _source(settings: Settings, dataset: Dataset) -> str | None:
    """Where predictions come from; cross-fitting needs labels, a folder does not."""
    trained = settings.predictions in ("crossfit", "eye")  # both start from the labels
    return settings.predictions if dataset.has_labels or not trained else None


def _predict(
    run: Run,
    dataset: Dataset,
    settings: Settings,
    reference: Run | None,
    started: float,
    progress: Progress,
) -> list[str]:
    """See to it that there are out-of-fold predictions; returns notes for the page."""
    compared = [] if reference is None else [_compared(reference)]
    if not dataset.has_labels:
        compared = ["There are no labels: only the image axis was measured.", *compared]
    if _source(settings, dataset) is None:
        run.update_manifest(predictions=None)
        return compared
    if settings.predictions == "eye":
        from aleaseg.extractors.opinions import give_opinions

        about = give_opinions(
            run,
            dataset,
            channel=channel_number(settings.channel, dataset) or 0,
            device=choose_device(settings.device),
            progress=lambda done, total: progress("look", done, total),
        )
        run.update_manifest(predictions={"source": "eye", **about})
        return [
            *compared,
            "No network was trained on this data: the label axis compares each mask with the outline that the "
            "package's own prompted network sees where the mask told it to look.",
        ]
    if settings.predictions != "crossfit":
        from aleaseg.predictions.folder import PredictionFolder

        found = len(PredictionFolder(settings.predictions, dataset))
        run.update_manifest(predictions={"source": "folder", "path": settings.predictions, "cases": found})
        missing = len(dataset.cases) - found
        lacking = [f"{missing} cases have no prediction in {settings.predictions}."] if missing else []
        return compared + lacking
    if reference is not None:
        run.update_manifest(predictions={"source": "reference", "path": str(reference.path)})
        return compared
    from aleaseg.predictions.crossfit import CrossfitSettings, crossfit

    budget = None
    if settings.budget_minutes is not None:
        spent = time.monotonic() - started
        budget = max(10.0, settings.budget_minutes * 60 * _CROSSFIT_SHARE - spent)
    done = crossfit(
        run,
        dataset,
        CrossfitSettings(
            steps=settings.steps,
            budget_seconds=budget,
            seed=settings.seed,
            device=choose_device(settings.device),
            inside=settings.measures == "all",
        ),
        progress=progress,
    )
    run.update_manifest(predictions={"source": "crossfit"}, crossfit=done)
    if not done["stopped_by_budget"]:
        return []
    steps = ", ".join(str(fold["steps"]) for fold in done["folds"])
    return [
        f"The budget of {settings.budget_minutes:g} minutes ended the training of the folds at step {steps} "
        f"of {done['steps']}: the label axis is weaker than it could be, and depends on this machine's speed."
    ]


def _compared(reference: Run) -> str:
    return f"Compared with the frozen population of {reference.path}."


def _notes(run: Run, dataset: Dataset, troubles: dict[str, str]) -> list[str]:
    manifest = run.manifest
    notes = []
    population = manifest["population"]
    if population is None:
        notes.append(
            f"Fewer than 20 cases could be measured ({len(dataset.cases) - len(troubles)}): they are too few to "
            "compare with one another, so there are no doubts and no AUV. `--reference RUN` compares them with "
            "another run's population."
        )
    elif (share := population["above_half"]["doubt"]) is not None:
        notes.append(f"{share:.1%} of the cases have a doubt above 0.5.")
    if troubles:
        notes.append(
            f"{len(troubles)} cases could not be used, or only in part; each is named, with what to do."
        )
    if manifest["extractor"]["title"] != manifest["extractor"]["name"]:
        notes.append(
            f"S and AUV come from {manifest['extractor']['title']}, which nobody trained: they mean nothing, and "
            "show only that the way is open."
        )
    if (scenario := manifest["settings"].get("scenario")) is not None:
        cut = "--class NAME" if scenario in "bd" else "--by auv"
        notes.append(
            f"Scenario {scenario} of the paper: `aleaseg select {run.path} {cut} --quantile 0.95` cuts as it does"
            f"{', by the one class that you name' if scenario in 'bd' else ', by all classes'}."
        )
    if manifest["extractor"]["name"] == "task" and population is not None:
        notes.append(
            "AUV is taken from the task network's out-of-fold logits, which never saw the case's own mask: "
            "it can tell of the image only, and with known faults it was no better than chance. "
            "Doubt is the better guide."
        )
    if manifest["extractor"]["name"] == "own" and population is not None:
        notes.append(
            "AUV is taken from the package's small prompted network: with known faults it found wrong masks at "
            "best a little better than chance, and bad images no better. Doubt is the better guide."
        )
    return notes
