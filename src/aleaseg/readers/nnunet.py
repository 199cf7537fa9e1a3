"""nnU-Net's layout, version 2: dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz.

The older form (`modality`, and `labels` from value to name, as the Medical
Segmentation Decathlon has it) is read as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from aleaseg.case import Account, Dataset, Finding
from aleaseg.errors import NotADataset
from aleaseg.readers.classes import asked_classes, choose
from aleaseg.readers.files import ENDINGS, split_ending
from aleaseg.readers.json_once import TwoValues, loads_once
from aleaseg.readers.nnunet_files import Files, Found, find_files, lists_that_differ
from aleaseg.readers.pairs import pair_up
from aleaseg.readers.promises import no_labels
from aleaseg.readers.tree import Tree
from aleaseg.readers.voxels import lazy_case

__all__ = ["Declared", "declares_classes", "open_nnunet", "read_classes", "read_declared"]

_PAGE = "see documentation/dataset_format.md of nnU-Net"


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
    classes, ignore = read_classes(declared, path)
    return Declared(classes, ignore, _channel_names(declared, path))


def open_nnunet(tree: Tree, classes: str | None = None) -> Dataset:
    """Open a data set in nnU-Net's layout.

    Args:
        tree: of the folder that holds `dataset.json`.
        classes: see `open_dataset`.

    Raises:
        NotADataset: `dataset.json` is damaged or lacks what it must have, or there are no images.
        UsageError: `classes` cannot be read or names what is not there.
    """
    path = tree.root / "dataset.json"
    findings: list[Finding] = []
    declared = _load(path)
    old = "channel_names" not in declared and "modality" in declared
    channels = _channel_names(declared, path)
    all_classes, ignore = read_classes(declared, path)
    kept, drop = choose(all_classes, asked_classes(classes))
    ending = declared.get("file_ending") or ".nii.gz"
    if not isinstance(ending, str) or ending.lower() not in ENDINGS:
        dot = (
            f"write '.{ending}'"
            if f".{ending}".lower() in ENDINGS
            else f"expected one of {', '.join(ENDINGS)}"
        )
        raise NotADataset(f"{path}: file_ending is {ending!r}; {dot}")
    found = Found()
    if declared.get("dataset"):
        found.images, found.labels = _listed(declared["dataset"], tree.root, path, findings)
    else:
        found = find_files(tree, ending, strict="file_ending" in declared)
    findings += found.findings
    if all_classes and not found.labels:
        findings.append(_unlabelled(tree, declared))
    ids, wrong = pair_up(found.images, found.labels, one_image=False)
    findings += wrong
    findings += lists_that_differ(declared, path, found.images, found.labels, ids)
    # One file may hold all channels (colour pictures, the Decathlon's 4D files),
    # but not in a data set in which other cases have one file per channel.
    several = any(len(files) > 1 for files in found.images.values())
    cases = []
    for case in ids:
        finding = _channel_fault(case, found.images[case], channels, several, old or "dataset" in declared)
        if finding:
            findings.append(replace(finding, files=(*finding.files, *found.labels.get(case, ()))))
        else:
            label = found.labels[case][0] if found.labels else None
            cases.append(lazy_case(case, found.images[case], label, channels=len(channels), drop=drop))
    return Dataset(
        name=str(declared.get("name") or tree.root.resolve().name),
        root=tree.root,
        layout="nnunet",
        cases=tuple(cases),
        classes=kept,
        channels=channels,
        ignore=ignore,
        findings=tuple(findings),
        declared=tuple(sorted({value for values in all_classes.values() for value in values})),
        account=Account(passed_over=tuple(found.passed_over), classes_from=path.name),
    )


def _load(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():  # a pipe is never opened: it would wait for whoever writes
        raise NotADataset(f"{path} is not a file; expected the JSON that describes a data set; {_PAGE}")
    try:
        declared = loads_once(path.read_bytes())
    except OSError as error:
        raise NotADataset(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    except TwoValues as error:
        raise NotADataset(f"{path}: {error}; find out which is right and keep that; {_PAGE}") from error
    except (ValueError, RecursionError) as error:
        raise NotADataset(f"{path} is not valid JSON ({error}); correct it; {_PAGE}") from error
    if not isinstance(declared, dict):
        raise NotADataset(f"{path} holds a {type(declared).__name__}; expected an object; {_PAGE}")
    return declared


def _unlabelled(tree: Tree, declared: Mapping[str, Any]) -> Finding:
    """The error of a data set that declares classes and has no label."""
    if not declared.get("dataset"):
        return no_labels(tree, "labelsTr")
    return Finding(
        "", "error", "labels_not_found", "a label for each entry of `dataset`, as classes are declared",
        "no entry that names a label which can be found", "add the labels to dataset.json",
    )  # fmt: skip


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
            f"{path}: channel_names has keys that are not numbers ({error}); {_PAGE}"
        ) from error


def declares_classes(path: Path) -> bool:
    """Whether a JSON file is a `dataset.json` that says what label values mean."""
    try:
        return isinstance(_load(path).get("labels"), dict)
    except NotADataset:
        return False


def read_classes(declared: Mapping[str, Any], path: Path) -> tuple[dict[str, tuple[int, ...]], int | None]:
    """Classes without the background, and the ignore label, of the content of a `dataset.json`.

    Raises:
        NotADataset: it says nothing of labels, or what cannot be understood.
    """
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
            if any(number != float(value) for number, value in zip(numbers, values, strict=True)):
                raise ValueError
        except (TypeError, ValueError, OverflowError) as error:
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
                    f"correct the entry in {path.name}",
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
    case: str, files: list[Path], channels: tuple[str, ...], several: bool, listed: bool
) -> Finding | None:
    """What is wrong with the channels of a case."""
    if len(files) == 1 and not several:
        return None  # the number of channels inside is compared when the file is read
    names = [file.name for file in files]
    stems = [split[0] if (split := split_ending(name)) else name for name in names]
    wanted = [f"{case}_{number:04d}" for number in range(len(channels))]
    if len(files) == len(channels) if listed else stems == wanted:
        return None
    return Finding(
        case,
        "error",
        "channels",
        f"{len(channels)} files, one per channel ({', '.join(channels)})",
        f"{len(files)}: {', '.join(names)}",
        "add or rename the files (_0000, _0001, ...), or leave the case out",
        tuple(files),
    )
