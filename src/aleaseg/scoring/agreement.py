"""How far the mask of a case and what was predicted for it agree, all classes in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Dataset, Geometry
from aleaseg.measures.label_agreement import dice_of_counts, near, softmin
from aleaseg.measures.regions import count_pairs
from aleaseg.predictions import Prediction
from aleaseg.run import Measured

__all__ = ["agreement_rows"]


def agreement_rows(
    label: NDArray, geometry: Geometry, predictions: Sequence[Prediction], dataset: Dataset
) -> list[Measured]:
    """Agreement of the mask with each prediction; the median over predictions counts.

    Args:
        label: (*spatial) label values.
        geometry: of the case.
        predictions: of the case, on its grid.
        dataset: for classes and the ignore label.
    """
    if not predictions:
        names = [*((name, "oof_dice") for name in dataset.classes), ("", "softmin")]
        return [Measured.of(measure, None, name, status="no_prediction") for name, measure in names]
    found: dict[tuple[str, str, str], list[float]] = {}
    for prediction in predictions:
        for key, value in _agreement(label, geometry, prediction, dataset):
            found.setdefault(key, []).append(value)
    rows = []
    for (name, measure, variant), values in found.items():
        known = [value for value in values if np.isfinite(value)]
        middle = median(known) if known else None
        rows.append(Measured.of(measure, middle, name, variant, "ok" if known else "both_empty"))
    return rows


def _agreement(
    label: NDArray, geometry: Geometry, prediction: Prediction, dataset: Dataset
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Class, measure and variant -> the number, of one prediction."""
    given = prediction.given(label)
    counts = _counts_of_regions if prediction.regions else _counts_of_values
    for name, (both, marked, predicted) in counts(label, prediction, dataset):
        yield (name, "oof_dice", ""), dice_of_counts(both, marked, predicted)
        if not marked:
            yield (name, "false_positive_mm3", ""), float(predicted) * geometry.voxel_mm3
    if given is None:
        return
    foreground, seen = label != 0, _seen(prediction, dataset)
    if dataset.ignore is not None:
        unknown = label == dataset.ignore
        given[unknown] = np.nan
        foreground &= ~unknown
        seen &= ~unknown
    yield ("", "softmin", ""), softmin(given)
    yield ("", "softmin", "near"), softmin(given[near(foreground, seen)])


def _counts_of_values(
    label: NDArray, prediction: Prediction, dataset: Dataset
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Class -> how many voxels are in both, in the mask, in the prediction; of a prediction in label values."""
    values = dataset.values
    pairs = count_pairs(label, prediction.labels(), values, dataset.ignore)
    for name, members in dataset.classes.items():
        those = [1 + values.index(value) for value in {*members}]
        both = int(pairs[np.ix_(those, those)].sum())
        yield name, (both, int(pairs[those].sum()), int(pairs[:, those].sum()))


def _counts_of_regions(
    label: NDArray, prediction: Prediction, dataset: Dataset
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """The same of a prediction that has a map of its own for each class, which may overlap."""
    valid = None if dataset.ignore is None else label != dataset.ignore
    for name, members in dataset.classes.items():
        mask, other = np.isin(label, members), prediction.mask(name)
        if valid is not None:
            mask, other = mask & valid, other & valid
        yield name, tuple(int(np.count_nonzero(one)) for one in (mask & other, mask, other))  # type: ignore[misc]


def _seen(prediction: Prediction, dataset: Dataset) -> NDArray[np.bool_]:
    """Where the prediction has any class."""
    if not prediction.regions:
        return prediction.labels() != 0
    seen = np.zeros(prediction.shape, dtype=bool)
    for name in dataset.classes:
        seen |= prediction.mask(name)
    return seen
