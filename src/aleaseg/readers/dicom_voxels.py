"""The voxels of a DICOM series: each slice, or each frame of an enhanced file, rescaled by its own numbers.

GDCM (through SimpleITK) reads slices, each file for itself, as a slope and an intercept may stand in each;
pydicom reads the frames of enhanced multi-frame files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry, Voxels
from aleaseg.errors import Unreadable
from aleaseg.readers.dicom_header import Frame, quiet_pydicom, read_header
from aleaseg.readers.dicom_stack import Stack, stack_of
from aleaseg.readers.files import COPY_AGAIN
from aleaseg.readers.itk import quiet_itk, reason

__all__ = ["read_series", "series_geometry"]


def series_geometry(files: Sequence[Path], case_id: str) -> Geometry:
    """Geometry from the headers alone.

    Raises:
        Unreadable: no series, more than one, or a header that cannot be read.
    """
    return stack_of(files, case_id).geometry


def read_series(files: Sequence[Path], case_id: str) -> Voxels:
    """The voxels of a series, slices in the order of their positions.

    Returns:
        float32 (1, D, H, W); value = slope * stored + intercept of each slice (Hounsfield units for CT),
        with notes where positions are uneven, askew or missing, and on files that are no slices.

    Raises:
        Unreadable: no series, more than one, or a slice that cannot be read.
    """
    stack = stack_of(files, case_id)
    try:
        array = np.empty(stack.geometry.shape, np.float32)
    except (MemoryError, ValueError) as error:
        size = f"a series of {stack.geometry.shape} voxels in {files[0].parent}"
        raise Unreadable(case_id, size, "an image that fits into memory", "crop it") from error
    opened: dict[Path, NDArray] = {}
    for place, one in enumerate(stack.frames):
        if one.frame is not None and one.path not in opened:
            opened = {one.path: _stored_frames(one.path, stack, case_id)}
        values = _slice_values(one, case_id) if one.frame is None else opened[one.path][one.frame]
        if values.shape != one.size:
            raise Unreadable(
                case_id,
                f"an array of shape {values.shape} in {one.path}",
                f"a gray slice, {one.size} as its header says",
                "export the series as one plain gray image per slice",
            )
        if one.frame is not None:
            values = values.astype(np.float64) * one.rescale[0] + one.rescale[1]
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check tells
            array[place] = values
    return Voxels(array[None], stack.geometry, stack.notes)


def _slice_values(one: Frame, case: str) -> NDArray:
    """Values of a file of one slice, rescaled, (H, W)."""
    sitk = quiet_itk()
    try:
        array: NDArray = sitk.GetArrayFromImage(sitk.ReadImage(str(one.path)))
        if one.table:
            from pydicom.pixels.processing import apply_modality_lut

            array = apply_modality_lut(array, read_header(one.path, case))
    except (RuntimeError, MemoryError, ValueError, AttributeError, IndexError) as error:
        raise _broken(one.path, reason(error), case) from error
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def _stored_frames(path: Path, stack: Stack, case: str) -> NDArray:
    """Stored values of all frames of a multi-frame file, (frame, H, W), before they are rescaled."""
    import pydicom

    read_header(path, case)
    try:
        with quiet_pydicom():
            array: NDArray = pydicom.dcmread(path).pixel_array
        return array[None] if array.ndim == 2 else array
    # pydicom lacks a decoder for some ways of packing, or meets damage in as many ways.
    except Exception as error:
        why = " ".join(str(error).split())[:160]
        mine = {frame.rescale for frame in stack.frames if frame.path == path}
        if mine != {(1.0, 0.0)}:  # GDCM would rescale all frames as the first
            raise _broken(path, why, case) from error
    try:
        packed: NDArray = quiet_itk().GetArrayFromImage(quiet_itk().ReadImage(str(path)))
        return packed
    except (RuntimeError, MemoryError, ValueError) as error:
        raise _broken(path, reason(error), case) from error


def _broken(path: Path, why: str, case: str) -> Unreadable:
    return Unreadable(
        case,
        f"a series in {path.parent} that cannot be read ({path.name}: {why})",
        "DICOM slices",
        COPY_AGAIN,
    )
