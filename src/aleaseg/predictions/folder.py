"""Somebody's out-of-fold predictions: nnU-Net's validation folders, or one file per case."""

from __future__ import annotations

import zipfile
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset
from aleaseg.errors import CaseError, ShapeMismatch, Unreadable, UsageError
from aleaseg.predictions.prediction import Kind, Prediction
from aleaseg.readers.voxels import read_image

__all__ = ["PredictionFolder"]

# What NumPy, zip and deflate raise at bytes that are not what they should be.
_DAMAGE = (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
_KEYS = ("probabilities", "softmax", "logits")
_ENDINGS = (".npz", ".nii.gz", ".nii", ".nrrd", ".mha")


class PredictionFolder:
    """A folder of predictions, found by case id.

    `CASE.npz` (key `probabilities`, as `nnUNetv2_train --npz` leaves it in
    `fold_*/validation/`, or `logits`) is preferred to `CASE.nii.gz` (a label map,
    or probabilities along the fourth axis). Read without nnunetv2.

    Args:
        folder: searched with everything below it.
        dataset: whose cases and classes are meant.

    Raises:
        UsageError: no file in it belongs to a case.
    """

    source = "folder"

    def __init__(self, folder: str | Path, dataset: Dataset) -> None:
        self.folder = Path(folder)
        self.dataset = dataset
        if not self.folder.is_dir():
            raise UsageError(
                f"{folder} is no folder; --predictions takes `crossfit` or a folder of predictions"
            )
        if dataset.cases and not len(self):
            raise UsageError(
                f"{folder} holds no prediction of any case of {dataset.name}; expected CASE.npz or CASE.nii.gz, "
                f"such as {dataset.cases[0].id if dataset.cases else 'case'}.npz, in it or in fold_*/validation/"
            )

    @cached_property
    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*")):
            # Fold `all` was trained on what it predicts: its agreement says nothing.
            if "fold_all" in path.parts:
                continue
            ending = next((e for e in _ENDINGS if path.name.endswith(e)), None)
            if ending is None:
                continue
            case = path.name.removesuffix(ending)
            if case not in found or _ENDINGS.index(ending) < _ENDINGS.index(_ending(found[case])):
                found[case] = path
        return found

    def __len__(self) -> int:
        return sum(case.id in self._files for case in self.dataset.cases)

    def read(self, case: Case) -> list[Prediction]:
        """The prediction of the case; empty where there is none.

        Raises:
            Unreadable: the file is damaged.
            ShapeMismatch: it does not fit the case or the classes.
        """
        path = self._files.get(case.id)
        if path is None:
            return []
        maps, kind = _arrays(path, case)
        shape = case.read_geometry().shape
        if maps.ndim == len(shape) + 2 and maps.shape[1] == 1:
            maps = maps[:, 0]  # nnU-Net keeps 2D images as volumes of one slice
        if maps.shape[1:] != shape:
            raise ShapeMismatch(
                case.id,
                f"a prediction of shape {maps.shape[1:]} in {path.name}",
                f"the image's shape {shape}",
                "export predictions on the image's grid, as nnU-Net's validation does",
            )
        wanted = 1 + len(self.dataset.values)
        # One channel per class, each a sigmoid, is what a model of overlapping regions gives.
        overlapping = any(len(values) > 1 for values in self.dataset.classes.values())
        regions = kind != "label" and overlapping and len(maps) == len(self.dataset.classes) != wanted
        if kind != "label" and not regions and len(maps) != wanted:
            raise ShapeMismatch(
                case.id,
                f"{len(maps)} channels in {path.name}",
                f"{wanted} (background and {len(self.dataset.values)} label values)",
                "give predictions of a model of this data set",
            )
        return [Prediction(maps, kind, shape, self.dataset.classes, regions)]


def _ending(path: Path) -> str:
    return next(ending for ending in _ENDINGS if path.name.endswith(ending))


def _arrays(path: Path, case: Case) -> tuple[NDArray, Kind]:
    if path.suffix != ".npz":
        try:
            array = read_image([path], case.id).array
        except CaseError as error:
            raise Unreadable(case.id, error.found, "a prediction", "predict the case again") from error
        return array, "label" if len(array) == 1 else "probability"
    try:
        # Opened here: NumPy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a bare array")
            key = next((key for key in _KEYS if key in archive.files), None)
            if key is None and len(archive.files) == 1:
                key = archive.files[0]
            if key is None:
                raise Unreadable(
                    case.id,
                    f"{path.name} with the keys {', '.join(archive.files) or '(none)'}",
                    f"one of {', '.join(_KEYS)}",
                    "train with `nnUNetv2_train ... --npz`",
                )
            array = np.asarray(archive[key])
    except _DAMAGE as error:
        raise Unreadable(
            case.id,
            f"{path.name}, which cannot be read ({error})",
            "an .npz archive",
            "predict the case again",
        ) from error
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise Unreadable(
            case.id,
            f"{path.name} with values that are no finite numbers",
            "probabilities",
            "predict the case again",
        )
    return np.asarray(array, dtype=np.float32), "logit" if key == "logits" else "probability"
