"""Somebody's predictions of the cases: which files there are, and what each says."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch, Unreadable, UsageError
from aleaseg.levels import (
    CONFIDENCE_KEY,
    LEVELS_KEY,
    TOLERANCE,
    ConfidenceMap,
    LevelMap,
    as_label,
    at_least,
    running_minimum,
)
from aleaseg.predictions.claims import as_meant, refuse_unknown, unknown_values
from aleaseg.predictions.folder import least_deep, read_maps, read_prediction, refuse_several
from aleaseg.predictions.prediction import Prediction
from aleaseg.readers.files import split_ending
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.json_once import loads_once
from aleaseg.readers.pairs import match_stems
from aleaseg.readers.voxels import read_geometry, read_label

__all__ = [
    "Found",
    "Levels",
    "Predicted",
    "PredictedFiles",
    "find_predictions",
    "inside",
    "read_predicted",
    "unknown_values",
]

_SOFT = ".npz"


@dataclass(frozen=True)
class PredictedFiles:
    """The files of one case.

    Attributes:
        masks: label maps (or probabilities as an image); more than one is one too many.
        soft: `.npz` archives of probabilities, as nnU-Net's `--save_probabilities` leaves them; likewise.
        root: the folder of predictions, for messages.
        level_map: what label values mean, where the network learnt confidences or their levels.
    """

    masks: tuple[Path, ...] = ()
    soft: tuple[Path, ...] = ()
    root: Path = field(default=Path(), compare=False)
    level_map: LevelMap | ConfidenceMap | None = None


@dataclass(frozen=True)
class Found:
    """What a folder of predictions holds.

    Attributes:
        files: case id -> its files.
        others: stems of files that belong to no case.
        level_map: what label values mean, where the network learnt confidences or their levels.
    """

    files: Mapping[str, PredictedFiles]
    others: tuple[str, ...]
    level_map: LevelMap | ConfidenceMap | None = None


@dataclass(frozen=True)
class Levels:
    """What a network that learnt the levels of confidences predicts.

    Attributes:
        reached_levels: (C, *spatial), how many thresholds are reached.
        level_map: classes and thresholds.
    """

    reached_levels: NDArray[np.int16]
    level_map: LevelMap

    def reached(self, name: str, at: float) -> NDArray[np.bool_] | None:
        """Where a class reaches a threshold that was learnt; None for any other."""
        for k, threshold in enumerate(self.level_map.thresholds):
            if abs(threshold - at) <= TOLERANCE:
                return self.reached_levels[self.level_map.classes.index(name)] > k
        return None


@dataclass(frozen=True)
class Predicted:
    """A prediction on its case's grid.

    Attributes:
        labels: (*spatial) label values; those of classes that were not asked for are 0.
        classes: name -> label values.
        soft: where probabilities are known.
        soft_decides: there is no label map: the probabilities are what is predicted.
        levels: of a network that learnt levels of confidence; `soft` is then q^, and `labels` where that is .5.
    """

    labels: NDArray
    classes: Mapping[str, tuple[int, ...]]
    soft: Prediction | None
    soft_decides: bool = False
    levels: Levels | None = None

    def mask(self, name: str, at: float | None = None) -> NDArray[np.bool_]:
        """Where a class is predicted, (*spatial); made when asked for, as a hundred of them would fill the memory.

        Args:
            name: of the class.
            at: a threshold of confidence: who learnt levels has a mask for each of his own; None: q^ >= .5.
        """
        if self.levels is not None:
            assert self.soft is not None
            q = self.soft.probability(name)
            own = None if at is None else self.levels.reached(name, at)
            return at_least(q, 0.5) if own is None else own
        if self.soft is not None and self.soft_decides and self.soft.regions:
            return self.soft.mask(name)  # regions may overlap in ways that no label says
        return inside(self.labels, self.classes[name])


def find_predictions(folder: str | Path, cases: Sequence[Case]) -> Found:
    """List the predictions of cases, in a folder and everything below it.

    NnU-Net leaves predictions in the folder itself, in `fold_*/validation/` or in `crossval_results_*/`,
    with postprocessed ones below: those are passed over where there is one above. In two folders, neither
    below the other, a case is predicted twice, which is an error of the case.

    Raises:
        UsageError: it is not a folder, holds no prediction of any case, or its dataset.json is damaged where it says
            what label values mean.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of predictions, one file per case")
    by_stem: dict[str, list[tuple[Path, bool]]] = defaultdict(list)
    for here, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            soft = name.lower().endswith(_SOFT) and not name.startswith(".")
            split = (name[: -len(_SOFT)], _SOFT) if soft else split_ending(name)
            if split and split[0]:
                by_stem[split[0]].append((Path(here) / name, soft))
    ids = [case.id for case in cases]
    stems = match_stems(ids, by_stem)[1]
    files: dict[str, list[tuple[Path, bool]]] = defaultdict(list)
    for stem, those in by_stem.items():
        if stems[stem] in set(ids):
            files[stems[stem]].extend(those)
    if ids and not files:
        raise UsageError(
            f"{root} holds no prediction of any of the {len(ids)} cases; expected one file per case, such as "
            f"{ids[0]}.nii.gz, {ids[0]}.png or {ids[0]}.npz, in it or below it"
        )
    others = tuple(stem for stem in by_stem if stems[stem] not in files)
    level_map = _level_map(root)
    found = {case: replace(_of_case(those, root), level_map=level_map) for case, those in files.items()}
    return Found(found, others, level_map)


def _level_map(root: Path) -> LevelMap | ConfidenceMap | None:
    """What the dataset.json says that nnU-Net leaves beside predictions, or above `fold_0/validation`.

    Raises:
        UsageError: it says that there are confidences or levels, and not which.
    """
    kinds: tuple[tuple[str, type[LevelMap | ConfidenceMap]], ...] = (
        (CONFIDENCE_KEY, ConfidenceMap),
        (LEVELS_KEY, LevelMap),
    )
    for path in (folder / "dataset.json" for folder in (root, *root.resolve().parents[:2])):
        if not path.is_file():  # a pipe is never opened: it would wait for whoever writes
            continue
        try:
            about: Any = loads_once(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue  # whatever it is, it is none of ours
        for key, kind in kinds:
            if not isinstance(about, dict) or key not in about:
                continue
            try:
                return kind.from_dict(about[key])
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{key!r} in {path} cannot be read ({type(error).__name__}: {error}), so nobody knows what the "
                    "label values mean; copy the dataset.json of the model's data set there"
                ) from error
    return None


def _of_case(those: Sequence[tuple[Path, bool]], root: Path) -> PredictedFiles:
    kept = least_deep([path for path, _ in those])
    masks, soft = (
        tuple(path for path, is_soft in those if is_soft is wanted and path in kept)
        for wanted in (False, True)
    )
    # Probabilities of another folder may be those of another model.
    return PredictedFiles(
        masks, tuple(path for path in soft if not masks or path.parent == masks[0].parent), root
    )


def read_predicted(files: PredictedFiles, case: Case, dataset: Dataset, reference: Geometry) -> Predicted:
    """Read one case's prediction, its voxels where the reference's lie.

    The label map decides what is predicted (it may have been postprocessed), the
    probabilities only how sure; without a label map the probabilities decide both.

    Raises:
        Unreadable: a file is damaged, or there are two for the case.
        ShapeMismatch: it lies on another grid.
        BadVoxels: label values that the data set does not know.
    """
    for those in (files.masks, files.soft):
        refuse_several(those, files.root, case)
    if files.level_map is not None:
        lacking = [name for name in dataset.classes if name not in files.level_map.classes]
        if lacking:
            raise Unreadable(
                case.id,
                f"a prediction of levels of {', '.join(files.level_map.classes)}",
                f"the classes {', '.join(dataset.classes)}",
                "choose classes with --classes, or give the predictions of this data set",
            )
        if isinstance(files.level_map, ConfidenceMap):
            return _of_confidences(files, files.level_map, case, dataset, reference)
        return _of_levels(files, files.level_map, case, dataset, reference)
    soft = None
    if files.soft:
        soft = read_prediction(files.soft[0], case, dataset)
    if not files.masks:
        assert soft is not None
        return Predicted(soft.labels(), dataset.classes, soft, soft_decides=True)
    path = files.masks[0]
    try:
        voxels = read_label(path, case.id)
    except (BadVoxels, Unreadable) as error:
        # Whole numbers are missing where a map holds probabilities, or several channels.
        try:
            soft = read_prediction(path, case, dataset)
        except CaseError:
            raise error from None
        _check_world(read_geometry(path, case.id), case, reference, path)
        return Predicted(soft.labels(), dataset.classes, soft, soft_decides=True)
    labels = as_meant(_on_grid(voxels, case, reference, path), dataset)
    refuse_unknown(labels, path, case, dataset)
    labels = np.where(np.isin(labels, dataset.values), labels, labels.dtype.type(0))
    return Predicted(labels, dataset.classes, soft)


def _of_levels(
    files: PredictedFiles, level_map: LevelMap, case: Case, dataset: Dataset, reference: Geometry
) -> Predicted:
    """Of a network that learnt levels: the label map has the highest that is reached, probabilities give q^."""
    m = len(level_map.thresholds)
    q: NDArray[np.float32] | None = None
    reached: NDArray[np.int16] | None = None
    stated: NDArray | None = None
    if files.soft:
        p, stated = _channels(
            files.soft[0], m * len(level_map.classes), "level of each class", case, reference
        )
        q = level_map.confidence(p)
        # Not one voxel of a level above what is reached at the level below it.
        falling = [running_minimum(p[at * m : at * m + m]) for at in range(len(level_map.classes))]
        reached = np.stack([(each > 0.5).sum(axis=0) for each in falling]).astype(np.int16)
    if files.masks:
        label = _stated_label(files.masks[0], level_map, case, reference)
        reached = level_map.decode(label)
    assert reached is not None
    if q is None:
        q = (reached / np.float32(m)).astype(np.float32)
    order = [level_map.classes.index(name) for name in dataset.classes]
    soft = Prediction(
        q[order], "probability", reference.shape, dataset.classes, regions=True, stated=stated
    )
    labels = as_label(q[order], list(dataset.classes.values()))[0]
    return Predicted(labels, dataset.classes, soft, True, Levels(reached, level_map))


def _of_confidences(
    files: PredictedFiles, stated: ConfidenceMap, case: Case, dataset: Dataset, reference: Geometry
) -> Predicted:
    """Of a network that learnt confidences: a channel for each class is q^; a mask is any value of the class."""
    order = [stated.classes.index(name) for name in dataset.classes]
    soft = None
    if files.soft:
        q, unsure = _channels(files.soft[0], len(stated.classes), "class", case, reference)
        soft = Prediction(
            q[order], "probability", reference.shape, dataset.classes, regions=True, stated=unsure
        )
    if not files.masks:
        assert soft is not None
        return Predicted(soft.labels(), dataset.classes, soft, soft_decides=True)
    label = _stated_label(files.masks[0], stated, case, reference)
    there = (stated.decode(label)[order] > 0).astype(np.float32)
    return Predicted(as_label(there, list(dataset.classes.values()))[0], dataset.classes, soft)


def _channels(
    path: Path, wanted: int, of_what: str, case: Case, reference: Geometry
) -> tuple[NDArray[np.float32], NDArray | None]:
    """Probabilities with a channel for each of something, and the uncertainty stated beside them."""
    p, stated = read_maps(path, case, reference.shape)
    if len(p) != wanted:
        raise ShapeMismatch(
            case.id,
            f"{len(p)} channels in {path.name}",
            f"{wanted}, one for each {of_what}",
            "predict again with a model of this data set and --save_probabilities",
        )
    return p, stated


def _stated_label(
    path: Path, level_map: LevelMap | ConfidenceMap, case: Case, reference: Geometry
) -> NDArray:
    """A label map of no other values than those of the levels."""
    label = _on_grid(read_label(path, case.id), case, reference, path)
    most = level_map.values[-1]
    if ((label < 0) | (label > most)).any():
        raise BadVoxels(
            case.id,
            f"label values from {label.min()} to {label.max()} in {path.name}",
            f"levels from 0 to {most}",
            "give the predictions of the model that learnt levels",
        )
    return label


def _on_grid(voxels: Voxels, case: Case, reference: Geometry, path: Path) -> NDArray:
    array, geometry = voxels.array, voxels.geometry
    if array.ndim == len(reference.shape) + 1 and array.shape[0] == 1:
        array = array[0]  # a picture stored as a volume of one slice
        geometry = Geometry(array.shape, geometry.spacing_mm[1:], None)
    if array.shape != reference.shape:
        raise ShapeMismatch(
            case.id,
            f"a prediction of shape {array.shape} in {path.name}",
            f"the reference's shape {reference.shape}",
            "export predictions on the reference's grid",
        )
    _check_world(geometry, case, reference, path)
    return array


def _check_world(geometry: Geometry, case: Case, reference: Geometry, path: Path) -> None:
    apart = differs_in_world(reference, geometry)
    if apart:
        raise ShapeMismatch(
            case.id,
            f"a prediction on another grid in {path.name}: {apart}",
            "the reference's spacing, origin and direction",
            "export predictions on the reference's grid, or correct the header",
        )


def inside(label: NDArray, values: Sequence[int]) -> NDArray[np.bool_]:
    """Where a label map holds one of a class's values; what `np.isin` says, many times as fast for a few of them."""
    found: NDArray[np.bool_] = label == values[0]
    for value in values[1:]:
        found |= label == value
    return found
