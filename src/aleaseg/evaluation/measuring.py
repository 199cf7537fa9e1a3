"""One case, measured: its rows of metrics.csv, and its row of cases.csv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry
from aleaseg.errors import BadVoxels, CaseError
from aleaseg.evaluation.at import NEAR_VOXELS, Confidences, against_confidence, read_confidences
from aleaseg.evaluation.columns import AT, metrics_at
from aleaseg.evaluation.predicted import (
    Predicted,
    PredictedFiles,
    inside,
    read_predicted,
    unknown_values,
)
from aleaseg.evaluation.unsure import cue_row, uncertainty_row
from aleaseg.measures.label_agreement import near
from aleaseg.metrics.calibration import calibration_error
from aleaseg.metrics.overlap import Overlap, count_overlap, dice, iou
from aleaseg.metrics.surface import surface_distances

__all__ = ["Rules", "failed_case", "measure_case"]

# A class that neither mask has, where that counts as a perfect prediction.
_PERFECT = {"dice": 1.0, "iou": 1.0, "nsd": 1.0, "hd95_mm": 0.0, "assd_mm": 0.0}
Row = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """What is the same for all cases.

    Attributes:
        dataset: classes and ignore label; its cases are not needed.
        tolerances_mm: of NSD, by class.
        cues: what uncertainty is held against, of `aleaseg.evaluation.unsure.CUES`.
        perfect_if_empty: whether a class that neither mask has is a perfect prediction; else it is left out.
        at: thresholds of confidences, for references beside the label.
        surfaces: whether distances are measured, which takes most of the time; else they are not known.
    """

    dataset: Dataset
    tolerances_mm: Mapping[str, float]
    perfect_if_empty: bool = False
    cues: tuple[str, ...] = ()
    at: tuple[float, ...] = ()
    surfaces: bool = True


def measure_case(
    case: Case, files: PredictedFiles, rules: Rules, noisy: Mapping[float, PredictedFiles] | None = None
) -> tuple[list[Row], Row]:
    """The rows of a case with a label, one for each class and one for the whole; what is wrong with it is in them.

    Args:
        case: with a label.
        files: of its prediction.
        rules: the same for all.
        noisy: files of its predictions under noise, by level.
    """
    try:
        return _measured(case, files, rules, noisy or {})
    except CaseError as error:
        return failed_case(case.id, case.group, str(error), rules)
    except Exception as error:  # whatever one case does, the others go on
        said = f"{case.id}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return failed_case(case.id, case.group, said, rules)


def failed_case(case_id: str, group: str, error: str, rules: Rules) -> tuple[list[Row], Row]:
    """The rows of a case that could not be measured."""
    row = {"case": case_id, "group": group, "status": "failed", "error": error}
    return [{**row, "class": name} for name in rules.dataset.classes], row


def _measured(
    case: Case, files: PredictedFiles, rules: Rules, noisy: Mapping[float, PredictedFiles]
) -> tuple[list[Row], Row]:
    dataset = rules.dataset
    assert case.read_label is not None
    voxels = case.read_label()
    label, geometry = voxels.array, voxels.geometry
    counts = np.ones(label.shape, dtype=bool) if dataset.ignore is None else label != dataset.ignore
    unknown = unknown_values(label[counts], dataset)
    if unknown:
        raise BadVoxels(
            case.id,
            f"the label values {', '.join(map(str, unknown))} in the reference",
            f"0 and {', '.join(map(str, dataset.declared or dataset.values))}",
            "correct the mask, or name the classes with --classes NAME=VALUE,...",
        )
    predicted = read_predicted(files, case, dataset, geometry)
    said = read_confidences(case, label.shape) if rules.at else None
    rows = []
    for place, (name, values) in enumerate(dataset.classes.items()):
        true = inside(label, values)
        reference, found = true & counts, predicted.mask(name) & counts
        row: Row = {"case": case.id, "class": name, "group": case.group}
        row |= _of_masks(reference, found, geometry.spacing_mm, rules, name)
        if predicted.soft is not None:
            p = predicted.soft.probability(name)
            if p is not None:
                row |= _calibration(p, true, counts, reference)
        if said is not None:
            row |= _against_confidence(said, place, name, predicted, counts, geometry.spacing_mm, rules)
        rows.append(row)
    whole: Row = {"case": case.id, "group": case.group, "status": "ok", "voxel_mm3": geometry.voxel_mm3}
    for metric in (*AT, *metrics_at(rules.at)):
        known = [row[metric] for row in rows if not np.isnan(row.get(metric, np.nan))]
        whole[metric] = float(np.mean(known)) if known else np.nan
    whole |= _of_the_winner(label, counts, predicted, dataset, geometry)
    if rules.cues:
        whole |= cue_row(case, label, geometry, predicted, noisy, rules.cues, dataset)
    return rows, whole


def _against_confidence(
    said: Confidences,
    place: int,
    name: str,
    predicted: Predicted,
    counts: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    rules: Rules,
) -> Row:
    """The columns of one class with `--at`."""
    soft = predicted.soft

    def of_masks(reference: NDArray[np.bool_], found: NDArray[np.bool_]) -> Row:
        return _of_masks(reference, found, spacing_mm, rules, name)

    return against_confidence(
        said.q[place],
        None if said.raters is None else said.raters[:, place],
        lambda threshold: predicted.mask(name, threshold),
        None if soft is None else soft.probability(name),
        None if soft is None else soft.stated,
        counts,
        rules.at,
        of_masks,
    )


def _of_masks(
    reference: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    rules: Rules,
    name: str,
) -> Row:
    overlap: Overlap = count_overlap(reference, predicted)
    row: Row = {
        "status": _status(overlap),
        "dice": float(dice(overlap)),
        "iou": float(iou(overlap)),
        **dict.fromkeys(("hd95_mm", "assd_mm", "nsd"), np.nan),
        "tolerance_mm": rules.tolerances_mm[name],
        "reference_voxels": overlap.reference,
        "predicted_voxels": overlap.predicted,
        "both_voxels": overlap.both,
    }
    if rules.surfaces:
        surface = surface_distances(reference, predicted, spacing_mm, rules.tolerances_mm[name])
        row |= {"hd95_mm": surface.hd95_mm, "assd_mm": surface.assd_mm, "nsd": surface.nsd}
    return row | _PERFECT if rules.perfect_if_empty and row["status"] == "both_empty" else row


def _status(overlap: Overlap) -> str:
    if overlap.reference and overlap.predicted:
        return "ok"
    if overlap.reference:
        return "prediction_empty"
    return "reference_empty" if overlap.predicted else "both_empty"


def _calibration(
    p: NDArray[np.float32],
    true: NDArray[np.bool_],
    counts: NDArray[np.bool_],
    foreground: NDArray[np.bool_],
) -> Row:
    """ECE and ACE around the reference's foreground, and over the whole image."""
    around = (
        near(foreground, foreground, NEAR_VOXELS) & counts if foreground.any() else np.zeros_like(counts)
    )
    close, far = (calibration_error(p[region], true[region]) for region in (around, counts))
    return {"ece": close.ece, "ace": close.ace, "ece_image": far.ece, "ace_image": far.ace}


def _of_the_winner(
    label: NDArray, counts: NDArray[np.bool_], predicted: Predicted, dataset: Dataset, geometry: Geometry
) -> Row:
    """How sure the model is of the label that it predicts, and whether rightly so."""
    soft = predicted.soft
    if soft is None or soft.kind == "label":
        return {}
    winner = soft.labels()
    p = soft.given(winner)
    assert p is not None
    foreground = np.isin(label, dataset.values)
    if soft.regions:  # a voxel is right where it is in the right regions, whatever it is called
        right = np.ones(label.shape, dtype=bool)
        for name, values in dataset.classes.items():
            right &= soft.mask(name) == inside(label, values)
    else:
        right = winner == np.where(foreground, label, 0)
    around = near(winner > 0, winner > 0, NEAR_VOXELS) & counts
    return {
        **_calibration(p, right, counts, foreground & counts),
        "max_probability": float(p[counts].mean(dtype=np.float64)) if counts.any() else np.nan,
        "max_probability_near": float(p[around].mean(dtype=np.float64)) if around.any() else np.nan,
        **uncertainty_row(predicted, ~right, counts, geometry),
    }
