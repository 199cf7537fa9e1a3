"""The one door for .npz files: arrays by name, headers before voxels, objects never unpacked."""

from __future__ import annotations

from math import prod
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from aleaseg.errors import BadVoxels, Unreadable
from aleaseg.readers.files import COPY_AGAIN, first_bytes, inflated_at_most, refuse_text

__all__ = ["ENDING", "Headers", "read_array", "read_headers", "refuse_objects"]

ENDING = ".npz"
Headers = dict[str, tuple[tuple[int, ...], DTypeLike]]
"""Array -> shape and type."""


def read_headers(path: Path, case_id: str) -> Headers:
    """Shape and type of every array of a file; no voxel is read.

    Raises:
        Unreadable: it is no .npz file, or cut off.
        BadVoxels: an array holds no numbers.
    """
    refuse_text(first_bytes(path, case_id)[0], path, case_id, f"an {ENDING} file")
    try:
        return _headers(path)
    except Exception as error:
        raise _damaged(path, case_id, error) from error


def refuse_objects(headers: Headers, names: tuple[str, ...], path: Path, case_id: str) -> None:
    """Raise `BadVoxels` where one of the arrays holds no numbers."""
    for name in names:
        kind = np.dtype(headers[name][1])
        if kind.kind not in "buif":
            raise BadVoxels(
                case_id,
                f"{name} of type {kind} in {path}",
                "whole numbers, floating-point numbers or booleans",
                "write it again as numbers; objects are never unpacked, since they can run code",
            )


def read_array(path: Path, case_id: str, name: str) -> NDArray:
    """One array of a file whose headers were read.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray = arrays[name]
            return array
    except Exception as error:
        raise _damaged(path, case_id, error) from error


def _headers(path: Path) -> Headers:
    found: Headers = {}
    with ZipFile(path) as archive:
        for about in archive.infolist():
            if not about.filename.endswith(".npy"):
                continue
            with archive.open(about) as file:
                old = npy.read_magic(file) == (1, 0)
                read = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
                shape, _, kind = read(file)
            # A header may claim any size; memory is taken for it before the data are seen to end.
            held = min(about.file_size, inflated_at_most(about.compress_size))
            if not kind.hasobject and prod(shape) * kind.itemsize > held:
                raise ValueError(f"{about.filename} says it is {shape} of {kind}, and is shorter")
            found[about.filename.removesuffix(".npy")] = shape, kind
    return found


def _damaged(path: Path, case_id: str, error: Exception) -> Unreadable:
    """Whatever zipfile, zlib and NumPy have to say of a broken file."""
    told = " ".join(str(error).split()) or type(error).__name__
    return Unreadable(
        case_id,
        f"{path} that cannot be read ({told})",
        f"an {ENDING} file as NumPy writes it",
        COPY_AGAIN,
    )
