"""A plain folder pair: images/ with labels/ or masks/, or images alone.

images/a.png  masks/a.png
images/b.nii.gz  labels/b_seg.nrrd
imagesTr/c_0000.nii.gz  imagesTr/c_0001.nii.gz  labelsTr/c.nii.gz
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.errors import CaseError
from aleaseg.readers.classes import asked_classes, evenly, meaning_of_found
from aleaseg.readers.files import list_folder
from aleaseg.readers.pairs import by_key, by_stem, match_stems, pair_up
from aleaseg.readers.voxels import count_channels, lazy_case

__all__ = ["image_folder", "label_folder", "open_folder"]

_IMAGE_FOLDERS = ("imagestr", "images", "image", "imgs", "img")
_LABEL_FOLDERS = ("labelstr", "labels", "masks", "label", "mask", "segmentations", "annotations")
_CHANNEL = re.compile(r"(.+)_(\d{4})")
# More channels than this, where no label vouches for them, are frames or cases.
_MOST_CHANNELS = 4
_SAMPLE = 8


def image_folder(folders: Sequence[str]) -> str | None:
    """Which of the folders holds the images."""
    return _first(folders, _IMAGE_FOLDERS)


def label_folder(folders: Sequence[str]) -> str | None:
    """Which of the folders holds the labels."""
    return _first(folders, _LABEL_FOLDERS)


def open_folder(root: Path, images: Path, labels: Path | None, classes: str | None = None) -> Dataset:
    """Open a folder pair.

    Args:
        root: for the name.
        images: the folder of images.
        labels: the folder of labels, or None.
        classes: see `open_dataset`.

    Raises:
        UsageError: `classes` cannot be read or names what is not there.
    """
    asked = asked_classes(classes)
    image_files = by_stem(images, list_folder(images)[0])
    label_files = by_stem(labels, list_folder(labels)[0]) if labels else {}
    channels = _channels(image_files, label_files)
    if channels:
        ids, findings = pair_up(channels, label_files, one_image=False)
        by_id: Mapping[str, list[Path]] = channels
        label_by_id: Mapping[str, list[Path]] = label_files
    else:
        image_ids, label_ids = match_stems(image_files, label_files)
        by_id, label_by_id = by_key(image_files, image_ids), by_key(label_files, label_ids)
        ids, findings = pair_up(by_id, label_by_id)
    meaning = meaning_of_found([(case, label_by_id[case][0]) for case in ids if case in label_by_id], asked)
    names = _channel_names([(case, by_id[case]) for case in ids])
    cases = tuple(
        lazy_case(
            case,
            by_id[case],
            label_by_id[case][0] if case in label_by_id else None,
            channels=len(names),
            to_one=meaning.to_one,
            drop=meaning.drop,
            by_name=meaning.by_name,
        )
        for case in ids
    )
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="folder",
        cases=cases,
        classes=meaning.classes,
        channels=names,
        findings=(*findings, *meaning.findings),
        declared=tuple(
            sorted({*meaning.others, *(v for values in meaning.classes.values() for v in values)})
        ),
    )


def _first(folders: Sequence[str], known: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(folders)}
    return next((lower[name] for name in known if name in lower), None)


def _channels(
    images: Mapping[str, Sequence[Path]], labels: Mapping[str, Sequence[Path]]
) -> dict[str, list[Path]] | None:
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
        return dict(grouped) if len(grouped.keys() & labels) > len(images.keys() & labels) else None
    one_by_one = len(sets) == 1 and len(usual) <= _MOST_CHANNELS and (len(grouped) > 1 or len(usual) == 1)
    return dict(grouped) if one_by_one else None


def _channel_names(files: Sequence[tuple[str, Sequence[Path]]]) -> tuple[str, ...]:
    """Names of the channels: from the file names, or from a sample of at most 8 files."""
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
