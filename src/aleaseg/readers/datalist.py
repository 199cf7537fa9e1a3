"""A JSON file that lists images and labels, as MONAI and the Medical Segmentation Decathlon write it.

{"training": [{"image": "ct/a.nii.gz", "label": "seg/a.nii.gz", "fold": 0}, ...],
 "validation": [...], "test": ["ct/z.nii.gz", ...], "labels": {"0": "background", "1": "liver"}}

Paths are relative to the file. `image` may be a list, one file per channel. The parts `training`
and `validation` are the cases; `test` has no labels and is left out.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aleaseg.case import Account, Dataset, Finding
from aleaseg.errors import NotADataset, UsageError
from aleaseg.readers.classes import Meaning, asked_classes, choose
from aleaseg.readers.files import split_ending
from aleaseg.readers.folder import channel_names, lazy_cases, meaning_of
from aleaseg.readers.json_once import TwoValues, loads_once
from aleaseg.readers.nnunet import read_classes
from aleaseg.readers.tree import Tree

__all__ = ["EXPECTED", "find", "is_datalist", "open_datalist"]

EXPECTED = 'expected {"training": [{"image": "a.nii.gz", "label": "a_seg.nii.gz"}, ...]}'
_PARTS = ("training", "train", "validation", "val")
_TEST_PARTS = ("test", "testing")


def find(tree: Tree) -> str | None:
    """The name of the JSON file in a folder that declares the data set, or None.

    Raises:
        UsageError: there are several, such as one per fold.
    """
    files = tree.list().files
    if "dataset.json" in files:
        return "dataset.json"
    named = [
        name
        for name in files
        if name.lower().endswith(".json")
        and ("datalist" in name.lower() or name.lower().startswith("dataset_"))
        and name != "dataset_description.json"
        and is_datalist(tree.root / name, tree)
    ]
    if len(named) > 1:
        raise UsageError(
            f"{tree.root} holds {len(named)} lists of images and labels: {', '.join(named[:5])}; "
            f"give one of them, such as {tree.root / named[0]}"
        )
    return named[0] if named else None


def is_datalist(path: Path, tree: Tree) -> bool:
    """Whether a JSON file lists images and labels, and no imagesTr beside it says more."""
    content = _load(path)
    if content is None:
        return False
    if isinstance(content, dict) and "labels" in content and "imagesTr" in tree.list().folders:
        return False
    return any(isinstance(entry, dict) and "image" in entry for _, entry in _entries(content))


def open_datalist(path: Path, classes: str | None = None) -> Dataset:
    """Open what a JSON file lists.

    Args:
        path: the file.
        classes: see `open_dataset`.

    Raises:
        NotADataset: it is no such list.
        UsageError: `classes` cannot be read or names what is not there.
    """
    content = _load(path)
    if content is None:
        raise NotADataset(f"{path} is not valid JSON; {EXPECTED}")
    entries = list(_entries(content))
    findings: list[Finding] = []
    sound = [(part, entry) for part, entry in entries if _is_sound(entry)]
    if len(sound) < len(entries):
        broken = [entry for _, entry in entries if not _is_sound(entry)]
        findings.append(
            Finding(
                "", "error", "dataset_key", '{"image": "...", "label": "..."}, text or lists of text',
                f"{len(broken)} entries of another form, such as {str(broken[0])[:60]}", f"correct them in {path.name}",
                (path,),
            )
        )  # fmt: skip
    images, labels, wrong = _files(path, [entry for _, entry in sound])
    findings += wrong
    asked = asked_classes(classes)
    declared = content.get("labels") if isinstance(content, dict) else None
    ignore = None
    if isinstance(declared, dict):
        all_classes, ignore = read_classes(content, path)
        kept, drop = choose(all_classes, asked)
        meaning, source = Meaning(kept, drop=drop, others=drop), path.name
    else:
        meaning, source = meaning_of([(case, labels[case]) for case in images if case in labels], classes)
    ids = sorted(case for case in images if case in labels or not labels)
    promised = isinstance(declared, dict) and bool(meaning.classes)
    findings += _missed_labels(path, [entry for _, entry in sound], promised)
    names = channel_names([(case, images[case]) for case in ids])
    return Dataset(
        name=str((content.get("name") if isinstance(content, dict) else "") or path.parent.resolve().name),
        root=path.parent,
        layout="datalist",
        cases=lazy_cases(ids, images, labels, names, meaning),
        classes=meaning.classes,
        channels=names,
        ignore=ignore,
        findings=(*findings, *meaning.findings),
        declared=meaning.declared,
        account=Account(others=_tests(content), classes_from=source, guesses=_parts(sound)),
    )


def _missed_labels(path: Path, entries: Sequence[Mapping[str, Any]], promised: bool) -> list[Finding]:
    """An error where no entry has a label, and classes are declared or the entries have other files."""
    first = entries[0] if entries else {}
    keys = [key for key, value in first.items() if isinstance(value, str) and split_ending(value)]
    if not (promised or len(keys) > 1) or any(entry.get("label") for entry in entries):
        return []
    return [
        Finding(
            "", "error", "labels_not_found", "a label in each entry, under the key label",
            f"no entry of {path.name} that names a label; the files of an entry are called {', '.join(keys)}",
            "call the labels label, or add them to the list", (path,),
        )
    ]  # fmt: skip


def _load(path: Path) -> Any:
    try:
        return loads_once(path.read_bytes())
    except TwoValues as error:
        raise NotADataset(f"{path}: {error}; find out which is right and keep that") from error
    except (OSError, ValueError, RecursionError):
        return None


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """(part, entry) of everything that may have a label."""
    if isinstance(content, list):
        yield from (("", entry) for entry in content)
    elif isinstance(content, dict):
        for part in _PARTS:
            listed = content.get(part)
            if isinstance(listed, list):
                yield from ((part, entry) for entry in listed)


def _parts(entries: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    parts = list(dict.fromkeys(part for part, _ in entries if part))
    return (f"{' and '.join(parts)} are parts of one data set",) if len(parts) > 1 else ()


def _tests(content: Any) -> Mapping[str, str]:
    """The files of the test part, and what they are."""
    if not isinstance(content, dict):
        return {}
    found: list[Any] = []
    for part in _TEST_PARTS:
        listed = content.get(part)
        for entry in listed if isinstance(listed, list) else ():
            image = entry.get("image") if isinstance(entry, dict) else entry
            found += image if isinstance(image, list) else [image]
    return {
        os.path.normpath(name).replace(os.sep, "/"): "file of a test or validation part"
        for name in found
        if isinstance(name, str)
    }


def _is_sound(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    image, label = entry.get("image"), entry.get("label")
    images = image if isinstance(image, list) else [image]
    return bool(images) and all(isinstance(one, str) and one for one in images) and _is_label(label)


def _is_label(label: Any) -> bool:
    return (
        label is None
        or isinstance(label, str)
        or (isinstance(label, list) and all(isinstance(one, str) for one in label))
    )


def _files(
    path: Path, entries: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, list[Path]], dict[str, Path], list[Finding]]:
    """Images and label by case id, and what is wrong with the others."""
    listed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for case, entry in zip(_ids(entries), entries, strict=True):
        if entry not in listed[case]:
            listed[case].append(entry)
    with_labels = any(entry.get("label") for entry in entries)
    images: dict[str, list[Path]] = {}
    labels: dict[str, Path] = {}
    findings = []
    for case, those in listed.items():
        image, label = those[0]["image"], those[0].get("label")
        files = [_resolved(path, name) for name in (image if isinstance(image, list) else [image])]
        masks = [
            _resolved(path, name)
            for name in (label if isinstance(label, list) else [label] if label else [])
        ]
        several = len(masks) > 1 or len(those) > 1
        if several or (with_labels and not masks):
            told = sorted({str(one.get("label")) for one in those})
            findings.append(
                Finding(
                    case, "error", "same_id" if several else "missing_label", "one label per image",
                    f"{' and '.join(told)[:200]} in {path.name}",
                    "merge the masks into one file, or list one" if several else "add the label to the list",
                    (*files, *masks),
                )
            )  # fmt: skip
            continue
        images[case] = files
        if masks:
            labels[case] = masks[0]
    return images, labels, findings


def _ids(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of the first image: its name, or its path where names are shared (`case_1/imaging`)."""
    paths = [entry["image"][0] if isinstance(entry["image"], list) else entry["image"] for entry in entries]
    paths = [path.replace("\\", "/").removeprefix("./") for path in paths]
    distinct = sorted(set(paths))
    names = Counter(_stem(path.rpartition("/")[2]) for path in distinct)
    return [
        _stem(path.rpartition("/")[2]) if names[_stem(path.rpartition("/")[2])] == 1 else _stem(path)
        for path in paths
    ]


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    split = split_ending(name)
    return folder + slash + (split[0] if split else name)


def _resolved(path: Path, name: str) -> Path:
    return path.parent / os.path.expandvars(
        name.replace("\\", "/") if "\\" in name and "/" not in name else name
    )
