"""NIfTI-1 and -2 and Analyze 7.5, plain or gzipped; one file, or a pair of header (.hdr) and voxels (.img).

nibabel reads the header; the voxels are read here, so that a header is checked
against the file before memory is asked for, and a truncated file says how much
of it there is.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry, Stored
from aleaseg.errors import Unreadable
from aleaseg.readers.files import COPY_AGAIN, first_bytes, inflated_at_most, refuse_text
from aleaseg.readers.headers import note, spare_bytes
from aleaseg.readers.nifti_place import damaged, placed

__all__ = ["NiftiHeader", "header_file", "read_header", "read_voxels"]

_EXPECTED = "a NIfTI file"
_CHUNK = 1 << 20
_SILENT = logging.Logger("aleaseg.nifti", level=logging.CRITICAL + 1)


@dataclass(frozen=True)
class NiftiHeader:
    """What the header says.

    Attributes:
        geometry: of the spatial axes, slowest first.
        channels: 1, or the length of the fourth axis.
        dtype: on disk.
        offset: of the first voxel, in bytes.
        slope: value = slope * stored + intercept; None where there is no scaling.
        intercept: see slope.
        notes: where the header says one thing in two ways that differ, or in an unusual way.
    """

    geometry: Geometry
    channels: int
    dtype: np.dtype[Any]
    offset: int
    slope: float | None
    intercept: float
    notes: tuple[Finding, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Size of the voxels on disk, inflated."""
        return self.channels * math.prod(self.geometry.shape) * self.dtype.itemsize


def read_header(path: Path, case: str) -> NiftiHeader:
    """What the header says, checked against the size of the file.

    Raises:
        Unreadable: the file is no NIfTI, damaged, or shorter than its header says.
    """
    says = header_file(path, case)
    head, size = first_bytes(says, case)
    zipped = head[:2] == b"\x1f\x8b"
    if not zipped:
        refuse_text(head, says, case, _EXPECTED)
    try:
        with _stream(says, zipped) as stream:
            block = stream.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise _cut(says, case, f"ends inside its header, {size} bytes long") from error
    header = _parsed(block, says, case, pair=says != path)
    if says != path:
        head, size = first_bytes(path, case, 2)
        zipped = head == b"\x1f\x8b"
    room = inflated_at_most(size) if zipped else size
    if header.offset + header.n_bytes > room:
        shape = (*header.geometry.shape[::-1], *([header.channels] if header.channels > 1 else []))
        have = max(0, room - header.offset)
        most = "at most " if zipped else ""
        raise Unreadable(
            case,
            f"{most}{have} bytes of voxels in {path}",
            f"{header.n_bytes} bytes, as its header says (shape {shape} of {header.dtype})",
            f"it is cut off or its header is damaged; {COPY_AGAIN}",
        )
    return header


def header_file(path: Path, case: str) -> Path:
    """Where the header stands: in the file itself, or in the .hdr beside an .img.

    Raises:
        Unreadable: there is no .hdr beside an .img.
    """
    lower = path.name.lower()
    ending = next((ending for ending in (".img", ".img.gz") if lower.endswith(ending)), None)
    if ending is None:
        return path
    stem = path.name[: -len(ending)]
    names = [stem + end for plain in (".hdr", ".hdr.gz") for end in (plain, plain.upper())]
    for name in names:
        if path.with_name(name).exists():
            return path.with_name(name)
    raise Unreadable(
        case, f"{path} without its header", f"{stem}.hdr beside it", "copy both files of the pair"
    )


def read_voxels(path: Path, case: str) -> Stored:
    """Voxels in the type on disk and the header's scaling, slowest axis first.

    Raises:
        Unreadable: the file is no NIfTI, damaged, or cut off.
    """
    header = read_header(path, case)
    raw, spare = _inflated(path, case, header)
    if header.dtype.names:  # RGB and RGBA are structures of bytes
        colours: NDArray = raw.view(header.dtype)
        array = np.stack([colours[name] for name in header.dtype.names[:3]])
        array = array.reshape(-1, *header.geometry.shape)
    else:
        array = raw.view(header.dtype).reshape(header.channels, *header.geometry.shape)
        if not array.dtype.isnative:  # turned round where they lie: the bytes are ours
            array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    scale = None if header.slope is None else (header.slope, header.intercept)
    more = (spare_bytes(spare, header.n_bytes, path, case),) if spare else ()
    return Stored(tuple(array), (scale,) * len(array), header.geometry, (*header.notes, *more))


def _stream(path: Path, zipped: bool) -> BinaryIO:
    # By content, not by name: a plain file named .nii.gz is common and harmless.
    return gzip.open(path, "rb") if zipped else open(path, "rb")  # type: ignore[return-value]


def _cut(path: Path, case: str, how: str) -> Unreadable:
    return Unreadable(case, f"{path} that {how}", f"{_EXPECTED}, whole", COPY_AGAIN)


def _inflated(path: Path, case: str, header: NiftiHeader) -> tuple[NDArray[np.uint8], int]:
    """The bytes of the voxels, and how many follow them."""
    wanted = header.n_bytes
    got = spare = 0
    try:
        buffer = np.empty(wanted, np.uint8)
        for piece in _pieces(path, first_bytes(path, case, 2)[0] == b"\x1f\x8b", header.offset):
            # What follows the voxels is read too: the checksum stands behind it.
            part = np.frombuffer(piece, np.uint8)[: wanted - got]
            buffer[got : got + len(part)] = part
            got += len(part)
            spare += len(piece) - len(part)
    except MemoryError as error:
        raise Unreadable(
            case, f"{wanted} bytes of voxels in {path}", "an image that fits into memory", "crop it"
        ) from error
    except EOFError as error:
        how = f"{got} of {wanted} bytes of voxels" if got < wanted else "its checksum is missing"
        raise _cut(path, case, f"is cut off: {how}") from error
    except (OSError, zlib.error) as error:
        how = f"is damaged ({error})"
        raise _cut(path, case, how) from error
    if got < wanted:
        raise _cut(path, case, f"is cut off: {got} of {wanted} bytes of voxels")
    return buffer, spare


def _pieces(path: Path, zipped: bool, offset: int) -> Iterator[bytes | memoryview]:
    """The content from `offset` on, inflated, piece by piece.

    `gzip` would give all or nothing; here what stands before the damage comes out
    first, so that it can be counted.

    Raises:
        EOFError: the compressed stream ends early.
        OSError: the disk fails.
        zlib.error: the compressed stream is damaged.
    """
    with open(path, "rb") as file:
        if not zipped:
            file.seek(offset)
            yield from iter(lambda: file.read(_CHUNK), b"")
            return
        inflater = zlib.decompressobj(wbits=31)
        first, begun = True, False  # is this the first member, and was some of it seen?
        while chunk := file.read(_CHUNK):
            while chunk:
                try:
                    piece = inflater.decompress(chunk, _CHUNK)
                except zlib.error:
                    if first or begun:
                        raise
                    return  # what stands behind a whole member is of no concern
                chunk, begun = inflater.unconsumed_tail, True
                if inflater.eof:  # several members may follow one another, as pigz writes them
                    chunk = inflater.unused_data
                    inflater, begun, first = zlib.decompressobj(wbits=31), False, False
                skipped = min(offset, len(piece))
                offset -= skipped
                yield memoryview(piece)[skipped:]
        if begun or first:
            raise EOFError


def _parsed(block: bytes, path: Path, case: str, *, pair: bool) -> NiftiHeader:
    from nibabel.analyze import AnalyzeHeader
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    lengths = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    kind = Nifti1Header if 348 in lengths else Nifti2Header if 540 in lengths else None
    if kind is None:
        raise damaged(path, case, f"it begins with {min(lengths)} where 348 or 540 must stand")
    length = 348 if kind is Nifti1Header else 540
    if len(block) < length:
        raise _cut(path, case, f"ends inside its header, after {len(block)} bytes")
    # An Analyze header is as long, and has no magic word where NIfTI has one.
    analyze = kind is Nifti1Header and block[344:346] != b"n+" and block[344:346] != b"ni" and pair
    try:
        # nibabel mends what it can and tells it to its own logger, which prints.
        header = (AnalyzeHeader if analyze else kind)(block[:length], check=False)
        header.check_fix(logger=_SILENT, error_level=40)
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        dims = tuple(int(length) for length in header.get_data_shape())
        # In a pair the header's own length, where some programs write it, is no offset.
        offset = int(header.get_data_offset())
    # nibabel's HeaderDataError is an Exception of its own; broken numbers raise the others.
    except Exception as error:
        raise damaged(path, case, " ".join(str(error).split()) or type(error).__name__) from error
    if any(length < 1 for length in dims) or offset < 0:
        raise damaged(path, case, f"it says the shape is {dims} and voxels begin at byte {offset}")
    if dtype.kind not in "iufbV":
        raise Unreadable(case, f"voxels of type {dtype} in {path}", "numbers", "store real numbers")
    spatial, channels = _axes(dims, path, case)
    plain = slope is None or (slope == 1 and not intercept)
    geometry, notes = placed(header, analyze, spatial, path, case)
    if not analyze and float(header["scl_slope"]) == 0 and float(header["scl_inter"]) != 0:
        notes = (*notes, _intercept_alone(float(header["scl_inter"]), path, case))
    return NiftiHeader(
        geometry=geometry,
        channels=channels,
        dtype=dtype,
        offset=offset,
        slope=None if plain else float(slope),
        intercept=0.0 if plain else float(intercept),
        notes=notes,
    )


def _axes(dims: tuple[int, ...], path: Path, case: str) -> tuple[tuple[int, ...], int]:
    """(x, y[, z]) and the number of channels."""
    while len(dims) > 3 and dims[-1] == 1:
        dims = dims[:-1]
    if len(dims) == 2 or len(dims) == 3:
        return dims, 1
    if len(dims) == 4:
        return dims[:3], dims[3]
    raise Unreadable(
        case,
        f"an array with {len(dims)} axes, {dims}, in {path}",
        "2 or 3 axes in space, and at most one more for channels",
        "store one volume per file",
    )


def _intercept_alone(intercept: float, path: Path, case: str) -> Finding:
    return note(
        case,
        "two_scales",
        "a slope beside an intercept",
        f"slope 0, which means no scaling, and intercept {intercept:.6g} in {path.name}, which ITK adds",
        "read without it, as the standard has it; write the slope 1 if the intercept is meant",
    )
