"""One draw: faults dealt, networks fitted to the faulty data, every case measured."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from aleaseg.bench.faults import Dealt, deal, with_faults
from aleaseg.case import Case, Dataset
from aleaseg.extractors import make_extractor
from aleaseg.measures.label_agreement import dice
from aleaseg.predictions import Prediction, open_predictions
from aleaseg.predictions.crossfit import CrossfitSettings, crossfit, plan_crossfit
from aleaseg.run import Run, read_json, write_json
from aleaseg.scoring import score_cases
from aleaseg.training.foldplan import copies_folder, plan_file
from aleaseg.work import Progress

__all__ = ["Draw", "dice_by_class", "fit_draw", "mean_dice", "open_draw", "plan_draw"]


@dataclass(frozen=True)
class Draw:
    """A data set with faults, and the run that measured it.

    Attributes:
        number: the seed.
        run: its records, models and predictions.
        dataset: as the networks and the measures saw it.
        truth: case -> its fault; the others are clean, as far as anybody knows.
        impossible: faults that this data cannot have.
        clean: the data set as it is on disk.
    """

    number: int
    run: Run
    dataset: Dataset
    truth: Mapping[str, Dealt]
    impossible: tuple[str, ...]
    clean: Dataset

    @cached_property
    def clean_dice(self) -> dict[str, dict[str, float]]:
        """Case -> class -> Dice of the out-of-fold prediction and the clean mask; NaN where both are empty."""
        file = self.run.path / "clean_dice.json"
        if not file.exists():
            predictions = open_predictions(self.run, self.clean)
            assert predictions is not None
            found = {
                case.id: dice_by_class(case, of_case[0], self.clean) if of_case else {}
                for case in self.clean.cases
                for of_case in (predictions.read(case),)
            }
            write_json(file, found)
        kept: dict[str, dict[str, float | None]] = read_json(file)
        return {
            case_id: {name: math.nan if value is None else value for name, value in by_class.items()}
            for case_id, by_class in kept.items()
        }


def open_draw(run: Run, dataset: Dataset, number: int, *, share: float) -> Draw:
    """Deal faults to a share of a clean data set (twins in one group) by seed, or read how they were dealt."""
    file = run.path / "truth.json"
    if not file.exists():
        truth, impossible = deal(dataset, number, share=share)
        faults = {case_id: asdict(dealt) for case_id, dealt in truth.items()}
        write_json(file, {"draw": number, "share": share, "faults": faults, "impossible": impossible})
    kept = read_json(file)
    truth = {case_id: Dealt.from_dict(entries) for case_id, entries in kept["faults"].items()}
    return Draw(number, run, with_faults(dataset, truth), truth, tuple(kept["impossible"]), dataset)


def dice_by_class(
    case: Case, prediction: Prediction, dataset: Dataset, *, of_mask: bool = False
) -> dict[str, float]:
    """Class -> Dice with the case's mask, on its own grid where it is annotated.

    Args:
        case: with a label.
        prediction: of the case.
        dataset: its classes, and its label value of what nobody annotated.
        of_mask: only the classes that the mask has; else those that the mask or the prediction has. The
            others are NaN.
    """
    assert case.read_label is not None
    label = case.read_label().array
    valid = label != dataset.ignore if dataset.ignore is not None else np.ones(label.shape, dtype=bool)
    masks = {name: np.isin(label, values) & valid for name, values in dataset.classes.items()}
    return {
        name: math.nan if of_mask and not mask.any() else dice(mask, prediction.mask(name) & valid)
        for name, mask in masks.items()
    }


def mean_dice(by_class: Mapping[str, float]) -> float:
    """Mean over the classes that are in the mask or the prediction; NaN without any."""
    known = [value for value in by_class.values() if np.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def fit_draw(draw: Draw, settings: CrossfitSettings, progress: Progress) -> None:
    """Cross-fit on the faulty data and measure every case; what is finished is not done again."""
    done = crossfit(draw.run, draw.dataset, settings, progress=progress)
    draw.run.update_manifest(
        predictions={"source": "crossfit"},
        crossfit=done,
        dataset={
            "path": str(draw.dataset.root),
            "name": draw.dataset.name,
            "cases": len(draw.dataset.cases),
        },
    )
    score_cases(
        draw.run,
        draw.dataset,
        make_extractor("task", draw.dataset, open_predictions(draw.run, draw.dataset)),
        {},
        progress=lambda finished, total: progress("score", finished, total),
    )


def plan_draw(draw: Draw, settings: CrossfitSettings, progress: Progress) -> None:
    """Choose grid and normalisation as cross-fitting would, where no measure is asked for."""
    if not plan_file(draw.run).exists():
        plan_crossfit(draw.run, draw.dataset, settings, progress)
    shutil.rmtree(copies_folder(draw.run), ignore_errors=True)
