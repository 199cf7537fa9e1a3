"""The confidences of a data set: found, their scale decided, and given to the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from aleaseg.case import Case, Confidence, Dataset, Finding
from aleaseg.errors import CaseError, NotADataset, UsageError
from aleaseg.readers.classes import evenly
from aleaseg.readers.confidence_files import FoundConfidences, find_confidences
from aleaseg.readers.fusing import FUSIONS
from aleaseg.readers.nnunet import read_declared
from aleaseg.readers.probseg import find_probseg, label_map, plain_label
from aleaseg.readers.scales import Declaration, Span, decide_scale, declared_confidence, span_of
from aleaseg.readers.stated import (
    Rater,
    Reading,
    Stated,
    label_of_confidence,
    read_fused,
    read_raters,
    stated_numbers,
)
from aleaseg.readers.tree import Tree
from aleaseg.readers.voxels import count_channels
from aleaseg.work import cores, in_threads, map_cases

__all__ = ["count_voters", "with_confidence"]

_MOST_VALUES = 256
_VOTES_LOOKED_AT = 8


def with_confidence(
    dataset: Dataset, tree: Tree, *, scale: float | None = None, fuse: str = "mean"
) -> Dataset:
    """The data set with the confidences that lie in its folder, if there are any.

    A data set with confidences and no label gets q >= .5 as its label. Where nothing declares the scale,
    every file of confidences is read once.

    Args:
        dataset: as its layout's reader gives it.
        tree: of its folder.
        scale: what is certain; None: as declared, else as the numbers tell.
        fuse: how several raters become one confidence, of `readers.fusing`.

    Raises:
        UsageError: the scale cannot be told, what is declared cannot be used, or `scale` is given and there
            are no confidences.
    """
    if fuse not in FUSIONS:
        raise UsageError(f"--fuse {fuse}: expected one of {', '.join(FUSIONS)}")
    ids = [case.id for case in dataset.cases]
    known = _declared_classes(dataset)
    if dataset.layout == "bids":
        found, declaration = find_probseg(tree, ids), Declaration(scale=1.0, source="BIDS")
    else:
        found = find_confidences(tree, ids, known)
        declaration = declared_confidence(tree.root, found.folder) if found.folder else Declaration()
    passed = (*dataset.account.passed_over, *found.passed_over)
    dataset = replace(
        dataset,
        findings=(*dataset.findings, *found.findings),
        account=replace(dataset.account, passed_over=passed),
    )
    channels = _channels(found, declaration.classes or known, dataset)
    told_classes = bool(dataset.classes or channels)
    if found.files and not dataset.classes:
        dataset = _with_classes(dataset, found, channels)
    given = _given(found, channels, dataset)
    if not given:
        if scale is not None:
            raise UsageError(
                f"--scale {scale:g} is given, and {tree.root} states no confidences; expected "
                "confidencesTr/CASE.nii.gz, confidence/CASE.png or raters/CASE/RATER.nii.gz"
            )
        return dataset
    declaration = declaration if scale is None else replace(declaration, scale=scale, source="--scale")
    reading, decided_by = _reading(dataset, found, declaration, told_classes)
    return _attached(dataset, given, replace(reading, fuse=fuse), decided_by, found)


def _declared_classes(dataset: Dataset) -> tuple[str, ...]:
    """All classes of a data set in their order, those that were not asked for among them."""
    try:
        return tuple(read_declared(dataset.root / "dataset.json").classes)
    except NotADataset:
        return tuple(dataset.classes)


def _channels(
    found: FoundConfidences, names: tuple[str, ...], dataset: Dataset
) -> Mapping[Path, tuple[str, ...]]:
    """The classes of each file's channels, by name; a file that is not in it has those of the data set, in order."""
    bids = dataset.layout == "bids"
    said: dict[Path, tuple[str, ...]] = {}
    for by_rater in found.files.values():
        for files in by_rater.values():
            for name, path in files:
                of_file = (name,) if name else label_map(path) if bids else names
                if of_file:
                    said[path] = of_file
    return said


def _with_classes(
    dataset: Dataset, found: FoundConfidences, channels: Mapping[Path, tuple[str, ...]]
) -> Dataset:
    """A data set without labels has the classes of its confidences."""
    names = list(dict.fromkeys(name for of_file in channels.values() for name in of_file))
    if found.named:
        names = [*found.named, *(name for name in names if name not in found.named)]
    if not names:
        case, path = found.paths[0]
        try:
            count = count_channels(path, case)
        except CaseError:
            count = 1
        names = ["foreground"] if count == 1 else [f"class_{index + 1}" for index in range(count)]
    account = replace(dataset.account, classes_from="the confidences")
    classes = {name: (value,) for value, name in enumerate(names, start=1)}
    return replace(dataset, classes=classes, account=account)


Given = dict[str, dict[str, Rater]]


def _given(found: FoundConfidences, channels: Mapping[Path, tuple[str, ...]], dataset: Dataset) -> Given:
    """The files of each rater of each case, their channels by the place of the class in the data set."""
    plain = plain_label if dataset.layout == "bids" else str
    place = {plain(name): index for index, name in enumerate(dataset.classes)}
    given: Given = {}
    for case, by_rater in found.files.items():
        for rater, files in by_rater.items():
            stated = tuple(
                Stated(path, tuple(place.get(plain(name), -1) for name in channels[path]))
                if path in channels
                else Stated(path)
                for _, path in files
            )
            stated = tuple(one for one in stated if one.classes is None or max(one.classes) >= 0)
            if stated:
                given.setdefault(case, {})[rater] = stated
    return given


@dataclass(frozen=True)
class _Numbers:
    """What stands in one file."""

    span: Span
    single: bool
    values: frozenset[float] | None


def _look(ignore: float | None, item: tuple[str, Path]) -> _Numbers | None:
    numbers = stated_numbers(Stated(item[1]), item[0])
    if numbers is None:
        return None
    values = np.unique(numbers)
    few = frozenset(values.tolist()) if len(values) <= _MOST_VALUES else None
    return _Numbers(span_of(numbers, ignore), len(numbers) == 1, few)


def _reading(
    dataset: Dataset, found: FoundConfidences, declaration: Declaration, told_classes: bool
) -> tuple[Reading, str]:
    """How the files are read, and what says so; `told_classes`: something says which classes there are."""
    reading = Reading(
        tuple(dataset.classes),
        tuple(dataset.classes.values()),
        scale=declaration.scale or 1.0,
        ignore=declaration.ignore,
        unseen=dataset.ignore,
    )
    if declaration.scale is not None and not (found.raters and len(reading.names) > 1):
        return reading, declaration.source
    looked = [
        one
        for _, one in map_cases(
            partial(_look, declaration.ignore),
            found.paths,
            workers=min(4, cores()),
            executor=in_threads,
            here=True,
        )
        if one is not None
    ]
    if found.raters and (meant := _mask_values(looked, dataset)) is not None:
        return replace(reading, scale=1.0, masks=True, to_one=meant), "the raters' masks"
    if declaration.scale is not None:
        return reading, declaration.source
    if found.raters and not told_classes and all(one.single and one.span.whole for one in looked):
        raise UsageError(
            f"{found.folder} holds several whole numbers: classes, or confidences in one class? Say --classes "
            "NAME=1,NAME=2 where they are classes, --scale 10 where they are confidences"
        )
    scale = decide_scale((one.span for one in looked), f"{found.folder}")
    return replace(reading, scale=scale), "the numbers of all files"


def _mask_values(looked: Sequence[_Numbers], dataset: Dataset) -> tuple[int, ...] | None:
    """Values that all mean 1, where the files of raters are label maps; None where they are confidences."""
    if not all(one.single and one.span.whole and one.values is not None for one in looked):
        return None
    values = {value for one in looked for value in one.values or ()} - {0.0}
    known = {*dataset.declared, *dataset.values}
    if values - {dataset.ignore} <= known:
        return ()
    # One class, and one number beside 0: whatever the scale, who marked a voxel was certain.
    binary = len(dataset.classes) == 1 and len(values - {dataset.ignore}) == 1
    return tuple(int(value) for value in values - {dataset.ignore}) if binary else None


def _attached(
    dataset: Dataset, given: Given, reading: Reading, decided_by: str, found: FoundConfidences
) -> Dataset:
    """The cases with their confidences; without any label, with the label that these make."""
    makes_label = not dataset.has_labels
    cases: list[Case] = []
    lost: list[Finding] = []
    for case in dataset.cases:
        by_rater = given.get(case.id)
        if by_rater is None:
            if makes_label:
                lost.append(_without(case))
            else:
                cases.append(case)
            continue
        names = tuple(sorted(by_rater))
        raters = tuple(by_rater[name] for name in names)
        told_apart = any(names)
        case = replace(
            case,
            confidence_files=tuple(file.path for rater in raters for file in rater),
            read_confidence=partial(read_fused, raters, case.id, reading),
            read_raters=partial(read_raters, raters, case.id, reading) if told_apart else None,
            raters=names if told_apart else (),
        )
        if makes_label:
            case = replace(case, read_label=partial(label_of_confidence, raters, case.id, reading))
        cases.append(case)
    guesses = list(dataset.account.guesses)
    if decided_by == "the numbers of all files":
        guesses.append(f"the scale of the confidences is {reading.scale:g}, as their numbers tell")
    if makes_label:
        guesses.append("the label is where the confidence is at least 0.5")
    findings = tuple(
        one for one in dataset.findings if not (makes_label and one.check == "labels_not_found")
    )
    return replace(
        dataset,
        cases=tuple(cases),
        findings=(*findings, *lost),
        confidence=Confidence(reading.scale, reading.fuse, decided_by, makes_label),
        account=replace(dataset.account, guesses=tuple(guesses)),
    )


def _without(case: Case) -> Finding:
    """The error of a case that has neither a label nor a confidence where others have one."""
    return Finding(
        case.id, "error", "missing_label", "confidences, from which the label is made", "an image only",
        "add its confidences; or keep the image outside of the data set", case.image_files,
    )  # fmt: skip


def count_voters(dataset: Dataset) -> int:
    """How many raters drew a mask in every case, by a few that are read; 0 where that is not one number."""
    if dataset.confidence is None or dataset.confidence.fuse != "mean":
        return 0
    seen = set()
    for case in evenly([case for case in dataset.cases if case.read_raters is not None], _VOTES_LOOKED_AT):
        assert case.read_raters is not None
        try:
            raters = case.read_raters().array
        except CaseError:
            continue  # the case tells when it is measured
        seen.add(len(raters) if ((raters == 0) | (raters == 1)).all() else 0)
    return seen.pop() if len(seen) == 1 else 0
