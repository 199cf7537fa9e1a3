"""One folder per case with one mask per structure, as TotalSegmentator writes it.

s0001/ct.nii.gz   s0001/segmentations/liver.nii.gz   s0001/segmentations/spleen.nii.gz
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from aleaseg.case import Account, Case, Dataset, Finding, Voxels
from aleaseg.errors import BadVoxels, ShapeMismatch
from aleaseg.readers.classes import asked_classes, choose
from aleaseg.readers.files import split_ending
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.pairs import pair_up
from aleaseg.readers.promises import no_labels
from aleaseg.readers.roles import Chosen, matches
from aleaseg.readers.tree import Tree, join
from aleaseg.readers.voxels import lazy_case, read_label

__all__ = ["MASKS", "is_image", "open_structures", "read_structures"]

MASKS = "segmentations"
_IMAGES = ("ct", "mri", "mr", "image", "img", "pet")


def is_image(name: str) -> bool:
    """Whether a file in the folder of a case is its image."""
    return _stem(name) in _IMAGES


def open_structures(
    tree: Tree, folders: Sequence[str], classes: str | None = None, chosen: Chosen | None = None
) -> Dataset:
    """Open a data set of one folder per case.

    Args:
        tree: of the folder.
        folders: names of the cases in it; `[""]` where it is itself the one case.
        classes: see `open_dataset`; names of structures.
        chosen: which files are images and which are masks, of those that would be taken.

    Raises:
        UsageError: `classes` cannot be read or names what is not there.
    """
    images, masks, findings = _files(tree, folders, chosen or Chosen())
    structures = sorted({name for named in masks.values() for name in named})
    declared = {name: (number,) for number, name in enumerate(structures, start=1)}
    kept, _ = choose(declared, asked_classes(classes))
    kept = {name: (number,) for number, name in enumerate(kept, start=1)}
    ids, wrong = pair_up(images, {case: list(named.values())[:1] for case, named in masks.items()})
    if not masks:
        wrong.append(no_labels(tree, join(folders[0], MASKS)))
    # Every mask of a case that cannot be used is named with it.
    findings += [
        replace(one, files=(*images.get(one.case, ()), *masks.get(one.case, {}).values())) for one in wrong
    ]
    cases = tuple(_case(case, images[case][0], masks.get(case, {}), kept) for case in ids)
    return Dataset(
        name=tree.root.resolve().name,
        root=tree.root,
        layout="structures",
        cases=cases,
        classes=kept,
        channels=(_modality(cases),),
        findings=tuple(findings),
        account=Account(
            classes_from=f"the names in {MASKS}/",
            others={
                path.relative_to(tree.root).as_posix(): "file not asked for"
                for case in ids
                for name, path in masks.get(case, {}).items()
                if name not in kept
            },
        ),
    )


def _files(
    tree: Tree, folders: Sequence[str], chosen: Chosen
) -> tuple[dict[str, list[Path]], dict[str, dict[str, Path]], list[Finding]]:
    """Case -> its images; case -> structure -> its mask; and masks of one name."""
    images: dict[str, list[Path]] = {}
    masks: dict[str, dict[str, Path]] = {}
    findings: list[Finding] = []
    for name in folders:
        case = name or tree.root.resolve().name
        listed = tree.list(name)
        images_here = [
            tree.path(path)
            for file in listed.files
            if matches(chosen.image, path := join(name, file)) and (is_image(file) or chosen.image)
        ]
        if images_here:
            images[case] = images_here
        if MASKS in listed.folders:
            named, doubles = _masks(tree, join(name, MASKS), case, chosen.label)
            findings += doubles
            if named:
                masks[case] = named
    return images, masks, findings


def _modality(cases: Sequence[Case]) -> str:
    """What the one name that all images have says they are."""
    kinds = {_stem(case.image_files[0].name) for case in cases}
    return (
        {"ct": "CT", "mri": "MR", "mr": "MR", "pet": "PET"}.get(max(kinds), "image")
        if len(kinds) == 1
        else "image"
    )


def _masks(
    tree: Tree, folder: str, case: str, pattern: str | None
) -> tuple[dict[str, Path], list[Finding]]:
    """The mask of each structure, and an error where there are two of one."""
    named: dict[str, Path] = {}
    findings = []
    for file in tree.list(folder).files:
        split = split_ending(file)
        if split is None or not matches(pattern, join(folder, file)):
            continue
        path = tree.path(join(folder, file))
        if split[0] in named:
            findings.append(
                Finding(
                    case, "error", "same_id", "one mask per structure",
                    f"{named[split[0]].name} and {file} in {folder}/", "keep one of them there",
                    (path,),
                )
            )  # fmt: skip
        else:
            named[split[0]] = path
    return named, findings


def read_structures(files: Sequence[tuple[str, int, Path]], image: Path, case_id: str) -> Voxels:
    """One label map from one binary mask per structure; where two overlap the later one wins.

    Args:
        files: (structure, its label value, its mask).
        image: gives the grid where the case has none of the structures.
        case_id: for error messages.

    Returns:
        int16 (*spatial), with a note where structures overlap.

    Raises:
        Unreadable: a mask cannot be read.
        ShapeMismatch: two masks differ in shape.
        BadVoxels: a mask with more values than two, or with values that are no whole numbers.
    """
    merged: Voxels | None = None
    notes: list[Finding] = []
    overlaps: Counter[tuple[str, str]] = Counter()
    for name, value, path in files:
        mask = read_label(path, case_id)
        notes += mask.notes
        if merged is None:
            merged = Voxels(np.zeros(mask.array.shape, np.int16), mask.geometry)
        if mask.array.shape != merged.array.shape:
            raise ShapeMismatch(
                case_id,
                f"shape {mask.array.shape} in {path.name} and {merged.array.shape} in {files[0][2].name}",
                "one shape for all structures",
                "resample the masks to the image's grid",
            )
        apart = differs_in_world(merged.geometry, mask.geometry)
        if apart:
            notes.append(_elsewhere(apart, path, files[0][2], case_id))
        inside = mask.array != 0
        if (mask.array[inside] != mask.array.max(initial=0)).any():
            raise BadVoxels(
                case_id,
                f"values {np.unique(mask.array)[:6].tolist()} in {path}",
                "a mask with two values, 0 and another",
                "write one file per structure",
            )
        before = merged.array[inside]
        for earlier, number, _ in files if before.any() else ():
            if count := int((before == number).sum()):
                overlaps[earlier, name] += count
        merged.array[inside] = value
    if merged is None:
        from aleaseg.readers.voxels import read_geometry

        geometry = read_geometry(image, case_id)
        return Voxels(np.zeros(geometry.shape, np.int16), geometry)
    return Voxels(merged.array, merged.geometry, (*notes, *overlap_note(overlaps, case_id)))


def _elsewhere(apart: str, path: Path, first: Path, case: str) -> Finding:
    return Finding(
        case,
        "error",
        "mask_geometry",
        f"the geometry of {first.name} in all masks of the case",
        f"{path.name}: {apart}",
        "find out which mask is in the place of the image, and resample the others to its grid",
    )


def overlap_note(overlaps: Counter[tuple[str, str]], case: str) -> tuple[Finding, ...]:
    """A note on structures that overlap, with the number of voxels of each pair (the later one was kept)."""
    if not overlaps:
        return ()
    told = [f"{one} and {other} at {count} voxels" for (one, other), count in overlaps.most_common(3)]
    more = f" and {len(overlaps) - 3} pairs more" if len(overlaps) > 3 else ""
    return (
        Finding(
            case,
            "note",
            "overlap",
            "structures that do not overlap",
            "; ".join(told) + more,
            "the structure later in the alphabet was kept there; correct the masks if that is wrong",
        ),
    )


def _stem(name: str) -> str:
    split = split_ending(name)
    return split[0].lower() if split else ""


def _case(case: str, image: Path, named: dict[str, Path], kept: dict[str, tuple[int, ...]]) -> Case:
    files = tuple((name, values[0], named[name]) for name, values in kept.items() if name in named)
    bare = lazy_case(case, [image], channels=1)
    if not named:
        return bare
    return Case(
        id=case,
        image_files=bare.image_files,
        label_files=tuple(path for _, _, path in files),
        read_image=bare.read_image,
        read_label=partial(read_structures, files, image, case),
        read_geometry=bare.read_geometry,
    )
