"""Masks of which no name says that they are masks, among images or beside DICOM series: their voxels tell."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.errors import CaseError, UsageError
from aleaseg.readers.classes import evenly
from aleaseg.readers.files import FLAT_ENDINGS, split_ending
from aleaseg.readers.mask_values import looks_like_mask
from aleaseg.readers.voxels import read_label

__all__ = ["masks_of_series", "refuse_masks"]

# Each kind costs a file that is read, before anything is measured; empty masks tell nothing.
_MOST_KINDS = 8
_TRIES = 5


def refuse_masks(root: Path, images: Mapping[str, Sequence[Path]]) -> list[Finding]:
    """Raise where files that would all be images are masks in part; a note where all are.

    One file of each kind of name (`Image_01L_1stHO.png` and `Image_02L_1stHO.png` are of one kind) is read.

    Args:
        root: of the data set, for the message.
        images: files by case id.

    Raises:
        UsageError: there are masks; the message says what to type.
    """
    kinds = _kinds(root, [path for paths in images.values() for path in paths])
    looked = {kind: _values(paths) for kind, paths in list(kinds.items())[:_MOST_KINDS]}
    masks = [kind for kind, values in looked.items() if values]
    if not masks:
        return []
    told = f"such as {kinds[masks[0]][0]} ({looked[masks[0]]})"
    if len(masks) == len(kinds):
        return [
            Finding(
                "", "note", "masks_alone", "images, or images and masks", f"masks and no images, {told}",
                "give the folder that has the images too; a folder of labels alone is a reference for `evaluate`",
            )
        ]  # fmt: skip
    scan = min(kinds.keys() - set(masks), key=lambda kind: (not _alike(kind, masks[0]), kind))
    typed = [_patterns(root, kinds[scan], kinds[kind]) for kind in masks]
    more = f" (or {', '.join(repr(label) for _, label in typed[1:4])})" if len(typed) > 1 else ""
    raise UsageError(
        f"{root} holds files that look like masks, {told}, and no name says so. Say which are which: "
        f"--image '{typed[0][0]}' --label '{typed[0][1]}'{more}; or --image '{typed[0][0]}' alone"
    )


def masks_of_series(root: Path, paths: Sequence[Path]) -> list[Finding]:
    """An error where masks in other formats lie beside DICOM series, of which they could be the labels.

    Args:
        root: of the data set.
        paths: files in it that are read, and are no slices.
    """
    for files in list(_kinds(root, paths).values())[:_MOST_KINDS]:
        if values := _values(files):
            return [
                Finding(
                    "", "error", "labels_not_found", "labels of DICOM series as DICOM SEG or RTSTRUCT",
                    f"masks in another format, such as {files[0].relative_to(root).as_posix()} ({values})",
                    "convert the series to .nii.gz, under the names of their masks (as dcm2niix does); or the masks to "
                    "DICOM SEG",
                )
            ]  # fmt: skip
    return []


def _kinds(root: Path, paths: Iterable[Path]) -> dict[tuple[str, str], list[Path]]:
    """Files by what their folder and their name are without numbers."""
    kinds: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in paths:
        kinds[_numberless(path.parent.relative_to(root).as_posix()), _numberless(path.name)].append(path)
    return kinds


def _alike(kind: tuple[str, str], mask: tuple[str, str]) -> bool:
    """Whether files are pictures where the masks are, and volumes where those are: previews are not."""
    return kind[1].lower().endswith(FLAT_ENDINGS) == mask[1].lower().endswith(FLAT_ENDINGS)


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _values(paths: Sequence[Path]) -> str:
    """What a kind of files holds, in words, if they are masks; else nothing."""
    for path in evenly(paths, _TRIES):
        try:
            label = read_label(path, "").array
        except CaseError:
            return ""  # colours and fractions; what is damaged is told by the check
        if label.size and (label != label.flat[0]).any():
            values = looks_like_mask(label)
            return (
                f"the values {', '.join(map(str, values[:4]))}{', ...' * (len(values) > 4)}"
                if values
                else ""
            )
    return ""


def _shared_end(names: Sequence[str]) -> str:
    backwards = zip(*(name[::-1] for name in names), strict=False)
    alike = itertools.takewhile(lambda signs: len(set(signs)) == 1, backwards)
    return "".join(signs[0] for signs in alike)[::-1]


def _patterns(root: Path, scans: Sequence[Path], masks: Sequence[Path]) -> tuple[str, str]:
    """Patterns for images and masks whose stars stand for the same: what both names begin with, as far as they pair."""
    ours, theirs = [path.name for path in scans], [path.name for path in masks]
    stems = {split[0] for name in ours if (split := split_ending(name))}
    heads = [max((stem for stem in stems if name.startswith(stem)), key=len, default="") for name in theirs]
    rests = {name[len(head) :] for name, head in zip(theirs, heads, strict=True) if head}
    endings = {name[len(split[0]) :] for name in ours if (split := split_ending(name))}
    image, label = max(
        itertools.product((_shared_end(ours), *sorted(endings)), (_shared_end(theirs), *sorted(rests))),
        key=lambda ends: len(_stars(scans, ends[0]) & _stars(masks, ends[1])),
    )
    return f"{_where(root, scans)}*{image}", f"{_where(root, masks)}*{label}"


def _stars(paths: Sequence[Path], end: str) -> set[str]:
    """What a star before an end of names stands for; the folder, where that is nothing."""
    return {path.name.removesuffix(end) or path.parent.name for path in paths if path.name.endswith(end)}


def _where(root: Path, paths: Sequence[Path]) -> str:
    folders = {path.parent.relative_to(root).as_posix() for path in paths}
    return f"{folders.pop()}/" if len(folders) == 1 and "." not in folders else ""
