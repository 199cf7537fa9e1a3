"""What became of every file below a data set: used, known to be something else, or passed over and named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from aleaseg.case import Account, Dataset, Finding
from aleaseg.readers.files import split_ending
from aleaseg.readers.folder_names import TEST_FOLDERS, plain
from aleaseg.readers.tree import Tree, join

__all__ = ["with_account"]

_BY_ENDING = {
    "text file": (".md", ".txt", ".rst", ".pdf", ".html", ".htm", ".doc", ".docx", ".rtf", ".odt", ".log", ".bib"),
    "table": (".csv", ".tsv", ".xlsx", ".xls", ".ods", ".parquet"),
    "settings file": (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml", ".inf"),
    "program": (".py", ".ipynb", ".sh", ".m", ".r", ".bat", ".exe", ".dll", ".jar", ".js", ".css"),
    "model file": (".pth", ".pt", ".ckpt", ".onnx", ".safetensors", ".pkl"),
    "file of diffusion directions": (".bval", ".bvec"),
    "shortcut": (".lnk", ".desktop", ".url"),
    "checksum": (".md5", ".sha1", ".sha256", ".sha512"),
}  # fmt: skip
_BY_NAME = {
    "text file": ("license", "licence", "readme", "changes", "changelog", "authors", "citation", "notice", "version"),
    "program": ("makefile", "dockerfile"),
    "system file": ("thumbs.db", "desktop.ini", "icon\r", "dicomdir"),
}  # fmt: skip
_PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_UNFINISHED = (".part", ".partial", ".crdownload", ".tmp", ".download", ".filepart", ".aria2", ".swp", "~")
_OTHER_VOXELS = (
    ".img", ".hdr", ".dcm", ".ima", ".npz", ".npy", ".h5", ".hdf5", ".mat", ".zarr", ".gipl", ".vtk", ".vti",
    ".mgh", ".mgz", ".mnc", ".gif", ".webp", ".svs", ".czi", ".stl", ".obj", ".ply", ".raw", ".b2nd", ".dicom",
    ".vol", ".svg",
)  # fmt: skip
_OF_HEADERS = {".raw": (".mhd", ".nhdr", ".hdr"), ".zraw": (".mhd",), ".img": (".hdr",), ".hdr": (".img",)}
_MOST_NAMES = 8

_SPARE = "an unfinished or spare copy"
_NO_CASE = "an image or mask that belongs to no case of this layout"
_ARCHIVE = "packed"
_FORMAT = "a format that is not read in this layout"
_UNKNOWN = "names that say nothing"
_ELSE = "if it is a case, give it a name that the layout knows; else nothing has to be done"
_ADVICE = {
    _SPARE: "check whether the file itself is whole",
    _NO_CASE: "if it is a case, name and place it as the others, or say which files are meant with --image PATTERN and "
    "--label PATTERN; else nothing has to be done",
    _ARCHIVE: "unpack it if it holds cases",
    _FORMAT: "if it is a case, convert it, such as to .nii.gz; else nothing has to be done",
}


def with_account(dataset: Dataset, tree: Tree) -> Dataset:
    """The data set with its account completed, and a note for each cause for which files were passed over.

    Args:
        dataset: its account says what the reader itself passed over, and why.
        tree: of its folder.
    """
    # What the reader itself has told of needs no second note.
    named = {
        path.relative_to(tree.root).as_posix(): finding.found
        for finding in dataset.findings
        if finding.check == "passed_over"
        for path in finding.files
    }
    used = {
        os.path.abspath(path)
        for case in dataset.cases
        for path in (*case.image_files, *case.label_files, *case.confidence_files)
    }
    used |= {
        os.path.abspath(path)
        for finding in dataset.findings
        if finding.check != "passed_over"
        for path in finding.files
    }
    account = _counted(dataset.account, tree, used, named)
    # Slices of DICOM may be called .img too.
    pairs = sorted(
        os.path.relpath(path, os.path.abspath(tree.root))
        for path in used
        if path.lower().endswith((".img", ".img.gz")) and dataset.layout != "dicom"
    )
    parted = [_parted(pairs)] if pairs else []
    untold = [(path, why) for path, why in account.passed_over if path not in named]
    return replace(dataset, account=account, findings=(*dataset.findings, *parted, *_notes(untold)))


def _counted(account: Account, tree: Tree, used: Collection[str], named: Mapping[str, str]) -> Account:
    """The account of every file of a tree.

    Args:
        account: what the reader itself said.
        tree: of the data set.
        used: absolute paths of files of cases, and of those that findings are about.
        named: path below the root -> what the reader's notes say that was passed over.
    """
    known: Counter[str] = Counter(account.known)
    passed = {**dict(account.passed_over), **named}
    told = set(passed)
    count = 0
    base = os.path.abspath(tree.root)
    for here, found in tree.walk():
        if found.refused and here:
            passed[here + "/"] = f"the folder cannot be listed ({found.refused})"
        known["folder that aleaseg wrote"] += sum(tree.is_ours(join(here, name)) for name in found.folders)
        for name in found.hidden:
            if kind := _hidden(name):
                known[kind] += 1
            else:
                passed[join(here, name)] = "hidden, as its name begins with a dot"
        for name in found.special:
            passed[join(here, name)] = "a pipe, socket or device, which holds no voxels"
        stems = {split[0] for name in found.files if (split := split_ending(name))}
        for name in found.files:
            path = join(here, name)
            if os.path.join(base, *path.split("/")) in used:
                count += 1
            elif path in told:
                continue
            elif path in account.others:
                known[account.others[path]] += 1
            elif name in found.dead:
                passed[path] = f"a link to {os.readlink(tree.path(path))}, which is not there"
            elif kind := _known(here, name, stems):
                known[kind] += 1
            else:
                passed[path] = _why(name)
    return replace(
        account,
        used=count,
        known={kind: number for kind, number in sorted(known.items()) if number},
        passed_over=tuple(sorted(passed.items())),
    )


def _parted(names: list[str]) -> Finding:
    return Finding(
        "", "note", "two_files", "one file for each image and each mask",
        f"{len(names)} that are pairs of a header and its voxels: {_names(names)}",
        "keep both files together, or convert them to .nii.gz; nnU-Net reads neither",
    )  # fmt: skip


def _hidden(name: str) -> str:
    """What a hidden file or folder is; empty where it may be a case."""
    if name.startswith("._"):
        return "shadow file of macOS"
    if split_ending(name.lstrip(".")) or name.lower().endswith((*_OTHER_VOXELS, *_PACKED)):
        return ""
    return "hidden folder" if name.endswith("/") else "hidden file"


def _known(folder: str, name: str, stems: Iterable[str]) -> str:
    """What a file is that belongs to no case; empty where nobody knows."""
    if any(plain(part) in TEST_FOLDERS for part in folder.split("/")):
        return "file of a test or validation part"
    lower = name.lower()
    stem, ending = os.path.splitext(lower)
    for kind, names in _BY_NAME.items():
        if lower in names or (stem in names and kind == "text file"):
            return kind
    if ending in _OF_HEADERS and os.path.splitext(name)[0] in stems:
        return "part of an image"
    return next((kind for kind, endings in _BY_ENDING.items() if ending in endings), "")


def _why(name: str) -> str:
    lower = name.lower()
    if lower.endswith(_UNFINISHED):
        return _SPARE
    if split_ending(name):
        return _NO_CASE
    if lower.endswith(_PACKED):
        return _ARCHIVE
    if lower.endswith(_OTHER_VOXELS):
        return _FORMAT
    return _UNKNOWN


def _notes(passed: Iterable[tuple[str, str]]) -> list[Finding]:
    """One note for each cause."""
    by_why: dict[str, list[str]] = {}
    for path, why in passed:
        by_why.setdefault(why, []).append(path)
    return [
        Finding(
            "", "note", "passed_over", "files of cases, or files that are known to be something else",
            f"{why}: {_names(paths)}", _ADVICE.get(why, _ELSE),
        )
        for why, paths in by_why.items()
    ]  # fmt: skip


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    return ", ".join(paths[:_MOST_NAMES]) + more
