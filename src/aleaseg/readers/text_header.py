"""How many bytes of voxels stand behind the text header of an MHA, MHD or NRRD file.

ITK asks for memory before it looks, and its MetaImage reader prints to stderr
where a file is cut off; so the header is compared with the file before ITK sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aleaseg.errors import Unreadable
from aleaseg.readers.files import COPY_AGAIN, inflated_at_most

__all__ = ["Stored", "stored"]

_META_NEEDS = (b"DimSize", b"ElementType", b"ElementDataFile")


@dataclass(frozen=True)
class Stored:
    """What is on the disk.

    Attributes:
        n_bytes: of voxels on the disk, packed or not.
        at_most: bytes of voxels that this can be.
    """

    n_bytes: int
    at_most: int


def stored(path: Path, case: str, size: int) -> Stored | None:
    """The bytes behind a text header.

    Args:
        path: ends in .mha, .mhd, .nrrd or .nhdr.
        case: for the message.
        size: of the file.

    Returns:
        None where the voxels lie in several files, or in one that is missing: ITK says so.

    Raises:
        Unreadable: the header is cut off, or the packed voxels behind it are.
    """
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if path.suffix.lower() in (".mha", ".mhd"):
        return _meta(path, case, size, head)
    text, blank, _ = head.partition(b"\n\n") if b"\r\n" not in head[:200] else head.partition(b"\r\n\r\n")
    apart = re.search(rb"(?im)^data ?file:[ \t]*(.+?)\s*$", text)
    raw = re.search(rb"(?im)^encoding:\s*raw\s*$", text) is not None
    n_bytes = _size_beside(path, apart[1]) if apart else size - len(text) - len(blank)
    return None if n_bytes is None else Stored(n_bytes, n_bytes if raw else inflated_at_most(n_bytes))


def _meta(path: Path, case: str, size: int, head: bytes) -> Stored | None:
    missing = [name.decode() for name in _META_NEEDS if not re.search(rb"(?m)^" + name + rb"\s*=", head)]
    data = re.search(rb"(?m)^ElementDataFile\s*=[ \t]*([^\r\n]+)\r?\n?", head)
    if missing or data is None:
        raise Unreadable(
            case,
            f"a header without {', '.join(missing) or 'a data file'} in {path}",
            "a MetaImage header, whole",
            COPY_AGAIN,
        )
    header = head[: data.start()]
    if data[1].strip().upper() == b"LOCAL":
        n_bytes: int | None = size - data.end()
    else:
        n_bytes = _size_beside(path, data[1].strip())
    if n_bytes is None:
        if data[1].split()[0].upper() != b"LIST" and b"%" not in data[1]:
            beside = data[1].strip().decode("utf-8", "replace")
            raise Unreadable(
                case, f"{path}, whose voxels are in {beside}", "that file beside it", "copy both files"
            )
        return None
    if not re.search(rb"(?im)^CompressedData\s*=\s*True", header):
        return Stored(n_bytes, n_bytes)
    packed = re.search(rb"(?m)^CompressedDataSize\s*=\s*(\d+)", header)
    if packed and n_bytes < int(packed[1]):
        raise Unreadable(
            case,
            f"{path} that is cut off: {n_bytes} of {int(packed[1])} bytes of packed voxels",
            "a MetaImage file, whole",
            COPY_AGAIN,
        )
    return Stored(n_bytes, inflated_at_most(n_bytes))


def _size_beside(path: Path, name: bytes) -> int | None:
    try:
        return (path.parent / name.decode("utf-8", "surrogateescape")).stat().st_size
    except (OSError, ValueError):
        return None  # a list or a pattern of files, or a missing one: ITK says what it lacks
