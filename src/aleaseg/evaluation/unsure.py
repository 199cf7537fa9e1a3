"""How unsure a model is of a case: where, and whether that follows gradient, distance and noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, usable_image
from aleaseg.cues import distance_map, gradient_map
from aleaseg.errors import UsageError
from aleaseg.evaluation.predicted import Found, Predicted, PredictedFiles, find_predictions, read_predicted
from aleaseg.measures.boundary_uncertainty import boundary_uncertainty
from aleaseg.metrics.cues import cues_of_case
from aleaseg.metrics.reliability import errors_by_uncertainty
from aleaseg.metrics.uncertainty import ueo
from aleaseg.run import Run

__all__ = ["CUES", "Noisy", "cue_row", "find_noisy", "uncertainty_row"]

CUES = ("gradient", "distance", "noise")
"""What uncertainty can be held against; the last two need predictions of noisy images."""


@dataclass(frozen=True)
class Noisy:
    """Predictions of the same cases under noise.

    Attributes:
        levels: level of noise -> what there is.
    """

    levels: Mapping[float, Found] = field(default_factory=dict)

    def of(self, case: str) -> dict[float, PredictedFiles]:
        """The files of a case at every level; empty where one lacks it: two cases are asked the same, or not at all."""
        if not all(case in found.files for found in self.levels.values()):
            return {}
        return {level: found.files[case] for level, found in self.levels.items()}

    def missing(self, cases: Iterable[str]) -> list[str]:
        """The cases that some level lacks."""
        return [case for case in cases if self.levels and not self.of(case)]


def find_noisy(folders: tuple[str, ...], dataset: Dataset) -> Noisy:
    """Folders of `aleaseg predict --noise`, by the noise that their manifests state.

    The level is sigma; of folders that share one sigma it is the mean.

    Raises:
        UsageError: a folder states no noise, or two state the same.
    """
    stated: dict[str, tuple[float, float]] = {}
    for folder in folders:
        run = Run(folder)
        asked = run.manifest.get("settings", {}) if run.manifest_file.is_file() else {}
        if not asked.get("noise"):
            raise UsageError(
                f"--noisy {folder}: found no predictions of noisy images; expected a folder made by "
                "`aleaseg predict ... --noise 0.3 --probabilities`"
            )
        stated[folder] = (float(asked["noise"][0]), float(asked["noise"][1]))
    sigmas = {sigma for _, sigma in stated.values()}
    levels: dict[float, Found] = {}
    for folder, (mean, sigma) in stated.items():
        level = mean if len(sigmas) == 1 and len(stated) > 1 else sigma
        if level in levels:
            raise UsageError(
                f"--noisy {folder}: found the level {level:g} a second time; give one folder a level"
            )
        levels[level] = find_predictions(Path(folder), dataset.cases)
    return Noisy(dict(sorted(levels.items())))


def uncertainty_row(
    predicted: Predicted, wrong: NDArray[np.bool_], counts: NDArray[np.bool_], geometry: Geometry
) -> dict[str, Any]:
    """How unsure the model is, and whether of what it gets wrong; empty where no probabilities are known.

    Beside the columns of cases.csv `reliability`, (2, B) voxels and wrong voxels by uncertainty.

    Args:
        predicted: of the case.
        wrong: (*spatial), where the winner is not the label.
        counts: (*spatial), what is annotated.
        geometry: of the case.
    """
    unsure = None if predicted.soft is None else predicted.soft.uncertainty()
    if unsure is None or not counts.any():
        return {}
    return {
        "mean_uncertainty": float(unsure[counts].mean(dtype=np.float64)),
        "boundary_uncertainty": boundary_uncertainty(unsure, predicted.labels, geometry.spacing_mm),
        "ueo": ueo(unsure[counts], wrong[counts]),
        "reliability": errors_by_uncertainty(unsure[counts], wrong[counts]),
    }


def cue_row(
    case: Case,
    label: NDArray,
    geometry: Geometry,
    predicted: Predicted,
    noisy: Mapping[float, PredictedFiles],
    wanted: tuple[str, ...],
    dataset: Dataset,
) -> dict[str, Any]:
    """UR, UCC and points of each cue; empty where no uncertainty is known.

    Args:
        case: for its image, where the gradient is wanted.
        label: (*spatial), of the reference.
        geometry: of it.
        predicted: of the image as it is.
        noisy: files of the predictions under noise, by level.
        wanted: some of `CUES`.
        dataset: classes and ignore label.
    """
    unsure = None if predicted.soft is None else predicted.soft.uncertainty()
    if unsure is None:
        return {}
    known: NDArray = np.where(np.isin(label, dataset.values), label, 0)
    if dataset.ignore is not None:
        known[label == dataset.ignore] = dataset.ignore
    distance = distance_map(known, spacing=geometry.spacing_mm, ignore_index=dataset.ignore)
    gradient: NDArray = np.zeros(label.shape)
    if "gradient" in wanted:
        gradient = gradient_map(_normalised(usable_image(case).array), spacing=geometry.spacing_mm)
    noised = {}
    for level, files in noisy.items():
        found = read_predicted(files, case, dataset, geometry)
        of_level = None if found.soft is None else found.soft.uncertainty()
        if of_level is not None:
            noised[level] = of_level
    cues = cues_of_case(unsure, gradient, distance, noised)
    row: dict[str, Any] = {}
    for name in wanted:
        if name in cues:
            row |= {f"ur_{name}": cues[name].ur, f"ucc_{name}": cues[name].ucc}
            row[f"points_{name}"] = cues[name].points
    return row


def _normalised(image: NDArray) -> NDArray[np.float32]:
    """Each channel in units of its standard deviation, as networks see it: steps of the gradient are in these."""
    axes = tuple(range(1, image.ndim))
    spread = image.std(axis=axes, keepdims=True, dtype=np.float64)
    centred = image - image.mean(axis=axes, keepdims=True, dtype=np.float64)
    return np.asarray(centred / np.maximum(spread, 1e-8), dtype=np.float32)
