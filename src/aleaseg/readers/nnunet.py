"""nnU-Net's layout, version 2: dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz.

The older form (`modality`, and `labels` from value to name, as the Medical
Segmentation Decathlon has it) is read as well.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aleaseg.case import Dataset, Finding
from aleaseg.errors import NotADataset
from aleaseg.readers.classes import asked_classes, choose
from aleaseg.readers.files import ENDINGS, list_folder
from aleaseg.readers.json_once import TwoValues, loads_once
from aleaseg.readers.pairs import pair_up
from aleaseg.readers.voxels import lazy_case

__all__ = ["Declared", "open_nnunet", "read_declared"]

_PAGE = "see documentation/dataset_format.md of nnU-Net"
Files = dict[str, list[Path]]


class Declared(NamedTuple):
    """What a `dataset.json` says of its data set, whatever files lie beside it.

    Attributes:
        classes: name -> label values, without the background.
        ignore: label value that means "not annotated", or None.
        channels: names, in order.
    """

    classes: dict[str, tuple[int, ...]]
    ignore: int | None
    channels: tuple[str, ...]


def read_declared(path: Path) -> Declared:
    """Read a `dataset.json`: of a data set, or the copy that nnU-Net leaves beside predictions.

    Raises:
        NotADataset: it is damaged or lacks what it must have.
    """
    declared = _load(path)
    classes, ignore = _labels(declared, path)
    return Declared(classes, ignore, _channel_names(declared, path))


def open_nnunet(root: Path, classes: str | None = None) -> Dataset:
    """Open a data set in nnU-Net's layout.

    Args:
        root: the folder that holds `dataset.json`.
        classes: see `open_dataset`.

    Raises:
        NotADataset: `dataset.json` is damaged or lacks what it must have, or there are no images.
        UsageError: `classes` cannot be read or names what is not there.
    """
    path = root / "dataset.json"
    declared = _load(path)
    old = "channel_names" not in declared and "modality" in declared
    channels = _channel_names(declared, path)
    all_classes, ignore = _labels(declared, path)
    kept, drop = choose(all_classes, asked_classes(classes))
    ending = declared.get("file_ending") or ".nii.gz"
    if not isinstance(ending, str) or ending.lower() not in ENDINGS:
        raise NotADataset(f"{path}: file_ending is {ending!r}; expected one of {', '.join(ENDINGS)}")
    findings: list[Finding] = []
    if declared.get("dataset"):
        images, labels = _listed(declared["dataset"], root, path, findings)
    else:
        images, labels = _found(root, ending, path)
    ids, wrong = pair_up(images, labels, one_image=False)
    findings += wrong
    # One file may hold all channels (colour pictures, the Decathlon's 4D files),
    # but not in a data set in which other cases have one file per channel.
    several = any(len(files) > 1 for files in images.values())
    cases = []
    for case in ids:
        finding = _channel_fault(
            case, images[case], channels, several, ending, old or "dataset" in declared
        )
        if finding:
            findings.append(finding)
        else:
            label = labels[case][0] if labels else None
            cases.append(lazy_case(case, images[case], label, channels=len(channels), drop=drop))
    return Dataset(
        name=str(declared.get("name") or root.resolve().name),
        root=root,
        layout="nnunet",
        cases=tuple(cases),
        classes=kept,
        channels=channels,
        ignore=ignore,
        findings=tuple(findings),
        declared=tuple(sorted({value for values in all_classes.values() for value in values})),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        declared = loads_once(path.read_bytes())
    except OSError as error:
        raise NotADataset(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    except TwoValues as error:
        raise NotADataset(f"{path}: {error}; find out which is right and keep that; {_PAGE}") from error
    except ValueError as error:
        raise NotADataset(f"{path} is no JSON ({error}); mend it; {_PAGE}") from error
    if not isinstance(declared, dict):
        raise NotADataset(f"{path} holds a {type(declared).__name__}; expected an object; {_PAGE}")
    return declared


def _channel_names(declared: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names = declared.get("channel_names", declared.get("modality"))
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise NotADataset(f'{path}: found no channel_names; expected for example {{"0": "CT"}}; {_PAGE}')
    try:
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (TypeError, ValueError) as error:
        raise NotADataset(
            f"{path}: channel_names has keys that are no numbers ({error}); {_PAGE}"
        ) from error


def _labels(declared: Mapping[str, Any], path: Path) -> tuple[dict[str, tuple[int, ...]], int | None]:
    """Classes without the background, and the ignore label."""
    labels = declared.get("labels")
    if not isinstance(labels, dict):
        raise NotADataset(
            f'{path}: found no labels; expected for example {{"background": 0, "liver": 1}}; {_PAGE}'
        )
    if labels and all(str(key).isdecimal() and isinstance(name, str) for key, name in labels.items()):
        labels = _turned_round(labels, path)  # the older form
    classes: dict[str, tuple[int, ...]] = {}
    for name, given in labels.items():
        values = given if isinstance(given, list) else [given]
        try:
            numbers = tuple(int(value) for value in values)
        except (TypeError, ValueError) as error:
            raise NotADataset(
                f"{path}: the label {name!r} is {given!r}; expected a number or a list of numbers; {_PAGE}"
            ) from error
        if set(numbers) - {0}:  # 0 is the background, whatever it is called
            classes[str(name)] = tuple(number for number in numbers if number)
    ignore = classes.pop("ignore", None)
    return classes, None if ignore is None else ignore[0]


def _turned_round(labels: Mapping[str, str], path: Path) -> dict[str, int]:
    """Name -> value of the older form's value -> name."""
    found: dict[str, int] = {}
    for key, name in labels.items():
        if name in found:
            raise NotADataset(
                f"{path}: {name!r} has two values, {found[name]} and {key}; name each class once; {_PAGE}"
            )
        found[name] = int(key)
    return found


def _found(root: Path, ending: str, path: Path) -> tuple[Files, Files]:
    """Image files, in the order of channels, and label files, by case id."""
    folder = root / "imagesTr"
    try:
        names = [name for name in list_folder(folder)[0] if name.endswith(ending)]
    except OSError as error:
        raise NotADataset(
            f"{folder} cannot be listed ({error.strerror}); expected images there, "
            f"or a `dataset` key in {path} that names them; {_PAGE}"
        ) from error
    if not names:
        raise NotADataset(f"{folder} holds no file that ends in {ending}, as {path} says; {_PAGE}")
    labels: Files = {}
    if (root / "labelsTr").is_dir():
        label_names = [name for name in list_folder(root / "labelsTr")[0] if name.endswith(ending)]
        labels = {name[: -len(ending)]: [root / "labelsTr" / name] for name in label_names}
    images: Files = defaultdict(list)
    for name in names:
        stem = name[: -len(ending)]
        match = re.fullmatch(r"(.+)_\d{4}", stem)
        # The Decathlon's own files have no `_0000`, and some end in four digits all the same.
        images[match[1] if match and stem not in labels else stem].append(folder / name)
    return dict(images), labels


def _listed(listed: Any, root: Path, path: Path, findings: list[Finding]) -> tuple[Files, Files]:
    """The files that the `dataset` key names, by case id."""
    if not isinstance(listed, dict):
        raise NotADataset(f"{path}: `dataset` holds a {type(listed).__name__}; expected an object; {_PAGE}")
    images: Files = {}
    labels: Files = {}
    for case, entry in listed.items():
        names = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        files = names if isinstance(names, list) else [names]
        if (
            not files
            or not all(isinstance(name, str) for name in files)
            or not isinstance(label, str | None)
        ):
            findings.append(
                Finding(
                    case,
                    "error",
                    "dataset_key",
                    '{"images": ["..."], "label": "..."}',
                    f"{str(entry)[:80]}",
                    f"mend the entry in {path.name}",
                )
            )
            continue
        resolved = [root / os.path.expandvars(name) for name in (*files, *([label] if label else []))]
        unset = [str(file) for file in resolved if re.search(r"\$\{?\w", str(file))]
        if unset and not all(file.exists() for file in resolved):
            findings.append(
                Finding(
                    case,
                    "error",
                    "unset_variable",
                    "a path whose variables are set",
                    unset[0],
                    "export the variable, then run the same command again",
                )
            )
            continue
        images[case] = resolved[: len(files)]
        if label:
            labels[case] = resolved[-1:]
    return images, labels


def _channel_fault(
    case: str, files: list[Path], channels: tuple[str, ...], several: bool, ending: str, listed: bool
) -> Finding | None:
    """What is wrong with the channels of a case."""
    if len(files) == 1 and not several:
        return None  # the number of channels inside is compared when the file is read
    names = [file.name for file in files]
    wanted = [f"{case}_{number:04d}{ending}" for number in range(len(channels))]
    if len(files) == len(channels) if listed else names == wanted:
        return None
    return Finding(
        case,
        "error",
        "channels",
        f"{len(channels)} files, one per channel ({', '.join(channels)})",
        f"{len(files)}: {', '.join(names)}",
        "add or rename the files (_0000, _0001, ...), or leave the case out",
    )
