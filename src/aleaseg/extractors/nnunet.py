"""nnU-Net as the extractor: a trained results folder's logits, each case by the fold that did not see it.

The `nnU-Net` row of Table 1 of arXiv 2604.10963, with a full training in place of this
package's small network.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Voxels, usable_image
from aleaseg.errors import UsageError
from aleaseg.extractors.base import ClassMap, Cost, Extractor, ExtractorSettings, NoMap, Traits
from aleaseg.extractors.checkpoint import file_sha256
from aleaseg.extractors.held_out import held_out
from aleaseg.extractors.nnunet_model import NnUNetModel
from aleaseg.predictions import Prediction, Predictions

__all__ = ["NnUNet"]

_EXPECTED = "nnUNet_results/DatasetXXX_NAME/nnUNetTrainer__nnUNetPlans__3d_fullres"


class NnUNet(Extractor):
    """Class maps from a results folder of nnU-Net 2.8: raw logits on the preprocessed grid.

    A case in the validation list of a fold is predicted by that fold alone; one that no
    list knows by every fold there is, with a map from each. The axes of a map are the
    case's own, (D, H, W), whatever order the plans transpose them to; with the reader
    `NibabelIOWithReorient`, whose networks know left from right, RAS+ with z first.
    """

    name = "nnunet"
    traits = Traits(
        "a trained nnU-Net's logits, each case by the fold that did not see it", own_weights=True
    )

    def __init__(
        self, settings: ExtractorSettings, dataset: Dataset, predictions: Predictions | None = None
    ) -> None:
        super().__init__(settings, dataset, predictions)
        _check_settings(settings)
        folder = _results_folder(settings.weights)
        self._model = NnUNetModel(folder, settings.device)
        self._check_channels()
        self._check_classes()
        about = self._model.about
        ending, cases = str(about.get("file_ending", ".nii.gz")), about.get("numTraining")
        self._held_out = held_out(folder, self._model.dataset_name, ending, cases)

    def identity(self) -> dict[str, Any]:
        """Plans, every checkpoint, and which fold speaks of which case."""
        model = self._model
        return {
            "name": self.name,
            "nnunetv2": version("nnunetv2"),
            "results": f"{model.dataset_name}/{model.folder.name}",
            "configuration": model.configuration,
            "trainer": model.trainer,
            "plans_sha256": file_sha256(model.folder / "plans.json"),
            "dataset_sha256": file_sha256(model.folder / "dataset.json"),
            "checkpoints_sha256": {fold: file_sha256(path) for fold, path in model.checkpoints.items()},
            "folds_sha256": self._held_out.sha256,
            "channel": self.settings.channel,
            "device": self.settings.device,
        }

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """One fold's passes, timed here on a window of zeros; a new case takes them once per fold."""
        return self._model.cost(shape)

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map per class from the fold that held the case out; `no_fold` where that fold is missing."""
        known, there = self._held_out.folds(case.id), self._model.checkpoints
        folds = list(there) if known is None else [str(fold) for fold in known if str(fold) in there]
        if not folds:
            yield from (NoMap(name, "no_fold") for name in self.classes)
            return
        image, channel = usable_image(case), self.settings.channel
        if channel is not None:
            image = Voxels(image.array[channel : channel + 1], image.geometry)
        for logits in self._model.logits(case.id, image, folds):
            decoded = self._decoded(logits)
            for name in self.classes:
                values = decoded.class_map(name)
                yield ClassMap(name, values, "logit", (0, values.shape[0]))

    def _decoded(self, logits: NDArray[np.float32]) -> Prediction:
        """The logits with the meaning of their channels."""
        shape, regions = logits.shape[1:], self._model.regions
        if regions is None:
            # Every value that the network knows has a channel, asked for or not.
            every = {**self.classes, "": self._model.values}
            return Prediction(logits, "logit", shape, every)
        place = {frozenset(region): channel for channel, region in enumerate(regions)}
        wanted = [place[frozenset(values)] for values in self.classes.values()]
        return Prediction(logits[wanted], "logit", shape, self.classes, regions=True)

    # -- what cannot work ---------------------------------------------------------------------

    def _check_channels(self) -> None:
        ours = len(self.dataset.channels) if self.settings.channel is None else 1
        if ours != self._model.channels:
            named = ", ".join(self.dataset.channels)
            raise UsageError(
                f"{self._model.folder} was trained on {self._model.channels} image channel(s); {self.dataset.name} "
                f"has {len(self.dataset.channels)} ({named})"
                f"{'' if self.settings.channel is None else ', of which --channel takes one'}; "
                "give the results folder of this data set"
            )

    def _check_classes(self) -> None:
        """Classes are matched by label values; one name for two things is another data set's model."""
        model, data = self._model, self.dataset.name
        if not self.classes:
            raise UsageError(
                f"{data} declares no classes; name those of the model with --classes, such as liver=1,tumour=2"
            )
        known = {frozenset(region) for region in model.regions or ()} or {
            frozenset({value}) for value in model.values
        }
        theirs = {
            str(name): frozenset(int(value) for value in (given if isinstance(given, list) else [given]))
            for name, given in model.about["labels"].items()
        }
        listed = ", ".join(f"{name}={sorted(values)}" for name, values in theirs.items())
        for name, values in self.classes.items():
            whole = frozenset(values) in known
            made_of = model.regions is None and all(frozenset({value}) in known for value in values)
            if not (whole or made_of) or theirs.get(name, frozenset(values)) != frozenset(values):
                raise UsageError(
                    f"class {name!r} of {data} is the label {sorted(values)}; {model.folder} was trained on "
                    f"{listed}; give the results folder of this data set, or name the classes with --classes"
                )


def _check_settings(settings: ExtractorSettings) -> None:
    valid = ("auto",) if settings.device != "cpu" else ("auto", "float32")
    if settings.precision not in valid:
        raise UsageError(
            f"extractor `nnunet` cannot take --precision {settings.precision}: nnU-Net computes in float32 on a "
            f"CPU and in half precision on a GPU; expected one of: {', '.join(valid)}"
        )


def _results_folder(weights: str | None) -> Path:
    """The folder that holds plans.json.

    Raises:
        UsageError: that is none; names those below it.
    """
    if not weights:
        raise UsageError(
            f"extractor `nnunet` needs a trained model: --weights RESULTS_FOLDER, such as {_EXPECTED}"
        )
    folder = Path(weights).resolve()
    if not (folder / "plans.json").is_file():
        below = sorted(
            path.parent for path in [*folder.glob("*/plans.json"), *folder.glob("*/*/plans.json")]
        )
        near = [folder.parent] if (folder.parent / "plans.json").is_file() else below
        raise UsageError(
            f"{weights} has no plans.json; expected a results folder such as {_EXPECTED}; "
            + (f"give {' or '.join(map(str, near))}" if near else "check the path")
        )
    return folder
