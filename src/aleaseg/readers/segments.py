"""Slicer's segmentations (.seg.nrrd): named segments, in one layer or, where they overlap, in several.

Slicer numbers segments anew in every file, so it is the name that says what a segment is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aleaseg.case import Finding, Voxels
from aleaseg.errors import CaseError, Unreadable
from aleaseg.readers import itk
from aleaseg.readers.files import first_bytes
from aleaseg.readers.headers import note
from aleaseg.readers.text_header import fields

__all__ = ["Segment", "are_segmentations", "names_of", "read_segments", "segments_of"]

_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")


@dataclass(frozen=True)
class Segment:
    """One segment of a file.

    Attributes:
        name: every name once in a file; a second of the same is called `name (2)`.
        value: in its layer.
        layer: 0 is the first.
    """

    name: str
    value: int
    layer: int


def are_segmentations(paths: Sequence[Path]) -> bool:
    """Whether all files have the name that Slicer gives to segmentations."""
    return bool(paths) and all(path.name.lower().endswith(".seg.nrrd") for path in paths)


def segments_of(path: Path, case: str) -> tuple[Segment, ...]:
    """The segments that a header names, in its order.

    Raises:
        Unreadable: the file cannot be opened, or a segment has no value.
    """
    first_bytes(path, case, 1)
    said: dict[int, dict[str, str]] = {}
    for field, text in fields(path):
        match = _FIELD.fullmatch(field)
        if match:
            said.setdefault(int(match[1]), {})[match[2]] = text
    seen: Counter[str] = Counter()
    found = []
    for number in sorted(said):
        told = said[number]
        name = told.get("Name", f"Segment{number}")
        seen[name] += 1
        try:
            value, layer = int(told.get("LabelValue", number + 1)), int(told.get("Layer", 0))
        except ValueError as error:
            raise Unreadable(
                case,
                f"a segment {name!r} whose value is {told} in {path}",
                "whole numbers",
                "export it again",
            ) from error
        found.append(Segment(name if seen[name] == 1 else f"{name} ({seen[name]})", value, layer))
    return tuple(found)


def names_of(labels: Sequence[tuple[str, Path]]) -> list[str]:
    """All names of segments in some files, sorted; headers alone are read. What cannot be read tells nothing here."""
    names: set[str] = set()
    for case, path in labels:
        try:
            names.update(segment.name for segment in segments_of(path, case))
        except CaseError:
            continue
    return sorted(names)


def read_segments(path: Path, case_id: str, values: Mapping[str, int]) -> Voxels:
    """A label map from the named segments of a file; where two overlap the later one of the file wins.

    Args:
        path: a .seg.nrrd.
        case_id: for messages.
        values: name -> label value; segments that are not among them are left out.

    Returns:
        int16 (*spatial), with notes on overlaps, and on voxels that no segment names.

    Raises:
        Unreadable: the file is damaged, names no segment, or lacks a layer that it names.
    """
    segments = segments_of(path, case_id)
    voxels = itk.read_voxels(path, case_id)
    layers = voxels.array
    if not segments and layers.any():
        raise Unreadable(
            case_id, f"no named segment in {path}", "a segmentation as Slicer writes it",
            "export it from Slicer again, or save it as a label map for all cases",
        )  # fmt: skip
    lacking = [one.name for one in segments if not 0 <= one.layer < len(layers)]
    if lacking:
        raise Unreadable(
            case_id,
            f"{len(layers)} layer(s) in {path}",
            f"those of {', '.join(lacking)} too",
            "export it again",
        )
    label = np.zeros(layers.shape[1:], np.int16)
    overlaps: Counter[tuple[str, str]] = Counter()
    name_of = {value: name for name, value in values.items()}
    named = np.zeros(layers.shape, bool)
    for one in segments:
        mask = layers[one.layer] == one.value
        named[one.layer] |= mask
        if one.name not in values:
            continue
        for value, count in zip(*np.unique(label[mask], return_counts=True), strict=True):
            if value:
                overlaps[name_of[int(value)], one.name] += int(count)
        label[mask] = values[one.name]
    nameless = int(np.count_nonzero((layers != 0) & ~named))
    told = _notes(path, segments, values, overlaps, nameless, case_id)
    return Voxels(label, voxels.geometry, (*voxels.notes, *told))


def _notes(
    path: Path,
    segments: Sequence[Segment],
    values: Mapping[str, int],
    overlaps: Counter[tuple[str, str]],
    nameless: int,
    case_id: str,
) -> list[Finding]:
    notes: list[Finding] = []
    if overlaps:
        told = "; ".join(f"{a} and {b} at {count} voxels" for (a, b), count in overlaps.most_common(3))
        notes.append(
            note(case_id, "overlap", "structures that do not overlap", told,
                 "the later segment of the file was kept there; correct the masks if that is wrong")
        )  # fmt: skip
    if nameless:
        notes.append(
            note(case_id, "nameless", "a name for every value", f"{nameless} voxels of {path.name} in no named segment",
                 "they were read as background; name them in Slicer")
        )  # fmt: skip
    doubled = [
        one.name for one in segments if one.name.endswith(")") and one.name.rsplit(" (", 1)[0] in values
    ]
    if doubled:
        notes.append(
            note(case_id, "doubled_field", "every segment a name of its own",
                 f"one name for two segments in {path.name}; the second is called {', '.join(doubled)}",
                 "rename one of them, or make them one segment")
        )  # fmt: skip
    return notes
