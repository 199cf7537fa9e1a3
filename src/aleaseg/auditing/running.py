"""The main verb: every stage of an audit, each going on where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aleaseg.auditing.beginning import begin_audit, file_hashes
from aleaseg.auditing.drifting import drift_of
from aleaseg.auditing.eye import choose_eye, warnings_before
from aleaseg.auditing.growth import growth_of
from aleaseg.auditing.notes import notes_after
from aleaseg.auditing.predicting import predict_cases, source_of
from aleaseg.auditing.reference import open_reference
from aleaseg.auditing.settings import AuditOfFolder, AuditSettings
from aleaseg.case import Dataset, Finding
from aleaseg.checks import CheckResult, check, join_groups, write_check
from aleaseg.errors import UsageError
from aleaseg.predictions import open_predictions
from aleaseg.readers import open_dataset, read_headers
from aleaseg.run import Run, now, other_versions
from aleaseg.scoring import score_cases, write_tables
from aleaseg.settings import called_with
from aleaseg.where.keeping import keep_maps
from aleaseg.work import Progress, elsewhere

__all__ = ["Outcome", "audit", "run_audit"]


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


@called_with(AuditOfFolder)
def audit(settings: AuditOfFolder) -> Run:
    """Find the doubtful cases of a data set: what `aleaseg audit DATASET -o RUN` does.

    Returns:
        The run: `run.cases` has one row per case, doubt in [0, 1], high = bad.

    Raises:
        UsageError: the arguments cannot work, or the run was made with others.
    """
    return run_audit(settings, Run(settings.out)).run


def run_audit(
    settings: AuditSettings,
    run: Run,
    *,
    progress: Progress = lambda stage, done, total: None,
    announce: Callable[[str], None] = lambda text: None,
    page: bool = True,
    tables: bool = True,
) -> Outcome:
    """All stages, each going on where it was left.

    Args:
        settings: what is asked.
        run: where.
        progress: called with stage (`headers`, `check`, `prepare`, `train`, `score`, `map`, `report`), done, total.
        announce: called with a line that a person should read before a long stage starts.
        page: whether to write the report.
        tables: whether to compare the cases with one another when all are scored, and to write tables and page.

    Raises:
        UsageError: the arguments cannot work, or the run was made with others.
    """
    started = time.monotonic()
    dataset = _open(settings, progress)
    reference = open_reference(settings, dataset)
    source = source_of(settings, dataset)
    growth = growth_of(settings, run, dataset)
    # Cases that came in are looked at as the others were, whatever would be chosen today.
    eye = choose_eye(settings, dataset, source, run if growth else reference)
    _refuse(settings, dataset, source)
    for line in warnings_before(eye.model, dataset) if eye.model else ():
        announce(line)
    begin_audit(run, settings, dataset, growth)
    result = _check(run, dataset, progress)
    dataset = join_groups(dataset, result)
    notes = predict_cases(run, dataset, settings, reference, started, progress)
    extractor = eye.open(dataset, open_predictions(run, dataset))
    about = {"name": eye.asked.name, "title": extractor.title, "why": eye.why, **extractor.identity()}
    run.update_manifest(extractor=about, hashes=file_hashes(run, dataset))
    scored = score_cases(
        run,
        dataset,
        extractor,
        result.image_hashes,
        progress=lambda done, total: progress("score", done, total),
    )
    if not tables:
        return Outcome(run, result.errors, scored, None)
    # What could not be trained on has no prediction: the fault is the case's, and it is named.
    troubles = {**((run.manifest.get("crossfit") or {}).get("failed") or {}), **scored}
    # Records of cases that are no longer in the data set would stay in the population.
    run.forget_others([case.id for case in dataset.cases])
    # Without labels there may be one map a case, whatever classes the data set declares.
    classes = list(dataset.classes) if dataset.has_labels or reference or extractor.maps_classes else []
    compared_with = run if growth else reference
    write_tables(
        run,
        classes,
        compared_with.population if compared_with else None,
        batches=growth.batches if growth else None,
        every=settings.measures == "all",
    )
    notes += drift_of(run, dataset, growth, reference)
    unmapped = keep_maps(run, dataset, progress=lambda done, total: progress("map", done, total))
    notes += [*other_versions(run), *notes_after(run, dataset, troubles, unmapped)]
    run.update_manifest(notes=notes, finished=now())
    index = None
    if page:
        from aleaseg.report import write_report

        index = write_report(run, dataset, progress=lambda done, total: progress("report", done, total))
    return Outcome(run, result.errors, troubles, index)


def _open(settings: AuditSettings, progress: Progress) -> Dataset:
    """The data set, its headers read: the eye is chosen by what it would cost; no later stage opens one again."""
    dataset = open_dataset(settings.dataset, **settings.reading)
    if not dataset.cases and not dataset.findings:
        raise UsageError(f"{settings.dataset} holds no case; expected at least one image")
    return read_headers(dataset, lambda done, total: progress("headers", done, total))


def _check(run: Run, dataset: Dataset, progress: Progress) -> CheckResult:
    other = elsewhere()
    shared = (run.path / "checked").is_dir() or (other is not None and other.several)
    result = check(
        dataset,
        progress=lambda done, total: progress("check", done, total),
        kept=run.path / "checked" if shared else None,
    )
    write_check(run.path, result)
    run.update_manifest(check={"errors": len(result.errors), "notes": len(result.notes)})
    return result


def _refuse(settings: AuditSettings, dataset: Dataset, source: str | None) -> None:
    """Refuse what cannot work before anything is written or computed."""
    if settings.measures == "all" and (source != "crossfit" or settings.reference is not None):
        raise UsageError(
            "`--measures all` looks inside the networks of cross-fitting; it needs labels, `--predictions crossfit` "
            "and no `--reference`"
        )
    if source not in (None, "crossfit", "own"):
        from aleaseg.predictions.folder import PredictionFolder

        PredictionFolder(source, dataset)
