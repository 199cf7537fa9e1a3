"""What a model that never saw the case says about it."""

from __future__ import annotations

from aleaseg.case import Dataset
from aleaseg.predictions.prediction import Prediction, Predictions
from aleaseg.run import Run

__all__ = ["Prediction", "Predictions", "open_predictions"]


def open_predictions(run: Run, dataset: Dataset) -> Predictions | None:
    """The predictions that a run names in its manifest; None where it has none.

    Args:
        run: with a manifest.
        dataset: whose cases will be asked for.
    """
    from aleaseg.predictions.crossfit import Crossfit
    from aleaseg.predictions.folder import PredictionFolder

    named = run.manifest.get("predictions") or {}
    match named.get("source"):
        case "crossfit":
            return Crossfit(run, dataset)
        case "reference":
            return Crossfit(Run(named["path"]), dataset, new=True)
        case "folder":
            return PredictionFolder(named["path"], dataset)
    return None
