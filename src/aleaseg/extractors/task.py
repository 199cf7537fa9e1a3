"""The task network as the extractor: the logits of the network that did not see the case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aleaseg.case import Case, Dataset
from aleaseg.errors import UsageError
from aleaseg.extractors.base import ClassMap, Cost, Extractor, ExtractorSettings, Kind, Traits
from aleaseg.predictions import Predictions

__all__ = ["Task"]


class Task(Extractor):
    """Class maps from out-of-fold predictions, raw logits where there are any.

    The paper's `nnU-Net` row of Table 1 (arXiv 2604.10963). Such maps never saw the
    case's own mask, so they can tell of the image only.
    """

    name = "task"
    traits = Traits(
        "the out-of-fold task network's logits",
        predictions=True,
        caution="AUV is taken from the task network's out-of-fold logits, which never saw the case's own mask: "
        "it can tell of the image only, and with known faults it was no better than chance. "
        "Doubt is the better guide.",
    )

    def __init__(
        self, settings: ExtractorSettings, dataset: Dataset, predictions: Predictions | None = None
    ) -> None:
        if predictions is None:
            raise UsageError("extractor `task` needs out-of-fold predictions")
        super().__init__(settings, dataset, predictions)
        self._predictions = predictions

    def identity(self) -> dict[str, Any]:
        """The network is known by where its predictions come from."""
        return {"name": self.name, "predictions": self._predictions.source}

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """Nothing: the predictions are there."""
        return Cost(0.0, 0)

    def class_maps(self, case: Case) -> Iterator[ClassMap]:
        """One map per class and prediction; none from hard label maps."""
        for prediction in self._predictions.read(case):
            if prediction.kind == "label":
                continue
            # Raw logits are the network's maps, whatever they stand for.
            kind: Kind = "probability" if prediction.kind == "probability" else "logit"
            for name in self.classes:
                values = prediction.class_map(name)
                yield ClassMap(name, values, kind, (0, values.shape[0]))
