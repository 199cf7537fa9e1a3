"""Somebody's out-of-fold predictions: nnU-Net's validation folders, or one file per case."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset
from aleaseg.errors import CaseError, ShapeMismatch, Unreadable, UsageError
from aleaseg.predictions.claims import as_meant, refuse_logits, refuse_range, refuse_sum, refuse_unknown
from aleaseg.predictions.held import PICTURES, read_held
from aleaseg.predictions.prediction import Kind, Prediction
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.pairs import match_stems
from aleaseg.readers.voxels import read_geometry, read_label

__all__ = ["PredictionFolder", "least_deep", "read_maps", "read_prediction", "refuse_several"]

# So many masks in a row that a network meets to the voxel, no network meets.
_LOOKED_AT = 5
_ENDINGS = (".npz", ".nii.gz", ".nii", ".img.gz", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", *PICTURES)


class PredictionFolder:
    """A folder of predictions, found by case id.

    `CASE.npz` (key `probabilities`, as `nnUNetv2_train --npz` leaves it in
    `fold_*/validation/`, or `logits`) is preferred to `CASE.nii.gz` (a label map;
    probabilities along the fourth axis; or, where there is one foreground value,
    its probability) and to `CASE.png` or `CASE.tif` (a label map). Classes that were
    not asked for become background. Read without nnunetv2. A case that two folders predict,
    neither of them below the other, is refused: one of them may have seen it.

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
                f"{folder} is not a folder; --predictions takes `crossfit` or a folder of predictions"
            )
        if dataset.cases and not len(self):
            of_all = any("fold_all" in path.parts for path in self.folder.rglob("*"))
            raise UsageError(
                f"{folder} holds no prediction of any case of {dataset.name}; expected CASE.npz, "
                f"CASE.nii.gz or CASE.png, such as {dataset.cases[0].id}.npz, in it or in fold_*/validation/"
                + (f"; it holds {', '.join(sorted(self._files)[:3])}" if self._files else "")
                + ("; fold_all saw every case in training and is not read" if of_all else "")
            )

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """By case id: every file, the best form of each folder alone."""
        found: dict[str, dict[Path, list[Path]]] = {}
        for path in sorted(self.folder.rglob("*")):
            # Fold `all` was trained on what it predicts: its agreement says nothing.
            if "fold_all" in path.parts or path.name.startswith("."):
                continue
            ending = _ending(path)
            if ending is not None:
                found.setdefault(path.name[: -len(ending)], {}).setdefault(path.parent, []).append(path)
        # Named as `evaluate` names them: a_seg.nii.gz is a prediction of a.
        ids = match_stems([case.id for case in self.dataset.cases], found)[1]
        files: dict[str, list[Path]] = {}
        for stem, folders in found.items():
            files.setdefault(ids[stem], []).extend(
                path for paths in folders.values() for path in _best(paths)
            )
        return files

    def __len__(self) -> int:
        return sum(case.id in self._files for case in self.dataset.cases)

    def paths(self, case_id: str) -> list[Path]:
        """The files of a case, whichever of them is read."""
        return list(self._files.get(case_id, ()))

    def oddities(self) -> list[str]:
        """What is odd about a few of the label maps: all are the masks themselves, or all are empty."""
        copied, empty = [], []
        for case in self.dataset.cases:
            if case.read_label is None or not self._files.get(case.id):
                continue
            path = self._files[case.id][0]
            try:
                found, mask = read_label(path, case.id).array, case.read_label().array
            except CaseError:
                continue  # told when it is read; what is not a label map is not judged here
            copied.append(bool(np.array_equal(found != 0, mask != 0) and mask.any()))
            empty.append(not found.any())
            if len(copied) == _LOOKED_AT:
                break
        if len(copied) == _LOOKED_AT and all(copied):
            return [
                f"The predictions that were looked at are the masks themselves, voxel by voxel: {self.folder} holds "
                "copies of the labels, and the label axis says nothing."
            ]
        if len(empty) == _LOOKED_AT and all(empty):
            return [
                f"The predictions in {self.folder} that were looked at are all empty: the label axis says nothing."
            ]
        return []

    def read(self, case: Case) -> list[Prediction]:
        """The prediction of the case; empty where there is none.

        Raises:
            Unreadable: the file is damaged, holds other numbers than it says, or there are several.
            ShapeMismatch: it does not fit the case or the classes.
            BadVoxels: label values that the data set does not know.
        """
        paths = least_deep(self._files.get(case.id, ()))
        if not paths:
            return []
        refuse_several(paths, self.folder, case)
        path = paths[0]
        prediction = read_prediction(path, case, self.dataset)
        if path.suffix.lower() != ".npz":
            apart = differs_in_world(case.read_geometry(), read_geometry(path, case.id))
            if apart:
                raise ShapeMismatch(
                    case.id,
                    f"a prediction on another grid in {path.name}: {apart}",
                    "the image's spacing, origin and direction",
                    "export predictions on the image's grid, or correct the header",
                )
        return [prediction]


def _best(paths: list[Path]) -> list[Path]:
    """Of one case in one folder: the .npz where there is one, else all."""
    soft = [path for path in paths if path.suffix.lower() == ".npz"]
    return soft or paths


def least_deep(paths: Sequence[Path]) -> list[Path]:
    """The files of a case without those that lie below another's folder, where nnU-Net puts postprocessed ones."""
    folders = {path.parent for path in paths}
    return [path for path in paths if not any(above in folders for above in path.parent.parents)]


def refuse_several(paths: Sequence[Path], folder: Path, case: Case) -> None:
    """Raise `Unreadable` where a case has several predictions, naming them by their paths below `folder`."""
    if len(paths) < 2:
        return
    names = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    raise Unreadable(
        case.id,
        f"{len(paths)} predictions: {names}",
        "one, of a model that did not see the case",
        "give the folder that holds the one that is meant, or take the others out",
    )


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
    held = read_held(path, case)
    kind, stated = held.kind, held.stated
    shape = case.read_geometry().shape
    maps = _on_grid(held.maps, path, case, shape)
    if kind == "label":
        return Prediction(_asked_values(maps, path, case, dataset), kind, shape, dataset.classes)
    if kind == "probability":
        refuse_range(maps, path, case)
    else:
        refuse_logits(maps, path, case)
    regions = held.regions is not None or _are_regions(maps, kind, dataset)
    if held.regions is not None:
        maps = _asked_regions(maps, held.regions, path, case, dataset)
    if not regions:
        maps = _asked_channels(maps, kind, case, path, dataset)
        if kind == "probability":
            refuse_sum(maps, path, case)
    if stated is not None:
        stated = _uncertainty(stated, shape, path, case)
    return Prediction(maps, kind, shape, dataset.classes, regions, stated=stated)


def read_maps(path: Path, case: Case, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray | None]:
    """Probabilities of one file as they stand there, (channel, *shape), whatever the channels mean; and (*shape) the
    uncertainty that is stated beside them, if any.

    Raises:
        Unreadable: the file is damaged, or holds no probabilities.
        ShapeMismatch: it lies on another grid.
    """
    held = read_held(path, case)
    if held.kind != "probability":
        raise Unreadable(
            case.id, f"{held.kind}s in {path.name}", "probabilities", "predict with --save_probabilities"
        )
    maps = _on_grid(held.maps, path, case, shape)
    refuse_range(maps, path, case)
    return maps, None if held.stated is None else _uncertainty(held.stated, shape, path, case)


def _on_grid(maps: NDArray, path: Path, case: Case, shape: tuple[int, ...]) -> NDArray:
    if maps.ndim == len(shape) + 2 and maps.shape[1] == 1:
        maps = maps[:, 0]  # nnU-Net keeps 2D images as volumes of one slice
    if maps.shape[1:] != shape:
        raise ShapeMismatch(
            case.id,
            f"a prediction of shape {maps.shape[1:]} in {path.name}",
            f"the image's shape {shape}",
            "export predictions on the image's grid, as nnU-Net's validation does",
        )
    return maps


def _uncertainty(stated: NDArray, shape: tuple[int, ...], path: Path, case: Case) -> NDArray:
    """What a model stated of each voxel, (*case shape) in [0, 1].

    Raises:
        ShapeMismatch: it lies on another grid.
        Unreadable: it is no uncertainty in [0, 1].
    """
    if stated.shape == (1, *shape):
        stated = stated[0]
    if stated.shape != shape:
        raise ShapeMismatch(
            case.id,
            f"an uncertainty of shape {stated.shape} in {path.name}",
            f"the image's shape {shape}",
            "predict the case again",
        )
    # 1e-3: half precision.
    if (
        stated.dtype.kind not in "fiu"
        or not (np.isfinite(stated) & (stated >= 0) & (stated <= 1.001)).all()
    ):
        raise Unreadable(
            case.id,
            f"{path.name} with an uncertainty that is not in [0, 1]",
            "1 where the model is uncertain, 0 where it is certain",
            "predict the case again",
        )
    return stated


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


def _asked_values(label: NDArray, path: Path, case: Case, dataset: Dataset) -> NDArray:
    """A label map (1, *case shape) without the values of the classes that were not asked for.

    Raises:
        BadVoxels: it holds values that mean nothing here.
    """
    label = as_meant(label, dataset)
    refuse_unknown(label, path, case, dataset)
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


def _ending(path: Path) -> str | None:
    lower = path.name.lower()
    return next(
        (ending for ending in _ENDINGS if lower.endswith(ending) and len(lower) > len(ending)), None
    )


def _asked_regions(
    maps: NDArray, names: Sequence[str], path: Path, case: Case, dataset: Dataset
) -> NDArray:
    """The channels of the classes asked for, by the names that the file gives its regions."""
    lacking = [name for name in dataset.classes if name not in names]
    if lacking or len(names) != len(maps):
        raise ShapeMismatch(
            case.id,
            f"{len(maps)} channels in {path.name}, of {', '.join(names)}",
            f"one for each of {', '.join(dataset.classes)}",
            "give predictions of a model of this data set",
        )
    return maps[[list(names).index(name) for name in dataset.classes]]
