"""The maps of a run: made for its suspects, side by side, and kept until something changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, most_voxels
from aleaseg.errors import one_line
from aleaseg.measures.doubt_map import UsualBorder
from aleaseg.predictions import Predictions, open_predictions
from aleaseg.run import Run, file_name
from aleaseg.where.kept import DoubtMap
from aleaseg.where.making import make_map, usual_borders
from aleaseg.work import map_cases

__all__ = ["LEAST", "keep_maps", "kept_map", "map_of", "suspects"]

LEAST = 0.02
"""A doubt of a voxel below it is none: a network is never quite sure."""
# Raise it when the maps themselves change, so that older ones are made anew.
_VERSION = 1
_HALF = 0.5
_MOST = 400  # the most doubtful
_BYTES_PER_VOXEL = 60
# Starting a process costs seconds; a few cases are faster without.
_WORTH_WORKERS = 40


def suspects(cases: pd.DataFrame) -> list[str]:
    """The cases that have a map: those with a doubt above 0.5, 400 of them at most, the most doubtful first."""
    if "doubt" not in cases:
        return []
    doubt = pd.to_numeric(cases["doubt"], errors="coerce")
    order = doubt[doubt > _HALF].sort_values(ascending=False, kind="stable").index[:_MOST]
    return cases.loc[order, "case"].astype(str).tolist()


def kept_map(run: Run, case_id: str) -> DoubtMap | None:
    """Where the mask of a case is doubtful; None where no map of it is kept."""
    return DoubtMap.read(run.map_file(case_id))


def map_of(run: Run, dataset: Dataset, case: Case, predictions: Predictions | None) -> NDArray[np.float32]:
    """The map of any case, as one that is kept would be: (*spatial) in [0, 1].

    Args:
        run: of its tables; without a population the prediction alone is asked.
        dataset: of the case.
        case: with a mask.
        predictions: of the run.

    Raises:
        UsageError: the case has no mask.
        CaseError: it cannot be read.
    """
    there = (run.path / "population.json").exists()
    usual = usual_borders(run.population) if there else {}
    return DoubtMap.of(make_map(case, dataset, predictions, usual), LEAST).doubt()


def keep_maps(
    run: Run,
    dataset: Dataset,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> dict[str, str]:
    """Make the maps of the suspects that are missing or out of date, and take those of all others away.

    Args:
        run: with its tables; without a population it has no suspects.
        dataset: the cases.
        progress: called with (done, total).
        workers: processes; None: one per core.

    Returns:
        case -> why it has no map, for the suspects that could not be mapped.
    """
    wanted = set(suspects(run.cases))
    names = {file_name(case) for case in wanted}
    for path in (run.path / "maps").glob("[!.]*.npz"):
        if path.stem not in names:
            path.unlink()
    if not wanted:
        return {}
    usual = usual_borders(run.population)
    without = dataset.with_cases(())
    stamp = _stamp_of_all(run, dataset, usual)
    stale = []
    for case in dataset.cases:
        if case.id in wanted and case.has_label:
            seen = _digest([stamp, getattr(run.record(case.id), "seen", "")])
            before = kept_map(run, case.id)
            if before is None or before.stamp != seen:
                stale.append((case, seen))
    job = partial(_keep, Run(run.path.resolve()), without, open_predictions(run, without), usual)
    done = map_cases(
        job,
        stale,
        bytes_each=most_voxels([case for case, _ in stale]) * _BYTES_PER_VOXEL,
        workers=workers or (None if len(stale) >= _WORTH_WORKERS else 1),
        progress=progress,
    )
    return {case.id: line for (case, _), line in done if line is not None}


def _keep(
    run: Run,
    dataset: Dataset,
    predictions: Predictions | None,
    usual: Mapping[str, UsualBorder],
    item: tuple[Case, str],
) -> str | None:
    """Make and keep one map; returns one line if that failed."""
    case, stamp = item
    try:
        doubt = make_map(case, dataset, predictions, usual)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        run.map_file(case.id).unlink(missing_ok=True)
        return one_line(case.id, error)
    DoubtMap.of(doubt, LEAST, stamp).write(run.map_file(case.id))
    return None


def _stamp_of_all(run: Run, dataset: Dataset, usual: Mapping[str, UsualBorder]) -> str:
    """What decides the maps beside the files of a case, of which its record's stamp tells."""
    borders = {name: [repr(value) for value in asdict(one).values()] for name, one in usual.items()}
    made_by = run.manifest.get("predictions")
    return _digest([_VERSION, dict(dataset.classes), dataset.ignore, made_by, borders])


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode("utf-8", "replace")).hexdigest()[:20]
