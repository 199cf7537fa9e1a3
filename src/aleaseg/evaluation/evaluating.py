"""The verb `evaluate`: predictions against a reference, one folder with what was found.

manifest.json      what was asked, of which data, with which code; every column's direction
metrics.csv        a row per case and class
cases.csv          a row per case
summary.csv        means with intervals, by class and over all; pooled overlap
cues.csv           a row per case: whether uncertainty follows gradient, distance and noise; with --cues
risk_coverage.csv  AURC of every confidence
reliability.csv    a row per case and bin of uncertainty: voxels, and wrong ones
summary.md         means and AURC, to commit
index.html         the page
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.case import Case, Dataset
from aleaseg.errors import AleasegError, CaseError, UsageError
from aleaseg.evaluation.at import name_references
from aleaseg.evaluation.columns import CUE_COLUMNS, case_columns, describe, metric_columns, tolerances
from aleaseg.evaluation.evaluation import (
    CUE_TABLE,
    KIND,
    RELIABILITY_TABLE,
    Evaluation,
    joined,
    open_evaluation,
)
from aleaseg.evaluation.markdown import summary_markdown
from aleaseg.evaluation.measuring import Row, Rules, failed_case, measure_case
from aleaseg.evaluation.predicted import Found, PredictedFiles, find_predictions
from aleaseg.evaluation.ranking import Ranking, read_rankings
from aleaseg.evaluation.reference import Reference, open_reference
from aleaseg.evaluation.reliability import reliability_table
from aleaseg.evaluation.report import write_evaluation_page
from aleaseg.evaluation.settings import EvaluationSettings
from aleaseg.evaluation.summary import ALL, CONFIDENCES, risk_coverage, summarise
from aleaseg.evaluation.unsure import Noisy, find_noisy
from aleaseg.readers.files import FLAT_ENDINGS
from aleaseg.readers.voxels import read_geometry
from aleaseg.run import Run, begin, write_aside, write_frame
from aleaseg.work import Progress, map_cases

__all__ = ["evaluate"]

# Starting a process costs seconds (it imports torch and MONAI); a few small cases are faster without.
_WORTH_CASES, _WORTH_VOXELS = 40, 2**26
# A label, a prediction, masks, and the distances of a class that fills the image (95 bytes a voxel, measured); and
# two copies of each channel.
_BYTES_PER_VOXEL, _BYTES_PER_CHANNEL = 112, 8


def evaluate(
    settings: EvaluationSettings,
    out: str | Path,
    *,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> Evaluation:
    """Measure predictions against a reference, and write what was found.

    A case that cannot be measured (its prediction is missing, damaged, on another grid,
    has unknown label values) is named in the tables, and the others are measured.

    Args:
        settings: what is asked.
        out: the folder; new, empty, or made by the same settings, then made anew.
        progress: called with `evaluate` or `report`, done, total.
        workers: processes; None: one per core.

    Returns:
        The evaluation, opened; `page` in it is the path of its page.

    Raises:
        UsageError: the arguments cannot work, or the folder holds something else; nothing was written.
    """
    run, reference = Run(out), _reference(settings)
    dataset = reference.dataset
    rules, references, left_out = _rules(settings, dataset)
    noisy = find_noisy(settings.noisy, dataset)
    found = find_predictions(settings.predictions, dataset.cases)
    todo, failed, notes = _plan(settings, reference, found, rules)
    notes += [*left_out, *_without_noise(noisy, todo)]
    confidences = read_rankings(settings.confidence, [case.id for case in todo])
    # What cannot work is refused before; what ends this half-way leaves a folder that is known as ours.
    begin(run.path, KIND, settings.asked())
    measured = _measure(todo, found, noisy, rules, progress, workers)
    done = sorted([*measured, *failed], key=lambda rows: rows[1]["case"])
    tables = _tables(done, rules)
    signs = _join(tables["cases"], confidences)
    tables |= _said_together(tables, signs, list(dataset.classes))
    notes += _in_pixels(todo)
    run.update_manifest(
        dataset=_about(reference, len(tables["cases"])),
        confidences=signs,
        tolerances_mm=dict(rules.tolerances_mm),
        notes=notes,
        columns=describe(rules.at),
        references=references,
    )
    for name, frame in tables.items():
        write_frame(run.path / f"{name}.csv", frame)
    made = open_evaluation(run.path)
    write_aside(run.path / "summary.md", summary_markdown(made).encode("utf-8", "replace"))
    if settings.against is None:  # else the page is that of the comparison
        write_evaluation_page(made, reference, found, progress)
    return made


def _rules(settings: EvaluationSettings, dataset: Dataset) -> tuple[Rules, dict[str, str], list[str]]:
    """What is the same for all cases; with `--at` what each reference is called, and notes."""
    rules = Rules(
        dataset.with_cases(()),
        tolerances(settings.tolerance, list(dataset.classes)),
        settings.both_empty == "perfect",
        settings.cues,
    )
    if not settings.at:
        return rules, {}, []
    at, references, left_out = name_references(dataset, settings.at)
    return replace(rules, at=at), references, left_out


def _tables(done: Sequence[tuple[list[Row], Row]], rules: Rules) -> dict[str, pd.DataFrame]:
    """Name -> rows of the cases, for every table that is made of them alone."""
    whole = pd.DataFrame([row for _, row in done])
    tables = {
        "metrics": pd.DataFrame([row for rows, _ in done for row in rows]).reindex(
            columns=metric_columns(rules.at)
        ),
        "cases": whole.reindex(columns=case_columns(rules.at)),
        RELIABILITY_TABLE: reliability_table(row for _, row in done),
    }
    if rules.cues:
        tables[CUE_TABLE] = whole.reindex(columns=[*CUE_COLUMNS])
    return tables


def _said_together(
    tables: Mapping[str, pd.DataFrame], signs: Mapping[str, int], classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The tables of all cases together."""
    metrics, cases = tables["metrics"], tables["cases"]
    known = joined(cases, tables[CUE_TABLE]) if CUE_TABLE in tables else cases
    return {
        "summary": summarise(metrics, known, classes),
        "risk_coverage": risk_coverage(cases, {**CONFIDENCES, **signs}),
    }


def _reference(settings: EvaluationSettings) -> Reference:
    """The reference, its classes such as can be measured."""
    reference = open_reference(
        settings.reference,
        classes=settings.classes,
        groups=settings.groups,
        scale=settings.scale,
        fuse=settings.fuse,
    )
    if settings.at and reference.dataset.confidence is None:
        raise UsageError(
            f"--at {','.join(f'{t:g}' for t in settings.at)}: {settings.reference} states no confidences; expected "
            "confidencesTr/ beside labelsTr/, confidence/ beside images/, raters/CASE/RATER.nii.gz or npz/CASE.npz"
        )
    if not reference.dataset.classes:
        raise UsageError(f"{settings.reference} has no class; name them with --classes NAME=VALUE,...")
    if ALL in reference.dataset.classes:
        raise UsageError(
            f"{settings.reference} has a class {ALL!r}, which is what the rows over all classes are called; "
            "rename it, or choose others with --classes"
        )
    return reference


def _about(reference: Reference, cases: int) -> dict[str, Any]:
    """What the manifest says of the data."""
    dataset = reference.dataset
    return {
        "name": dataset.name,
        "classes": {name: list(values) for name, values in dataset.classes.items()},
        "ignore": dataset.ignore,
        "cases": cases,
        "pictured": reference.pictured,
    }


def _without_noise(noisy: Noisy, todo: Sequence[Case]) -> list[str]:
    """That cases lack a prediction of their noisy image, if they do."""
    missing = noisy.missing(case.id for case in todo)
    if not missing:
        return []
    return [
        f"{len(missing)} case(s) lack a prediction at some level of noise, and have no score by distance and noise: "
        f"{_some(missing)}."
    ]


def _in_pixels(todo: Sequence[Case]) -> list[str]:
    """That the files know no spacing, if the first one does not."""
    files = [(path, case) for case in todo[:1] for path in (*case.label_files, *case.confidence_files)]
    if not all(_without_spacing(path, case) for path, case in files):
        return []
    return ["The files know no spacing: distances are in pixels."]


def _without_spacing(path: Path, case: Case) -> bool:
    """Whether a picture states no spacing: neither in itself nor beside it."""
    if path.suffix.lower() not in FLAT_ENDINGS:
        return False
    try:
        return set(read_geometry(path, case.id).spacing_mm) == {1.0}
    except CaseError:
        return True


def _plan(
    settings: EvaluationSettings, reference: Reference, found: Found, rules: Rules
) -> tuple[list[Case], list[tuple[list[Row], Row]], list[str]]:
    """Cases to measure; rows of those that cannot be; and what else is to be known."""
    dataset, notes = reference.dataset, list[str]()
    todo, failed = [], []
    for case in dataset.cases:
        if case.id in found.files and case.read_label is None:
            said = f"{case.id}: found no label in the reference; expected one per case; add it"
            failed.append(failed_case(case.id, case.group, said, rules))
        elif case.id in found.files:
            todo.append(case)
        elif not settings.only_predicted:
            said = (
                f"{case.id}: found no prediction in {Path(settings.predictions).name}; expected {case.id}.nii.gz, "
                f"{case.id}.png, {case.id}.npz or the like; predict the case, or leave it out with --only-predicted"
            )
            failed.append(failed_case(case.id, case.group, said, rules))
    if settings.only_predicted and len(todo) < len(dataset.cases):
        notes.append(
            f"{len(dataset.cases) - len(todo)} of {len(dataset.cases)} cases have no prediction and are left out."
        )
    there = {case.id for case in dataset.cases}
    without = []
    for finding in dataset.findings:
        if finding.case and finding.severity == "error" and finding.case not in there:
            there.add(finding.case)
            if finding.case in found.others:
                said = (
                    f"{finding.case}: found {finding.found}; expected {finding.expected}; {finding.advice}"
                )
                failed.append(failed_case(finding.case, finding.case, said, rules))
            else:
                without.append(finding.case)
    if without:
        notes.append(
            f"{len(without)} case(s) of the reference are incomplete and have no prediction: {_some(without)}."
        )
    others = sorted(set(found.others) - there)
    if others:
        notes.append(f"{len(others)} prediction(s) belong to no case of the reference: {_some(others)}.")
    return todo, failed, notes


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])


def _measure(
    todo: Sequence[Case],
    found: Found,
    noisy: Noisy,
    rules: Rules,
    progress: Progress,
    workers: int | None,
) -> Iterator[tuple[list[Row], Row]]:
    """The rows of every case, side by side over cores, as they are finished."""
    bytes_each, worth = _needed(todo, found, rules.dataset)
    items = [(case, found.files[case.id], noisy.of(case.id)) for case in todo]
    for _, rows in map_cases(
        partial(_measure_one, rules),
        items,
        bytes_each=bytes_each,
        workers=workers or (None if worth else 1),
        progress=lambda done, total: progress("evaluate", done, total),
        killed=lambda item, error: failed_case(item[0].id, item[0].group, str(error), rules),
    ):
        yield rows


def _measure_one(
    rules: Rules, item: tuple[Case, PredictedFiles, dict[float, PredictedFiles]]
) -> tuple[list[Row], Row]:
    case, files, noisy = item
    return measure_case(case, files, rules, noisy)


def _needed(todo: Sequence[Case], found: Found, dataset: Dataset) -> tuple[int, bool]:
    """What the largest case holds, in bytes; and whether there is enough to do for processes of their own."""
    voxels = [0]
    for case in todo:
        try:
            voxels.append(math.prod(case.read_geometry().shape))
        except AleasegError:
            continue  # the case will say so itself
    channels = 1 + len(dataset.values) if any(files.soft for files in found.files.values()) else 0
    bytes_each = max(voxels) * (_BYTES_PER_VOXEL + _BYTES_PER_CHANNEL * channels)
    return bytes_each, len(todo) >= _WORTH_CASES or sum(voxels) >= _WORTH_VOXELS


def _join(cases: pd.DataFrame, confidences: Sequence[Ranking]) -> dict[str, int]:
    """Put the columns of confidence into the table of cases, before the errors; column -> sign."""
    for confidence in confidences:
        values = [confidence.values.get(case, np.nan) for case in cases["case"]]
        cases.insert(len(cases.columns) - 1, confidence.name, values)
    return {confidence.name: confidence.sign for confidence in confidences}
