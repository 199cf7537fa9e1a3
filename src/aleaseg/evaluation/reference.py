"""What predictions are measured against: a data set with labels, or a folder of masks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aleaseg.case import Case, Dataset, Finding
from aleaseg.errors import NotADataset, UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.classes import asked_classes, choose, meaning_of_found
from aleaseg.readers.files import list_folder
from aleaseg.readers.groups import assign
from aleaseg.readers.nnunet import Declared, read_declared
from aleaseg.readers.pairs import by_stem
from aleaseg.readers.voxels import lazy_case

__all__ = ["Reference", "open_reference"]

_CHANNEL = re.compile(r"(.+)_\d{4}")


@dataclass(frozen=True)
class Reference:
    """Cases with a label each.

    Attributes:
        dataset: every case of it has a label, or the case is among its findings.
        pictured: whether there are images to draw on; else a case's image is its mask.
    """

    dataset: Dataset
    pictured: bool


def open_reference(
    path: str | Path,
    *,
    classes: str | None = None,
    groups: str | None = None,
    scale: float | None = None,
    fuse: str | None = None,
) -> Reference:
    """Open a reference: a data set in any layout that `aleaseg.readers` knows, or a folder of masks.

    In a folder of masks (`labelsTs`, say) label values are named by the `dataset.json` in it
    or in the folder above, else by `classes`, else by what a sample of the masks holds.
    The other arguments are as `open_dataset` takes them.

    Raises:
        UsageError: there is no label, or `classes` or `groups` cannot work.
    """
    root = Path(path)
    if not root.exists():
        raise UsageError(f"{root} does not exist; give a data set with labels, or a folder of masks")
    try:
        dataset = open_dataset(root, classes=classes, groups=groups, scale=scale, fuse=fuse)
        if dataset.has_labels:
            return Reference(dataset, pictured=True)
    except NotADataset:
        if not root.is_dir():
            raise
    found = _open_masks(root, classes)
    if not found.dataset.cases:
        raise UsageError(
            f"{root} holds no labels; expected a data set with labels (dataset.json with labelsTr/, images/ with "
            "labels/, ...), or a folder of masks such as labelsTs/CASE.nii.gz"
        )
    return replace(found, dataset=_grouped(found.dataset, groups))


def _grouped(dataset: Dataset, groups: str | None) -> Dataset:
    group = assign([case.id for case in dataset.cases], groups, "group")
    return dataset.with_cases(
        [replace(case, group=group.get(case.id) or case.id) for case in dataset.cases]
    )


def _open_masks(root: Path, classes: str | None) -> Reference:
    files = by_stem(root, list_folder(root)[0])
    masks = {case: paths[0] for case, paths in sorted(files.items()) if len(paths) == 1}
    twins = tuple(
        Finding(
            case,
            "error",
            "same_id",
            "one mask per case",
            f"{len(paths)} files: {', '.join(path.name for path in paths)}",
            "rename or remove all but one",
        )
        for case, paths in sorted(files.items())
        if len(paths) > 1
    )
    declared = _declared(root)
    asked = asked_classes(classes)
    to_one: tuple[int, ...] = ()
    channels: tuple[str, ...] = ("image",)
    by_name: Mapping[str, int] | None = None
    notes: tuple[Finding, ...] = ()
    ignore = None
    if declared is None:
        meaning = meaning_of_found(list(masks.items()), asked)
        kept, drop, to_one = meaning.classes, meaning.drop, meaning.to_one
        by_name, notes = meaning.by_name, meaning.findings
        known = {*meaning.others, *(value for values in kept.values() for value in values)}
    else:
        kept, drop = choose(declared.classes, asked)
        ignore, channels = declared.ignore, declared.channels
        known = {value for values in declared.classes.values() for value in values}
    images = _images(root, masks)
    cases: list[Case] = [
        lazy_case(case, images.get(case) or [path], path, to_one=to_one, drop=drop, by_name=by_name)
        for case, path in masks.items()
    ]
    dataset = Dataset(
        name=root.resolve().parent.name if declared else root.resolve().name,
        root=root,
        layout="nnunet" if declared else "folder",
        cases=tuple(cases),
        classes=kept,
        channels=channels,
        ignore=ignore,
        findings=(*twins, *notes),
        declared=tuple(sorted(known)),
    )
    return Reference(dataset, pictured=bool(images))


def _declared(root: Path) -> Declared | None:
    for folder in (root, root.resolve().parent):
        if (folder / "dataset.json").is_file():
            return read_declared(folder / "dataset.json")
    return None


def _images(root: Path, masks: Mapping[str, Path]) -> dict[str, list[Path]]:
    """nnU-Net's images of a folder of labels: imagesTs/CASE_0000.nii.gz for labelsTs/CASE.nii.gz."""
    if not root.name.startswith("labels"):
        return {}
    folder = root.parent / f"images{root.name.removeprefix('labels')}"
    if not folder.is_dir():
        return {}
    found: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in sorted(by_stem(folder, list_folder(folder)[0]).items()):
        match = _CHANNEL.fullmatch(stem)
        case = stem if stem in masks else match[1] if match else ""
        if case in masks:
            found[case].append(paths[0])
    return dict(found)
