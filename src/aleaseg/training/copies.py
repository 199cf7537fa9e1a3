"""Working copies: every case on the working grid, normalised, with places of its classes; made once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Geometry, file_stamps, usable_image, usable_label
from aleaseg.errors import AleasegError, one_line
from aleaseg.run import aside, file_name, read_json, write_json
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.work import map_cases

__all__ = ["WorkingCopy", "copy_of", "make_copies", "places_of", "write_copy"]

# Image and label as they are read, normalised, smoothed and resampled.
_BYTES_PER_VOXEL = 28
# Starting a process costs seconds (it imports torch and MONAI); a few small cases are faster without.
_WORTH_CASES, _WORTH_VOXELS = 40, 2**26


@dataclass(frozen=True)
class WorkingCopy:
    """A case on the working grid, on disk: memory-mapped when it is used.

    Attributes:
        id: of the case.
        image, label: files of the arrays.
        places: file of foreground voxels, of `places_of`: to look for them takes long in a large label.
    """

    id: str
    image: Path
    label: Path
    places: Path

    def arrays(self) -> tuple[NDArray, NDArray]:
        """(channel, *working) float16 and (*working) uint8."""
        return np.load(self.image, mmap_mode="r"), np.load(self.label, mmap_mode="r")


def copy_of(folder: Path, case_id: str) -> WorkingCopy:
    """Where the working copy of a case lies."""
    stem = folder / file_name(case_id)
    return WorkingCopy(
        case_id, *(stem.with_suffix(f".{name}.npy") for name in ("image", "label", "places"))
    )


def write_copy(copy: WorkingCopy, image: NDArray, label: NDArray, most_places: int | None = None) -> None:
    """Write the three arrays.

    Args:
        copy: where to.
        image: (channel, *working).
        label: class indices (*working).
        most_places: see `places_of`.
    """
    arrays = {copy.image: image, copy.label: label, copy.places: places_of(label, most_places)}
    for path, array in arrays.items():
        with aside(path) as file:
            np.save(file, array, allow_pickle=False)


def places_of(label: NDArray, most: int | None = None) -> NDArray[np.int32]:
    """Voxels of every class.

    Args:
        label: class indices (*working), 0 background, `IGNORE` not annotated.
        most: of each class, evenly picked; None: all.

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
        if most is not None:
            at = at[np.linspace(0, len(at) - 1, min(len(at), most)).astype(int)]
        voxels = np.stack(np.unravel_index(at, label.shape), axis=1)
        found.append(np.insert(voxels, 0, index, axis=1).astype(np.int32))
    return np.concatenate(found)


def make_copies(
    cases: Sequence[Case],
    geometries: Mapping[str, Geometry],
    folder: Path,
    preprocessing: Preprocessing,
    *,
    most_places: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, Any]]:
    """Write the working copies; those that are there and whose files did not change stay.

    Args:
        cases: with labels.
        geometries: of each.
        folder: where to.
        preprocessing: how.
        most_places: see `places_of`.
        workers: cases side by side; None: one per core, as memory allows.
        progress: called with done, total.

    Returns:
        Case -> `hash` of its image, `classes` (indices that it has); or `failed`, why it cannot be used.

    Raises:
        AleasegError: a copy could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voxels = [math.prod(geometries[case.id].shape) for case in cases]
    if len(cases) < _WORTH_CASES and sum(voxels) < _WORTH_VOXELS:
        workers = 1
    made = map_cases(
        # Worker processes stay in the folder where the first call was made.
        partial(_make_copy, folder.resolve(), preprocessing, most_places),
        cases,
        bytes_each=max(voxels, default=0) * len(preprocessing.normalisation) * _BYTES_PER_VOXEL,
        workers=workers,
        progress=progress,
    )
    found = {case.id: about for case, about in made}
    return {case.id: found[case.id] for case in cases}


def _make_copy(
    folder: Path, preprocessing: Preprocessing, most_places: int | None, case: Case
) -> dict[str, Any]:
    about_file = folder / f"{file_name(case.id)}.json"
    made_from = [file_stamps(case), asdict(preprocessing), most_places]
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
        small = preprocessing.image(case, image)
        indices = preprocessing.label(label, small.shape[1:])
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return {"failed": one_line(case.id, error)}
    about = {
        "made_from": known,
        "hash": hashlib.sha256(small.tobytes()).hexdigest(),
        "classes": [int(index) for index in np.unique(indices) if index not in (0, IGNORE)],
    }
    try:
        write_copy(copy_of(folder, case.id), small, indices, most_places)
        write_json(about_file, about)
    except OSError as error:
        raise AleasegError(
            f"the working copy of {case.id} could not be written into {folder} ({error.strerror or error}); make "
            "room and run the same command again: what is finished is kept"
        ) from error
    return about
