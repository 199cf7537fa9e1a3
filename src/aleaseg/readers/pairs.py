"""Which label belongs to which image: by name, and what to say where that fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.readers.files import split_ending

__all__ = ["by_key", "by_stem", "match_stems", "pair_up"]

_LABEL_HABIT = re.compile(r"[ ._-](mask|masks|seg|segmentation|label|labels|gt|annotation)$", re.IGNORECASE)
_IMAGE_HABIT = re.compile(r"([ ._-](image|img)|_0000)$", re.IGNORECASE)


def by_stem(folder: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    """Files that can be read, by their stem: several of one stem collide."""
    found: dict[str, list[Path]] = defaultdict(list)
    for name in names:
        split = split_ending(name)
        if split:
            found[split[0]].append(folder / name)
    return dict(found)


def match_stems(images: Iterable[str], labels: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Case id of each image stem and of each label stem.

    A stem that both sides have stays as it is; otherwise the habits `_0000` and
    `_image` of images and `_mask`, `_seg`, `_label` of labels are taken off.
    """
    image_stems, label_stems = set(images), set(labels)
    # Without labels there is nothing that a habit could hide from.
    bare = {stem: _IMAGE_HABIT.sub("", stem) or stem for stem in image_stems if label_stems}
    reached = image_stems | set(bare.values())
    label_ids = {}
    for stem in label_stems:
        short = _LABEL_HABIT.sub("", stem) or stem
        label_ids[stem] = stem if stem in reached or short not in reached else short
    wanted = set(label_ids.values())
    image_ids = {
        stem: bare[stem] if stem not in wanted and bare.get(stem) in wanted else stem
        for stem in image_stems
    }
    return image_ids, label_ids


def by_key(files: Mapping[str, Sequence[Path]], keys: Mapping[str, str]) -> dict[str, list[Path]]:
    """The files of each case id, given the files and the id of each stem."""
    found: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in files.items():
        found[keys[stem]].extend(paths)
    return dict(found)


def pair_up(
    images: Mapping[str, Sequence[Path]],
    labels: Mapping[str, Sequence[Path]],
    *,
    one_image: bool = True,
) -> tuple[list[str], list[Finding]]:
    """Ids whose image and label are both there exactly once, and what is wrong with the others.

    Where there is no label at all, the ids of the images.

    Args:
        images: files by case id.
        labels: files by case id.
        one_image: several image files of one id collide; False where they are channels.
    """
    findings = []
    ids = []
    for case in sorted({*images, *labels}):
        ours, theirs = images.get(case, ()), labels.get(case, ())
        double = theirs if len(theirs) > 1 else ours if one_image and len(ours) > 1 else ()
        if double:
            names = ", ".join(path.name for path in double)
            findings.append(
                Finding(
                    case,
                    "error",
                    "same_id",
                    "one file per case",
                    f"{len(double)} files: {names}",
                    "rename or remove all but one",
                )
            )
        elif not ours:
            findings.append(
                Finding(
                    case,
                    "error",
                    "missing_image",
                    "an image and a label",
                    f"a label only: {theirs[0].name}",
                    "add the image, or remove the label",
                )
            )
        elif labels and not theirs:
            findings.append(
                Finding(
                    case,
                    "error",
                    "missing_label",
                    "an image and a label",
                    f"an image only: {ours[0].name}",
                    "add the label, or remove the image",
                )
            )
        else:
            ids.append(case)
    return ids, findings
