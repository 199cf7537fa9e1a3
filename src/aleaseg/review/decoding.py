"""A case made ready to be looked at: its voxels as bricks on disk, and what a viewer has to know of them.

This runs in a process of its own: a damaged file or a large volume hurts no reader who waits for a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry
from aleaseg.pages.places import Maps, Sought, places
from aleaseg.pages.planes import planes_through
from aleaseg.pages.slices import as_volume, same_grid, shown_window
from aleaseg.predictions import Prediction, Predictions
from aleaseg.predictions.votes import most_votes
from aleaseg.review.bricks import brick_file, put
from aleaseg.run import write_json
from aleaseg.where.kept import DoubtMap

__all__ = ["decode_image", "decode_prediction"]

_SLAB = 32


def decode_image(folder: Path, case: Case, dataset: Dataset) -> None:
    """Write the image and the mask of a case, and `image.json`, which says that they are whole.

    Args:
        folder: of the case.
        case: of the data set.
        dataset: without its cases.

    Raises:
        CaseError: the image or the mask cannot be read.
        OSError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = case.read_image()
    notes: list[str] = []
    label = None if case.read_label is None else case.read_label().array
    label = same_grid(label, image.array.shape[1:], "mask", notes)
    _, (volume,) = as_volume(image.geometry, image.array)
    geometry, (label,) = as_volume(image.geometry, label)
    kind = _smallest(volume)
    for channel, one in enumerate(volume):
        _write(folder / f"image.{channel}.raw", one, kind)
    about: dict[str, Any] = {
        "shape": list(geometry.shape),
        "flat": image.array.ndim == 3,
        "spacing_mm": list(geometry.spacing_mm),
        "affine": None if geometry.affine is None else geometry.affine.tolist(),
        "planes": _planes(geometry),
        "channels": len(volume),
        "image": kind.str,
        "windows": [
            list(shown_window(one, label, dataset.is_ct and channel == 0))
            for channel, one in enumerate(volume)
        ],
        "ranges": [_range(one) for one in volume],
        "mask": None,
        "notes": notes,
    }
    if label is not None:
        about["mask"] = _whole(label).str
        _write(folder / "mask.raw", label, _whole(label))
        about["profile"] = [(label > 0).sum(axis=_others(axis)).tolist() for axis in range(3)]
    write_json(folder / "image.json", about, indent=None)


def decode_prediction(
    folder: Path,
    case: Case,
    dataset: Dataset,
    predictions: Predictions | None,
    sought: Sequence[Sought],
    kept: DoubtMap | None = None,
) -> None:
    """Write what is predicted of a case, where to look and where the doubt is; `prediction.json` says that it is whole.

    Args:
        folder: where its image is.
        case: of the data set.
        dataset: without its cases.
        predictions: of the run; None where it has none.
        sought: the reasons of its doubt.
        kept: where its mask is doubtful; None where the run does not say.

    Raises:
        CaseError: the mask or the prediction cannot be read.
        OSError: the disk is full.
    """
    notes: list[str] = []
    spatial = case.read_geometry().shape
    label = None if case.read_label is None else case.read_label().array
    label = same_grid(label, spatial, "mask", [])
    found = [] if predictions is None else predictions.read(case)
    if predictions is not None and not found:
        notes.append("Nothing is predicted of this case.")
    if found and any(one.shape != spatial for one in found):
        notes.append(f"The prediction is {found[0].shape}, the image {spatial}: it is not drawn.")
        found = []
    predicted = _labels(found) if found else None
    doubt = same_grid(None if kept is None else kept.bytes_of(), spatial, "map of doubt", notes)
    geometry, (label, predicted, doubt) = as_volume(case.read_geometry(), label, predicted, doubt)
    about: dict[str, Any] = {"prediction": None, "doubt": None, "notes": notes}
    if doubt is not None:
        about["doubt"] = doubt.dtype.str
        _write(folder / "doubt.raw", doubt, doubt.dtype)
    if predicted is not None:
        about["prediction"] = predicted.dtype.str
        _write(folder / "prediction.raw", predicted, predicted.dtype)
    maps = Maps(geometry.shape, geometry.spacing_mm, label, predicted, dataset.ignore, doubt)
    if label is not None and predicted is not None:
        differ = maps.difference()
        about["profile"] = [differ.sum(axis=_others(axis)).tolist() for axis in range(3)]
    about["places"] = [asdict(place) for place in places(maps, sought)]
    write_json(folder / "prediction.json", about, indent=None)


def _labels(found: Sequence[Prediction]) -> NDArray:
    """The label map, slice by slice: all channels of a volume on the case's grid may not fit into memory."""
    shape = found[0].shape
    kind = np.dtype(np.uint8 if max(one.largest for one in found) < 256 else np.uint16)
    if len(shape) == 2:
        return np.asarray(most_votes([one.labels() for one in found])).astype(kind)
    whole = np.empty(shape, kind)
    for k in range(shape[0]):
        whole[k] = most_votes([one.slice(0, k) for one in found])
    return whole


def _write(path: Path, volume: NDArray, kind: np.dtype) -> None:
    bricks = brick_file(path, volume.shape, kind)
    for first in range(0, len(volume), _SLAB):
        put(bricks, first, volume[first : first + _SLAB].astype(kind))


def _smallest(volume: NDArray) -> np.dtype:
    """The smallest type that holds every voxel as it is: whole numbers where all are, else float32."""
    low, high = float(volume.min()), float(volume.max())  # NaN where there is one: float32 then
    for kind in (np.uint8, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            if all(np.array_equal(np.rint(flat), flat) for one in volume for flat in one):
                return np.dtype(kind).newbyteorder("<")
            break
    return np.dtype("<f4")


def _range(channel: NDArray) -> list[float]:
    """The least and the largest grey value; voxels that are no number, for which a case may be looked at, count not."""
    low, high = float(channel.min()), float(channel.max())
    if not np.isfinite([low, high]).all():
        found = channel[np.isfinite(channel)]
        low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    return [low, high]


def _whole(label: NDArray) -> np.dtype:
    if label.size and label.min() >= 0 and label.max() < 256:
        return np.dtype(np.uint8)
    return np.dtype("<i2" if label.dtype == np.int16 else "<i4")


def _planes(geometry: Geometry) -> list[dict[str, Any]]:
    """How the slices across each axis hang, by axis."""
    hung = planes_through((0, 0, 0), geometry)
    return [
        {**asdict(plane), "spacing_mm": list(plane.spacing_mm)}
        for plane in sorted(hung, key=lambda one: one.axis)
    ]


def _others(axis: int) -> tuple[int, int]:
    first, second = (other for other in range(3) if other != axis)
    return first, second
