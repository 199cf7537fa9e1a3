"""Image or label, and of which case: as the folders and the name of a file say, or as a pattern chooses."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.errors import NotADataset, UsageError
from aleaseg.readers.files import split_ending
from aleaseg.readers.folder_names import (
    CONFIDENCE_FOLDERS,
    RATER_FOLDERS,
    TEST_FOLDERS,
    plain,
    role_of_folder,
)
from aleaseg.readers.pairs import looks_like_label, match_stems
from aleaseg.readers.promises import promised_labels
from aleaseg.readers.tree import Tree

__all__ = ["Chosen", "Roles", "assign_roles", "matches"]

_NO_LABELS = (
    "predictions",
    "prediction",
    "preds",
    "pred",
    "output",
    "outputs",
    "results",
    "previews",
    "overlays",
    *CONFIDENCE_FOLDERS,
    *RATER_FOLDERS,
)
_UNLABELLED = ("test", "testing", "ts", "unlabeled", "unlabelled", "inference", "holdout")

Files = dict[str, list[Path]]
"""Files by the name of their case, folders in it (`train/a`), its habits still on it."""


@dataclass(frozen=True)
class Chosen:
    """Which files are images and which are labels, as somebody asked.

    Attributes:
        image, label: shell patterns such as `*_t1.nii.gz` or `masks/*_rater1.png`, of the name or,
            where there is a slash in it, of the path below the data set's folder; None: as the names say.
    """

    image: str | None = None
    label: str | None = None

    def __bool__(self) -> bool:
        return self.image is not None or self.label is not None


def matches(pattern: str | None, path: str) -> bool:
    """Whether a pattern of `Chosen` chooses a path below the data set's folder; without a pattern every one."""
    return pattern is None or fnmatchcase(path if "/" in pattern else path.rpartition("/")[2], pattern)


@dataclass
class Roles:
    """What the files of a tree are.

    Attributes:
        images, labels: by name of case.
        beside: whether both lie in the same folders.
        findings: guesses and promises that were not kept, for the data set as a whole.
        others: path -> what it is known to be.
        guesses: in words.
    """

    images: Files = field(default_factory=dict)
    labels: Files = field(default_factory=dict)
    beside: bool = False
    findings: list[Finding] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    guesses: list[str] = field(default_factory=list)


def assign_roles(tree: Tree, chosen: Chosen | None = None) -> Roles:
    """Sort every readable file of a tree.

    Raises:
        UsageError: there are several answers; the message says what to type.
    """
    files = [path for path in tree.images() if not _of_test_part(path)]
    if chosen:
        return _as_chosen(tree, files, chosen)
    by_folder = {path: _folder_role(path) for path in files}
    if any(role == "image" for role, _ in by_folder.values()):
        return _in_folders(tree, by_folder)
    return _side_by_side(tree, files)


def _folder_role(path: str) -> tuple[str, str]:
    """(role, the folder that gives it) by the innermost folder that says anything."""
    parts = path.split("/")[:-1]
    for count in range(len(parts), 0, -1):
        role = role_of_folder(parts[count - 1])
        if role:
            return role, "/".join(parts[:count])
    return "", ""


def _of_test_part(path: str) -> bool:
    return any(plain(part) in TEST_FOLDERS for part in path.split("/")[:-1])


def _key(path: str) -> str:
    """The path without its ending and without the folders that say image or label."""
    *folders, name = path.split("/")
    split = split_ending(name)
    return "/".join([part for part in folders if not role_of_folder(part)] + [split[0] if split else name])


def _keyed(tree: Tree, paths: Iterable[str]) -> Files:
    found: Files = defaultdict(list)
    for path in paths:
        found[_key(path)].append(tree.path(path))
    return dict(found)


# -- folders of images and folders of labels ---------------------------------------------------------


def _in_folders(tree: Tree, by_folder: Mapping[str, tuple[str, str]]) -> Roles:
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, (role, where) in by_folder.items():
        groups[role][where].append(path)
    images = _keyed(tree, [path for paths in groups["image"].values() for path in paths])
    roles = Roles()
    labels: dict[str, list[str]] = {}
    for kind in ("label", "perhaps"):
        fitting = {
            where: paths for where, paths in groups[kind].items() if _fit(images, _keyed(tree, paths))
        }
        # Folders whose names fit nothing are labels all the same where there are no others: the pairs are missed.
        labels = fitting or (dict(groups[kind]) if kind == "label" else {})
        if labels:
            if kind == "perhaps":
                _say_guess(roles, tree, labels)
            break
    roles.images = _keyed(tree, _one_folder(tree, groups["image"], "images", "--image"))
    roles.labels = _keyed(tree, _one_folder(tree, labels, "labels", "--label"))
    if not roles.labels:
        within = {key for key in roles.images if looks_like_label(key.rpartition("/")[2])}
        if _fit({key: [] for key in roles.images.keys() - within}, {key: [] for key in within}):
            roles.labels = {key: roles.images.pop(key) for key in sorted(within)}
            roles.beside = True
            roles.guesses.append("files that are called masks, among the images, are their labels")
    if not roles.labels:
        roles.findings += promised_labels(tree, groups["image"])
    else:
        _leave_unlabelled(tree, roles)
    roles.findings += _perhaps_labels(roles.images, groups[""])
    parts = sorted({key.split("/")[0] for key in roles.images if "/" in key})
    if len(parts) > 1:
        more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
        roles.guesses.append(f"{', '.join(parts[:4])}{more} are parts of one data set")
    return roles


def _fit(images: Mapping[str, Sequence[Path]], labels: Mapping[str, Sequence[Path]]) -> bool:
    """Whether half of the labels (or of the images, where those are fewer) have a partner."""
    if not labels or not images:
        return False
    image_ids, label_ids = match_stems(images, labels)
    both = set(image_ids.values()) & set(label_ids.values())
    return 2 * len(both) >= min(len(set(image_ids.values())), len(set(label_ids.values())))


def _one_folder(tree: Tree, groups: Mapping[str, list[str]], what: str, option: str) -> list[str]:
    """All files of the folders of one kind, of which every part of the data set has one at most."""
    by_parent: dict[str, list[str]] = defaultdict(list)
    for where in groups:
        by_parent["/".join(part for part in where.split("/") if not role_of_folder(part))].append(where)
    for several in by_parent.values():
        apart = sorted({where.split("/")[0] if len(several) < 2 else where for where in several})
        if len(apart) > 1:
            names = ", ".join(f"{name}/ ({len(groups[name])} files)" for name in apart)
            raise UsageError(
                f"{tree.root} has {len(apart)} folders of {what} that fit: {names}; "
                f"choose one with {option}, such as {option} '{apart[0]}/*'"
            )
    return [path for paths in groups.values() for path in paths]


def _say_guess(roles: Roles, tree: Tree, labels: Mapping[str, Sequence[str]]) -> None:
    for where, paths in labels.items():
        guess = f"{where}/ holds the labels"
        roles.guesses.append(guess)
        roles.findings.append(
            Finding(
                "", "note", "guessed", "a folder called labels/ or masks/",
                f"{where}/, whose {len(paths)} names fit those of the images: taken for the labels",
                f"if they are not labels, choose files with --label PATTERN; else rename {where}/ to labels/",
            )
        )  # fmt: skip


def _perhaps_labels(images: Files, rest: Mapping[str, list[str]]) -> list[Finding]:
    """A note for each folder that nobody knows and whose names fit those of the images."""
    by_top: dict[str, list[str]] = defaultdict(list)
    for path in rest.get("", []):
        top, slash, below = path.rpartition("/")
        if slash and plain(top.rpartition("/")[2]) not in _NO_LABELS:
            by_top[top].append(below)
    return [
        Finding(
            "", "note", "labels_or_not", "folders of which it is known what they hold",
            f"{folder}/, whose {len(names)} names fit those of the images",
            f"if these are the labels, say --label '{folder}/*'; else leave them",
        )
        for folder, names in sorted(by_top.items())
        if _fit(images, {name: [] for name in (_key(name) for name in names)})
    ]  # fmt: skip


def _leave_unlabelled(tree: Tree, roles: Roles) -> None:
    """Images of a part called test, of which no image has a label, are no training cases."""
    labelled = {key.split("/")[0] for key in roles.labels}
    for key in list(roles.images):
        top, slash, _ = key.partition("/")
        if slash and top.lower() in _UNLABELLED and top not in labelled:
            for path in roles.images.pop(key):
                roles.others[path.relative_to(tree.root).as_posix()] = "file of a test or validation part"


# -- side by side, or as chosen ------------------------------------------------------------------------


def _side_by_side(tree: Tree, files: Sequence[str]) -> Roles:
    called = [path for path in files if looks_like_label(_key(path).rpartition("/")[2])]
    called += [path for path in files if path not in set(called) and _folder_role(path)[0]]
    images, labels = _keyed(tree, [path for path in files if path not in set(called)]), _keyed(tree, called)
    image_ids, label_ids = match_stems(images, labels, beside=True)
    if set(image_ids.values()) & set(label_ids.values()):
        return Roles(
            images,
            labels,
            True,
            guesses=["files that are called masks are labels of the images next to them"],
        )
    if any(_folder_role(path)[0] == "label" for path in files) and not images:
        raise NotADataset(
            f"{tree.root} has {len(files)} masks in folders of labels and no image that is read"
            f"{tree.others()}; convert or add them, or say which files are images with --image PATTERN"
        )
    images = _keyed(tree, files)
    _refuse_twins(tree, images)
    return Roles(images)


def _refuse_twins(tree: Tree, images: Files) -> None:
    """Two files of each name, of two kinds: nobody knows whether one is the mask."""
    endings = [
        tuple(sorted(path.name[len(key.rpartition("/")[2]) :].lower() for path in paths))
        for key, paths in images.items()
    ]
    twins = [
        pair for pair in endings if len(pair) == 2 and pair[0] != pair[1] and set(pair) != {".hdr", ".img"}
    ]
    if len(twins) > 1 and 2 * len(twins) > len(endings):
        one, other = twins[0]
        lossy = other if one not in (".jpg", ".jpeg") else one
        mask = one if lossy == other else other
        raise UsageError(
            f"{tree.root} has files {one} and {other} under the same names ({len(twins)} times): images and masks, or "
            f"the same images twice? Say --image '*{lossy}' --label '*{mask}', or --image '*{lossy}' alone"
        )


def _as_chosen(tree: Tree, files: Sequence[str], chosen: Chosen) -> Roles:
    labels = _matching(files, chosen.label, "--label", tree)
    left = [path for path in files if path not in set(labels)]
    images = _matching(left, chosen.image, "--image", tree)
    in_folders = any(_folder_role(path)[0] == "image" for path in left)
    if chosen.image is None:
        images = [
            path
            for path in left
            if (
                _folder_role(path)[0] == "image"
                if in_folders
                else not looks_like_label(_key(path).rpartition("/")[2])
            )
        ]
    elif chosen.label is None:
        taken = set(images)
        labels = [
            path
            for path in left
            if path not in taken
            and (
                looks_like_label(_key(path).rpartition("/")[2])
                or _folder_role(path)[0] in ("label", "perhaps")
            )
        ]
    roles = Roles(beside=True)
    roles.images = _chosen_keys(tree, images, chosen.image)
    roles.labels = _chosen_keys(tree, labels, chosen.label)
    bare = [
        {key.rpartition("/")[2]: paths for key, paths in files.items()}
        for files in (roles.images, roles.labels)
    ]
    if (
        chosen.image
        and chosen.label
        and [len(part) for part in bare] == [len(roles.images), len(roles.labels)]
    ):
        # Each name is there once, so that the folders say nothing more.
        roles.images, roles.labels = bare
    taken = {*images, *labels}
    roles.others = {path: "file not asked for" for path in files if path not in taken}
    return roles


def _matching(files: Sequence[str], pattern: str | None, option: str, tree: Tree) -> list[str]:
    if pattern is None:
        return []
    found = [path for path in files if matches(pattern, path)]
    if not found:
        some = ", ".join(files[:3]) or "none"
        raise UsageError(
            f"{option} {pattern!r} fits none of the {len(files)} files of {tree.root}, such as {some}"
        )
    return found


def _chosen_keys(tree: Tree, paths: Sequence[str], pattern: str | None) -> Files:
    """By case: what the one star in the last part of the pattern stands for, else the name without its ending."""
    *folders, last = (pattern or "").split("/")
    before, star, after = last.partition("*")
    # Folders that the pattern names say nothing of the case.
    named = "/".join(itertools.takewhile(lambda part: not re.search(r"[*?\[]", part), folders))
    found: Files = defaultdict(list)
    for path in paths:
        key = _key(path.removeprefix(f"{named}/") if named else path)
        folder, slash, stem = key.rpartition("/")
        name = path.rpartition("/")[2]
        end = len(name) - len(after)
        if star and not re.search(r"[*?\[]", after + before) and len(before) < end:
            stem = name[len(before) : end]
            split = split_ending(stem)
            stem = split[0] if split else stem
        found[folder + slash + stem].append(tree.path(path))
    return dict(found)
