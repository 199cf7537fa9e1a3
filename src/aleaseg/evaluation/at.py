"""A prediction against confidences: at every reference threshold, and softly.

A model that is scored at its own threshold alone cannot be compared with one of another. So one predicted mask is
held against 1[q >= r] for every r that is asked for, and the probabilities against q itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, usable_confidence
from aleaseg.errors import ShapeMismatch
from aleaseg.evaluation.columns import AT
from aleaseg.levels import at_least, k_of
from aleaseg.measures.label_agreement import near
from aleaseg.metrics.calibration import calibration_error
from aleaseg.metrics.uncertainty import ged, ncc, soft_dice
from aleaseg.readers.confidence import count_voters

__all__ = ["NEAR_VOXELS", "Confidences", "against_confidence", "name_references", "read_confidences"]

NEAR_VOXELS = 5

Row = dict[str, Any]


@dataclass(frozen=True)
class Confidences:
    """What annotators said of a case, in the order of the data set's classes.

    Attributes:
        q: (C, *spatial); NaN where nobody looked.
        raters: (R, C, *spatial), where there are several.
    """

    q: NDArray[np.float32]
    raters: NDArray[np.float32] | None


def read_confidences(case: Case, shape: tuple[int, ...]) -> Confidences | None:
    """Those of a case; None where it has none.

    Raises:
        ShapeMismatch: they do not lie on the label's grid.
        CaseError: they cannot be read.
    """
    q = usable_confidence(case, shape)
    if q is None:
        return None
    raters = None if case.read_raters is None else case.read_raters().array
    if raters is not None and raters.shape[2:] != shape:
        raise ShapeMismatch(
            case.id,
            f"raters of shape {raters.shape[2:]}",
            f"the label's shape {shape}",
            "resample them to it",
        )
    return Confidences(q, raters)


def name_references(
    dataset: Dataset, at: Sequence[float]
) -> tuple[tuple[float, ...], dict[str, str], list[str]]:
    """What the reference at each threshold is called; and which thresholds make one mask.

    With R raters who draw masks there are R thresholds and no more: .6 and .75 of four are both three of four.

    Args:
        dataset: a few of its cases are read.
        at: rising thresholds.

    Returns:
        The thresholds that make different masks, the first of each; threshold, as columns have it -> title; and
        notes on those that were left out.
    """
    raters = count_voters(dataset)
    if not raters:
        return tuple(at), {f"{t:g}": f"q >= {t:g}" for t in at}, []
    kept: dict[int, float] = {}
    notes = []
    for threshold in at:
        k = k_of(threshold, raters)
        if k in kept:
            notes.append(
                f"{threshold:g} asks for {k} of {raters} raters, as {kept[k]:g} does: one mask, and one column."
            )
        else:
            kept[k] = threshold
    return (
        tuple(kept.values()),
        {f"{t:g}": f"q >= {t:g}, {k} of {raters} raters" for k, t in kept.items()},
        notes,
    )


def against_confidence(
    q: NDArray[np.float32],
    raters: NDArray[np.float32] | None,
    mask_at: Callable[[float | None], NDArray[np.bool_]],
    p: NDArray[np.float32] | None,
    stated: NDArray | None,
    counts: NDArray[np.bool_],
    at: Sequence[float],
    of_masks: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Row],
) -> Row:
    """The columns of one class with `--at`.

    Args:
        q: (*spatial) confidences of the class.
        raters: (R, *spatial), where there are several.
        mask_at: threshold -> the mask that the model predicts for it; None -> its mask.
        p: (*spatial) probabilities; None: the mask decides.
        stated: (*spatial) uncertainty that the model states; None: p (1 - p).
        counts: voxels that are annotated.
        at: thresholds.
        of_masks: reference, prediction -> the columns of two masks.
    """
    looked = counts & ~np.isnan(q)
    row: Row = {}
    for threshold in at:
        measured = of_masks(at_least(q, threshold) & looked, mask_at(threshold) & looked)
        row |= {f"{name}@{threshold:g}": measured[name] for name in AT}
    if not looked.any():
        return row
    mask = mask_at(None)
    soft = mask.astype(np.float32) if p is None else p
    marked = (q > 0) & looked
    around = near(marked, marked, NEAR_VOXELS) & looked if marked.any() else np.zeros_like(looked)
    row["soft_dice"] = soft_dice(soft[looked], q[looked])
    for name, where in (("", around), ("_image", looked)):
        row[f"brier{name}"] = _brier(soft[where], q[where])
        row[f"ece_q{name}"] = calibration_error(soft[where], q[where]).ece
    unsure = soft * (1 - soft) if stated is None else stated
    row["ncc"] = ncc(unsure[looked], (q * (1 - q))[looked])
    if raters is not None:
        seen = ~np.isnan(raters).all(axis=tuple(range(1, raters.ndim)))
        masks = at_least(raters[seen], 0.5) & looked
        if len(masks):
            row["ged"] = ged((mask & looked)[None], masks)
    return row


def _brier(p: NDArray[np.float32], q: NDArray[np.float32]) -> float:
    """Mean (p - q)^2 of the voxels, in [0, 1], low = good; NaN without any."""
    return float(np.mean((p - q) ** 2, dtype=np.float64)) if p.size else float("nan")
