"""The maps of a run: made for its suspects, side by side, and kept until something changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import pandas as pd

from aleaseg.case import Case, Dataset, file_stamps, most_voxels
from aleaseg.errors import one_line
from aleaseg.measures.doubt_map import UsualBorder
from aleaseg.predictions import Predictions, open_predictions
from aleaseg.run import Run, file_name
from aleaseg.where.kept import DoubtMap
from aleaseg.where.making import make_map, usual_borders
from aleaseg.work import map_cases

__all__ = ["LEAST", "Mapper", "keep_maps", "kept_map", "suspects"]

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
    """Where the mask of a case was doubtful when its map was made; None where no map of it is kept."""
    return DoubtMap.read(run.map_file(case_id))


@dataclass(frozen=True)
class Mapper:
    """Makes the maps of a run; goes to worker processes.

    Attributes:
        run: with its records.
        dataset: without its cases.
        predictions: of the run; None: the border alone is looked at.
        usual: how the border of each class usually is.
        made_from: stamp of what decides all maps.
    """

    run: Run
    dataset: Dataset
    predictions: Predictions | None
    usual: Mapping[str, UsualBorder]
    made_from: str

    @classmethod
    def of(cls, run: Run, dataset: Dataset) -> Mapper:
        """Of a finished run; without a population the prediction alone is asked."""
        there = (run.path / "population.json").exists()
        usual = usual_borders(run.population) if there else {}
        borders = {name: [repr(value) for value in asdict(one).values()] for name, one in usual.items()}
        made_by = run.manifest.get("predictions")
        stamp = _digest([_VERSION, dict(dataset.classes), dataset.ignore, made_by, borders])
        without = dataset.with_cases(())
        return cls(Run(run.path.resolve()), without, open_predictions(run, without), usual, stamp)

    def stamp(self, case: Case) -> str:
        """What the map of a case is made from: its files and its prediction."""
        record = self.run.record(case.id)
        return _digest([self.made_from, file_stamps(case), "" if record is None else record.seen])

    def kept(self, case: Case) -> DoubtMap | None:
        """The map that the run keeps; None where it has none, or one of what was before."""
        found = kept_map(self.run, case.id)
        return found if found is not None and found.stamp == self.stamp(case) else None

    def make(self, case: Case) -> DoubtMap:
        """The map of any case.

        Raises:
            UsageError: it has no mask.
            CaseError: it cannot be read.
        """
        doubt = make_map(case, self.dataset, self.predictions, self.usual)
        return DoubtMap.of(doubt, LEAST, self.stamp(case))


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
    mapper = Mapper.of(run, dataset)
    suspected = [case for case in dataset.cases if case.id in wanted and case.has_label]
    stale = [case for case in suspected if mapper.kept(case) is None]
    done = map_cases(
        partial(_keep, mapper),
        stale,
        bytes_each=most_voxels(stale) * _BYTES_PER_VOXEL,
        workers=workers or (None if len(stale) >= _WORTH_WORKERS else 1),
        progress=progress,
        killed=lambda case, error: str(error),
    )
    return {case.id: line for case, line in done if line is not None}


def _keep(mapper: Mapper, case: Case) -> str | None:
    """Make and keep one map; returns one line if that failed."""
    path = mapper.run.map_file(case.id)
    try:
        found = mapper.make(case)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        path.unlink(missing_ok=True)
        return one_line(case.id, error)
    found.write(path)
    return None


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode("utf-8", "replace")).hexdigest()[:20]
