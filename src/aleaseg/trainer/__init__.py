"""Train a network on a data set, and predict with it."""

from aleaseg.trainer.drawing import compare_trainings
from aleaseg.trainer.model import Model, open_model
from aleaseg.trainer.predicting import Predicted, PredictSettings, predict
from aleaseg.trainer.settings import PRESETS, Preset, TrainerSettings
from aleaseg.trainer.training import Trained, train

__all__ = [
    "PRESETS",
    "Model",
    "PredictSettings",
    "Predicted",
    "Preset",
    "Trained",
    "TrainerSettings",
    "compare_trainings",
    "open_model",
    "predict",
    "train",
]
