"""BIDS: sub-01/anat/sub-01_T1w.nii.gz, with its labels below derivatives/.

The label of an image is in `derivatives/labels/sub-01/anat/sub-01_T1w_seg.nii.gz` (its name goes
on from the image's), or, as BIDS derivatives have it, `derivatives/NAME/sub-01/anat/sub-01_dseg.nii.gz`
with the subject, session and run of its image. Names of classes are read from a `dseg.tsv`. The
group of a case is its subject.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aleaseg.case import Account, Dataset, Finding
from aleaseg.errors import UsageError
from aleaseg.readers.classes import Meaning, asked_classes, choose
from aleaseg.readers.files import split_ending
from aleaseg.readers.folder import channel_names, lazy_cases, meaning_of
from aleaseg.readers.pairs import pair_up
from aleaseg.readers.roles import Chosen, matches
from aleaseg.readers.tree import Tree, join

__all__ = ["SHARED", "entities", "is_bids", "open_bids"]

_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_LABEL_SUFFIX = re.compile(
    r"(d?seg|mask|msk|label|labels|roi|lesion|(?:[a-z]+)?(?:seg|label|lesion|mask)-[A-Za-z0-9]+)",
    re.IGNORECASE,
)
# What an image and its label share; a label may say more (space, desc, label).
SHARED = ("sub", "ses", "acq", "ce", "rec", "run", "echo", "part", "chunk")
_NOT_IMAGES = (
    "bold",
    "dwi",
    "epi",
    "fieldmap",
    "magnitude1",
    "magnitude2",
    "phasediff",
    "sbref",
    "probseg",
    "events",
)


def is_bids(tree: Tree) -> bool:
    """Whether subjects are folders `sub-...` with images in them."""
    subjects = [name for name in tree.folders() if _SUBJECT.fullmatch(name)]
    return bool(subjects) and any(
        split_ending(path.rpartition("/")[2]) and path.rpartition("/")[2].startswith("sub-")
        for name in subjects[:20]
        for path in tree.images(name)
    )


def open_bids(tree: Tree, classes: str | None = None, chosen: Chosen | None = None) -> Dataset:
    """Open a BIDS data set.

    Args:
        tree: of the folder that holds the subjects.
        classes: see `open_dataset`.
        chosen: which files are images and which are labels, of those that would be taken.

    Raises:
        UsageError: several contrasts of an image have a label each or none says which is meant, or
            there are several sets of labels; the message says what to type. Or `classes` cannot be read.
    """
    images, labels, others = _sorted(tree, chosen or Chosen())
    findings: list[Finding] = []
    by_case = _labels_of(images, labels, tree, findings)
    used = {case: images[case] for case in images if case in by_case} if by_case else images
    if by_case:
        for case in [case for case in images if case not in used and _has_labelled_twin(case, used)]:
            others[images.pop(case).relative_to(tree.root).as_posix()] = "image of another contrast"
    if not by_case:
        _refuse_contrasts(tree, images)
    kept_images = {case: [path] for case, path in images.items()}
    ids, wrong = pair_up(kept_images, by_case)
    declared = _names_of_values(tree)
    pairs = [(case, by_case[case][0]) for case in ids if case in by_case]
    if declared and by_case:
        kept, drop = choose(declared, asked_classes(classes))
        meaning, source = Meaning(kept, drop=drop, others=drop), "dseg.tsv"
    else:
        meaning, source = meaning_of(pairs, classes)
    names = channel_names([(case, kept_images[case]) for case in ids])
    if names == ("image",):
        suffixes = {case.rpartition("_")[2] for case in ids}
        names = (suffixes.pop(),) if len(suffixes) == 1 else names
    return Dataset(
        name=tree.root.resolve().name,
        root=tree.root,
        layout="bids",
        cases=tuple(
            replace(case, group=entities(case.id).get("sub", ""))
            for case in lazy_cases(ids, kept_images, dict(pairs), names, meaning)
        ),
        classes=meaning.classes,
        channels=names,
        findings=(*findings, *wrong, *meaning.findings),
        declared=meaning.declared,
        account=Account(others=others, classes_from=source),
    )


def entities(name: str) -> dict[str, str]:
    """`sub-01_ses-a_T1w` as {"sub": "sub-01", "ses": "ses-a", "suffix": "T1w"}."""
    parts = name.split("_")
    found = {part.partition("-")[0]: part for part in parts if "-" in part}
    return {**found, "suffix": parts[-1]}


def _sorted(tree: Tree, chosen: Chosen) -> tuple[dict[str, Path], list[tuple[str, Path]], dict[str, str]]:
    """Images by name, (name, path) of labels, and what is neither: path -> kind."""
    images: dict[str, Path] = {}
    labels: list[tuple[str, Path]] = []
    others: dict[str, str] = {}
    for path in tree.images():
        name = path.rpartition("/")[2]
        split = split_ending(name)
        assert split is not None
        stem = split[0]
        inside = path.split("/")[0]
        suffix = stem.rpartition("_")[2]
        if inside not in ("derivatives", "sourcedata", "code") and not _SUBJECT.fullmatch(inside):
            continue
        if suffix == "probseg":
            others[path] = "probability map"
        elif _LABEL_SUFFIX.fullmatch(suffix) and inside != "sourcedata":
            if matches(chosen.label, path):
                labels.append((stem, tree.path(path)))
            else:
                others[path] = "file not asked for"
        elif inside == "derivatives":
            others[path] = "derived image"
        elif (
            inside == "sourcedata"
            or (suffix in _NOT_IMAGES and not chosen.image)
            or not stem.startswith("sub-")
        ):
            others[path] = "image of another kind"
        elif matches(chosen.image, path):
            images[stem] = tree.path(path)
        else:
            others[path] = "file not asked for"
    return images, labels, others


def _labels_of(
    images: Mapping[str, Path], labels: Sequence[tuple[str, Path]], tree: Tree, findings: list[Finding]
) -> dict[str, list[Path]]:
    """Labels by the name of their image."""
    kinds: dict[str, set[str]] = defaultdict(set)
    by_case: dict[str, list[Path]] = defaultdict(list)
    by_subject: dict[str, list[str]] = defaultdict(list)
    for case in images:
        by_subject[entities(case).get("sub", "")].append(case)
    for stem, path in sorted(labels):
        subject = by_subject.get(entities(stem).get("sub", ""), [])
        longest = max((case for case in subject if stem.startswith(case + "_")), key=len, default=None)
        theirs = entities(stem)
        fitting = [longest] if longest else [
            case
            for case in subject
            if all(entities(case).get(name) == theirs[name] for name in SHARED if name in theirs)
        ]  # fmt: skip
        if len(fitting) > 1:
            names = ", ".join(sorted(images[case].name for case in fitting)[:5])
            suffix = entities(fitting[0])["suffix"]
            raise UsageError(
                f"{path} may be the label of {len(fitting)} images: {names}; choose one kind with --image, such as "
                f"--image '*_{suffix}.nii.gz' --label '*_{theirs['suffix']}.nii.gz'"
            )
        if fitting:
            by_case[fitting[0]].append(path)
            parent = path.relative_to(tree.root).parts
            where = "/".join(parent[:2]) if parent[0] == "derivatives" else "the subjects' folders"
            kinds[f"{where}: *_{theirs['suffix']}"].add(fitting[0])
        else:
            findings.append(
                Finding(
                    stem, "error", "missing_image", "an image with the subject, session and run of the label",
                    f"a label only: {path.name}", "add the image; or keep the label outside of the data set", (path,),
                )
            )  # fmt: skip
    several = [case for case, paths in by_case.items() if len(paths) > 1]
    if several and len(kinds) > 1:
        told = "; ".join(f"{kind} ({len(cases)})" for kind, cases in sorted(kinds.items()))
        one = by_case[several[0]][0]
        raise UsageError(
            f"{len(several)} of the images of {tree.root} have several labels each: {told}; choose with, for example, "
            f"--label '{join('derivatives/*', '*_' + entities(_stem(one))['suffix'])}.nii.gz'"
        )
    return dict(by_case)


def _stem(path: Path) -> str:
    """The name of a file without its ending."""
    split = split_ending(path.name)
    return split[0] if split else path.name


def _has_labelled_twin(case: str, used: Mapping[str, Path]) -> bool:
    """Whether another contrast of the same subject and session has a label."""
    ours = {name: value for name, value in entities(case).items() if name in ("sub", "ses")}
    return any({n: v for n, v in entities(other).items() if n in ("sub", "ses")} == ours for other in used)


def _refuse_contrasts(tree: Tree, images: Mapping[str, Path]) -> None:
    """Several contrasts without a label: each would be a case of its own kind."""
    suffixes = sorted({entities(case)["suffix"] for case in images})
    if len(suffixes) > 1:
        raise UsageError(
            f"{tree.root} has images of {len(suffixes)} kinds ({', '.join(suffixes)}) and no labels; "
            f"choose one kind with --image, such as --image '*_{suffixes[0]}.nii.gz'"
        )


def _names_of_values(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Class -> value of the lookup table `dseg.tsv` with the columns index and name; empty without one."""
    for here, found in tree.walk():
        if here.count("/") > 2:
            continue
        for name in found.files:
            if name == "dseg.tsv" or name.endswith("_dseg.tsv"):
                try:
                    with open(tree.path(join(here, name)), newline="", encoding="utf-8-sig") as file:
                        rows = list(csv.DictReader(file, delimiter="\t"))
                    values = [(row["name"], int(row["index"])) for row in rows]
                except (OSError, ValueError, KeyError, TypeError, csv.Error):
                    continue
                if values:
                    return {name: (value,) for name, value in values if value}
    return {}
