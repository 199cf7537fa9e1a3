"""Public data sets in the form in which each is handed out: the five of the paper, and what their labels mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aleaseg.case import Account, Dataset
from aleaseg.readers.classes import asked_classes, choose
from aleaseg.readers.pairs import pair_up
from aleaseg.readers.structures import MASKS
from aleaseg.readers.tree import Tree, join
from aleaseg.readers.voxels import lazy_case

__all__ = ["KNOWN", "Known", "Pairs", "open_public", "recognise"]

Pairs = dict[str, tuple[Path, Path]]
"""Case -> its image and its label."""
Files = dict[str, list[Path]]


@dataclass(frozen=True)
class Known:
    """A data set of the paper.

    Attributes:
        title: on tables.
        cases: the paper's number of them.
        target: the class that class-specific cuts and tables are about; empty: the last.
        channel: name of the image channel.
        classes: name -> label value; empty: the files say.
        folders: what its folder, or the name in a dataset.json, may be called.
        expected: what is looked for, in words.
        files: from a folder to its images and its labels by case, empty where it is not of this form.
    """

    title: str
    cases: int
    target: str
    channel: str
    classes: Mapping[str, int]
    folders: str
    expected: str
    files: Callable[[Path], tuple[Files, Files]]

    def pairs(self, root: Path) -> Pairs:
        """Image and label of every case that has both."""
        images, labels = self.files(root)
        return {case: (images[case][0], labels[case][0]) for case in images if case in labels}


# -- the forms ------------------------------------------------------------------------------------


def _deep(root: Path, pattern: str, depth: int) -> Iterator[Path]:
    """Files of a name in a folder and so many levels below it."""
    for level in range(depth + 1):
        yield from root.glob("*/" * level + pattern)


def _lits(root: Path) -> tuple[Files, Files]:
    """`volume-N.nii` with `segmentation-N.nii`, in one folder or in both batches'."""

    def by_number(kind: str) -> Files:
        found: dict[int, list[Path]] = defaultdict(list)
        for path in sorted(_deep(root, f"{kind}-*.nii*", 2)):
            match = re.fullmatch(rf"{kind}-(\d+)\.nii(\.gz)?", path.name)
            if match:
                found[int(match[1])].append(path)
        return {f"lits_{number:03d}": found[number] for number in sorted(found)}

    return by_number("volume"), by_number("segmentation")


def _kits(root: Path) -> tuple[Files, Files]:
    """`case_00000/imaging.nii.gz` with `segmentation.nii.gz`."""
    folders = sorted(root.glob("case_*"))
    images, labels = (
        {folder.name: [folder / name] for folder in folders if (folder / name).is_file()}
        for name in ("imaging.nii.gz", "segmentation.nii.gz")
    )
    return images, labels


def _word(root: Path) -> tuple[Files, Files]:
    """`imagesTr/word_0002.nii.gz` with `labelsTr`, and the same of `Val`: 100 and 20 cases."""
    images, labels = (
        {
            path.name.removesuffix(".nii.gz"): [path]
            for part in ("Tr", "Val")
            for path in sorted((root / f"{kind}{part}").glob("word_*.nii.gz"))
            if re.fullmatch(r"word_\d{4}\.nii\.gz", path.name)
        }
        for kind in ("images", "labels")
    )
    return images, labels


def _feta(root: Path) -> tuple[Files, Files]:
    """`sub-001/anat/sub-001_rec-mial_T2w.nii.gz` with `..._dseg.nii.gz`."""
    images, labels = (
        {
            path.parents[1].name: [path]
            for path in sorted(root.glob(f"sub-*/anat/*_{kind}.nii.gz"), reverse=True)
        }
        for kind in ("T2w", "dseg")
    )
    return dict(sorted(images.items())), dict(sorted(labels.items()))


def _totalseg(root: Path) -> tuple[Files, Files]:
    """`s0000/ct.nii.gz` with the folder `s0000/segmentations`."""
    folders = sorted(root.glob("s[0-9]*"))
    images = {folder.name: [folder / "ct.nii.gz"] for folder in folders if (folder / "ct.nii.gz").is_file()}
    return images, {folder.name: [folder / MASKS] for folder in folders if (folder / MASKS).is_dir()}


_ORGANS = (
    *("liver", "spleen", "left kidney", "right kidney", "stomach", "gallbladder", "esophagus", "pancreas"),
    *("duodenum", "colon", "intestine", "adrenal", "rectum", "bladder", "left femur head"),
    "right femur head",
)
_TISSUES = (
    *("external cerebrospinal fluid", "grey matter", "white matter", "ventricles", "cerebellum"),
    *("deep grey matter", "brainstem"),
)

KNOWN: dict[str, Known] = {
    "lits": Known(
        "LiTS",
        131,
        "tumour",
        "CT",
        {"liver": 1, "tumour": 2},
        r"lits|task03|liver",
        "volume-N.nii and segmentation-N.nii in it or in its folders (Training Batch 1 and 2), or Task03_Liver of the "
        "Medical Segmentation Decathlon",
        _lits,
    ),
    "totalseg": Known(
        "TotalSegmentator",
        1204,
        "",
        "CT",
        {},
        r"totalseg(mentator)?",
        "s0000/ct.nii.gz with s0000/segmentations/STRUCTURE.nii.gz, and meta.csv beside them",
        _totalseg,
    ),
    "word": Known(
        "WORD",
        120,
        "",
        "CT",
        {name: value for value, name in enumerate(_ORGANS, start=1)},
        r"word",
        "imagesTr/word_0002.nii.gz with labelsTr/, and imagesVal/ with labelsVal/",
        _word,
    ),
    "feta": Known(
        "FeTA22",
        120,
        "",
        "MR",
        {name: value for value, name in enumerate(_TISSUES, start=1)},
        r"feta",
        "sub-001/anat/sub-001_..._T2w.nii.gz with ..._dseg.nii.gz",
        _feta,
    ),
    "kits23": Known(
        "KiTS23",
        489,
        "tumour",
        "CT",
        {"kidney": 1, "tumour": 2, "cyst": 3},
        r"kits",
        "case_00000/imaging.nii.gz with case_00000/segmentation.nii.gz",
        _kits,
    ),
}
"""By name, in the order of the paper's Table 1."""


# -- as any other data set ----------------------------------------------------------------------------

# TotalSegmentator is read as what it is, one folder per case, whatever its name.
_TELLING = {
    "kits23": re.compile(r"(?:^|/)case_\d{5}/imaging\.nii\.gz$"),
    "lits": re.compile(r"(?:^|/)volume-\d+\.nii(\.gz)?$"),
    "word": re.compile(r"^imagesTr/word_\d{4}\.nii\.gz$"),
    "feta": re.compile(r"^sub-\d{3}/anat/sub-\d{3}_rec-\w+_T2w\.nii\.gz$"),
}
_LOOKED_AT = 20


def recognise(tree: Tree) -> str | None:
    """The name in `KNOWN` of the data set that a folder holds in its own form, or None; by few of its names."""
    some = [*tree.list().files]
    for name in tree.folders()[:_LOOKED_AT]:
        below = tree.list(name)
        some += [join(name, file) for file in below.files]
        for inner in below.folders[:2]:
            some += [join(join(name, inner), file) for file in tree.list(join(name, inner)).files]
    for known, telling in _TELLING.items():
        if any(telling.search(name) for name in some) and KNOWN[known].pairs(tree.root):
            return known
    return None


def open_public(tree: Tree, name: str, classes: str | None = None) -> Dataset:
    """Open one of `KNOWN`.

    Args:
        tree: of its folder.
        name: from `recognise`.
        classes: see `open_dataset`.

    Raises:
        UsageError: `classes` cannot be read or names what is not there.
    """
    known = KNOWN[name]
    images, labels = known.files(tree.root)
    declared = {one: (value,) for one, value in known.classes.items()}
    kept, drop = choose(declared, asked_classes(classes))
    ids, findings = pair_up(images, labels)
    return Dataset(
        name=known.title,
        root=tree.root,
        layout=name,
        cases=tuple(lazy_case(case, images[case], labels[case][0], channels=1, drop=drop) for case in ids),
        classes=kept,
        channels=(known.channel,),
        findings=tuple(findings),
        declared=tuple(sorted(known.classes.values())),
        account=Account(
            classes_from=f"what is known of {known.title}",
            guesses=(f"this is {known.title}, by the names of its files",),
        ),
    )
