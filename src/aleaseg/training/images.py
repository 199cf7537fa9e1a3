"""What `predict` looks at: a data set, a folder of images as nnU-Net names them, or one file."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from aleaseg.case import Case, Finding
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.files import list_folder, split_ending
from aleaseg.readers.pairs import by_stem
from aleaseg.readers.voxels import lazy_case

__all__ = ["open_images"]

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def open_images(path: str | Path, channels: int) -> tuple[list[Case], list[Finding]]:
    """The cases of a path; nothing is opened but what a data set needs to be known.

    Args:
        path: a data set in any layout that `open_dataset` knows; a folder of files such as CASE_0000.nii.gz,
            one for each channel (nnU-Net's imagesTs); or one file that holds all channels.
        channels: how many the network takes.

    Returns:
        The cases, and what is already wrong by the names of the files.

    Raises:
        UsageError: there are no images.
    """
    root = Path(path)
    if root.is_file() and root.name != "dataset.json":
        split = split_ending(root.name)
        if split is None:
            raise UsageError(f"{root} cannot be read as an image; expected NIfTI, NRRD, MHA, PNG or TIFF")
        return [lazy_case(_CHANNEL.sub(r"\1", split[0]), [root], channels=channels)], []
    if root.is_dir():
        files, folders = list_folder(root)
        stems = by_stem(root, files)
        if stems and not folders and "dataset.json" not in files and all(map(_CHANNEL.fullmatch, stems)):
            return _by_channel(stems, channels)
    dataset = open_dataset(root)
    # To predict, no label is needed.
    wrong = [
        finding
        for finding in dataset.findings
        if finding.severity == "error" and finding.check != "labels_not_found"
    ]
    return list(dataset.cases), wrong


def _by_channel(stems: dict[str, list[Path]], channels: int) -> tuple[list[Case], list[Finding]]:
    found: dict[str, dict[int, list[Path]]] = defaultdict(dict)
    for stem, paths in sorted(stems.items()):
        match = _CHANNEL.fullmatch(stem)
        assert match is not None
        found[match[1]][int(match[2])] = paths
    cases, wrong = [], []
    for case, by_number in found.items():
        files = [path for number in sorted(by_number) for path in by_number[number]]
        # One file may hold all channels.
        whole = list(by_number) == [0] or sorted(by_number) == list(range(channels))
        if whole and len(files) == len(by_number):
            cases.append(lazy_case(case, files, channels=channels))
        else:
            wrong.append(
                Finding(
                    case,
                    "error",
                    "channels",
                    f"{channels} files, {case}_0000 and so on, one for each channel",
                    ", ".join(path.name for path in files),
                    "add or rename the files",
                )
            )
    return cases, wrong
