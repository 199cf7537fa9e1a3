"""Which label belongs to which image: by name, and what to say where that fails."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.readers.files import split_ending

__all__ = ["CONTRASTS", "by_key", "by_stem", "looks_like_label", "match_stems", "pair_alike", "pair_up"]

_WORDS = (
    r"masks?|segs?|segm|segmentations?|dseg|labels?|lbls?|gts?|ground[ ._-]?truth|annotations?|annot|rois?|"
    r"contours?"
)
_LABEL_END = re.compile(rf"[ ._-](?:{_WORDS})(?P<number>[ ._-]?\d{{1,2}})?$", re.IGNORECASE)
_LABEL_START = re.compile(rf"(?:{_WORDS})(?:[ ._-]+(?=.)|(?=\d))", re.IGNORECASE)
_LABEL_WHOLE = re.compile(rf"(?:{_WORDS})(?:[ ._-]?\d{{1,2}})?", re.IGNORECASE)
CONTRASTS = "t1|t1w|t1n|t1c|t1ce|t1gd|t1post|t2|t2w|t2f|t2flair|flair|adc|dwi|swi|pd|pdw"
_IMAGE_END = re.compile(
    rf"([ ._-](image|img|imaging|scan|volume|ct|mr|mri|pet|us|{CONTRASTS})|_0000)$", re.IGNORECASE
)
_IMAGE_START = re.compile(r"(?:image|img|volume|vol|scan|ct|mr|mri)(?:[ ._-]+(?=.)|(?=\d))", re.IGNORECASE)
_IMAGE_WHOLE = re.compile(r"(?:image|img|imaging|scan|volume|ct|mr|mri|pet)(?:_0000)?", re.IGNORECASE)


def by_stem(folder: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    """Files that can be read, by their stem: several of one stem collide."""
    found: dict[str, list[Path]] = defaultdict(list)
    for name in names:
        split = split_ending(name)
        if split:
            found[split[0]].append(folder / name)
    return dict(found)


def looks_like_label(stem: str) -> bool:
    """Whether a name says that the file is a mask: `x_seg`, `mask_12`, `label`."""
    return bool(_LABEL_END.search(stem) or _LABEL_START.match(stem) or _LABEL_WHOLE.fullmatch(stem))


def match_stems(
    images: Iterable[str], labels: Iterable[str], *, beside: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Case id of each image stem and of each label stem.

    A stem that both sides have stays as it is; otherwise the habits `_0000` and `_image` of
    images and `_mask`, `_seg`, `label_` of labels are taken off.

    Args:
        images: stems, which may have folders before them, `a/b`.
        labels: likewise.
        beside: images and labels lie in the same folders, so that a folder may be a case.
    """
    image_stems, label_stems = sorted(set(images)), sorted(set(labels))
    if not label_stems:  # without labels there is nothing that a habit could hide from
        return {stem: stem for stem in image_stems}, {}
    alone = Counter(stem.rpartition("/")[0] for stem in image_stems) if beside else Counter()
    names = {stem: list(_image_names(stem, alone)) for stem in image_stems}
    # The case that a name leads to; an image's own name goes before what is left of another.
    reached = {stem: stem for stem in image_stems}
    for stem in image_stems:
        for name, case in names[stem]:
            reached.setdefault(name, case)
    label_ids = {}
    for stem in label_stems:
        found = next((reached[name] for name in _label_names(stem, beside) if name in reached), None)
        label_ids[stem] = stem if found is None else found
    wanted = set(label_ids.values())
    image_ids = {
        stem: stem if stem in wanted else next((case for _, case in names[stem] if case in wanted), stem)
        for stem in image_stems
    }
    return image_ids, label_ids


def by_key(files: Mapping[str, Sequence[Path]], keys: Mapping[str, str]) -> dict[str, list[Path]]:
    """The files of each case id, given the files and the id of each stem."""
    found: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in files.items():
        found[keys[stem]].extend(paths)
    return dict(found)


def pair_alike(
    images: Mapping[str, Sequence[Path]], labels: Mapping[str, list[Path]]
) -> tuple[dict[str, list[Path]], list[Finding]]:
    """Labels whose names differ from an image's by the writing alone take its id, and a note says so.

    Capitals, accents in one or two signs (as macOS and Linux write them), blanks, doubled
    endings, or the folder; only where exactly one image and one label are alike.

    Returns:
        The labels by case id, and the notes.
    """
    paired = dict(labels)
    notes = []
    for alike in (_composed, _plain, lambda key: _plain(key.rpartition("/")[2])):
        ours, theirs = defaultdict(list), defaultdict(list)
        for case in images.keys() - paired.keys():
            ours[alike(case)].append(case)
        for case in paired.keys() - images.keys():
            theirs[alike(case)].append(case)
        for key in sorted(ours.keys() & theirs.keys()):
            if len(ours[key]) == len(theirs[key]) == 1:
                case, other = ours[key][0], theirs[key][0]
                paired[case] = paired.pop(other)
                notes.append(
                    Finding(
                        case, "note", "names_differ", "an image and a label of one name",
                        f"{_names(images[case])} and {_names(paired[case])}, taken to be one case",
                        "rename one of them: many programs compare names exactly",
                        tuple(paired[case]),
                    )
                )  # fmt: skip
    return paired, notes


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
        if len(theirs) > 1:
            check, expected = "same_id", "one mask per case"
            found = f"{len(theirs)} masks: {_names(theirs)}"
            advice = "merge them into one file, or choose with --label PATTERN, such as --label "
            advice += f"'{_pattern(theirs[0], case)}'"
        elif one_image and len(ours) > 1:
            check, expected = "same_id", "one image per case"
            found = f"{len(ours)} images: {_names(ours)}"
            advice = f"choose with --image PATTERN, such as --image '{_pattern(ours[0], case)}'"
        elif not ours:
            check, expected, found = (
                "missing_image",
                "an image and a label",
                f"a label only: {_names(theirs)}",
            )
            advice = "add the image under the label's name; or keep the label outside of the data set"
        elif labels and not theirs:
            check, expected, found = (
                "missing_label",
                "an image and a label",
                f"an image only: {_names(ours)}",
            )
            advice = "add the label under the image's name; or keep the image outside of the data set"
        else:
            ids.append(case)
            continue
        findings.append(Finding(case, "error", check, expected, found, advice, (*ours, *theirs)))
    return ids, findings


def _image_names(stem: str, alone: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """(name that a label may lead to, case) beside the stem itself."""
    folder, slash, name = stem.rpartition("/")
    if short := _IMAGE_END.sub("", name):
        yield folder + slash + short, folder + slash + short
    if start := _IMAGE_START.match(name):
        yield folder + slash + name[start.end() :], stem
    if folder and (_IMAGE_WHOLE.fullmatch(name) or alone.get(folder) == 1):
        yield folder, folder


def _label_names(stem: str, beside: bool) -> Iterator[str]:
    """What the image may be called, the likeliest first."""
    yield stem
    folder, slash, name = stem.rpartition("/")
    if (end := _LABEL_END.search(name)) and end.start():
        if end["number"]:
            yield folder + slash + name[: end.start()] + end["number"]
        yield folder + slash + name[: end.start()]
    if start := _LABEL_START.match(name):
        yield folder + slash + name[start.end() :]
    if beside and folder:
        yield folder


def _composed(key: str) -> str:
    return unicodedata.normalize("NFC", key)


def _plain(key: str) -> str:
    """A name without what people and systems write differently."""
    plain = unicodedata.normalize("NFKC", key).casefold().strip()
    while split := split_ending(plain):
        plain = split[0].strip()
    return re.sub(r"[ _-]+", "_", plain)


def _names(paths: Sequence[Path]) -> str:
    """The names of files, with their folder where the name alone is not enough."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _pattern(path: Path, case: str) -> str:
    """A pattern that chooses this file and its likes of the other cases."""
    name = case.rpartition("/")[2]
    rest = path.name.removeprefix(name)
    split = split_ending("x" + rest)
    if rest != path.name and split and split[0] != "x":
        return f"*{rest}"
    return f"*{path.name}" if rest == path.name else f"*{path.parent.name}/*"
