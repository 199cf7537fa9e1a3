"""NRRD, MHA, MHD, PNG, TIFF and JPEG through SimpleITK, errors in one line."""

from __future__ import annotations

import math
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Finding, Geometry, Voxels
from aleaseg.errors import Unreadable
from aleaseg.readers.files import COPY_AGAIN, FLAT_ENDINGS, first_bytes, refuse_text
from aleaseg.readers.headers import skewed_axes, spare_bytes, units_note
from aleaseg.readers.text_header import inflated_bytes, length_unit, notes, stored

__all__ = [
    "geometry_of",
    "header_and_channels",
    "opacity_varies",
    "quiet_itk",
    "read_flat_indices",
    "read_voxels",
    "reason",
]

# LZW and JPEG pack an even picture tighter than deflate does.
_FLAT_RATIO = 20_000
# ITK takes half a JPEG or BMP for a whole one; Pillow does not.
_PNG = b"\x89PNG\r\n\x1a\n"
_BY_PILLOW = (".jpg", ".jpeg", ".bmp")


def quiet_itk() -> Any:
    """SimpleITK, its warnings to stderr switched off (failures still raise)."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def reason(error: BaseException) -> str:
    """ITK's page of text in a few words; most of it is about ITK's own build."""
    text = str(error)
    if "Unable to determine ImageIO" in text:
        return "its content is not what its name says, or its header is damaged"
    said = re.findall(r"^\[nrrd\] \w+: (.+)$", text, re.MULTILINE)
    return str(said[-1])[:160] if said else "damaged or cut off"


@dataclass(frozen=True)
class _Header:
    geometry: Geometry
    channels: int


def header_and_channels(path: Path, case: str) -> tuple[Geometry, int]:
    """Geometry and number of channels, from the header alone.

    Raises:
        Unreadable: the file is damaged or not what its name says.
    """
    if _by_pillow_better(path, case):
        array, geometry = _by_pillow(path, case)
        return geometry, len(array)
    with _reader(path, case) as reader:
        header = _header(reader, path, case)
    return header.geometry, header.channels


def read_voxels(path: Path, case: str) -> Voxels:
    """Voxels in the type on disk, (channel, *spatial), slowest axis first. Alpha is dropped.

    Raises:
        Unreadable: the file is damaged or not what its name says.
    """
    if _by_pillow_better(path, case):
        return Voxels(*_by_pillow(path, case))
    sitk = quiet_itk()
    with _reader(path, case) as reader:
        header = _header(reader, path, case)
        spare = _counted(reader, path, case)
        try:
            image = reader.Execute()
            array: NDArray = sitk.GetArrayFromImage(image)
        except (RuntimeError, MemoryError, ValueError) as error:
            raise _unreadable(path, case, error) from error
        vector = image.GetNumberOfComponentsPerPixel() > 1
    if vector:
        array = np.moveaxis(array, -1, 0)[: header.channels]
    else:
        array = array.reshape(header.channels, *header.geometry.shape)
    return Voxels(
        np.ascontiguousarray(array), header.geometry, (*_notes(header.geometry, path, case), *spare)
    )


def _counted(reader: Any, path: Path, case: str) -> tuple[Finding, ...]:
    """A note where more voxels are stored than the header says.

    Raises:
        Unreadable: a deflated stream holds fewer.
    """
    if path.suffix.lower() in FLAT_ENDINGS:
        return ()
    behind = stored(path, case, path.stat().st_size)
    wanted = _wanted(reader)
    if behind is None:
        return ()
    if behind.packed is not None:
        have = inflated_bytes(*behind.packed, wanted)
        if have < wanted:
            raise _short(have, wanted, reader, path, case)
        return (spare_bytes(1, wanted, path, case),) if have > wanted else ()
    more = behind.n_bytes - wanted
    return (spare_bytes(more, wanted, path, case),) if behind.plain and more > 0 else ()


def _notes(geometry: Geometry, path: Path, case: str) -> tuple[Finding, ...]:
    if path.suffix.lower() in FLAT_ENDINGS:
        return ()
    unit = length_unit(path)
    return (
        *notes(path, geometry.spacing_mm, case),
        *skewed_axes(geometry, path, case),
        *((units_note(*unit, geometry.spacing_mm, path, case),) if unit else ()),
    )


def read_flat_indices(path: Path, case: str) -> tuple[NDArray, Geometry] | None:
    """The indices of a PNG with a palette, (1, H, W): there the index is the label, not the colour.

    Returns:
        None where the file is no PNG with a palette.
    """
    head, _ = first_bytes(path, case, 26)
    if not head.startswith(b"\x89PNG") or len(head) < 26 or head[25] != 3:
        return None
    from PIL import Image

    try:
        with Image.open(path) as picture:
            array = np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(path, case, error) from error
    return array[None], Geometry(array.shape, (1.0, 1.0), None)


def opacity_varies(path: Path) -> bool:
    """Whether a picture has an opacity that is not the same everywhere; it is no channel and is not read."""
    if path.suffix.lower() not in (".png", ".tif", ".tiff"):
        return False
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode not in ("RGBA", "LA"):
                return False
            low, high = picture.getchannel("A").getextrema()
            return bool(low != high)
    # The reader of voxels has judged the file already.
    except Exception:
        return False


def _by_pillow_better(path: Path, case: str) -> bool:
    if path.suffix.lower() in _BY_PILLOW:
        return True
    # A gray PNG with opacity is a pixel type that SimpleITK does not know.
    head = first_bytes(path, case, 26)[0]
    return head.startswith(_PNG[:4]) and head[25:] == b"\x04"


def _by_pillow(path: Path, case: str) -> tuple[NDArray, Geometry]:
    from PIL import Image

    head, _ = first_bytes(path, case)
    refuse_text(head, path, case, f"a {path.suffix.lstrip('.').upper()} file")
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB"))
    # Pillow's DecompressionBombError is an Exception of its own.
    except Exception as error:
        raise _unreadable(path, case, error) from error
    array = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(array), Geometry(array.shape[1:], (1.0, 1.0), None)


def geometry_of(size: tuple[int, ...], spacing: Any, origin: Any, direction: Any) -> Geometry:
    """ITK's world (x, y, z; LPS+) as ours (array order; RAS+).

    Args:
        size: voxels along x, y[, z].
        spacing: mm, one per axis.
        origin: mm.
        direction: flat matrix of the axes' directions.
    """
    n = len(size)
    affine = np.eye(4)
    affine[:n, :n] = np.reshape(direction, (len(spacing), -1))[:n, :n] * np.asarray(spacing)[:n]
    affine[:n, 3] = np.asarray(origin)[:n]
    affine[:2] *= -1  # LPS to RAS
    return Geometry(size[::-1], tuple(float(mm) for mm in spacing[:n][::-1]), affine[:, [2, 1, 0, 3]])


def _unreadable(path: Path, case: str, error: BaseException) -> Unreadable:
    what = "more voxels than fit into memory" if isinstance(error, MemoryError) else reason(error)
    expected = f"a {path.suffix.lstrip('.').upper()} file, whole"
    return Unreadable(case, f"{path} that cannot be read ({what})", expected, COPY_AGAIN)


@contextmanager
def _reader(path: Path, case: str) -> Iterator[Any]:
    """A SimpleITK reader that has read the header of the file."""
    head, size = first_bytes(path, case)
    suffix = path.suffix.lower()
    expected = f"a {suffix.lstrip('.').upper()} file"
    # These two begin with text of their own.
    begins = {".nrrd": b"NRRD", ".nhdr": b"NRRD"}.get(suffix)
    own_text = head.startswith(begins) if begins else suffix in (".mha", ".mhd") and b"=" in head[:100]
    if not own_text:
        refuse_text(head, path, case, expected)
    if head.startswith(_PNG):
        _refuse_damaged_png(path, case)
    have: int | None = _FLAT_RATIO * size
    if suffix not in FLAT_ENDINGS:
        behind = stored(path, case, size)
        have = None if behind is None else behind.at_most
    sitk = quiet_itk()
    with _plain_name(path) as name:
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        try:
            reader.ReadImageInformation()
        except (RuntimeError, MemoryError, ValueError) as error:
            raise _unreadable(path, case, error) from error
        _refuse_short(reader, path, case, have)
        yield reader


def _refuse_damaged_png(path: Path, case: str) -> None:
    """Raise where a chunk of a PNG is cut off or differs from its checksum: libpng would print it to stderr."""
    content = path.read_bytes()
    place, kind, how = len(_PNG), b"", "cut off"
    while place + 12 <= len(content):
        kind = content[place + 4 : place + 8]
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        if zlib.crc32(content[place + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            how = "damaged"
            break
        if kind == b"IEND":
            return
        place = end + 4
    what = f"{path} that is {how} at byte {place} of {len(content)}"
    raise Unreadable(case, what, "a PNG file, whole", COPY_AGAIN)


@contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """A name that ITK, which knows UTF-8 only, can open: the path, or a link to it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, "file" + path.suffix)
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


def _refuse_short(reader: Any, path: Path, case: str, have: int | None) -> None:
    """Raise where the header promises more voxels than the file can hold, before memory is asked for."""
    wanted = _wanted(reader)
    if have is not None and wanted > have:
        raise _short(have, wanted, reader, path, case)


def _wanted(reader: Any) -> int:
    """Bytes of voxels as the header says."""
    pixel = quiet_itk().Image([1, 1], reader.GetPixelID(), reader.GetNumberOfComponents())
    each: int = pixel.GetSizeOfPixelComponent() * reader.GetNumberOfComponents()
    return math.prod(reader.GetSize()) * each


def _short(have: int, wanted: int, reader: Any, path: Path, case: str) -> Unreadable:
    return Unreadable(
        case,
        f"at most {have} bytes of voxels in {path}",
        f"{wanted} bytes, as its header says (shape {tuple(reader.GetSize())})",
        f"it is cut off or its header is damaged; {COPY_AGAIN}",
    )


def _header(reader: Any, path: Path, case: str) -> _Header:
    size = tuple(int(length) for length in reader.GetSize())
    components = int(reader.GetNumberOfComponents())
    flat = path.suffix.lower() in FLAT_ENDINGS
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    if len(size) not in (2, 3, 4) or (len(size) == 4 and components > 1):
        raise Unreadable(
            case,
            f"an array with {len(size) + (components > 1)} axes, {size}, in {path}",
            "2 or 3 axes in space, and at most one more for channels",
            "store one volume per file",
        )
    channels = size[3] if len(size) == 4 else components
    if flat:
        # The last of 2 or 4 is opacity.
        channels = {2: 1, 4: 3}.get(channels, channels)
        shape = size[:3][::-1]
        return _Header(Geometry(shape, (1.0,) * len(shape), None), channels)
    # ITK takes all lengths for mm, whatever unit stands beside them.
    mm = (length_unit(path) or ("mm", 1.0))[1]
    spacing, origin = (
        [mm * length for length in lengths] for lengths in (reader.GetSpacing(), reader.GetOrigin())
    )
    geometry = geometry_of(size[:3], spacing, origin, reader.GetDirection())
    return _Header(geometry, channels)
