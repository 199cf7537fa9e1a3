"""What a file is before anybody parses it: there, allowed, not empty, not text; and the stems of names."""

from __future__ import annotations

import os
from pathlib import Path

from aleaseg.errors import Unreadable

__all__ = [
    "COPY_AGAIN",
    "ENDINGS",
    "FLAT_ENDINGS",
    "first_bytes",
    "inflated_at_most",
    "list_folder",
    "refuse_text",
    "split_ending",
]

# Formats without a world: 2D pictures, whose spacing is unknown.
FLAT_ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
# All that `voxels.py` can read; longer endings first, since `.nii.gz` ends in `.gz`.
# Of a pair .hdr and .img the .img stands for both.
ENDINGS = (".nii.gz", ".nii", ".img.gz", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", *FLAT_ENDINGS)

COPY_AGAIN = "copy or download the file again, or leave the case out"


def split_ending(name: str) -> tuple[str, str] | None:
    """(stem, ending) of a file name that `voxels.py` can read, else None.

    >>> split_ending("ct_01.nii.gz")
    ('ct_01', '.nii.gz')
    """
    if name.startswith("."):  # such as `._ct_01.nii.gz`, which macOS leaves on foreign disks
        return None
    lower = name.lower()
    for ending in ENDINGS:
        if lower.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return None


def list_folder(folder: str | Path) -> tuple[list[str], list[str]]:
    """(names of files, names of folders) in a folder, sorted, hidden ones left out. No file is touched."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # The type comes with the listing; only a link, or a file system that
            # does not say, costs a call.
            (folders if _may_be_folder(entry) and entry.is_dir() else files).append(entry.name)
    return sorted(files), sorted(folders)


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    # A data set of links to files (as `--as dataset` tools make) would otherwise cost a stat per file.
    return not (entry.is_symlink() and split_ending(entry.name))


def first_bytes(path: Path, case: str, count: int = 1024) -> tuple[bytes, int]:
    """The first bytes of a file and its size.

    Raises:
        Unreadable: missing, a folder, not allowed, or empty.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(count)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise Unreadable(
                case,
                f"{path}, a link to {os.readlink(path)}, which is not there",
                "an image or label file",
                "mount the disk that holds it, or fix the link",
            ) from error
        raise Unreadable(case, f"no file at {path}", "an image or label file", "put it there") from error
    except PermissionError as error:
        raise Unreadable(
            case, f"no permission to read {path}", "a file that you may read", "change its permissions"
        ) from error
    except IsADirectoryError as error:
        raise Unreadable(case, f"a folder at {path}", "a file", "put the file in its place") from error
    except (OSError, ValueError) as error:
        raise Unreadable(case, f"{path} that cannot be opened ({error})", "a file", COPY_AGAIN) from error
    if not head:
        raise Unreadable(case, f"0 bytes in {path}", "an image or label file", COPY_AGAIN)
    return head, size


def refuse_text(head: bytes, path: Path, case: str, expected: str) -> None:
    """Raise `Unreadable` where a binary file is in truth text: a web page, a pointer of git lfs.

    Args:
        head: the first bytes of the file.
        path: for the message.
        case: for the message.
        expected: for the message.
    """
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # Only a character cut in two at the end of `head` may still be text.
        if error.start < len(head) - 3:
            return
        text = head[: error.start].decode("utf-8")
    if not text or any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        return
    start = " ".join(text.split())[:40]
    raise Unreadable(case, f"text ({start!r}) in {path}", expected, COPY_AGAIN)


def inflated_at_most(size: int) -> int:
    """The most bytes that a deflated file of that size can hold (deflate's limit is 1032 to 1)."""
    return 1032 * size + 1024
