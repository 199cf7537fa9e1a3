"""Working copies: every case on the working grid, normalised, with places of its classes; made once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Geometry, file_stamps, usable_image, usable_label
from aleaseg.errors import AleasegError
from aleaseg.predictions.working import one_line, small_image
from aleaseg.run import file_name, read_json, write_json
from aleaseg.training.grid import Grid
from aleaseg.training.loop import Prepared
from aleaseg.training.prepare import IGNORE, prepare_label

__all__ = ["copy_of", "make_copies", "places_of"]

Rules = Sequence[Mapping[str, float] | None]
# Of each class; as many as nnU-Net keeps.
_MOST_PLACES = 10_000
# Image and label as they are read, normalised, smoothed and resampled.
_BYTES_PER_VOXEL = 28
# Starting a process costs seconds (it imports torch and MONAI); a few small cases are faster without.
_WORTH_CASES, _WORTH_VOXELS = 40, 2**26


def copy_of(folder: Path, case_id: str) -> Prepared:
    """Where the working copy of a case lies."""
    stem = folder / file_name(case_id)
    return Prepared(
        case_id,
        stem.with_suffix(".image.npy"),
        stem.with_suffix(".label.npy"),
        stem.with_suffix(".places.npy"),
    )


def places_of(label: NDArray) -> NDArray[np.int32]:
    """Voxels of every class, at most 10,000 of each, evenly picked.

    Args:
        label: class indices (*working), 0 background, `IGNORE` not annotated.

    Returns:
        (n, 1 + axes): the class, sorted, and the voxel.

    >>> places_of(np.array([[0, 2], [1, 255]], dtype=np.uint8)).tolist()
    [[1, 1, 0], [2, 0, 1]]
    """
    found = [np.zeros((0, 1 + label.ndim), dtype=np.int32)]
    flat = label.ravel()
    inside = np.flatnonzero((flat > 0) & (flat < IGNORE))
    for index in np.unique(flat[inside]):
        at = inside[flat[inside] == index]
        at = at[np.linspace(0, len(at) - 1, min(len(at), _MOST_PLACES)).astype(int)]
        voxels = np.stack(np.unravel_index(at, label.shape), axis=1)
        found.append(np.insert(voxels, 0, index, axis=1).astype(np.int32))
    return np.concatenate(found)


def make_copies(
    cases: Sequence[Case],
    geometries: Mapping[str, Geometry],
    folder: Path,
    grid: Grid,
    rules: Rules,
    values: Sequence[int],
    ignore: int | None,
    usual: float | None,
    progress: Callable[[int, int], None],
) -> dict[str, dict[str, Any]]:
    """Write the working copies; those that are there and whose files did not change stay.

    Args:
        cases: with labels.
        geometries: of each.
        folder: where to.
        grid: the working grid.
        rules: of `fit_normalisation`.
        values: foreground label values.
        ignore: label value of what nobody annotated.
        usual: see `working_shape`.
        progress: called with done, total.

    Returns:
        Case -> `hash` of its image, `classes` (indices that it has); or `failed`, why it cannot be used.

    Raises:
        AleasegError: a copy could not be written.
    """
    from joblib import Parallel, delayed

    folder.mkdir(parents=True, exist_ok=True)
    jobs = (delayed(_make_copy)(case, folder, grid, rules, values, ignore, usual) for case in cases)
    workers = _workers([math.prod(geometries[case.id].shape) for case in cases], len(rules))
    found = {}
    outcomes = Parallel(n_jobs=workers, return_as="generator", pre_dispatch=workers)(jobs)
    for done, (case, about) in enumerate(zip(cases, outcomes, strict=True), start=1):
        found[case.id] = about
        progress(done, len(cases))
    return found


def _workers(voxels: Sequence[int], channels: int) -> int:
    """One process per core, fewer where the largest case would not fit so often."""
    if len(voxels) < _WORTH_CASES and sum(voxels) < _WORTH_VOXELS:
        return 1
    cores = min(os.cpu_count() or 1, len(voxels))
    needed = max(voxels) * channels * _BYTES_PER_VOXEL
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return cores
    return max(1, min(cores, int(0.6 * memory / needed)))


def _make_copy(
    case: Case,
    folder: Path,
    grid: Grid,
    rules: Rules,
    values: Sequence[int],
    ignore: int | None,
    usual: float | None,
) -> dict[str, Any]:
    target = copy_of(folder, case.id)
    about_file = folder / f"{file_name(case.id)}.json"
    made_from = [file_stamps(case), grid.to_dict(), rules, values, ignore]
    known = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    if about_file.exists():
        about: dict[str, Any] = read_json(about_file)
        if about["made_from"] == known:
            return about
    try:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        if label is None:
            return {"failed": f"{case.id}: has no label"}
        small = small_image(case, image, grid, rules, usual)
        indices = prepare_label(label, small.shape[1:], values, ignore)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return {"failed": one_line(case, error)}
    places = places_of(indices)
    assert target.places is not None
    try:
        for path, array in ((target.image, small), (target.label, indices), (target.places, places)):
            _save(path, array)
        about = {
            "made_from": known,
            "hash": hashlib.sha256(small.tobytes()).hexdigest(),
            "classes": np.unique(places[:, 0]).tolist(),
        }
        write_json(about_file, about)
    except OSError as error:
        raise AleasegError(
            f"the working copy of {case.id} could not be written into {folder} ({error.strerror or error}); make "
            "room and run the same command again: what is finished is kept"
        ) from error
    return about


def _save(path: Path, array: NDArray) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
