"""What cross-fitting predicted, and what its networks say of new cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, usable_image
from aleaseg.predictions.late import folds_of_groups
from aleaseg.predictions.learning import read_learning
from aleaseg.predictions.networks import fold_network
from aleaseg.predictions.prediction import Kind, Prediction
from aleaseg.run import Run
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.inference import predict_logits
from aleaseg.training.objectives import is_evidential

if TYPE_CHECKING:
    import torch

__all__ = ["Crossfit"]


class Crossfit:
    """Predictions of cross-fitting.

    Args:
        run: the run that holds models and predictions.
        dataset: the data set whose cases are asked for.
        new: the cases are new to the run: each fold's network predicts them; of a case
            whose id, group or image the run knows, only the one that saw none of these
            (there is no prediction where every network saw one).
        image_hashes: case -> hash of its voxels, for the cases that are new.
    """

    source = "crossfit"

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        *,
        new: bool = False,
        image_hashes: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        self.dataset = dataset
        self.new = new
        self.image_hashes = image_hashes or {}
        # The eye and the label axis ask for the same case one after the other.
        self._last: tuple[str, list[Prediction]] | None = None

    @cached_property
    def _plan(self) -> FoldPlan:
        return FoldPlan.read(self.run)

    @cached_property
    def _networks(self) -> list[torch.nn.Module]:
        return [fold_network(self.run, self._plan, fold) for fold in range(len(self._plan.folds))]

    @cached_property
    def _folds_of_groups(self) -> dict[str, set[int]]:
        return folds_of_groups(self._plan, {})

    @cached_property
    def _fold_of(self) -> dict[str, int]:
        return self._plan.fold_of

    @cached_property
    def _known_images(self) -> dict[str, set[str]]:
        """Hash of an image -> the cases of the run that have it."""
        found: dict[str, set[str]] = {}
        for record in self.run.records() if self.image_hashes else ():
            found.setdefault(record.image_hash, set()).add(record.case)
        return found

    def _unbiased(self, case: Case) -> list[int]:
        """The folds whose networks saw neither the new case nor a relative of it."""
        twins = self._known_images.get(self.image_hashes.get(case.id) or "none", set())
        known = set[int]().union(
            *(self._folds_of_groups.get(name, set()) for name in {case.id, case.group, *twins})
        )
        folds = range(len(self._plan.folds))
        return [fold for fold in folds if known <= {fold}]

    def _prediction(self, maps: NDArray, shape: tuple[int, ...]) -> Prediction:
        kind: Kind = "evidence" if is_evidential(self._plan.objective) else "logit"
        return Prediction(maps, kind, shape, self.dataset.classes)

    def read(self, case: Case) -> list[Prediction]:
        """The out-of-fold logits of a case; for a new case those of every fold."""
        if self._last is None or self._last[0] != case.id:
            self._last = (case.id, self._read(case))
        return self._last[1]

    def _read(self, case: Case) -> list[Prediction]:
        if self.new:
            image, preprocessing = usable_image(case), self._plan.preprocessing
            small, patch = preprocessing.image(case, image), preprocessing.grid.patch
            return [
                self._prediction(predict_logits(self._networks[fold], small, patch), image.geometry.shape)
                for fold in self._unbiased(case)
            ]
        path = self.run.prediction_file(case.id)
        if not path.exists():
            return []
        from safetensors.numpy import load_file

        arrays = {**load_file(path), **read_learning(self.run, case.id)}
        prediction = self._prediction(arrays.pop("logits"), case.read_geometry().shape)
        model = f"fold_{self._fold_of[case.id]}" if case.id in self._fold_of else ""
        return [replace(prediction, inside=arrays, model=model)]
