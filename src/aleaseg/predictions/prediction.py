"""Out-of-fold predictions, wherever they come from."""

from __future__ import annotations

from typing import Protocol

from aleaseg.case import Case
from aleaseg.training.prediction import Kind as Kind
from aleaseg.training.prediction import Prediction as Prediction

__all__ = ["Kind", "Prediction", "Predictions"]


class Predictions(Protocol):
    """Where out-of-fold predictions come from: cross-fitting, or somebody's folder."""

    source: str

    def read(self, case: Case) -> list[Prediction]:
        """Every prediction there is for the case.

        One out-of-fold prediction for a case of the data set; one per fold for a
        new case (measures are then taken per fold, and their median is the score);
        none where there is none. Raises `CaseError` where a file is bad.
        """
        ...
