"""What a run knows of a case as files beside its mask: what is predicted, where that differs, where the doubt is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, usable_label
from aleaseg.errors import UsageError, one_line
from aleaseg.predictions import Predictions
from aleaseg.predictions.votes import most_votes
from aleaseg.readers.npz import ENDING as NPZ
from aleaseg.readers.voxels import write_nifti, write_png
from aleaseg.run import Run, file_name, write_aside
from aleaseg.where.keeping import Mapper, suspects

__all__ = [
    "DIFFERENCE",
    "DOUBT",
    "PREDICTION",
    "difference",
    "export_cases",
    "folder_name",
    "predicted_label",
]

PREDICTION, DIFFERENCE, DOUBT = "prediction", "disagreement", "doubt"
"""Names of the files of a case, without their ending."""


def difference(mask: NDArray, predicted: NDArray, ignore: int | None) -> NDArray[np.uint8]:
    """1 where the mask alone is, 2 where the prediction alone is, 3 where they are two classes; 0 elsewhere.

    Args:
        mask: label values.
        predicted: label values, of the same shape.
        ignore: the label value that means "not annotated": there nothing differs.
    """
    differ = (mask != predicted) if ignore is None else (mask != predicted) & (mask != ignore)
    found = np.where(predicted == 0, 1, np.where(mask == 0, 2, 3))
    return np.where(differ, found, 0).astype(np.uint8)


def predicted_label(case: Case, predictions: Predictions | None) -> NDArray | None:
    """The label map that most predictions of a case give; None without any."""
    found = [] if predictions is None else predictions.read(case)
    return most_votes([one.labels() for one in found])


def export_cases(
    run: Run,
    dataset: Dataset,
    out: Path,
    cases: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Write a folder for each case with the map of its doubt and, where there is one, what is predicted.

    Args:
        run: finished.
        dataset: that it was made from.
        out: a new or an empty folder.
        cases: ids; none: the suspects.
        progress: called with done, total.

    Returns:
        Case -> why it could not be written; empty where all could.

    Raises:
        UsageError: there is no suspect, or the folder holds something else.
    """
    named = tuple(cases) or tuple(suspects(run.cases))
    if not named:
        raise UsageError(
            "no case has a doubt above 0.5; expected at least one; name cases with `--cases`, which have a map too"
        )
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; expected a new folder; no file is ever overwritten")
    mapper = Mapper.of(run, dataset)
    there = {case.id: case for case in dataset.cases}
    troubles = {}
    for number, case_id in enumerate(named):
        progress(number, len(named))
        try:
            if case_id not in there:
                raise UsageError(f"{case_id}: found no such case in the data set any more; expected one")
            _export(mapper, there[case_id], out / folder_name(case_id))
        except OSError:
            raise  # the disk is full, or the folder is gone: no case will fare better
        except Exception as error:  # whatever one case does, the others go on; the text names it
            troubles[case_id] = one_line(case_id, error)
    progress(len(named), len(named))
    return troubles


def _export(mapper: Mapper, case: Case, folder: Path) -> None:
    geometry = case.read_geometry()
    label = usable_label(case, geometry.shape)
    if label is None:
        raise UsageError(f"{case.id}: found no mask in the data set; expected one")
    found: dict[str, NDArray] = {DOUBT: (mapper.kept(case) or mapper.make(case)).doubt()}
    predicted = predicted_label(case, mapper.predictions)
    if predicted is not None:
        found |= {PREDICTION: predicted, DIFFERENCE: difference(label, predicted, mapper.dataset.ignore)}
    if case.label_files and all(path.suffix.lower() == NPZ for path in case.label_files):
        _write_npz(folder / f"{DOUBT}{NPZ}", found)
        return
    for name, array in found.items():
        write_beside(folder, name, array, geometry)


def write_beside(folder: Path, name: str, array: NDArray, geometry: Geometry) -> Path:
    """A map of a case as a file: NIfTI on its grid of a volume, PNG of a picture.

    Args:
        folder: where.
        name: without ending.
        array: (*spatial): a doubt as float32 in [0, 1], which a PNG holds as 0 to 255; or whole numbers.
        geometry: of the case.

    Returns:
        Which file it is.
    """
    if array.ndim == 2:
        whole = np.rint(array * 255) if array.dtype.kind == "f" else array
        path = folder / f"{name}.png"
        write_png(path, whole.astype(np.uint8 if whole.max(initial=0) < 256 else np.uint16))
    else:
        small = array.dtype.kind != "f" and array.max(initial=0) < 256 and array.min(initial=0) >= 0
        path = folder / f"{name}.nii.gz"
        write_nifti(path, array.astype(np.uint8) if small else array, geometry)
    return path


def _write_npz(path: Path, arrays: dict[str, NDArray]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_aside(path, content.getvalue())


def folder_name(case: str) -> str:
    """A name that every file system takes: the id where it is one, else what of it can stand and a part of its hash."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", case)[:60].lstrip(".") or "case"
    return plain if plain == case else f"{plain}-{file_name(case)[:8]}"
