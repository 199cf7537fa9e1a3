"""What annotators say of a case themselves: how sure they were, and how far several of them lie apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, usable_confidence
from aleaseg.errors import ShapeMismatch
from aleaseg.levels import at_least
from aleaseg.metrics.agreement import mean_confidence, rater_disagreement

__all__ = ["STATED", "masks_of_raters", "stated_numbers"]

STATED = ("mean_confidence", "rater_disagreement")
"""Columns of cases.csv where a data set states confidences."""


def masks_of_raters(case: Case) -> NDArray[np.bool_]:
    """Where each rater marked anything, (R, *spatial): whoever was at least half sure of any class.

    Raises:
        CaseError: they cannot be read.
    """
    assert case.read_raters is not None
    masks: NDArray[np.bool_] = at_least(case.read_raters().array, 0.5).any(axis=1)
    return masks


def stated_numbers(case: Case, shape: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Name and number of the whole case; nothing where it has no confidences.

    Args:
        case: read here.
        shape: of its image.

    Raises:
        ShapeMismatch: confidences or raters lie on another grid.
        CaseError: they cannot be read.
    """
    q = usable_confidence(case, shape)
    if q is None:
        return
    yield "mean_confidence", mean_confidence(q)
    if case.read_raters is None:
        return
    masks = masks_of_raters(case)
    if masks.shape[1:] != shape:
        raise ShapeMismatch(
            case.id,
            f"raters of shape {masks.shape[1:]}",
            f"the image's shape {shape}",
            "resample them to it",
        )
    yield "rater_disagreement", rater_disagreement(masks) if len(masks) > 1 else float("nan")
