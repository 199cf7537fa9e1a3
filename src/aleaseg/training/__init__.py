"""Train a network on a data set, look at its curves, and predict with it."""

from aleaseg.training.drawing import compare_trainings
from aleaseg.training.model import Model, open_model
from aleaseg.training.predicting import Predicted, PredictSettings, predict
from aleaseg.training.prediction import Prediction
from aleaseg.training.settings import PRESETS, TrainerSettings, TrainingProtocol
from aleaseg.training.training import Trained, train

__all__ = [
    "PRESETS",
    "Model",
    "PredictSettings",
    "Predicted",
    "Prediction",
    "Trained",
    "TrainerSettings",
    "TrainingProtocol",
    "compare_trainings",
    "open_model",
    "predict",
    "train",
]
