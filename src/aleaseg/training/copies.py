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

from aleaseg.case import Case, Geometry, file_stamps, usable_confidence, usable_image, usable_label
from aleaseg.errors import AleasegError, CaseError, one_line
from aleaseg.run import aside, file_name, read_json, write_json
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.training.targets import Strategy, shown, targets
from aleaseg.work import map_cases

__all__ = [
    "WorkingCopy",
    "copy_of",
    "make_copies",
    "places_in",
    "places_of",
    "write_confident_copy",
    "write_copy",
]

# Image and label as they are read, normalised, smoothed and resampled.
_BYTES_PER_VOXEL = 28
# Likewise a confidence of each class.
_BYTES_PER_CONFIDENCE = 20
# Starting a process costs seconds (it imports torch and MONAI); a few small cases are faster without.
_WORTH_CASES, _WORTH_VOXELS = 40, 2**26


@dataclass(frozen=True)
class WorkingCopy:
    """A case on the working grid, on disk: memory-mapped when it is used.

    Attributes:
        id: of the case.
        image, label: files of the arrays.
        places: file of foreground voxels, of `places_of`: to look for them takes long in a large label.
        confidence: of a training on confidences, in place of `label`.
    """

    id: str
    image: Path
    label: Path
    places: Path
    confidence: Path | None = None

    def arrays(self) -> tuple[NDArray, NDArray]:
        """(channel, *working) float16 and (*working) uint8."""
        return np.load(self.image, mmap_mode="r"), np.load(self.label, mmap_mode="r")

    def confidences(self) -> tuple[NDArray, NDArray]:
        """(channel, *working) float16, and (1 + raters, class, *working) float32: fused, then those of each rater of
        whom one is drawn; NaN where nobody looked.
        """
        assert self.confidence is not None
        return np.load(self.image, mmap_mode="r"), np.load(self.confidence, mmap_mode="r")


def copy_of(folder: Path, case_id: str) -> WorkingCopy:
    """Where the working copy of a case lies."""
    stem = folder / file_name(case_id)
    return WorkingCopy(
        case_id, *(stem.with_suffix(f".{name}.npy") for name in ("image", "label", "places", "confidence"))
    )


def write_copy(copy: WorkingCopy, image: NDArray, label: NDArray, most_places: int | None = None) -> None:
    """Write the three arrays.

    Args:
        copy: where to.
        image: (channel, *working).
        label: class indices (*working).
        most_places: see `places_of`.
    """
    _save({copy.image: image, copy.label: label, copy.places: places_of(label, most_places)})


def write_confident_copy(
    copy: WorkingCopy,
    image: NDArray,
    confidence: NDArray[np.float32],
    strategy: Strategy,
    most_places: int | None = None,
) -> None:
    """The same of a case whose confidences are learnt.

    Args:
        copy: where to.
        image: (channel, *working).
        confidence: (1 + raters, class, *working), see `WorkingCopy.confidences`.
        strategy: how they are learnt; says where there is something of a channel.
        most_places: see `places_of`.
    """
    assert copy.confidence is not None
    places = places_in(shown(confidence[0], strategy), most_places)
    _save({copy.image: image, copy.confidence: confidence, copy.places: places})


def _save(arrays: Mapping[Path, NDArray]) -> None:
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
    flat = label.ravel()
    inside = np.flatnonzero((flat > 0) & (flat < IGNORE))
    known = {int(index): inside[flat[inside] == index] for index in np.unique(flat[inside])}
    return _picked(known, label.shape, most)


def places_in(masks: NDArray[np.bool_], most: int | None = None) -> NDArray[np.int32]:
    """The same of channels that may overlap.

    Args:
        masks: (channel, *working), the first is number 1.
        most: of each, evenly picked; None: all.

    >>> places_in(np.array([[[True, False]], [[True, True]]])).tolist()
    [[1, 0, 0], [2, 0, 0], [2, 0, 1]]
    """
    known = {index: np.flatnonzero(mask) for index, mask in enumerate(masks, start=1) if mask.any()}
    return _picked(known, masks.shape[1:], most)


def _picked(known: Mapping[int, NDArray], shape: tuple[int, ...], most: int | None) -> NDArray[np.int32]:
    found = [np.zeros((0, 1 + len(shape)), dtype=np.int32)]
    for index, at in known.items():
        if most is not None:
            at = at[np.linspace(0, len(at) - 1, min(len(at), most)).astype(int)]
        voxels = np.stack(np.unravel_index(at, shape), axis=1)
        found.append(np.insert(voxels, 0, index, axis=1).astype(np.int32))
    return np.concatenate(found)


def make_copies(
    cases: Sequence[Case],
    geometries: Mapping[str, Geometry],
    folder: Path,
    preprocessing: Preprocessing,
    *,
    most_places: int | None = None,
    labels: Strategy | None = None,
    norm: Mapping[str, Any] | None = None,
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
        labels: how confidences are learnt; None: the label is.
        norm: what the confidences of the cases went through, see `RaterNorm.to_dict`; another one, and copies are
            made again.
        workers: cases side by side; None: one per core, as memory allows.
        progress: called with done, total.

    Returns:
        Case -> `hash` of its image, `classes` (indices of classes, or with `labels` of channels, that it has);
        with `labels` also whether anything is `marked` in it and whether anything `counts`; or `failed`, why it
        cannot be used.

    Raises:
        AleasegError: a copy could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voxels = [math.prod(geometries[case.id].shape) for case in cases]
    if len(cases) < _WORTH_CASES and sum(voxels) < _WORTH_VOXELS:
        workers = 1
    each = len(preprocessing.normalisation) * _BYTES_PER_VOXEL
    if labels is not None:
        each += len(preprocessing.values) * _BYTES_PER_CONFIDENCE
    made = map_cases(
        # Worker processes stay in the folder where the first call was made.
        partial(_make_copy, folder.resolve(), preprocessing, most_places, labels, norm),
        cases,
        bytes_each=max(voxels, default=0) * each,
        workers=workers,
        progress=progress,
        killed=lambda case, error: {"failed": str(error)},
    )
    found = {case.id: about for case, about in made}
    return {case.id: found[case.id] for case in cases}


def _make_copy(
    folder: Path,
    preprocessing: Preprocessing,
    most_places: int | None,
    labels: Strategy | None,
    norm: Mapping[str, Any] | None,
    case: Case,
) -> dict[str, Any]:
    about_file = folder / f"{file_name(case.id)}.json"
    made_from: list[Any] = [file_stamps(case), asdict(preprocessing), most_places]
    if labels is not None:
        made_from += [str(labels), norm]
    known = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    if about_file.exists():
        about: dict[str, Any] = read_json(about_file)
        if about["made_from"] == known:
            return about
    copy = copy_of(folder, case.id)
    try:
        image = usable_image(case)
        if labels is None:
            label = usable_label(case, image.geometry.shape)
            if label is None:
                return {"failed": f"{case.id}: has no label"}
            small = preprocessing.image(case, image)
            indices = preprocessing.label(label, small.shape[1:])
            learnt: dict[str, Any] = {
                "classes": [int(index) for index in np.unique(indices) if index not in (0, IGNORE)]
            }
            write = partial(write_copy, copy, small, indices, most_places)
        else:
            small = preprocessing.image(case, image)
            stated = _confidences(case, image.geometry.shape, preprocessing, small.shape[1:], labels)
            learnt = _learnt(stated[0], labels)
            write = partial(write_confident_copy, copy, small, stated, labels, most_places)
    except Exception as error:  # whatever one case does, the others go on; the text names it
        return {"failed": one_line(case.id, error)}
    about = {"made_from": known, "hash": hashlib.sha256(small.tobytes()).hexdigest(), **learnt}
    try:
        write()
        write_json(about_file, about)
    except OSError as error:
        raise AleasegError(
            f"the working copy of {case.id} could not be written into {folder} ({error.strerror or error}); make "
            "room and run the same command again: what is finished is kept"
        ) from error
    return about


def _confidences(
    case: Case,
    shape: tuple[int, ...],
    preprocessing: Preprocessing,
    working: tuple[int, ...],
    strategy: Strategy,
) -> NDArray[np.float32]:
    """What `WorkingCopy.confidences` gives: raters beside the fused where the strategy draws one of them.

    Raises:
        CaseError: there are none, or they cannot be used.
    """
    q = usable_confidence(case, shape)
    if q is None:
        raise CaseError(
            case.id,
            "no confidences",
            "confidences, which --labels asks to learn from",
            "add them, or leave it out",
        )
    stated = [q]
    if strategy.kind == "sample" and case.read_raters is not None:
        stated += [one for one in case.read_raters().array if not np.isnan(one).all()]
    return np.stack([preprocessing.confidence(one, working) for one in stated])


def _learnt(q: NDArray[np.float32], strategy: Strategy) -> dict[str, Any]:
    """What a case has to be learnt."""
    found = shown(q, strategy)
    weight = targets(q, strategy, np.random.default_rng(0))[1]
    return {
        "classes": [index for index, one in enumerate(found, start=1) if one.any()],
        "marked": bool((q > 0).any()),
        "counts": weight is None or bool(weight.any()),
    }
