"""Which files state the confidences of which case, by their names.

confidencesTr/CASE.nii.gz                     3D for one class, 4D with the class on NIfTI's last axis
confidencesTr/CASE_CLASS.nii.gz               one file for each class
confidence/CASE.png                           the same beside images/
raters/CASE/RATER.nii.gz                      label maps, or confidences, of one rater each
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.errors import UsageError
from aleaseg.readers.files import split_ending
from aleaseg.readers.folder_names import CONFIDENCE_FOLDERS, RATER_FOLDERS, plain
from aleaseg.readers.tree import Tree

__all__ = ["FoundConfidences", "find_confidences"]


@dataclass
class FoundConfidences:
    """Files by case and rater.

    Attributes:
        files: case -> rater -> (the class that the file's name says, or nothing; the file). One annotator
            who is not named is called by an empty name.
        folder: where they lie.
        raters: whether they lie by rater, so that they may be label maps.
        findings: two files for one thing.
        passed_over: (path below the root, why).
    """

    files: dict[str, dict[str, list[tuple[str, Path]]]] = field(default_factory=dict)
    folder: Path | None = None
    raters: bool = False
    findings: list[Finding] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)

    @property
    def named(self) -> tuple[str, ...]:
        """The classes that names of files say, sorted."""
        return tuple(
            sorted(
                {name for by in self.files.values() for files in by.values() for name, _ in files if name}
            )
        )

    @property
    def paths(self) -> list[tuple[str, Path]]:
        """(case, file) of all."""
        return [
            (case, path)
            for case, by in sorted(self.files.items())
            for files in by.values()
            for _, path in files
        ]


def find_confidences(tree: Tree, ids: Collection[str], classes: Sequence[str]) -> FoundConfidences:
    """The files of `confidencesTr/` or `raters/` of the cases of a data set.

    Args:
        tree: of the data set.
        ids: of its cases.
        classes: names that a file may end in, those that were not asked for among them; none: whatever
            stands behind the case's id is a class.

    Raises:
        UsageError: there are two folders that state confidences.
    """
    folders = [name for name in tree.folders() if plain(name) in (*CONFIDENCE_FOLDERS, *RATER_FOLDERS)]
    holding = [name for name in folders if any(True for _ in tree.images(name))]
    if len(holding) > 1:
        raise UsageError(
            f"{tree.root} states confidences in {' and in '.join(f'{name}/' for name in holding)}; expected one of "
            "them; move the others away"
        )
    found = FoundConfidences()
    if holding:
        found.folder = tree.path(holding[0])
        found.raters = plain(holding[0]) in RATER_FOLDERS
        (_by_rater if found.raters else _by_class)(tree, holding[0], frozenset(ids), classes, found)
    return found


def _by_rater(
    tree: Tree, folder: str, ids: Collection[str], classes: Sequence[str], found: FoundConfidences
) -> None:
    for path in tree.images(folder):
        *cases, name = path.removeprefix(f"{folder}/").split("/")
        case = "/".join(cases)
        split = split_ending(name)
        if case not in ids or split is None:
            found.passed_over.append((path, "masks of raters of no case that the data set has"))
        else:
            found.files.setdefault(case, {}).setdefault(split[0], []).append(("", tree.path(path)))
    _refuse_twins(found)


def _by_class(
    tree: Tree, folder: str, ids: Collection[str], classes: Sequence[str], found: FoundConfidences
) -> None:
    known = {plain(name): name for name in classes}
    for path in tree.images(folder):
        split = split_ending(path.removeprefix(f"{folder}/"))
        stem = split[0] if split else ""
        case, name = (stem, "") if stem in ids else _case_and_class(stem, ids, known)
        if case:
            found.files.setdefault(case, {}).setdefault("", []).append((name, tree.path(path)))
        else:
            found.passed_over.append(
                (path, "confidences of no case, or of no class, that the data set has")
            )
    _refuse_twins(found)


def _case_and_class(stem: str, ids: Collection[str], known: Mapping[str, str]) -> tuple[str, str]:
    """`ct_1_left lung` as (`ct_1`, `left lung`), the longest case first; nothing where that fits none."""
    for at in range(len(stem) - 1, 0, -1):
        if stem[at] == "_" and stem[:at] in ids:
            name = known.get(plain(stem[at + 1 :])) if known else stem[at + 1 :]
            if name:
                return stem[:at], name
    return "", ""


def _refuse_twins(found: FoundConfidences) -> None:
    """A case with two files for one thing has no confidence, and is told."""
    for case, by_rater in list(found.files.items()):
        for rater, files in by_rater.items():
            by_name: dict[str, list[Path]] = defaultdict(list)
            for name, path in files:
                by_name[name].append(path)
            both = "" in by_name and len(by_name) > 1
            if both or any(len(paths) > 1 for paths in by_name.values()):
                what = "one file for all classes, or one for each" if both else "one file for each"
                whose = f" of the rater {rater}" if rater else ""
                found.findings.append(
                    Finding(
                        case, "error", "two_confidences", what,
                        f"{len(files)} files{whose}: {', '.join(path.name for _, path in files[:4])}",
                        "keep one of them", tuple(path for _, path in files),
                    )
                )  # fmt: skip
                found.files.pop(case, None)
