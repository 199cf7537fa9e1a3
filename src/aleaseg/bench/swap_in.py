"""The swap-in protocol: each fault at each strength, put into clean cases of a finished draw.

Networks and population are those of the draw, fitted once; the case is measured by
the network that held it out. A fault of the mask leaves the image alone, and with it
everything the network says of the image: only what looks through the mask is
predicted again. What a training says of a case (learning dynamics, in-sample Dice)
would need a training for each fault, and does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.bench.draw import Draw
from aleaseg.bench.faults import Dealt, spoil, with_faults
from aleaseg.bench.result import SWAP_IN_COLUMNS
from aleaseg.case import Case, Dataset, usable_image, usable_label
from aleaseg.corruption import FAULTS, ImpossibleFault
from aleaseg.errors import CaseError
from aleaseg.extractors import make_extractor
from aleaseg.metrics import Resamples, auroc, interval, nested
from aleaseg.predictions import Prediction
from aleaseg.predictions.inside import image_part, mask_part
from aleaseg.predictions.networks import fold_network, fold_units
from aleaseg.predictions.prediction import Kind
from aleaseg.run import Record, Run, file_name, read_json, write_json
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.measure import Eye
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.record import score_case
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.objectives import is_evidential
from aleaseg.work import map_cases

if TYPE_CHECKING:
    import pandas as pd
    import torch

__all__ = ["CASES", "swap_in"]

CASES = 16
"""How many clean cases get each fault."""


@dataclass
class _Given:
    """The one prediction of a case that was made anew."""

    prediction: Prediction
    source: str = "swap-in"

    def read(self, case: Case) -> list[Prediction]:
        return [self.prediction]


def _swap(run: Run, clean: Dataset, number: int, item: tuple[Case, int]) -> None:
    """Every fault in one case; kept in one file."""
    case, fold = item
    import torch

    torch.set_num_threads(1)
    path = _file(run, case.id)
    if path.exists():
        return
    plan = FoldPlan.read(run)
    network, units = fold_network(run, plan, fold), fold_units(run, fold) or []
    seen = _of_image(network, case, plan)
    found = []
    for name, fault in FAULTS.items():
        for level in fault.strengths:
            try:
                dealt, _ = spoil(clean, case, name, level, number)
                faulty = with_faults(clean, {case.id: dealt})[case.id]
                of_image = seen if fault.axis == "mask" else _of_image(network, faulty, plan)
                record = _record(faulty, clean, network, of_image, units, plan, fold)
            except (ImpossibleFault, CaseError):
                continue  # what this case cannot have, or what left nothing of it to measure
            found.append({"dealt": asdict(dealt), "record": record.to_dict()})
    write_json(path, found, indent=None)


def _file(run: Run, case_id: str) -> Path:
    return run.path / "swap_in" / f"{file_name(case_id)}.json"


def _of_image(network: torch.nn.Module, case: Case, plan: FoldPlan) -> dict[str, NDArray]:
    small = plan.preprocessing.image(case, usable_image(case))
    return {**image_part(network, small, plan.preprocessing.grid.patch, plan.device), "small": small}


def _record(
    case: Case,
    dataset: Dataset,
    network: torch.nn.Module,
    of_image: Mapping[str, NDArray],
    units: Sequence[tuple[float, float]],
    plan: FoldPlan,
    fold: int,
) -> Record:
    """The record of a case as the draw's networks and the measures see it."""
    shape = usable_image(case).geometry.shape
    label = usable_label(case, shape)
    assert label is not None
    small = of_image["small"]
    indices = plan.preprocessing.label(label, small.shape[1:])
    through = mask_part(network, small, indices, plan.preprocessing.grid.patch, units, plan.device)
    inside = {**of_image, **through}
    del inside["small"]
    # As the files of the draw keep them.
    logits = inside.pop("logits").astype(np.float16)
    kind: Kind = "evidence" if is_evidential(plan.objective) else "logit"
    prediction = Prediction(logits, kind, shape, dataset.classes, inside=inside, model=f"fold_{fold}")
    given = _Given(prediction)
    record, _ = score_case(case, dataset, given, make_extractor("task", dataset, given))
    return replace(record, files={}, image_files=(), label_files=())


def _chosen(draw: Draw, cases: int) -> list[tuple[Case, int]]:
    """Clean cases of the draw by seed, with the fold that held each out."""
    folds = FoldPlan.read(draw.run).fold_of
    clean = [case for case in draw.clean.cases if case.id not in draw.truth and case.id in folds]
    order = np.random.default_rng([draw.number, 5]).permutation(len(clean))
    return [(clean[index], folds[clean[index].id]) for index in order[:cases]]


def swap_in(
    draw: Draw,
    *,
    cases: int = CASES,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    replicates: int = 1000,
) -> pd.DataFrame:
    """Put every fault at every strength into clean cases, and see which measure tells them from clean ones.

    Args:
        draw: fitted and measured.
        cases: how many get each fault.
        progress: called with `swap-in`, done, total.
        replicates: of the bootstrap over groups, behind the intervals.

    Returns:
        `SWAP_IN_COLUMNS`: AUROC of the faulty versions against the same cases as they were, so that
        a measure that cannot see the fault is at 0.5; mean Dice of clean and faulty masks;
        mean PSNR of the images.
    """
    import pandas as pd

    chosen = _chosen(draw, cases)
    swap = partial(_swap, Run(draw.run.path.resolve()), draw.clean, draw.number)
    for _ in map_cases(
        swap,
        chosen,
        device=FoldPlan.read(draw.run).device,
        progress=lambda done, total: progress("swap-in", done, total),
    ):
        pass
    swapped = [entry for case, _ in chosen for entry in read_json(_file(draw.run, case.id))]
    rows = list(_rows(draw, swapped, replicates))
    return pd.DataFrame(rows, columns=list(SWAP_IN_COLUMNS))


def _rows(draw: Draw, swapped: Sequence[Mapping[str, Any]], replicates: int) -> Iterator[dict[str, Any]]:
    classes = list(draw.dataset.classes)
    population = Numbers.of(draw.run.records(), classes)
    faulty = Numbers.of((Record.from_dict(entry["record"]) for entry in swapped), classes)
    kinds = list(_kinds(draw, swapped, population, replicates))
    for name, measure in MEASURES.items():
        if measure.eye is Eye.TRAINING:
            continue
        frozen = measure.fit(population)
        usual = measure.suspicion(population, frozen)
        middle = float(np.nanmedian(usual)) if np.isfinite(usual).any() else 0.0
        found = measure.suspicion(faulty, frozen)
        for kind in kinds:
            if np.isfinite(found[kind.faulty]).mean() < 0.5:
                continue
            score = np.nan_to_num(np.concatenate([found[kind.faulty], usual[kind.clean]]), nan=middle)
            bad = np.arange(len(score)) < len(kind.faulty)
            spread = nested(auroc, score, bad, np.zeros(len(score), dtype=int), kind.resamples)
            low, high = interval(spread.replicates)
            yield {"measure": name, **kind.about, "auroc": spread.point, "low": low, "high": high}


@dataclass(frozen=True)
class _Kind:
    """One fault at one strength: the rows of the cases that have it, and of the same cases clean."""

    about: Mapping[str, Any]
    faulty: NDArray[np.int64]
    clean: NDArray[np.int64]
    resamples: Resamples


def _kinds(
    draw: Draw, swapped: Sequence[Mapping[str, Any]], population: Numbers, replicates: int
) -> Iterator[_Kind]:
    groups = {case.id: case.group or case.id for case in draw.clean.cases}
    place = {case: row for row, case in enumerate(population.cases)}
    dealt = [Dealt.from_dict(entry["dealt"]) for entry in swapped]
    cases = [entry["record"]["case"] for entry in swapped]
    for name, fault in FAULTS.items():
        for level in fault.strengths:
            these = [i for i, one in enumerate(dealt) if one.fault == name and one.level == level]
            if not these:
                continue
            members = np.array(2 * [groups[cases[i]] for i in these])
            resamples = Resamples.make(
                np.zeros(len(members), dtype=int), members, replicates=replicates, seed=0
            )
            about = {
                "fault": name,
                "axis": fault.axis,
                "level": level,
                "n": len(these),
                "fault_dice": _mean([dealt[i].changed for i in these], "dice"),
                "psnr_db": _mean([dealt[i].changed for i in these], "psnr_db"),
            }
            yield _Kind(about, np.array(these), np.array([place[cases[i]] for i in these]), resamples)


def _mean(changed: Sequence[Mapping[str, Any]], name: str) -> float | None:
    # An infinite PSNR is null in a file.
    known = [float(one[name]) for one in changed if one.get(name) is not None and np.isfinite(one[name])]
    return float(np.mean(known)) if known else None
