"""A few cases of one evaluation, drawn: outlines, and how unsure the model is, over the telling slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.case import Case
from aleaseg.errors import AleasegError
from aleaseg.evaluation.pictures import contour_svg
from aleaseg.evaluation.predicted import Found, PredictedFiles, read_predicted
from aleaseg.evaluation.reference import Reference
from aleaseg.work import Progress

__all__ = ["Drawn", "draw_cases", "worth_a_look"]

_UNSURE = "boundary_uncertainty"


@dataclass(frozen=True)
class Drawn:
    """A case, drawn.

    Attributes:
        case: its id.
        dice: mean over its classes; NaN where there is none.
        unsure: uncertainty at its predicted boundary; NaN where there is none.
        from_below: the place of its Dice, 1 = the lowest.
        from_above: the place of its uncertainty, 1 = the highest; 0 where there is none.
        where: such as `axial, slice 12 of 34`.
        svg: the drawing; empty where there is none.
        trouble: why there is none.
    """

    case: str
    dice: float
    unsure: float
    from_below: int
    from_above: int
    where: str = ""
    svg: str = ""
    trouble: str = ""


def worth_a_look(cases: pd.DataFrame, most: int = 4) -> tuple[list[str], list[str]]:
    """Ids of the cases with the lowest Dice, the lowest first, and of the most unsure of the others, likewise."""
    lowest = list(cases.dropna(subset=["dice"]).sort_values(["dice", "case"], kind="stable")["case"][:most])
    others = cases[~cases["case"].isin(lowest)].dropna(subset=[_UNSURE])
    ranked = others.sort_values([_UNSURE, "case"], ascending=[False, True], kind="stable")
    return lowest, list(ranked["case"][:most])


def draw_cases(
    wanted: Sequence[str],
    cases: pd.DataFrame,
    reference: Reference,
    found: Found,
    most: float,
    progress: Progress,
) -> dict[str, Drawn]:
    """Draw some cases: the reference's outline, the prediction's, and over an image the uncertainty.

    Args:
        wanted: ids.
        cases: all that were measured, rows of cases.csv.
        reference: what they were measured against.
        found: the predictions.
        most: the end of the scale of uncertainty.
        progress: told `report`, done, total.
    """
    places = {
        "from_below": cases["dice"].rank(method="min"),
        "from_above": cases[_UNSURE].rank(method="min", ascending=False),
    }
    ranked = cases.assign(**{name: place.fillna(0).astype(int) for name, place in places.items()})
    rows: dict[str, Any] = {str(row["case"]): row for row in ranked.to_dict("records")}
    drawn = {}
    for done, case_id in enumerate(wanted):
        progress("report", done, len(wanted) + 1)
        row = rows[case_id]
        numbers = (case_id, row["dice"], row[_UNSURE], row["from_below"], row["from_above"])
        try:
            where, svg = _drawing(reference.dataset[case_id], reference, found.files[case_id], most)
            drawn[case_id] = Drawn(*numbers, where=where, svg=svg)
        except Exception as error:  # a picture less, and the page is there
            said = str(error) if isinstance(error, AleasegError) else f"{type(error).__name__}: {error}"
            drawn[case_id] = Drawn(*numbers, trouble=f"No picture: {' '.join(said.split())[:300]}")
    return drawn


def _drawing(case: Case, reference: Reference, files: PredictedFiles, most: float) -> tuple[str, str]:
    assert case.read_label is not None
    voxels = case.read_label()
    label, geometry = voxels.array, voxels.geometry
    predicted = read_predicted(files, case, reference.dataset, geometry)
    image = over = None
    if reference.pictured:
        image = case.read_image().array
        if image.shape[1:] != label.shape:
            image = None
    if image is not None and predicted.soft is not None:
        over = predicted.soft.uncertainty()
    if over is not None and reference.dataset.ignore is not None:
        over = np.where(label == reference.dataset.ignore, np.nan, over)
    return contour_svg(case.id, image, geometry, label, [predicted.labels], reference.dataset, over, most)
