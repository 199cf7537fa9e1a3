"""The files of nnU-Net's layout, found by name; and how they differ from the lists in `dataset.json`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aleaseg.case import Finding
from aleaseg.errors import NotADataset
from aleaseg.readers.files import split_ending
from aleaseg.readers.pairs import match_stems, pair_alike
from aleaseg.readers.tree import Listing, Tree

__all__ = ["Files", "Found", "find_files", "lists_that_differ"]

Files = dict[str, list[Path]]
_MOST = 8


@dataclass
class Found:
    """What lies in imagesTr and labelsTr.

    Attributes:
        images: files in the order of channels, by case id.
        labels: files by case id.
        findings: names that are not as `dataset.json` says.
        passed_over: (path below the root, why).
    """

    images: Files = field(default_factory=dict)
    labels: Files = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def find_files(tree: Tree, ending: str, *, strict: bool) -> Found:
    """Image and label files by case id; every ending that can be read is taken, and others than the declared told.

    Args:
        tree: of the data set.
        ending: as declared, `.nii.gz`.
        strict: whether `dataset.json` declares the ending itself.

    Raises:
        NotADataset: there are no images.
    """
    found = Found()
    where = _folder(tree, "imagesTr")
    listed = tree.list(where)
    if listed.refused:
        raise NotADataset(
            f"{tree.path(where)} cannot be listed ({listed.refused}); expected images there, or a `dataset` key in "
            f"{tree.path('dataset.json')} that names them"
        )
    image_stems = _by_stem(tree, where, ending, found)
    if not any(path.name.lower().endswith(ending.lower()) for path in _flat(image_stems)):
        raise NotADataset(
            f"{tree.path(where)} holds no file that ends in {ending}, as {tree.path('dataset.json')} says; "
            + _instead(listed)
        )
    labels = _by_stem(tree, _folder(tree, "labelsTr"), ending, found)
    images: Files = defaultdict(list)
    for stem, paths in sorted(image_stems.items()):
        match = re.fullmatch(r"(.+)_\d{4}", stem)
        # The Decathlon's own files have no `_0000`, and some end in four digits all the same.
        images[match[1] if match and stem not in labels else stem].extend(paths)
    if strict:
        found.findings += _other_endings([*_flat(images), *_flat(labels)], ending)
    found.images = dict(images)
    found.labels, notes = _paired(found.images, labels)
    found.findings += notes
    return found


def _instead(listed: Listing) -> str:
    """What to do where no file has the declared ending."""
    names = listed.files
    endings = Counter(split[1] for name in names if (split := split_ending(name)))
    if endings:
        usual, count = endings.most_common(1)[0]
        return f"{count} of its {len(names)} files end in {usual}: say so as file_ending, or give the right folder"
    if listed.folders:
        return f"it holds folders ({_some(listed.folders)}); move the files in them up into it"
    return f"it holds {_some(names) or 'nothing'}; put the images there, or give the right folder"


def _folder(tree: Tree, name: str) -> str:
    """The folder of that name, or the one that differs from it in capitals alone."""
    folders = tree.list().folders
    return name if name in folders else next((one for one in folders if one.lower() == name.lower()), name)


def _by_stem(tree: Tree, folder: str, ending: str, found: Found) -> Files:
    """Files by stem; where one of several has the declared ending the others are passed over."""
    stems: dict[str, list[str]] = defaultdict(list)
    for name in tree.list(folder).files:
        split = split_ending(name)
        # A name that is all ending, such as `.nii.gz`, is no case.
        if split:
            stems[split[0]].append(name)
    files = {}
    for stem, names in stems.items():
        as_declared = [name for name in names if name == stem + ending]
        if as_declared and len(names) > 1:
            for name in names:
                if name not in as_declared:
                    why = f"a second file of its name; dataset.json says {ending}"
                    found.passed_over.append((f"{folder}/{name}", why))
        files[stem] = [tree.path(f"{folder}/{name}") for name in as_declared or names]
    return files


def _paired(images: Files, labels: Files) -> tuple[Files, list[Finding]]:
    """Labels under the ids of their images, where only a habit of names lies between, and notes on those."""
    alone = {stem: paths for stem, paths in labels.items() if stem not in images}
    _, ids = match_stems(images.keys() - labels.keys(), alone)
    paired = {stem: paths for stem, paths in labels.items() if stem in images}
    notes = []
    for stem, paths in alone.items():
        case = ids[stem]
        paired.setdefault(case, []).extend(paths)
        if case != stem and case in images:
            notes.append(
                Finding(
                    case, "note", "names_differ", f"a label called {case}", f"{paths[0].name}, taken for its label",
                    f"rename it to {case}: nnU-Net looks for that name alone", tuple(paths),
                )
            )  # fmt: skip
    paired, alike = pair_alike(images, paired)
    return paired, [*notes, *alike]


def _other_endings(paths: Iterable[Path], ending: str) -> list[Finding]:
    others = [path for path in paths if not path.name.endswith(ending)]
    if not others:
        return []
    return [
        Finding(
            "", "note", "file_ending", f"files that end in {ending}, as dataset.json says",
            f"{len(others)} that end otherwise: {_some([path.name for path in others])}; they are read here",
            f"rename or convert them to {ending}, or declare their ending: nnU-Net does not see them", tuple(others),
        )
    ]  # fmt: skip


def lists_that_differ(
    declared: Mapping[str, Any], path: Path, images: Files, labels: Files, ids: Collection[str]
) -> list[Finding]:
    """Where `numTraining` and the Decathlon's list `training` say something else than the files.

    Args:
        declared: the content of `dataset.json`.
        path: of it.
        images: files by case id.
        labels: likewise.
        ids: of the cases that are whole.
    """
    findings = []
    number = declared.get("numTraining")
    if number is not None and number not in (len(images), len(ids)):
        findings.append(
            Finding(
                "", "note", "num_training", f"{number} training cases, as numTraining in {path.name} says",
                f"{len(images)} with an image" + (f", {len(ids)} with both" if labels else ""),
                "check whether files are missing; if not, set numTraining to their number (nnU-Net refuses others)",
                (path,),
            )
        )  # fmt: skip
    listed = declared.get("training")
    if not isinstance(listed, list) or declared.get("dataset"):
        return findings
    there = images.keys() | labels.keys()
    names = [_listed_case(entry, there) for entry in listed]
    counts = Counter(name for name in names if name is not None)
    lost = sorted(counts.keys() - there)
    unnamed = sorted(there - counts.keys())
    twice = sorted(name for name, count in counts.items() if count > 1)
    broken = names.count(None)
    said: tuple[tuple[Literal["error", "note"], str, str, str], ...] = (
        ("error", "listed_missing", _told(lost, "without a file"), "find the files, or correct the list"),
        ("note", "not_listed", _told(unnamed, "not in the list; they are read"), "add them where they belong there"),
        ("note", "listed_twice", _told(twice, "more than once in the list"), "list each case once"),
        (
            "error", "dataset_key", f"{broken} of another form" if broken else "",
            'write {"image": "...", "label": "..."}',
        ),
    )  # fmt: skip
    return findings + [
        Finding(
            "", severity, check, f"the cases that `training` in {path.name} lists", found, advice, (path,)
        )
        for severity, check, found, advice in said
        if found
    ]


def _told(cases: Sequence[str], what: str) -> str:
    return f"{len(cases)} {what}: {_some(cases)}" if cases else ""


def _listed_case(entry: object, there: Collection[str]) -> str | None:
    """The case that an entry of `training` names, `{"image": "./imagesTr/a.nii.gz", ...}`."""
    image = entry.get("image") if isinstance(entry, dict) else None
    if isinstance(image, list) and image:
        image = image[0]
    if not isinstance(image, str):
        return None
    name = image.replace("\\", "/").rpartition("/")[2]
    split = split_ending(name)
    stem = split[0] if split else name
    bare = re.sub(r"_\d{4}$", "", stem)
    return bare if stem not in there and bare in there else stem


def _flat(files: Files) -> list[Path]:
    return [path for paths in files.values() for path in paths]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
