"""Cases that several raters outlined: a folder npz/ of arrays, and who is whose patient.

npz/CASE.npz    image (*spatial), numbers; raters (R, *spatial), 0 or 1
meta.json       [{"case": "CASE", "patient": "P1"}, ...], where there is one; more keys do no harm

The confidence of a case is the share of its R raters who marked a voxel (or as they are fused otherwise), and
its label where that is at least a half:

    label_v = 1 where sum_r raters_rv >= R / 2

so that a tie, two of four, counts as inside. A place among the raters need not be the same person in every case.

The files do not say how far voxels lie apart: a spacing of (1, 1, 1) stands for
"unknown", and volumes in mm^3 are counts of voxels.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Account, Case, Confidence, Dataset, Finding, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, NotADataset, ShapeMismatch, Unreadable, UsageError
from aleaseg.levels import at_least
from aleaseg.readers.files import list_folder
from aleaseg.readers.fusing import FUSIONS, fuse
from aleaseg.readers.groups import assign
from aleaseg.readers.npz import ENDING, read_array, read_headers, refuse_objects
from aleaseg.readers.tree import Tree

__all__ = ["is_raters", "open_raters", "read_raters"]

_FOLDER = "npz"
_EXPECTED = "the arrays image (*spatial) and raters (R, *spatial) in 2D or 3D, of at least two raters"


def is_raters(tree: Tree) -> bool:
    """Whether a folder holds npz/ with files that have the masks of several raters; by the first that can be read."""
    for name in tree.list(_FOLDER).files[:8]:
        if name.endswith(ENDING):
            try:
                return {"image", "raters"} <= read_headers(tree.path(f"{_FOLDER}/{name}"), name).keys()
            except CaseError:
                continue
    return False


def open_raters(folder: str | Path, *, groups: str | None = None, fuse: str = "mean") -> Dataset:
    """Open a folder of cases with several raters each. Nothing but meta.json is read.

    Args:
        folder: that holds npz/ and, where patients have several cases, meta.json.
        groups: see `open_dataset`; goes before meta.json.
        fuse: likewise.

    Returns:
        Cases sorted by id. The group of a case is its patient, or the case itself where
        nothing says so. A case of meta.json without a file is in `findings`.

    Raises:
        NotADataset: there is no npz/ with .npz files.
        UsageError: meta.json is damaged, or `groups` or `fuse` cannot work.
    """
    if fuse not in FUSIONS:
        raise UsageError(f"--fuse {fuse}: expected one of {', '.join(FUSIONS)}")
    root = Path(folder)
    ids = _listed(root)
    patients = _patients(root / "meta.json")
    chosen = assign(sorted(ids), groups, "group")
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="raters",
        cases=tuple(
            _case(
                root / _FOLDER / f"{case_id}{ENDING}",
                case_id,
                chosen.get(case_id) or patients.get(case_id) or case_id,
                fuse,
            )
            for case_id in sorted(ids)
        ),
        classes={"foreground": (1,)},
        channels=("image",),
        confidence=Confidence(1.0, fuse, "the masks of the raters", makes_label=True),
        account=Account(
            classes_from="the masks of the raters",
            guesses=("the label is what at least half of the raters marked",),
        ),
        findings=tuple(
            Finding(
                case_id, "error", "missing_image", f"{_FOLDER}/{case_id}{ENDING}",
                "its entry in meta.json only", "add the file, or correct meta.json",
            )
            for case_id in sorted(patients.keys() - set(ids))
        ),
    )  # fmt: skip


def _listed(root: Path) -> list[str]:
    """The ids of the cases.

    Raises:
        NotADataset: there are none.
    """
    try:
        names = list_folder(root / _FOLDER)[0]
    except OSError as error:
        raise NotADataset(
            f"{root / _FOLDER} cannot be listed ({error.strerror}); expected a folder with "
            f"{_FOLDER}/CASE{ENDING}, each with {_EXPECTED}"
        ) from error
    ids = [name.removesuffix(ENDING) for name in names if name.endswith(ENDING) and name != ENDING]
    if not ids:
        raise NotADataset(
            f"{root / _FOLDER} holds no {ENDING} file; expected one per case, each with {_EXPECTED}"
        )
    return ids


def read_raters(path: Path, case_id: str) -> NDArray[np.bool_]:
    """The masks of all raters of a case.

    Args:
        path: the .npz file.
        case_id: for error messages.

    Returns:
        (R, *spatial), R >= 2, in the order of the file; one place in it need not be the
        same person in every case.

    Raises:
        Unreadable: no .npz file, or an array is missing.
        ShapeMismatch: the masks do not lie on the image's grid.
        BadVoxels: values beside 0 and 1.
    """
    raters = _array(path, case_id, "raters")
    strange = (raters != 0) & (raters != 1)
    if strange.any():
        values = ", ".join(f"{value:g}" for value in np.unique(raters[strange])[:4])
        raise BadVoxels(
            case_id,
            f"the values {values} at {int(strange.sum())} voxels of the raters' masks in {path}",
            "0 outside and 1 inside",
            "write one binary mask per rater",
        )
    return raters.astype(bool)


def _patients(path: Path) -> dict[str, str]:
    """Case -> patient; empty without the file."""
    try:
        entries = json.loads(path.read_bytes())
        return {str(entry["case"]): str(entry.get("patient") or "") for entry in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f'{path} cannot be used ({error}); expected [{{"case": "CASE", "patient": "P1"}}, ...]; '
            "correct it, or remove it: then every case is a group of its own"
        ) from error


def _case(path: Path, case_id: str, group: str, how: str) -> Case:
    return Case(
        id=case_id,
        image_files=(path,),
        label_files=(path,),
        read_image=partial(_read_image, path, case_id),
        read_label=partial(_read_label, path, case_id, how),
        read_geometry=partial(_read_geometry, path, case_id),
        group=group,
        confidence_files=(path,),
        read_confidence=partial(_read_confidence, path, case_id, how),
        read_raters=partial(_read_raters, path, case_id),
    )


def _read_image(path: Path, case_id: str) -> Voxels:
    image = _array(path, case_id, "image")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check tells
        return Voxels(image[None].astype(np.float32), _geometry(image.shape))


def _read_raters(path: Path, case_id: str) -> Voxels:
    raters = read_raters(path, case_id)
    return Voxels(raters[:, None].astype(np.float32), _geometry(raters.shape[1:]))


def _read_confidence(path: Path, case_id: str, how: str) -> Voxels:
    raters = read_raters(path, case_id)
    return Voxels(fuse(raters[:, None].astype(np.float32), how), _geometry(raters.shape[1:]))


def _read_label(path: Path, case_id: str, how: str) -> Voxels:
    q = _read_confidence(path, case_id, how)
    return Voxels(at_least(q.array[0], 0.5).astype(np.int16), q.geometry)


def _read_geometry(path: Path, case_id: str) -> Geometry:
    return _geometry(_shape(path, case_id))


def _geometry(shape: tuple[int, ...]) -> Geometry:
    return Geometry(shape, (1.0,) * len(shape))


def _array(path: Path, case_id: str, name: str) -> NDArray:
    """One array of the file, its header looked at first."""
    _shape(path, case_id)
    return read_array(path, case_id, name)


def _shape(path: Path, case_id: str) -> tuple[int, ...]:
    """Of the image; the headers of both arrays are read, no voxel."""
    headers = read_headers(path, case_id)
    missing = [name for name in ("image", "raters") if name not in headers]
    if missing:
        raise Unreadable(
            case_id,
            f"no array {' and no array '.join(missing)} in {path}, which holds {', '.join(headers) or 'none'}",
            _EXPECTED,
            "write it again with numpy.savez_compressed(file, image=..., raters=...)",
        )
    refuse_objects(headers, ("image", "raters"), path, case_id)
    image, raters = headers["image"][0], headers["raters"][0]
    if len(image) not in (2, 3) or 0 in image or raters[1:] != image or raters[0] < 2:
        raise ShapeMismatch(
            case_id,
            f"image {image} and raters {raters} in {path}",
            _EXPECTED,
            "bring the raters' masks to the image's grid, one after the other along the first axis",
        )
    return image
