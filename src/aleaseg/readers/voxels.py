"""The one door for file formats: every voxel of an image or a label map comes through here.

nibabel reads NIfTI; SimpleITK reads NRRD, MHA, PNG and TIFF. What goes wrong
becomes one of three errors, whatever the library raised: `Unreadable`,
`ShapeMismatch`, `BadVoxels`.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Finding, Geometry, Stored, Voxels
from aleaseg.errors import BadVoxels, ShapeMismatch, Unreadable
from aleaseg.readers import itk, nifti
from aleaseg.readers.beside import exif_orientation
from aleaseg.readers.files import FLAT_ENDINGS, split_ending
from aleaseg.readers.fit import differs_in_world
from aleaseg.readers.headers import note, stated_spacing
from aleaseg.readers.segments import read_segments
from aleaseg.run import write_aside

__all__ = [
    "ImageFiles",
    "count_channels",
    "lazy_case",
    "read_geometry",
    "read_image",
    "read_label",
    "write_nifti",
    "write_png",
]


def lazy_case(
    case_id: str,
    images: Sequence[Path],
    label: Path | None = None,
    *,
    channels: int | None = None,
    to_one: Sequence[int] = (),
    drop: Sequence[int] = (),
    by_name: Mapping[str, int] | None = None,
) -> Case:
    """A case of image files and at most one label file; nothing is opened, and it can be pickled.

    Args:
        case_id: any text.
        images: one file per channel, or one file with all of them.
        label: the label map.
        channels: see `read_image`.
        to_one: see `read_label`.
        drop: see `read_label`.
        by_name: name of a segment -> label value, where the label is a segmentation of Slicer.
    """
    images = tuple(images)
    read: Callable[[], Voxels] | None = None
    if label is not None:
        read = (
            partial(read_label, label, case_id, tuple(to_one), tuple(drop))
            if by_name is None
            else partial(read_segments, label, case_id, by_name)
        )
    return Case(
        id=case_id,
        image_files=images,
        label_files=() if label is None else (label,),
        read_image=ImageFiles(images, case_id, channels),
        read_label=read,
        read_geometry=partial(read_geometry, images[0], case_id),
    )


def read_image(paths: Sequence[Path], case_id: str, channels: int | None = None) -> Voxels:
    """An image, one channel per file or all channels in one file.

    Args:
        paths: in the order of the channels.
        case_id: for error messages.
        channels: how many must come out. A gray picture stored as RGB, all three
            the same, is one channel unless three are asked for.

    Returns:
        float32 (channel, *spatial) with the file's scaling applied. Channels whose
        spacing or position differ are told in `notes`.

    Raises:
        Unreadable: a file cannot be read as what it says it is.
        ShapeMismatch: the channels differ in shape, or there are too many or too few.
    """
    return ImageFiles(tuple(paths), case_id, channels)()


@dataclass(frozen=True)
class ImageFiles:
    """The files of an image: see `read_image`, which gives its values."""

    paths: tuple[Path, ...]
    case_id: str
    channels: int | None = None

    def __call__(self) -> Voxels:
        """The values, in float32."""
        return self.stored().values()

    def stored(self) -> Stored:
        """What the files hold, in their own types.

        Raises:
            CaseError: as `read_image` does.
        """
        paths, case_id = self.paths, self.case_id
        parts = [_read(path, case_id) for path in paths]
        first = parts[0]
        if len(parts) == 1:
            found = _grey(first, paths[0], self.channels)
        else:
            wanted = first.channels[0].shape
            for path, part in zip(paths, parts, strict=True):
                if len(part.channels) != 1 and not _is_grey(part.channels, path):
                    raise ShapeMismatch(
                        case_id,
                        f"{len(part.channels)} channels in {path}",
                        "one channel per file, as this case has several files",
                        "store each channel in a file of its own",
                    )
                if part.channels[0].shape != wanted:
                    raise ShapeMismatch(
                        case_id,
                        f"shape {part.channels[0].shape} in {path.name} and {wanted} in {paths[0].name}",
                        "one shape for all channels",
                        "resample the channels to one grid",
                    )
            found = replace(
                first,
                channels=tuple(part.channels[0] for part in parts),
                scales=tuple(part.scales[0] for part in parts),
            )
        if self.channels is not None and len(found.channels) != self.channels:
            raise ShapeMismatch(
                case_id,
                f"{len(found.channels)} channel(s) in {', '.join(path.name for path in paths)}",
                f"{self.channels} channel(s), as in the other cases",
                "add what is missing, or leave the case out",
            )
        apart = _channels_apart(paths, [part.geometry for part in parts], case_id)
        return replace(found, notes=(*(told for part in parts for told in part.notes), *apart))


def read_label(
    path: Path,
    case_id: str,
    to_one: Sequence[int] = (),
    drop: Sequence[int] = (),
) -> Voxels:
    """A label map.

    Args:
        path: the file.
        case_id: for error messages.
        to_one: values that all mean 1: in a binary mask {0, k}, k.
        drop: values of classes that were not asked for; they become background.

    Returns:
        int16, or int32 where values need it, (*spatial).

    Raises:
        Unreadable: the file cannot be read as what it says it is.
        BadVoxels: values that are no whole numbers.
    """
    found = _read(path, case_id, indices=True)
    if len(found.channels) > 1 and not _is_grey(found.channels, path):
        raise Unreadable(
            case_id,
            f"{len(found.channels)} channels that differ, in {path}",
            "one whole number per voxel",
            "store the number of the class, not a colour or one layer per class",
        )
    label = _whole(Stored.scaled(found.channels[0], found.scales[0]), path, case_id)
    if label.size and all((flat == label.flat[0]).all() for flat in label) and itk.opacity_varies(path):
        raise BadVoxels(
            case_id,
            f"one colour everywhere in {path}, and an opacity that varies",
            "a mask in the values of the picture",
            "write the opacity as a mask of its own, without a fourth channel",
        )
    if len(drop):
        label = np.where(np.isin(label, drop), label.dtype.type(0), label)
    if len(to_one):
        label = np.where(np.isin(label, to_one), label.dtype.type(1), label)
    return Voxels(np.ascontiguousarray(label), found.geometry, found.notes)


def read_geometry(path: Path, case_id: str) -> Geometry:
    """Geometry of the spatial axes, from the header alone.

    Raises:
        Unreadable: the file cannot be read as what it says it is.
    """
    return _header(path, case_id)[0]


def count_channels(path: Path, case_id: str) -> int:
    """How many channels one file holds; a gray picture stored as RGB counts 1.

    Raises:
        Unreadable: the file cannot be read as what it says it is.
    """
    count = _header(path, case_id)[1]
    if count == 3 and _is_flat(path):
        return len(_grey(_read(path, case_id), path, None).channels)
    return count


def write_nifti(path: Path, array: NDArray, geometry: Geometry) -> None:
    """Write a NIfTI file aside and rename it; the same voxels give the same bytes.

    Args:
        path: ends in .nii or .nii.gz.
        array: (*spatial) or (channel, *spatial); channels become the last axis on disk.
        geometry: as `read_image` gives it; without an affine the file declares no world.
    """
    import nibabel

    array = np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype in (np.int64, np.uint64):  # readers of NIfTI seldom know 64-bit integers
        array = array.astype(np.int32)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    n = len(geometry.shape)
    channel_first = array.ndim == n + 1
    disk = array.T if not channel_first else np.moveaxis(array, 0, -1).transpose(*range(n - 1, -1, -1), n)
    affine = None if geometry.affine is None else np.asarray(geometry.affine)[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(disk, affine)
    image.header.set_zooms((*geometry.spacing_mm[::-1], *([1.0] if channel_first else [])))
    if affine is not None:
        image.set_sform(affine, code=1)
        # A sheared affine has no quaternion; the sform alone then holds the world.
        image.header["qform_code"] = 0
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    write_aside(Path(path), gzip.compress(content, 6, mtime=0) if str(path).endswith(".gz") else content)


def write_png(path: Path, array: NDArray) -> None:
    """Write a PNG aside and rename it.

    Args:
        path: ends in .png.
        array: bool, uint8 or uint16 (H, W), or uint8 (3, H, W).
    """
    from PIL import Image

    array = np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG")
    write_aside(Path(path), buffer.getvalue())


def _is_flat(path: Path) -> bool:
    return path.suffix.lower() in FLAT_ENDINGS


def _is_nifti(path: Path, case: str) -> bool:
    found = split_ending(path.name)
    if found is None:
        raise Unreadable(
            case,
            f"the file {path}, whose ending is not known",
            "a file ending in .nii.gz, .nii, .img, .nrrd, .mha, .mhd, .png or .tif",
            "convert it",
        )
    return found[1].lower() in (".nii.gz", ".nii", ".img", ".img.gz")


def _read(path: Path, case: str, *, indices: bool = False) -> Stored:
    """The voxels of one file; `indices`: of a palette, not its colours."""
    if _is_nifti(path, case):
        stored = nifti.read_voxels(path, case)
    else:
        flat = itk.read_flat_indices(path, case) if indices else None
        voxels = itk.read_voxels(path, case) if flat is None else Voxels(*flat)
        array = voxels.array
        stored = Stored(tuple(array), (None,) * len(array), voxels.geometry, voxels.notes)
    geometry, notes = stated_spacing(stored.geometry, path, case, flat=_is_flat(path))
    turned = exif_orientation(path) if _is_flat(path) else None
    if turned:
        notes = (*notes, _turned(turned, path, case))
    return replace(stored, geometry=geometry, notes=(*stored.notes, *notes))


def _header(path: Path, case: str) -> tuple[Geometry, int]:
    if _is_nifti(path, case):
        header = nifti.read_header(path, case)
        geometry = header.geometry
        # RGB and RGBA: voxels of three colours, as `nifti.read_voxels` gives them.
        channels = header.channels * (3 if header.dtype.names else 1)
    else:
        geometry, channels = itk.header_and_channels(path, case)
    return stated_spacing(geometry, path, case, flat=_is_flat(path))[0], channels


def _turned(how: str, path: Path, case: str) -> Finding:
    return note(
        case,
        "exif_orientation",
        "a picture that is stored as it is shown",
        f"{path.name}, stored {how} as its EXIF orientation says",
        "it was read as it is stored, as ITK and nnU-Net do, and viewers turn it; if its mask was drawn on what a "
        "viewer shows, turn the stored picture and take the orientation out",
    )


def _is_grey(channels: Sequence[NDArray], path: Path) -> bool:
    """Whether three channels of a picture are one gray picture."""
    return (
        len(channels) == 3
        and _is_flat(path)
        and np.array_equal(channels[0], channels[1])
        and np.array_equal(channels[0], channels[2])
    )


def _grey(found: Stored, path: Path, channels: int | None) -> Stored:
    """One channel where colour says nothing; three where three are wanted."""
    if channels == 3 and len(found.channels) == 1 and _is_flat(path):
        return replace(found, channels=found.channels * 3, scales=found.scales * 3)
    if channels != 3 and _is_grey(found.channels, path):
        return replace(found, channels=found.channels[:1], scales=found.scales[:1])
    return found


def _whole(array: NDArray, path: Path, case: str) -> NDArray[Any]:
    """Whole numbers in the smallest of int16 and int32 that holds them."""
    if array.dtype.kind == "f":
        # Slice by slice: the array may be the largest thing in memory.
        broken = [flat[~np.isfinite(flat) | (np.floor(flat) != flat)] for flat in np.atleast_1d(array)]
        if any(one.size for one in broken):
            found = np.concatenate(broken)
            values = np.unique(found)[:4]
            raise BadVoxels(
                case,
                f"label values that are no whole numbers ({', '.join(f'{value:.4g}' for value in values)}) "
                f"at {found.size} voxels in {path}",
                "whole numbers",
                "write the mask again with nearest-neighbour interpolation and an integer type",
            )
    if array.dtype in (np.uint8, np.int8, np.int16):  # whatever it holds
        return array.astype(np.int16, copy=False)
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    for kind in (np.int16, np.int32):
        if low >= np.iinfo(kind).min and high <= np.iinfo(kind).max:
            return array.astype(kind, copy=False)
    raise BadVoxels(
        case, f"label values up to {high:.4g} in {path}", "values below 2^31", "number the classes"
    )


def _channels_apart(
    paths: Sequence[Path], geometries: Sequence[Geometry], case: str
) -> tuple[Finding, ...]:
    apart: Mapping[str, str] = {
        path.name: how
        for path, geometry in zip(paths[1:], geometries[1:], strict=True)
        if (how := differs_in_world(geometries[0], geometry))
    }
    return tuple(
        Finding(
            case,
            "error",
            "channel_geometry",
            f"the geometry of {paths[0].name}",
            f"{name}: {how}",
            "resample the channels to one grid, or correct the header",
        )
        for name, how in apart.items()
    )
