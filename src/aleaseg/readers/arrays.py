"""One .npz file per case, as MedSAM writes it.

CASE.npz    imgs (*spatial) or (*spatial, 3), numbers; gts (*spatial), whole numbers; spacing (x, y, z) in mm

`image` and `label` (and `img`, `gt`, `mask`, `seg`) are read as well. A file without `spacing`
leaves it unknown, (1, 1, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Account, Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch, Unreadable
from aleaseg.readers.classes import SAMPLE, Meaning, asked_classes, evenly, meaning_of_seen
from aleaseg.readers.folder import told_sample
from aleaseg.readers.mask_values import Seen
from aleaseg.readers.npz import ENDING, read_array, read_headers, refuse_objects
from aleaseg.readers.tree import Tree, join

__all__ = ["has_arrays", "open_arrays"]

_IMAGES = ("imgs", "img", "image", "images")
_LABELS = ("gts", "gt", "label", "labels", "mask", "masks", "seg")
_EXPECTED = "the arrays imgs and gts of one shape, in 2D or 3D (imgs may have a last axis of 3 colours)"
_SAMPLE = 8


def has_arrays(tree: Tree) -> bool:
    """Whether a folder holds .npz files with an image; by a few that can be read."""
    for path in evenly(_paths(tree), _SAMPLE):
        try:
            if _first(_IMAGES, read_headers(tree.path(path), path)):
                return True
        except CaseError:
            continue
    return False


def open_arrays(tree: Tree, classes: str | None = None) -> Dataset:
    """Open a folder of .npz files, one per case.

    Args:
        tree: of the folder.
        classes: see `open_dataset`.

    Raises:
        UsageError: `classes` cannot be read or names what is not there.
    """
    paths = {path.removesuffix(ENDING): tree.path(path) for path in _paths(tree)}
    labelled, colours, seen = _looked_into(paths)
    meaning = meaning_of_seen(seen, asked_classes(classes)) if labelled else Meaning({})
    return Dataset(
        name=tree.root.resolve().name,
        root=tree.root,
        layout="arrays",
        cases=tuple(_case(case, path, labelled, colours, meaning) for case, path in sorted(paths.items())),
        classes=meaning.classes,
        channels=("red", "green", "blue") if colours == 3 else ("image",),
        declared=tuple(
            sorted({*meaning.drop, *(v for values in meaning.classes.values() for v in values)})
        ),
        findings=meaning.findings,
        account=Account(classes_from=told_sample(len(paths)) if labelled else ""),
    )


def read_image(path: Path, case_id: str, channels: int) -> Voxels:
    """float32 (channel, *spatial).

    Raises:
        Unreadable: no .npz file, or no image in it.
        ShapeMismatch: it is neither 2D nor 3D, or has another number of colours.
    """
    geometry, name, colours = _image(path, case_id)
    array = read_array(path, case_id, name)
    array = np.moveaxis(array, -1, 0) if colours == 3 else array[None]
    if len(array) == 1 and channels == 3:
        array = np.repeat(array, 3, axis=0)
    elif len(array) == 3 and channels == 1 and (array == array[:1]).all():
        array = array[:1]
    if len(array) != channels:
        raise ShapeMismatch(
            case_id, f"{len(array)} colours in {path}", f"{channels}, as in the other cases",
            "store every image with the same channels",
        )  # fmt: skip
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check tells
        return Voxels(np.ascontiguousarray(array, np.float32), geometry)


def read_label(path: Path, case_id: str, to_one: Sequence[int] = (), drop: Sequence[int] = ()) -> Voxels:
    """int32 (*spatial).

    Raises:
        Unreadable: no .npz file, or no label in it.
        ShapeMismatch: it does not lie on the image's grid.
        BadVoxels: values that are no whole numbers.
    """
    geometry, _, _ = _image(path, case_id)
    array = _label_array(path, case_id, geometry.shape)
    label = array.astype(np.int32)
    if len(to_one):
        label = np.where(np.isin(label, to_one), np.int32(1), label)
    if len(drop):
        label = np.where(np.isin(label, drop), np.int32(0), label)
    return Voxels(label, geometry)


def read_geometry(path: Path, case_id: str) -> Geometry:
    """From the headers, and the three numbers of `spacing`."""
    return _image(path, case_id)[0]


def _case(case: str, path: Path, labelled: bool, colours: int, meaning: Meaning) -> Case:
    return Case(
        id=case,
        image_files=(path,),
        label_files=(path,) if labelled else (),
        read_image=partial(read_image, path, case, colours),
        read_label=partial(read_label, path, case, meaning.to_one, meaning.drop) if labelled else None,
        read_geometry=partial(read_geometry, path, case),
    )


def _paths(tree: Tree) -> list[str]:
    """The .npz files of the folder; where it has none, of its folders."""
    here = [name for name in tree.list().files if name.endswith(ENDING)]
    if here:
        return here
    return [
        join(folder, name)
        for folder in tree.folders()
        for name in tree.list(folder).files
        if name.endswith(ENDING)
    ]


def _looked_into(paths: dict[str, Path]) -> tuple[bool, int, dict[str, Seen]]:
    """Whether there are labels, how many colours, and what a sample of the labels holds."""
    seen: dict[str, Seen] = {}
    labelled, colours = False, 1
    for case, path in evenly(sorted(paths.items()), SAMPLE):
        try:
            geometry, _, count = _image(path, case)
            colours = max(colours, count)
            if _first(_LABELS, read_headers(path, case)):
                labelled = True
                values = np.unique(_label_array(path, case, geometry.shape)).tolist()
                seen[case] = Seen(path, tuple(int(value) for value in values if value), grey=False)
        except CaseError:
            continue  # the check names it
    return labelled, colours, seen


def _image(path: Path, case_id: str) -> tuple[Geometry, str, int]:
    """Geometry, the name of the array, and how many colours it has."""
    headers = read_headers(path, case_id)
    name = _first(_IMAGES, headers)
    if name is None:
        raise Unreadable(
            case_id, f"no array imgs in {path}, which holds {', '.join(headers) or 'none'}", _EXPECTED,
            "write it again with numpy.savez_compressed(file, imgs=..., gts=..., spacing=...)",
        )  # fmt: skip
    refuse_objects(headers, (name,), path, case_id)
    shape = tuple(headers[name][0])
    colours = 3 if len(shape) in (3, 4) and shape[-1] == 3 and _colours_said(headers, shape) else 1
    spatial = shape[:-1] if colours == 3 else shape
    if len(spatial) not in (2, 3) or 0 in spatial:
        raise ShapeMismatch(
            case_id, f"{name} of shape {shape} in {path}", _EXPECTED, "store one image per file"
        )
    spacing = (1.0,) * len(spatial)
    if "spacing" in headers and tuple(headers["spacing"][0]) in ((len(spatial),), (3,)):
        refuse_objects(headers, ("spacing",), path, case_id)
        told = [float(mm) for mm in read_array(path, case_id, "spacing")][: len(spatial)]
        if not all(np.isfinite(told)) or min(told) <= 0:
            raise BadVoxels(
                case_id,
                f"the spacing {told} in {path}",
                "positive numbers of mm",
                "write the spacing again",
            )
        spacing = tuple(told[::-1])  # SimpleITK's order, x first
    return Geometry(spatial, spacing), name, colours


def _colours_said(headers: dict, shape: tuple[int, ...]) -> bool:
    """Whether a last axis of 3 is colours: the label has one axis less, or there is no other reading."""
    name = _first(_LABELS, headers)
    if name is not None:
        return len(headers[name][0]) == len(shape) - 1
    return len(shape) == 4 or shape[0] > 3


def _label_array(path: Path, case_id: str, shape: tuple[int, ...]) -> NDArray:
    headers = read_headers(path, case_id)
    name = _first(_LABELS, headers)
    if name is None:
        raise Unreadable(
            case_id, f"no array gts in {path}, which holds {', '.join(headers)}", _EXPECTED,
            "add the label, or keep the file outside of the data set",
        )  # fmt: skip
    refuse_objects(headers, (name,), path, case_id)
    if tuple(headers[name][0]) != shape:
        raise ShapeMismatch(
            case_id, f"{name} of shape {headers[name][0]} in {path}", f"the image's shape {shape}",
            "bring the label to the image's grid",
        )  # fmt: skip
    array = read_array(path, case_id, name)
    whole = (
        np.isfinite(array) & (np.floor(array) == array) if array.dtype.kind == "f" else np.ones(shape, bool)
    )
    if not whole.all() or np.abs(array.astype(np.float64)).max(initial=0) > np.iinfo(np.int32).max:
        raise BadVoxels(
            case_id, f"label values that are no whole numbers below 2^31 in {path}", "whole numbers",
            "write the mask again with nearest-neighbour interpolation and an integer type",
        )  # fmt: skip
    return array


def _first(names: Sequence[str], there: Sequence[str] | dict) -> str | None:
    return next((name for name in names if name in there), None)
