"""The verb `outcome`: what are the masks good for? A target of patients, foretold from frozen masks.

manifest.json   what was asked, and of which data
features.csv    a row for each case: numbers of its predicted and reference masks
outcome.csv     a row for each set of features: how well it predicts the target, with intervals
foretold.csv    what is foretold of each patient (or case), the mean over the repeats
outcome.md      the same to read
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, most_voxels, usable_confidence, usable_image
from aleaseg.errors import NotADataset, UsageError, one_line
from aleaseg.evaluation.at import name_references
from aleaseg.evaluation.features import image_features, mask_features
from aleaseg.evaluation.foretelling import METRICS_OF, Problem, foretell, permuted, score
from aleaseg.evaluation.frozen import refuse_seen
from aleaseg.evaluation.outcome_page import outcome_markdown
from aleaseg.evaluation.predicted import PredictedFiles, find_predictions, inside, read_predicted
from aleaseg.evaluation.settings import OutcomeSettings
from aleaseg.evaluation.targets import TargetTable, read_targets
from aleaseg.levels import at_least
from aleaseg.readers import open_dataset
from aleaseg.readers.nnunet import read_declared
from aleaseg.run import Run, begin, write_aside, write_frame
from aleaseg.work import Progress, map_cases

__all__ = ["Outcome", "outcome"]

FEWEST = 10
"""Patients, below which nothing can be foretold of others."""
_BYTES_PER_VOXEL = 160
# Starting a process costs seconds (it imports torch); a few small cases are faster without.
_WORTH_VOXELS = 2**26

Features = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """How well the target is foretold.

    Attributes:
        path: of the folder.
        rows: of outcome.csv: features, count, and of each metric its mean, low and high; p for the masks.
        features: of features.csv.
        failed: case -> why it could not be used.
        notes: what is to be known.
        manifest: of the folder.
    """

    path: Path
    rows: pd.DataFrame
    features: pd.DataFrame
    failed: Mapping[str, str]
    notes: tuple[str, ...]
    manifest: Mapping[str, Any]


def outcome(
    settings: OutcomeSettings,
    out: str | Path,
    *,
    progress: Progress = lambda stage, done, total: None,
    workers: int | None = None,
) -> Outcome:
    """Predict a target from frozen masks, and from what stands beside them.

    Args:
        settings: what is asked.
        out: a folder; new, empty, or made by the same settings, then made anew.
        progress: called with `features` or `foretell`, done, total.
        workers: processes for the features; None: one per core.

    Raises:
        UsageError: the arguments cannot work, too few patients are left, or a model saw some of them.
    """
    dataset = open_dataset(settings.dataset, **settings.reading)
    dataset, notes = _with_classes(dataset, settings), list[str]()
    table = read_targets(settings.target, dataset.cases, settings.task)
    notes += table.notes
    wanted = set(table.ids)
    cases = [case for case in dataset.cases if (case.id if table.key == "case" else case.group) in wanted]
    notes += refuse_seen(settings.predictions, dataset, {case.group for case in cases})
    found = find_predictions(settings.predictions, cases)
    at, titles, left_out = (
        name_references(dataset, settings.at or ()) if dataset.confidence else ((), {}, [])
    )
    if settings.at and dataset.confidence is None:
        raise UsageError(f"--at: {settings.dataset} states no confidences; leave it out")
    notes += left_out
    run = Run(out)
    begin(run.path, "outcome", settings.asked())
    features, failed = _features(dataset, cases, found.files, at, progress, workers)
    problem, keys, kept = _problem(settings, table, features)
    rows, foretold = _rows(settings, problem, table, kept, keys, features, titles, progress)
    write_frame(run.path / "features.csv", features)
    write_frame(run.path / "outcome.csv", rows)
    write_frame(run.path / "foretold.csv", foretold)
    run.update_manifest(
        dataset={"name": dataset.name, "classes": list(dataset.classes), "cases": len(features)},
        task=problem.task,
        target_classes=list(table.names),
        patients=len(set(problem.group.tolist())),
        references=titles,
        failed=failed,
        notes=notes,
    )
    made = Outcome(run.path, rows, features, failed, tuple(notes), run.manifest)
    write_aside(run.path / "outcome.md", outcome_markdown(rows, made.manifest).encode("utf-8", "replace"))
    return made


def _with_classes(dataset: Dataset, settings: OutcomeSettings) -> Dataset:
    """A data set of images alone has the classes that its predictions declare."""
    if dataset.classes:
        return dataset
    try:
        declared = read_declared(Path(settings.predictions) / "dataset.json")
    except NotADataset as error:
        raise UsageError(
            f"{settings.dataset} has no class, and there is no dataset.json in {settings.predictions} that names any; "
            "say --classes NAME=VALUE,..."
        ) from error
    return replace(dataset, classes=declared.classes)


# -- features ---------------------------------------------------------------------------------------------


def _features(
    dataset: Dataset,
    cases: Sequence[Case],
    files: Mapping[str, PredictedFiles],
    at: Sequence[float],
    progress: Progress,
    workers: int | None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row for each case that can be used, and why others cannot."""
    todo = [(case, files[case.id]) for case in cases if case.id in files]
    failed = {
        case.id: f"{case.id}: found no prediction; expected one per case of the target; predict it"
        for case in cases
        if case.id not in files
    }
    rows: dict[str, dict[str, Any]] = {}
    most = most_voxels([case for case, _ in todo])
    for (case, _), found in map_cases(
        partial(_of_case, dataset.with_cases(()), tuple(at)),
        todo,
        bytes_each=most * _BYTES_PER_VOXEL,
        workers=workers or (None if most * len(todo) > _WORTH_VOXELS else 1),
        progress=lambda done, total: progress("features", done, total),
        killed=lambda item, error: str(error),
    ):
        if isinstance(found, str):
            failed[case.id] = found
        else:
            rows[case.id] = {"case": case.id, "patient": case.group or case.id, **found}
    return pd.DataFrame([rows[case.id] for case, _ in todo if case.id in rows]), failed


def _of_case(dataset: Dataset, at: Sequence[float], item: tuple[Case, PredictedFiles]) -> Features | str:
    case, files = item
    try:
        return dict(_all_of_case(dataset, at, case, files))
    except Exception as error:  # whatever one case does, the others go on
        return one_line(case.id, error)


def _all_of_case(
    dataset: Dataset, at: Sequence[float], case: Case, files: PredictedFiles
) -> Iterator[tuple[str, float]]:
    """`SET/CLASS/NUMBER` -> value, of the sets `image`, `predicted`, `label` and `q>=T`."""
    image = usable_image(case)
    geometry = image.geometry
    predicted = read_predicted(files, case, dataset, geometry)
    label = case.read_label().array if case.read_label is not None else None
    q = usable_confidence(case, geometry.shape) if at else None
    yield from ((f"image//{name}", value) for name, value in image_features(image.array).items())
    for place, (name, values) in enumerate(dataset.classes.items()):
        soft = predicted.soft
        p = None if soft is None else soft.probability(name)
        u = None if soft is None or p is None else soft.stated if soft.stated is not None else p * (1 - p)
        masks: list[tuple[str, NDArray[np.bool_], Any, Any]] = [("predicted", predicted.mask(name), p, u)]
        if label is not None:
            masks.append(("label", inside(label, values), None, None))
        if q is not None:
            masks += [(f"q>={t:g}", at_least(q[place], t), None, None) for t in at]
        for which, mask, sure, unsure in masks:
            numbers = mask_features(mask, geometry.spacing_mm, image.array, sure, unsure)
            yield from ((f"{which}/{name}/{number}", value) for number, value in numbers.items())


# -- the target ---------------------------------------------------------------------------------------------


def _problem(
    settings: OutcomeSettings, table: TargetTable, features: pd.DataFrame
) -> tuple[Problem, list[str], NDArray[np.intp]]:
    """What is foretold, of whom (ids), and their rows in the table.

    Raises:
        UsageError: too few patients, or patients of a class, are left.
    """
    there = set(features[table.key]) if len(features) else set()
    kept = np.array([row for row, name in enumerate(table.ids) if name in there], dtype=np.intp)
    keys = [table.ids[row] for row in kept]
    patient = dict(zip(features["case"], features["patient"], strict=True)) if len(features) else {}
    group = np.array([patient[key] if table.key == "case" else key for key in keys], dtype=str)
    patients = len(set(group.tolist()))
    if patients < FEWEST:
        raise UsageError(
            f"{patients} patients have a target and a prediction; expected at least {FEWEST} to predict anything for "
            "others"
        )
    y = table.y[kept]
    if table.names:
        for place, name in enumerate(table.names):
            count = len(set(group[y == place].tolist()))
            if count < settings.folds:
                raise UsageError(
                    f"{count} patients are {name!r}; expected at least as many as folds, {settings.folds}; join "
                    "classes, or ask for fewer --folds"
                )
    task: Any = "classification" if table.names else "regression"
    return Problem(y, group, task, settings.folds, settings.repeats, settings.seed), keys, kept


def _rows(
    settings: OutcomeSettings,
    problem: Problem,
    table: TargetTable,
    kept: NDArray[np.intp],
    keys: Sequence[str],
    features: pd.DataFrame,
    titles: Mapping[str, str],
    progress: Progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """outcome.csv and foretold.csv."""
    covariates = table.covariates[kept]
    predicted = _matrix(features, "predicted", table.key, keys)
    sets: dict[str, NDArray[np.float64] | None] = {
        "mean" if problem.task == "regression" else "prevalence": None
    }
    if covariates.shape[1]:
        sets["covariates"] = covariates
    sets["image intensity"] = _matrix(features, "image", table.key, keys)
    sets["predicted masks"] = predicted
    if covariates.shape[1]:
        sets["predicted masks and covariates"] = np.hstack([predicted, covariates])
    if any(str(name).startswith("label/") for name in features):
        sets["label"] = _matrix(features, "label", table.key, keys)
    for threshold, title in titles.items():
        sets[f"confidence, {title}"] = _matrix(features, f"q>={threshold}", table.key, keys)
    steps = len(sets) + settings.permutations
    rows, foretold = [], {table.key: list(keys), "target": problem.y}
    for done, (name, X) in enumerate(sets.items(), start=1):
        said = foretell(problem, X)
        found = score(problem, said)
        row: dict[str, Any] = {"features": name, "count": 0 if X is None else X.shape[1]}
        for metric in METRICS_OF[problem.task]:
            row |= {
                metric: found.values[metric],
                f"{metric}_low": found.low[metric],
                f"{metric}_high": found.high[metric],
            }
        rows.append(row)
        mean = np.mean(said, axis=0)
        if problem.task == "regression":
            foretold[name] = mean
        else:
            foretold |= {f"{name}: {known}": mean[:, place] for place, known in enumerate(table.names)}
        progress("foretell", done, steps)
    if settings.permutations:
        chance, p = permuted(
            problem, predicted, settings.permutations,
            lambda done, total: progress("foretell", len(sets) + done, steps),
        )  # fmt: skip
        first = METRICS_OF[problem.task][0]
        low, high = np.quantile(chance, [0.025, 0.975])
        rows.append(
            {
                "features": "predicted masks, targets permuted", "count": predicted.shape[1],
                first: chance.mean(), f"{first}_low": low, f"{first}_high": high,
            }
        )  # fmt: skip
        next(row for row in rows if row["features"] == "predicted masks")["p"] = p
    return pd.DataFrame(rows), pd.DataFrame(foretold)


def _matrix(features: pd.DataFrame, which: str, key: str, keys: Sequence[str]) -> NDArray[np.float64]:
    """(N, F) numbers of one set of features; of a patient with several images their mean and maximum."""
    columns = [name for name in features if str(name).startswith(f"{which}/")]
    if key == "case":
        return features.set_index("case").loc[list(keys)][columns].to_numpy(np.float64)
    by_patient = features.groupby("patient")[columns]
    several = features["patient"].duplicated().any()
    parts = [by_patient.mean(), *([by_patient.max()] if several else [])]
    return np.hstack([part.loc[list(keys)].to_numpy(np.float64) for part in parts])
