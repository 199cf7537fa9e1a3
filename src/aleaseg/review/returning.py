"""Corrected masks back: checked, and laid over the data set without touching it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch, UsageError, one_line
from aleaseg.readers.voxels import read_label, write_nifti, write_png
from aleaseg.review.handing import CORRECTED, MANIFEST
from aleaseg.review.session import data_set_of
from aleaseg.run import Run, read_json, write_json
from aleaseg.selection.dataset import dataset_json

__all__ = ["Returned", "take_back"]

_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class Returned:
    """What came back.

    Attributes:
        path: the folder of the new data set, `whole`, and of the corrected cases alone, `corrected`.
        corrected: ids whose mask is a new one, and how many voxels of it changed.
        unchanged: ids that nobody has touched.
        refused: id -> what is wrong with its mask.
        left_out: ids that the new data set cannot name, for they have no image or no mask.
    """

    path: Path
    corrected: dict[str, int]
    unchanged: tuple[str, ...]
    refused: dict[str, str]
    left_out: tuple[str, ...] = ()


def take_back(run: Run, folder: Path, out: Path) -> Returned:
    """Read the corrected masks of a folder and write a data set that has them.

    Args:
        run: the cases came from.
        folder: that `hand_out` wrote.
        out: a new or an empty folder. `labels` in it holds the new masks, `whole/dataset.json` names all
            cases of the run with these masks in place of the old ones, `corrected/dataset.json` the corrected
            ones alone. Images and all other masks stay where they are.

    Raises:
        UsageError: the folder is none of this run, nothing was corrected, or nnU-Net's description cannot say it.
    """
    handed = read_json(folder / MANIFEST)
    if handed.get("run") != str(run.path.resolve()):
        raise UsageError(
            f"{folder} holds cases of {handed.get('run')}; expected those of {run.path.resolve()}"
        )
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; expected a new folder")
    dataset = data_set_of(run)
    there = {case.id: case for case in dataset.cases}
    corrected, refused, unchanged = dict[str, int](), dict[str, str](), list[str]()
    labels: dict[str, str] = {}
    for case_id, entry in handed["cases"].items():
        try:
            if case_id not in there:
                raise UsageError(f"{case_id}: the data set has no such case any more")
            changed = _taken(there[case_id], folder / entry["folder"] / CORRECTED, dataset, out)
        except Exception as error:  # whatever one case does, the others go on; the text names it
            refused[case_id] = one_line(case_id, error)
            continue
        if changed is None:
            unchanged.append(case_id)
        else:
            corrected[case_id], labels[case_id] = changed
    left_out = _write_data_sets(run, out, labels) if corrected else ()
    return Returned(out, corrected, tuple(unchanged), refused, left_out)


def _taken(case: Case, path: Path, dataset: Dataset, out: Path) -> tuple[int, str] | None:
    """How many voxels changed and where the new mask is; None where none did.

    Raises:
        CaseError: it lies elsewhere than the image, or holds what is no class.
    """
    assert case.read_label is not None
    old, new = case.read_label(), read_label(path, case.id)
    geometry = case.read_geometry()
    if new.array.shape != old.array.shape:
        raise ShapeMismatch(
            case.id,
            f"{path} of shape {new.array.shape}",
            f"{old.array.shape}, as the mask",
            "save it on the image's grid",
        )
    if geometry.affine is not None and new.geometry.affine is not None:
        apart = float(np.abs(geometry.affine - new.geometry.affine).max())
        if apart > _TOLERANCE_MM:
            raise ShapeMismatch(
                case.id,
                f"{path} that lies {apart:.3g} mm from the image",
                "the image's place in the world",
                "save it on the image's grid",
            )
    known = {0, *dataset.values, *dataset.declared, *([] if dataset.ignore is None else [dataset.ignore])}
    if strange := sorted({int(value) for value in np.unique(new.array)} - known):
        raise BadVoxels(
            case.id,
            f"label values {', '.join(map(str, strange[:5]))} in {path}",
            f"some of {', '.join(map(str, sorted(known)))}",
            "number the classes as the data set does",
        )
    changed = int((new.array != old.array).sum())
    if not changed:
        return None
    # Named by the case's folder: the masks of two cases may have the same name, in two folders of the data set.
    name = case.label_files[0].name if len(case.label_files) == 1 else "several.nii.gz"
    ending = next((one for one in (".nii.gz", ".nii", ".png") if name.lower().endswith(one)), "")
    target = out / "labels" / f"{path.parent.name}{ending}"
    if ending == ".png" and new.array.ndim == 2:
        write_png(target, new.array.astype(np.uint8 if new.array.max() < 256 else np.uint16))
    elif ending in (".nii", ".nii.gz"):
        write_nifti(target, new.array, geometry)
    else:
        raise CaseError(case.id, f"a mask {name}", "a NIfTI or a PNG", "convert the data set's masks")
    return changed, str(target.absolute())


def _write_data_sets(run: Run, out: Path, labels: dict[str, str]) -> tuple[str, ...]:
    """Write both descriptions; ids that the whole one leaves out."""
    every = [record.case for record in run.records()]
    left_out: list[str] = []
    for name, cases in (("whole", every), ("corrected", list(labels))):
        about: dict[str, Any]
        about, _ = dataset_json(run, cases)
        left_out += [case for case in cases if case not in about["dataset"]]
        for case, path in labels.items():
            about["dataset"][case]["label"] = path
        write_json(out / name / "dataset.json", about)
    return tuple(left_out)
