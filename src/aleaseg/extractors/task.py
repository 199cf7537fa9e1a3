"""The task network as the eye: the logits of the network that did not see the case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aleaseg.case import Case
from aleaseg.extractors.base import ClassMap
from aleaseg.predictions import Predictions

__all__ = ["Task"]


class Task:
    """Class maps from out-of-fold predictions, raw logits where there are any.

    The paper's `nnU-Net` row of Table 1 (arXiv 2604.10963). Such maps never saw the
    case's own mask, so they can tell of the image only.

    Args:
        predictions: where they come from.
        classes: name -> label values.
    """

    name = "task"
    needs_labels = False

    def __init__(self, predictions: Predictions, classes: Mapping[str, tuple[int, ...]]) -> None:
        self.predictions = predictions
        self.classes = classes

    def identity(self) -> dict[str, Any]:
        """The network is known by where its predictions come from."""
        return {"name": self.name, "predictions": self.predictions.source}

    def class_maps(self, case: Case) -> Iterator[ClassMap]:
        """One map per class and prediction; none from hard label maps."""
        for prediction in self.predictions.read(case):
            if prediction.kind == "label":
                continue
            for name in self.classes:
                values = prediction.class_map(name)
                yield ClassMap(name, values, prediction.kind, (0, values.shape[0]))
