"""Image files and label files, told apart by their folders or their names; or images alone.

images/a.png  masks/a.png                         two folders, 2D or 3D, with further folders in them
imagesTr/c_0000.nii.gz  imagesTr/c_0001.nii.gz    one file per channel
a.nii.gz  a_seg.nii.gz                            side by side
case_1/imaging.nii.gz  case_1/segmentation.nii.gz
BraTS-1/BraTS-1-t1c.nii.gz  BraTS-1/BraTS-1-t2w.nii.gz  BraTS-1/BraTS-1-seg.nii.gz
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aleaseg.case import Account, Case, Dataset, Finding
from aleaseg.errors import CaseError
from aleaseg.readers.alone import refuse_masks
from aleaseg.readers.classes import SAMPLE, Meaning, asked_classes, choose, evenly, meaning_of_found
from aleaseg.readers.nnunet import Declared
from aleaseg.readers.pairs import CONTRASTS, by_key, match_stems, pair_alike, pair_up
from aleaseg.readers.roles import Chosen, Roles, assign_roles
from aleaseg.readers.tree import Tree
from aleaseg.readers.voxels import count_channels, lazy_case

__all__ = ["channel_names", "lazy_cases", "meaning_of", "open_folder", "told_sample"]

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_CONTRAST = re.compile(rf"(.*[^ ._-])[ ._-]({CONTRASTS})", re.IGNORECASE)
# More channels than this, where no label vouches for them, are frames or cases.
_MOST_CHANNELS = 4
_SAMPLE = 8

Files = Mapping[str, list[Path]]
_Paired = tuple[dict[str, list[Path]], dict[str, list[Path]], tuple[str, ...], list[Finding]]


def open_folder(
    tree: Tree, classes: str | None = None, chosen: Chosen | None = None, declared: Declared | None = None
) -> Dataset:
    """Open what the names of files tell.

    Args:
        tree: of the folder.
        classes: see `open_dataset`.
        chosen: which files are images and labels; None: as their names say.
        declared: what a `dataset.json` says of the classes, where there is one.

    Raises:
        UsageError: `classes` cannot be read or names what is not there, or there are several
            answers to what the files are.
    """
    roles = assign_roles(tree, chosen)
    if not (roles.labels or roles.findings or chosen or declared):
        roles.findings += refuse_masks(tree.root, roles.images)
    cases, labels, names, findings = _paired(roles)
    ids, wrong = pair_up(cases, labels, one_image=len(names) == 1)
    findings += wrong
    if len(names) > 1:  # contrasts, told by their names: one of each kind
        for case in [case for case in ids if len(cases[case]) != len(names)]:
            ids.remove(case)
            findings.append(_contrast_fault(case, cases[case], labels.get(case, ()), names))
    meaning, source = meaning_of(
        [(case, labels[case][0]) for case in ids if case in labels], classes, declared
    )
    if declared:
        names = declared.channels
    elif len(names) < 2:
        names = channel_names([(case, cases[case]) for case in ids])
    return Dataset(
        name=tree.root.resolve().name,
        root=tree.root,
        layout="folder",
        cases=lazy_cases(ids, cases, {case: paths[0] for case, paths in labels.items()}, names, meaning),
        classes=meaning.classes,
        channels=names,
        ignore=declared.ignore if declared else None,
        findings=(*roles.findings, *findings, *meaning.findings),
        declared=meaning.declared,
        account=Account(others=roles.others, classes_from=source, guesses=tuple(roles.guesses)),
    )


def lazy_cases(
    ids: Sequence[str],
    images: Mapping[str, Sequence[Path]],
    labels: Mapping[str, Path],
    channels: Sequence[str],
    meaning: Meaning,
) -> tuple[Case, ...]:
    """Cases of image files and at most one label file each, whose values mean what `meaning` says."""
    return tuple(
        lazy_case(
            case, images[case], labels.get(case), channels=len(channels),
            to_one=meaning.to_one, drop=meaning.drop, by_name=meaning.by_name,
        )
        for case in ids
    )  # fmt: skip


def meaning_of(
    labels: Sequence[tuple[str, Path]], classes: str | None, declared: Declared | None = None
) -> tuple[Meaning, str]:
    """What label values mean, and what says so.

    Args:
        labels: (case id, file).
        classes: see `open_dataset`.
        declared: of a `dataset.json`, where there is one.

    Raises:
        UsageError: `classes` cannot be read or names what is not there.
    """
    asked = asked_classes(classes)
    if declared:
        kept, drop = choose(declared.classes, asked)
        return Meaning(kept, drop=drop, others=drop), "dataset.json"
    meaning = meaning_of_found(labels, asked)
    if not labels:
        return meaning, ""
    if asked and all(values is not None for values in asked.values()):
        return meaning, "--classes"
    return meaning, told_sample(len(labels))


def told_sample(count: int) -> str:
    """How many masks were looked into for what their values mean."""
    some = f"{count} mask{'' if count == 1 else 's'}"
    return f"the values of {some}" if count <= SAMPLE else f"the values of {SAMPLE} of {some}"


def _paired(roles: Roles) -> _Paired:
    """Images and labels by case id, names of the channels (none: numbered ones), and notes."""
    if numbered := _numbered(roles.images, roles.labels):
        _, keys = match_stems(numbered, roles.labels, beside=roles.beside)
        labels, notes = pair_alike(numbered, by_key(roles.labels, keys))
        return numbered, labels, (), notes
    if contrasts := _contrasts(roles):
        return contrasts
    image_ids, label_ids = match_stems(roles.images, roles.labels, beside=roles.beside)
    images, labels = by_key(roles.images, image_ids), by_key(roles.labels, label_ids)
    labels, notes = pair_alike(images, labels)
    return _shortened(images, labels, ("image",), notes)


def _shortened(images: Files, labels: Files, names: tuple[str, ...], notes: Sequence[Finding]) -> _Paired:
    """The same under the short ids of cases."""
    short = _short([*images, *labels])
    return (
        {short[case]: list(paths) for case, paths in images.items()},
        {short[case]: list(paths) for case, paths in labels.items()},
        names,
        [replace(note, case=short.get(note.case, note.case)) for note in notes],
    )


def _short(names: Sequence[str]) -> dict[str, str]:
    """`p1/p1_frame2` is `p1_frame2` where that leaves each name for itself."""
    short = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        parent = folder.rpartition("/")[2]
        short[name] = folder if last == parent else last if parent and last.startswith(parent) else name
    return short if len(set(short.values())) == len(set(names)) else {name: name for name in names}


def _numbered(images: Files, labels: Files) -> dict[str, list[Path]] | None:
    """Files by case where `_0000`, `_0001` are channels; None where four digits mean nothing."""
    grouped: dict[str, list[Path]] = defaultdict(list)
    kinds: dict[str, list[str]] = defaultdict(list)
    for stem in sorted(images):
        match = _CHANNEL.fullmatch(stem)
        if not match:
            return None
        grouped[match[1]].extend(images[stem])
        kinds[match[1]].append(match[2])
    sets = Counter(tuple(numbers) for numbers in kinds.values())
    usual = sets.most_common(1)[0][0] if sets else ()
    if usual != tuple(f"{number:04d}" for number in range(len(usual))):
        return None
    if labels:
        # The labels decide: they carry the bare id, or the whole stem.
        bare = grouped.keys() & set(match_stems(grouped, labels)[1].values())
        whole = images.keys() & labels.keys()
        if bare or whole:
            return dict(grouped) if len(bare) > len(whole) else None
    one_by_one = len(sets) == 1 and len(usual) <= _MOST_CHANNELS and (len(grouped) > 1 or len(usual) == 1)
    return dict(grouped) if one_by_one else None


def _contrasts(roles: Roles) -> _Paired | None:
    """Where the names of images end in those of MR contrasts, two and more to a case: these are its channels."""
    grouped: dict[str, dict[str, list[Path]]] = defaultdict(dict)
    for stem, paths in sorted(roles.images.items()):
        match = _CONTRAST.fullmatch(stem)
        if match:
            grouped[match[1]].setdefault(match[2].lower(), []).extend(paths)
    sets = Counter(tuple(kinds) for kinds in grouped.values())
    usual = sets.most_common(1)[0][0] if sets else ()
    others = sum(not _CONTRAST.fullmatch(stem) for stem in roles.images)
    if len(usual) < 2 or others > len(grouped):
        return None
    _, label_ids = match_stems(grouped, roles.labels, beside=roles.beside)
    if roles.labels and not grouped.keys() & set(label_ids.values()):
        return None
    images: dict[str, list[Path]] = {}
    for case, kinds in grouped.items():
        # A case that lacks a contrast keeps what it has, and is told by the number.
        images[case] = [path for kind in sorted(kinds, key=_order(usual)) for path in kinds[kind]]
    for stem, paths in roles.images.items():
        if not _CONTRAST.fullmatch(stem):
            images.setdefault(stem, []).extend(paths)
    labels, notes = pair_alike(images, by_key(roles.labels, label_ids))
    return _shortened(images, labels, usual, notes)


def _order(usual: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    return lambda kind: (usual.index(kind) if kind in usual else len(usual), kind)


def _contrast_fault(
    case: str, files: Sequence[Path], labels: Sequence[Path], names: Sequence[str]
) -> Finding:
    return Finding(
        case, "error", "channels", f"{len(names)} images, one for each of {', '.join(names)}",
        f"{len(files)}: {', '.join(path.name for path in files)}",
        "add or rename the files; or choose one for every case with --image PATTERN", (*files, *labels),
    )  # fmt: skip


def channel_names(files: Sequence[tuple[str, Sequence[Path]]]) -> tuple[str, ...]:
    """Names of the channels that nothing declares: by the number of files, or by a sample of at most 8 of them."""
    most = Counter(len(paths) for _, paths in files).most_common(1)
    if most and most[0][0] > 1:
        return tuple(f"channel_{number}" for number in range(most[0][0]))
    counts = []
    for case, paths in evenly(files, _SAMPLE):
        try:
            counts.append(count_channels(paths[0], case))
        except CaseError:
            continue  # the check names it
    if 3 in counts and set(counts) <= {1, 3}:
        return ("red", "green", "blue")  # a gray picture among colour ones is read as colour
    count = Counter(counts).most_common(1)[0][0] if counts else 1
    return ("image",) if count == 1 else tuple(f"channel_{number}" for number in range(count))
