"""What a model that never saw the case says about it."""

from __future__ import annotations

from collections.abc import Mapping

from aleaseg.case import Dataset
from aleaseg.predictions.prediction import Prediction, Predictions
from aleaseg.run import Run

__all__ = ["Prediction", "Predictions", "open_predictions"]


def open_predictions(
    run: Run, dataset: Dataset, image_hashes: Mapping[str, str] | None = None
) -> Predictions | None:
    """The predictions that a run names in its manifest; None where it has none.

    Args:
        run: with a manifest.
        dataset: whose cases will be asked for.
        image_hashes: case -> hash of its voxels; a new case that is an image of the
            reference is then predicted only by the network that did not see it.
    """
    from aleaseg.predictions.fitted import Crossfit
    from aleaseg.predictions.folder import PredictionFolder
    from aleaseg.predictions.opinion import Opinions

    named = run.manifest.get("predictions") or {}
    match named.get("source"):
        case "crossfit":
            return Crossfit(run, dataset)
        case "reference":
            return Crossfit(Run(named["path"]), dataset, new=True, image_hashes=image_hashes)
        case "own" | "eye":  # its older name, in runs that are only looked at
            return Opinions(run, dataset)
        case "folder":
            return PredictionFolder(named["path"], dataset)
    return None
