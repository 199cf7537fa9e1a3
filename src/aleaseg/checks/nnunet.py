"""What nnU-Net 2.8 would refuse or misread of a data set that is declared for it: its own rules, as notes.

The rules are those of `verify_dataset_integrity`, of the file names that it looks for, of its
`LabelManager` and of its `do_split`; said again in our words, so that nothing of it need be
installed. A data set in the older form (`modality`) is not declared for nnU-Net 2 and is not judged.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, Dataset, Finding, Stored, Voxels

__all__ = ["case_notes", "is_for_nnunet", "notes"]

_REQUIRED = ("labels", "channel_names", "numTraining", "file_ending")
_READ = (".png", ".bmp", ".tif", ".tiff", ".nii.gz", ".nii", ".nrrd", ".mha", ".gipl")
_MOST = 5


def is_for_nnunet(dataset: Dataset) -> bool:
    """Whether the data set declares itself one of nnU-Net's, version 2."""
    return dataset.layout == "nnunet" and "channel_names" in _declared(dataset.root)


def notes(dataset: Dataset) -> list[Finding]:
    """What nnU-Net would refuse or misread of the data set as a whole; nothing where it is not declared for it."""
    if not is_for_nnunet(dataset):
        return []
    declared = _declared(dataset.root)
    found = [*_keys(dataset.root, declared), *_labels(declared), *_name(dataset.root), *_splits(dataset)]
    if not declared.get("dataset"):
        found += [
            _refusal(
                "folders",
                f"a folder called {name}",
                "none of that name",
                f"call it {name}; nnU-Net asks for it",
            )
            for name in ("imagesTr", "labelsTr")
            if not (dataset.root / name).is_dir() and (name == "imagesTr" or dataset.has_labels)
        ]
        found += _names(dataset.root, str(declared.get("file_ending") or ".nii.gz"), _listing(dataset.root))
    return found


def case_notes(case: Case, image: Stored, label: Voxels) -> list[Finding]:
    """What nnU-Net compares more strictly than this package: the spacing, to five digits (`numpy.allclose`)."""
    ours, theirs = image.geometry.spacing_mm, label.geometry.spacing_mm
    if (
        len(ours) != len(theirs)
        or image.geometry.shape != label.geometry.shape
        or np.allclose(theirs, ours)
    ):
        return []
    return [
        _refusal(
            "spacing", "the same spacing to five digits",
            f"{_mm(theirs)} in the label, {_mm(ours)} in the image",
            "copy the image's spacing into the label; nnU-Net refuses the case", case.id, case.label_files,
        )
    ]  # fmt: skip


def _declared(root: Path) -> Mapping[str, Any]:
    try:
        declared = json.loads((root / "dataset.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return declared if isinstance(declared, dict) else {}


def _listing(root: Path) -> dict[str, list[str]]:
    """All names in imagesTr and labelsTr, hidden ones among them, as nnU-Net lists them."""
    found = {}
    for name in ("imagesTr", "labelsTr"):
        try:
            found[name] = sorted(os.listdir(root / name))
        except OSError:
            found[name] = []
    return found


def _keys(root: Path, declared: Mapping[str, Any]) -> list[Finding]:
    path = root / "dataset.json"
    found = []
    missing = [key for key in _REQUIRED if key not in declared]
    if missing:
        found.append(
            _refusal(
                "keys", f"{', '.join(_REQUIRED)} in dataset.json", f"no {' and no '.join(missing)}",
                "add what is missing; nnU-Net refuses the data set without it", files=(path,),
            )
        )  # fmt: skip
    if path.read_bytes().startswith(b"\xef\xbb\xbf"):
        found.append(
            _refusal(
                "json", "dataset.json in UTF-8", "a byte order mark before it",
                "save it as UTF-8 without BOM; nnU-Net cannot read it", files=(path,),
            )
        )  # fmt: skip
    ending = declared.get("file_ending")
    if isinstance(ending, str) and ending.lower() not in _READ:
        found.append(
            _refusal(
                "file_ending", f"one of {', '.join(_READ)}", f"file_ending {ending}",
                "convert the files; nnU-Net has no reader for them", files=(path,),
            )
        )  # fmt: skip
    if not isinstance(declared["channel_names"], dict):
        found.append(
            _refusal(
                "channel_names", 'channel_names such as {"0": "CT"}', str(declared["channel_names"])[:60],
                "write it with numbers as keys; nnU-Net cannot read a list", files=(path,),
            )
        )  # fmt: skip
    return found


def _labels(declared: Mapping[str, Any]) -> list[Finding]:
    """Of LabelManager: background is 0, values have no gap, `ignore` is the highest, regions have an order."""
    labels = declared.get("labels")
    if not isinstance(labels, dict):
        return []
    advice = "renumber the labels in dataset.json and in the masks; nnU-Net refuses them as they are"
    if "background" not in labels or labels["background"] != 0:
        given = labels.get("background", "no background")
        return [
            _refusal(
                "labels", '"background": 0 among the labels', f"{given}", "name the background; " + advice
            )
        ]
    regions = [name for name, values in labels.items() if isinstance(values, list) and len(values) > 1]
    found = []
    values: set[int] = set()
    try:
        for name, given in labels.items():
            if name != "ignore":
                values |= {int(value) for value in (given if isinstance(given, list) else [given])}
        ignore = labels.get("ignore")
        ignored = None if ignore is None else int(ignore[0] if isinstance(ignore, list) else ignore)
    except (TypeError, ValueError):
        return []
    if sorted(values) != list(range(len(values))):
        told = ", ".join(map(str, sorted(values)))
        found.append(_refusal("labels", "label values without gaps, 0, 1, 2, ...", told, advice))
    if ignored is not None and ignored != max(values) + 1:
        found.append(
            _refusal(
                "labels", f"ignore as the highest value, {max(values) + 1}", f"ignore is {ignored}", advice
            )
        )
    same = [name for name in labels if list(labels.values()).count(labels[name]) > 1]
    if same:
        found.append(
            _refusal(
                "labels",
                "a value of its own for each class",
                f"{' and '.join(same)} share one",
                "give each its own",
            )
        )
    order = declared.get("regions_class_order")
    if regions and (not isinstance(order, list) or len(order) != len(labels) - 1 - ("ignore" in labels)):
        found.append(
            _refusal(
                "labels", "regions_class_order with one value for each region", f"{order!r} for {', '.join(regions)}",
                "add it to dataset.json; nnU-Net cannot train with regions without it",
            )
        )  # fmt: skip
    return found


def _name(root: Path) -> list[Finding]:
    """`Dataset004_Hippocampus`: only where the name tries to be one, as any folder may be moved to nnUNet_raw."""
    name = root.resolve().name
    if not re.match(r"(dataset|task)[ _-]?\d", name, re.IGNORECASE) or re.fullmatch(
        r"Dataset\d{3}_.+", name
    ):
        return []
    return [
        _refusal(
            "name", "a folder called DatasetNNN_Name, with three digits", name,
            "rename the folder; nnU-Net does not find the data set under this name",
        )
    ]  # fmt: skip


def _names(root: Path, ending: str, listing: Mapping[str, Sequence[str]]) -> list[Finding]:
    """The names that nnU-Net looks for: imagesTr/CASE_0000.ENDING and labelsTr/CASE.ENDING, hidden ones too."""
    images = [name for name in listing["imagesTr"] if name.endswith(ending)]
    labels = {name for name in listing["labelsTr"] if name.endswith(ending)}
    found = []
    bare = [name for name in images if not re.fullmatch(r".+_\d{4}", name[: -len(ending)])]
    hidden = [name for name in images if name.startswith(".")]
    shown = [name for name in bare if name not in hidden]
    if shown:
        found.append(
            _refusal(
                "image_names", f"images called CASE_0000{ending}", f"{len(shown)} without a channel: {_some(shown)}",
                "rename them, _0000 for the first channel; nnU-Net cuts five signs off each name and finds no case",
                files=[root / "imagesTr" / name for name in shown],
            )
        )  # fmt: skip
    if hidden:
        found.append(
            _refusal(
                "hidden_files", "no hidden images", f"{len(hidden)} in imagesTr: {_some(hidden)}",
                "keep them elsewhere (macOS: dot_clean); nnU-Net takes hidden files for cases",
            )
        )  # fmt: skip
    cases = {name[: -len(ending) - 5] for name in images if name not in bare}
    numbered = sorted(
        name
        for name in labels
        if re.fullmatch(r".+_\d{4}", name[: -len(ending)])
        and name[: -len(ending)] not in cases
        and name[: -len(ending) - 5] in cases
    )
    if numbered:
        found.append(
            _refusal(
                "label_names", f"labels called CASE{ending}", f"{len(numbered)} with a channel: {_some(numbered)}",
                "take _0000 off the labels' names; nnU-Net looks for CASE alone",
                files=[root / "labelsTr" / name for name in numbered],
            )
        )  # fmt: skip
    return found


def _splits(dataset: Dataset) -> list[Finding]:
    """A splits_final.json in the folder: cases that are not there, or in both parts of a fold."""
    path = dataset.root / "splits_final.json"
    if not path.is_file():
        return []
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        parts = [(set(fold["train"]), set(fold["val"])) for fold in folds]
    except (OSError, ValueError, LookupError, TypeError):
        return [
            _refusal(
                "splits", '[{"train": [...], "val": [...]}, ...] in UTF-8', "what nnU-Net cannot read",
                "write it again; a byte order mark has to go", files=(path,),
            )
        ]  # fmt: skip
    known = {case.id for case in dataset.cases} | {finding.case for finding in dataset.findings}
    strange = sorted({str(case) for train, val in parts for case in train | val} - known)
    both = sorted({str(case) for train, val in parts for case in train & val})
    found = []
    if strange:
        found.append(
            _refusal(
                "splits", "cases of this data set", f"{len(strange)} others: {_some(strange)}",
                "correct the names; nnU-Net stops where it cannot load a case", files=(path,),
            )
        )  # fmt: skip
    if both:
        found.append(
            _refusal(
                "splits", "no case in both parts of a fold", f"{len(both)}: {_some(both)}",
                "draw the folds again; validation would see what it trained on", files=(path,),
            )
        )  # fmt: skip
    return found


def _refusal(
    what: str, expected: str, found: str, advice: str, case: str = "", files: Sequence[Path] = ()
) -> Finding:
    return Finding(case, "note", f"nnunet_{what}", expected, found, advice, tuple(files))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:.7g}" for mm in spacing) + " mm"
