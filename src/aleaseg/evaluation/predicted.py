"""Somebody's predictions of the cases: which files there are, and what each says."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch, Unreadable, UsageError
from aleaseg.predictions.claims import as_meant, refuse_unknown, unknown_values
from aleaseg.predictions.folder import least_deep, read_prediction, refuse_several
from aleaseg.predictions.prediction import Prediction
from aleaseg.readers.files import split_ending
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.pairs import match_stems
from aleaseg.readers.voxels import read_geometry, read_label

__all__ = [
    "Found",
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
    """

    masks: tuple[Path, ...] = ()
    soft: tuple[Path, ...] = ()
    root: Path = field(default=Path(), compare=False)


@dataclass(frozen=True)
class Found:
    """What a folder of predictions holds.

    Attributes:
        files: case id -> its files.
        others: stems of files that belong to no case.
    """

    files: Mapping[str, PredictedFiles]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Predicted:
    """A prediction on its case's grid.

    Attributes:
        labels: (*spatial) label values; those of classes that were not asked for are 0.
        classes: name -> label values.
        soft: where probabilities are known.
        soft_decides: there is no label map: the probabilities are what is predicted.
    """

    labels: NDArray
    classes: Mapping[str, tuple[int, ...]]
    soft: Prediction | None
    soft_decides: bool = False

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a class is predicted, (*spatial); made when asked for, as a hundred of them would fill the memory."""
        if self.soft is not None and self.soft_decides and self.soft.regions:
            return self.soft.mask(name)  # regions may overlap in ways that no label says
        return inside(self.labels, self.classes[name])


def find_predictions(folder: str | Path, cases: Sequence[Case]) -> Found:
    """List the predictions of cases, in a folder and everything below it.

    NnU-Net leaves predictions in the folder itself, in `fold_*/validation/` or in `crossval_results_*/`,
    with postprocessed ones below: those are passed over where there is one above. In two folders, neither
    below the other, a case is predicted twice, which is an error of the case.

    Raises:
        UsageError: it is no folder, or holds no prediction of any case.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; give a folder of predictions, one file per case")
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
    return Found({case: _of_case(those, root) for case, those in files.items()}, others)


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
            "export predictions on the reference's grid, or mend the header",
        )


def inside(label: NDArray, values: Sequence[int]) -> NDArray[np.bool_]:
    """Where a label map holds one of a class's values; what `np.isin` says, many times as fast for a few of them."""
    found: NDArray[np.bool_] = label == values[0]
    for value in values[1:]:
        found |= label == value
    return found
