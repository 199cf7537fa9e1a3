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
from aleaseg.readers.voxels import read_image, read_label

__all__ = ["PredictionFolder", "read_prediction"]

# What NumPy, zip and deflate raise at bytes that are not what they should be.
_DAMAGE = (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
_KEYS = ("probabilities", "softmax", "logits")
_PICTURES = (".png", ".tif", ".tiff")
_ENDINGS = (".npz", ".nii.gz", ".nii", ".nrrd", ".mha", *_PICTURES)


class PredictionFolder:
    """A folder of predictions, found by case id.

    `CASE.npz` (key `probabilities`, as `nnUNetv2_train --npz` leaves it in
    `fold_*/validation/`, or `logits`) is preferred to `CASE.nii.gz` (a label map;
    probabilities along the fourth axis; or, where there is one foreground value,
    its probability) and to `CASE.png` or `CASE.tif` (a label map). Classes that were
    not asked for become background. Read without nnunetv2.

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
                f"{folder} holds no prediction of any case of {dataset.name}; expected CASE.npz, "
                f"CASE.nii.gz or CASE.png, "
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
        return [read_prediction(path, case, self.dataset)]


def read_prediction(path: Path, case: Case, dataset: Dataset) -> Prediction:
    """One file: an .npz of probabilities or logits, a label map, or probabilities as an image.

    Args:
        path: the file.
        case: whose grid it has to have.
        dataset: whose classes are meant.

    Raises:
        Unreadable: the file is damaged.
        ShapeMismatch: it does not fit the case or the classes.
    """
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
    if kind == "label":
        return Prediction(_asked_values(maps, dataset), kind, shape, dataset.classes)
    regions = _are_regions(maps, kind, dataset)
    if not regions:
        maps = _asked_channels(maps, kind, case, path, dataset)
    return Prediction(maps, kind, shape, dataset.classes, regions)


def _are_regions(maps: NDArray, kind: Kind, dataset: Dataset) -> bool:
    """Whether each channel is a sigmoid of a class of its own, as a model of overlapping regions gives.

    NnU-Net's have no channel for background. Where as many channels could be a softmax over background and
    label values, the values tell: those of a softmax add up to 1 in every voxel. (Logits tell nothing: they
    are read as the data set is declared.)
    """
    overlapping = any(len(values) > 1 for values in dataset.classes.values())
    if not overlapping or len(maps) != len(dataset.classes):
        return False
    as_softmax = kind == "probability" and len(maps) == 1 + len(dataset.values)
    # 0.02: several channels in half precision or scaled to bytes.
    return not (as_softmax and bool((np.abs(maps.sum(0) - 1) < 0.02).all()))


def _asked_values(label: NDArray, dataset: Dataset) -> NDArray:
    """A label map (1, *case shape) without the values of the classes that were not asked for."""
    if dataset.values == (1,) and np.isin(label, (0, 255)).all():
        label = (label != 0).astype(np.uint8)  # as pictures have it, and as the reader takes masks
    dropped = sorted(set(dataset.declared) - set(dataset.values))
    return np.where(np.isin(label, dropped), 0, label) if dropped else label


def _asked_channels(maps: NDArray, kind: Kind, case: Case, path: Path, dataset: Dataset) -> NDArray:
    """Background and the label values asked for; channels of the others are added to the background.

    Raises:
        ShapeMismatch: the channels are neither those asked for nor those declared.
    """
    values, declared = dataset.values, dataset.declared
    wanted = 1 + len(values)
    if len(maps) == wanted:
        return maps
    if kind == "probability" and len(maps) == 1 and len(values) == 1:
        return np.concatenate([1 - maps, maps])
    if len(maps) == 1 + len(declared) and set(values) < set(declared):
        rest = [0, *(place for place, value in enumerate(declared, 1) if value not in values)]
        add = np.logaddexp if kind == "logit" else np.add
        background: NDArray = add.reduce(maps[rest], axis=0)
        return np.stack([background, *(maps[1 + declared.index(value)] for value in values)])
    raise ShapeMismatch(
        case.id,
        f"{len(maps)} channels in {path.name}",
        f"{wanted} (background and {len(values)} label values)",
        "give predictions of a model of this data set",
    )


def _ending(path: Path) -> str:
    return next(ending for ending in _ENDINGS if path.name.endswith(ending))


def _arrays(path: Path, case: Case) -> tuple[NDArray, Kind]:
    if path.suffix != ".npz":
        return _from_image(path, case)
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


def _from_image(path: Path, case: Case) -> tuple[NDArray, Kind]:
    """A label map (1, *spatial), or probabilities (channel, *spatial), from an image file."""
    try:
        if path.suffix in _PICTURES:
            return read_label(path, case.id).array[None], "label"
        array = read_image([path], case.id).array
    except CaseError as error:
        raise Unreadable(case.id, error.found, "a prediction", "predict the case again") from error
    # NaN is no whole number either.
    if len(array) == 1 and (np.floor(array) == array).all():
        return array, "label"
    # Somewhat beyond 0 and 1: interpolation and scaled integers do that.
    if not (np.isfinite(array).all() and array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
        raise Unreadable(
            case.id,
            f"{path.name} with values from {array.min():.4g} to {array.max():.4g} that are not all whole",
            "a label map, or probabilities in [0, 1]",
            "export label maps, or probabilities as .npz",
        )
    return array.clip(0, 1), "probability"
