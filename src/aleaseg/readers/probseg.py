"""Confidences in BIDS: probabilistic segmentations below derivatives/ or beside their images.

sub-01_label-L_probseg.nii.gz                 one file for each class
sub-01_probseg.nii.gz, sub-01_probseg.json    4D, {"LabelMap": ["L", ...]} for the last axis
sub-01_desc-NAME_label-L_probseg.nii.gz       of a rater each, as the maintainers of BIDS advise

Values are 0 to 1, as the standard has them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from aleaseg.readers.bids import SHARED, entities
from aleaseg.readers.confidence_files import FoundConfidences
from aleaseg.readers.files import split_ending
from aleaseg.readers.json_once import loads_once
from aleaseg.readers.tree import Tree

__all__ = ["find_probseg", "label_map"]

_OWN_SPACE = ("orig", "individual", "native", "scanner", "anat")


def find_probseg(tree: Tree, ids: Collection[str]) -> FoundConfidences:
    """The probability maps of the images of a BIDS data set, on the grid of their images.

    Args:
        tree: of the data set.
        ids: of its cases, which are stems of images.
    """
    found = FoundConfidences()
    by_subject: dict[str, list[str]] = {}
    for case in ids:
        by_subject.setdefault(entities(case).get("sub", ""), []).append(case)
    for path in tree.images():
        split = split_ending(path.rpartition("/")[2])
        if split is None or not split[0].endswith("_probseg") or path.startswith(("sourcedata/", "code/")):
            continue
        said = entities(split[0])
        image = _image_of(split[0], said, by_subject.get(said.get("sub", ""), []))
        space = said.get("space", "").removeprefix("space-")
        if image is None or (space and space not in (*_OWN_SPACE, entities(image)["suffix"])):
            continue
        label = said.get("label", "").removeprefix("label-")
        rater = said.get("desc", "").removeprefix("desc-")
        found.files.setdefault(image, {}).setdefault(rater, []).append((label, tree.path(path)))
    return found


def _image_of(stem: str, said: Mapping[str, str], cases: Collection[str]) -> str | None:
    """The image of a map: whose name goes on from it, else the one with its subject, session and run."""
    longest = max((case for case in cases if stem.startswith(case + "_")), key=len, default=None)
    if longest:
        return longest
    fitting = [
        case
        for case in cases
        if all(entities(case).get(name) == said[name] for name in SHARED if name in said)
    ]
    return fitting[0] if len(fitting) == 1 else None


def label_map(path: Path) -> tuple[str, ...]:
    """The classes of the last axis of a 4D map, by the sidecar beside it; empty where none says so.

    A list of names, or an object from index or name to anything, in its order.
    """
    split = split_ending(path.name)
    sidecar = path.with_name(f"{split[0] if split else path.stem}.json")
    if not sidecar.is_file():
        return ()
    try:
        said: Any = loads_once(sidecar.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    names = said.get("LabelMap") if isinstance(said, dict) else None
    if isinstance(names, dict):
        values = list(names.values())
        names = values if values and all(isinstance(value, str) for value in values) else list(names)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def plain_label(name: str) -> str:
    """A class as the entity `label` can write it: letters and digits, small.

    >>> plain_label("Left Lung_1")
    'leftlung1'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())
