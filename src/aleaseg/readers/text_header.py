"""The text header of an MHA, MHD or NRRD file: its fields, and how many bytes of voxels stand behind it.

ITK asks for memory before it looks, and its MetaImage reader prints to stderr
where a file is cut off; so the header is compared with the file before ITK sees it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from aleaseg.case import Finding
from aleaseg.errors import Unreadable
from aleaseg.readers.beside import MM
from aleaseg.readers.files import COPY_AGAIN, inflated_at_most
from aleaseg.readers.headers import note, two_spacings

__all__ = ["Stored", "fields", "inflated_bytes", "is_meta", "length_unit", "notes", "stored"]

_MOST_HEADER = 1 << 18
# Names of MetaImage for one thing; ITK takes the first that is there.
_SYNONYMS = (
    ("ElementSpacing", "ElementSize"),
    ("Offset", "Position", "Origin"),
    ("TransformMatrix", "Rotation", "Orientation"),
)
_META_NEEDS = (b"DimSize", b"ElementType", b"ElementDataFile")


@dataclass(frozen=True)
class Stored:
    """What is on the disk.

    Attributes:
        n_bytes: of voxels on the disk, packed or not.
        at_most: bytes of voxels that this can be.
        packed: where a deflated stream begins, (file, offset); None where voxels are stored plainly, or
            packed so that ITK sees by itself where they end early.
        plain: whether they are stored as they are, and nothing else is.
    """

    n_bytes: int
    at_most: int
    packed: tuple[Path, int] | None = None
    plain: bool = False


def is_meta(path: Path) -> bool:
    """Whether a file is a MetaImage by its name; else it is taken for NRRD."""
    return path.suffix.lower() in (".mha", ".mhd")


def fields(path: Path) -> list[tuple[str, str]]:
    """(name, value) of each field in the order of the file, names as they stand there; comments left out."""
    with open(path, "rb") as file:
        head = file.read(_MOST_HEADER)
    if is_meta(path):
        sign, text = "=", re.split(rb"(?m)^ElementDataFile\s*=", head)[0]
    else:
        sign, text = ":", re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    found = []
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith("#") or sign not in line:
            continue
        name, _, value = line.partition(sign)
        found.append((name.strip(), value.removeprefix("=").strip()))
    return found


def length_unit(path: Path) -> tuple[str, float] | None:
    """(unit, how many mm it is) where the header states another unit of length than mm; else None."""
    for name, value in fields(path):
        if name.lower() not in ("space units", "units", "distanceunits"):
            continue
        said = [one.lower() for one in re.findall(r'"([^"]*)"', value)] or [value.lower()]
        units = {unit for unit in said if MM.get(unit, 1.0) != 1.0}
        if len(units) == 1 and all(unit in units or unit not in MM for unit in said):
            unit = units.pop()
            return unit, MM[unit]
    return None


def notes(path: Path, spacing_mm: tuple[float, ...], case: str) -> tuple[Finding, ...]:
    """Fields of a MetaImage that stand there twice with two values; NRRD refuses such a file.

    Args:
        path: ends in .mha or .mhd, else nothing is said.
        spacing_mm: as it was read, in array order.
        case: for the message.
    """
    if not is_meta(path):
        return ()
    said = fields(path)
    found = []
    for name in dict.fromkeys(name for name, _ in said):
        values = list(dict.fromkeys(value for other, value in said if other == name))
        if len(values) > 1 and name != "Comment":
            found.append(_doubled(case, name, values, path))
    for synonyms in _SYNONYMS:
        told = {name: value for name, value in said if name in synonyms}
        if len({_same(value) for value in told.values()}) < 2:
            continue
        if "ElementSize" in told:
            size = tuple(float(number) for number in reversed(told["ElementSize"].split()))
            ours = f"{path.name} as ElementSpacing"
            found.append(two_spacings(case, ours, spacing_mm, "as ElementSize", size))
        else:
            found.append(
                _doubled(case, " and ".join(told), [f"{key} {value}" for key, value in told.items()], path)
            )
    return tuple(found)


def _same(value: str) -> str | tuple[float, ...]:
    try:
        return tuple(float(number) for number in value.split())
    except ValueError:
        return value


def _doubled(case: str, name: str, values: list[str], path: Path) -> Finding:
    return note(
        case,
        "doubled_field",
        f"one {name}",
        f"{' and '.join(value[:60] for value in values)} in {path.name}",
        "it was read as ITK reads it; find out which is right and leave the other out",
    )


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
        head = file.read(_MOST_HEADER)
    if is_meta(path):
        return _meta(path, case, size, head)
    text, blank, _ = head.partition(b"\n\n") if b"\r\n" not in head[:200] else head.partition(b"\r\n\r\n")
    apart = re.search(rb"(?im)^data ?file:[ \t]*(.+?)\s*$", text)
    raw = re.search(rb"(?im)^encoding:\s*raw\s*$", text) is not None
    n_bytes = _size_beside(path, apart[1]) if apart else size - len(text) - len(blank)
    if n_bytes is None:
        return None
    skipped = re.search(rb"(?im)^(byte|line) ?skip:\s*-?[1-9]", text) is not None
    return Stored(n_bytes, n_bytes if raw else inflated_at_most(n_bytes), plain=raw and not skipped)


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
        ahead = re.search(rb"(?m)^HeaderSize\s*=\s*-?[1-9]", header)
        return Stored(n_bytes, n_bytes, plain=ahead is None)
    packed = re.search(rb"(?m)^CompressedDataSize\s*=\s*(\d+)", header)
    if packed and n_bytes < int(packed[1]):
        raise Unreadable(
            case,
            f"{path} that is cut off: {n_bytes} of {int(packed[1])} bytes of packed voxels",
            "a MetaImage file, whole",
            COPY_AGAIN,
        )
    local = data[1].strip().upper() == b"LOCAL"
    beside = path.parent / data[1].strip().decode("utf-8", "surrogateescape")
    return Stored(n_bytes, inflated_at_most(n_bytes), (path, data.end()) if local else (beside, 0))


def inflated_bytes(path: Path, offset: int, most: int) -> int:
    """How many bytes a deflated stream holds, counted up to one more than `most`: ITK takes a short one for whole."""
    inflater = zlib.decompressobj(wbits=47)
    count = 0
    with open(path, "rb") as file:
        file.seek(offset)
        while count <= most and not inflater.eof and (chunk := file.read(1 << 20)):
            try:
                while chunk and count <= most:
                    count += len(inflater.decompress(chunk, 1 << 20))
                    chunk = inflater.unconsumed_tail
            except zlib.error:
                return count
    return count


def _size_beside(path: Path, name: bytes) -> int | None:
    try:
        return (path.parent / name.decode("utf-8", "surrogateescape")).stat().st_size
    except (OSError, ValueError):
        return None  # a list or a pattern of files, or a missing one: ITK says what it lacks
