"""What one file of predictions holds: an .npz archive, a label map, or probabilities as an image."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case
from aleaseg.errors import CaseError, Unreadable
from aleaseg.predictions.claims import refuse_range
from aleaseg.predictions.prediction import Kind
from aleaseg.readers.voxels import ImageFiles, read_label

__all__ = ["PICTURES", "Held", "read_held"]

PICTURES = (".png", ".tif", ".tiff")
"""Endings of files that hold a label map and nothing else."""
# What NumPy, zip and deflate raise at bytes that are not what they should be.
_DAMAGE = (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
_KEYS = ("probabilities", "softmax", "logits")
_UNSURE, _REGIONS = "uncertainty", "regions"


class Held(NamedTuple):
    """What a file holds.

    Attributes:
        maps: of channels, or a label map.
        kind: what they are.
        stated: the uncertainty, where there is one.
        regions: names of the channels where each is a region; None: nothing says so.
    """

    maps: NDArray
    kind: Kind
    stated: NDArray | None = None
    regions: tuple[str, ...] | None = None


def read_held(path: Path, case: Case) -> Held:
    """Read it.

    Args:
        path: the file.
        case: for the error's text.

    Raises:
        Unreadable: it is damaged, or holds no finite numbers.
        BadVoxels: an image's numbers are neither labels nor probabilities.
    """
    if path.suffix.lower() != ".npz":
        return Held(*_from_image(path, case))
    try:
        # Opened here: NumPy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a bare array")
            key = next((key for key in _KEYS if key in archive.files), None)
            if key is None and len(archive.files) == 1:
                key = archive.files[0]
            if key is None:
                raise Unreadable(
                    case.id,
                    f"{path.name} with the keys {', '.join(archive.files) or '(none)'}",
                    f"one of {', '.join(_KEYS)}",
                    "train with `nnUNetv2_train ... --npz`",
                )
            array = np.asarray(archive[key])
            beside = _UNSURE in archive.files and key != _UNSURE
            stated = np.asarray(archive[_UNSURE]) if beside else None
            named = archive[_REGIONS] if _REGIONS in archive.files and key in _KEYS else None
            regions = None if named is None else tuple(str(name) for name in np.ravel(named))
    except _DAMAGE as error:
        raise Unreadable(
            case.id,
            f"{path.name}, which cannot be read ({error})",
            "an .npz archive",
            "predict the case again",
        ) from error
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise _no_numbers(path, case)
    kind: Kind = "logit" if key == "logits" else "probability"
    return Held(np.asarray(array, dtype=np.float32), kind, stated, regions)


def _no_numbers(path: Path, case: Case) -> Unreadable:
    found = f"{path.name} with values that are no finite numbers"
    return Unreadable(case.id, found, "probabilities", "predict the case again")


def _from_image(path: Path, case: Case) -> tuple[NDArray, Kind]:
    """A label map (1, *spatial), or probabilities (channel, *spatial), from an image file."""
    try:
        if path.suffix.lower() in PICTURES:
            return read_label(path, case.id).array[None], "label"
        found = ImageFiles((path,), case.id).stored()
        if len(found.channels) == 1 and found.scales == (None,) and found.channels[0].dtype.kind in "iu":
            return found.channels[0][None], "label"
        array = found.values().array
    except CaseError as error:
        raise Unreadable(case.id, error.found, "a prediction", "predict the case again") from error
    # NaN is no whole number either.
    if len(array) == 1 and (np.floor(array) == array).all():
        return array, "label"
    if not np.isfinite(array).all():
        raise _no_numbers(path, case)
    refuse_range(array, path, case)
    return array.clip(0, 1), "probability"
