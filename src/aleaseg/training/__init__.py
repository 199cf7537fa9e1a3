"""Train a network on a data set, look at its curves, and predict with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aleaseg.extras import late

if TYPE_CHECKING:
    from aleaseg.training.drawing import compare_trainings as compare_trainings
    from aleaseg.training.model import Model as Model
    from aleaseg.training.model import open_model as open_model
    from aleaseg.training.predicting import Predicted as Predicted
    from aleaseg.training.predicting import predict as predict
    from aleaseg.training.prediction import Prediction as Prediction
    from aleaseg.training.settings import PRESETS as PRESETS
    from aleaseg.training.settings import PredictSettings as PredictSettings
    from aleaseg.training.settings import TrainerSettings as TrainerSettings
    from aleaseg.training.settings import TrainingProtocol as TrainingProtocol
    from aleaseg.training.training import Trained as Trained
    from aleaseg.training.training import train as train

_FACE = {
    "PRESETS": "aleaseg.training.settings",
    "Model": "aleaseg.training.model",
    "PredictSettings": "aleaseg.training.settings",
    "Predicted": "aleaseg.training.predicting",
    "Prediction": "aleaseg.training.prediction",
    "Trained": "aleaseg.training.training",
    "TrainerSettings": "aleaseg.training.settings",
    "TrainingProtocol": "aleaseg.training.settings",
    "compare_trainings": "aleaseg.training.drawing",
    "open_model": "aleaseg.training.model",
    "predict": "aleaseg.training.predicting",
    "train": "aleaseg.training.training",
}
__all__ = sorted(_FACE)
__getattr__ = late(__name__, _FACE)
