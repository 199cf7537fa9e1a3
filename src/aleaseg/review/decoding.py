"""A case made ready to be looked at: its voxels as bricks on disk, and what a viewer has to know of them.

This runs in a process of its own: a damaged file or a large volume hurts no reader who waits for a slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Stored, stored_image
from aleaseg.pages.places import Maps, Sought, counts, places
from aleaseg.pages.planes import planes_through
from aleaseg.pages.slices import as_volume, same_grid, shown_window
from aleaseg.predictions import Prediction, Predictions
from aleaseg.predictions.votes import most_votes
from aleaseg.review.bricks import EDGE, read_volume, write_volume
from aleaseg.review.solid import coarse, steps_of
from aleaseg.run import read_json, write_json
from aleaseg.where.kept import DoubtMap

__all__ = ["decode_image", "decode_prediction"]

_LOOKED_AT = 128  # slices that say which window is usual
_WHOLE = 30e6  # bytes up to which a browser gets a volume whole
_Scale = tuple[float, float] | None


def decode_image(folder: Path, case: Case, dataset: Dataset) -> None:
    """Write the image and the mask of a case, and `image.json`, which says that they are whole.

    One of them is in memory at a time, and that as its file holds it.

    Args:
        folder: of the case.
        case: of the data set.
        dataset: without its cases.

    Raises:
        CaseError: the image or the mask cannot be read.
        OSError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    image = stored_image(case)
    spatial = image.channels[0].shape
    geometry, channels = as_volume(image.geometry, *image.channels)
    written = [
        _write_channel(folder / f"image.{number}.raw", channel, scale)
        for number, (channel, scale) in enumerate(zip(channels, image.scales, strict=True))
    ]
    some = slice(None, None, -(-geometry.shape[0] // _LOOKED_AT))
    looks = [
        Stored.scaled(channel[some].copy(), scale)
        for channel, scale in zip(channels, image.scales, strict=True)
    ]
    del image, channels
    label = None if case.read_label is None else case.read_label().array
    label = same_grid(label, spatial, "mask", notes)
    _, (label,) = as_volume(Geometry(spatial, (1.0,) * len(spatial)), label)
    seen = None if label is None else label[some]
    about: dict[str, Any] = {
        "shape": list(geometry.shape),
        "flat": len(spatial) == 2,
        "spacing_mm": list(geometry.spacing_mm),
        "affine": None if geometry.affine is None else geometry.affine.tolist(),
        "planes": _planes(geometry),
        "channels": len(written),
        "image": [one["kind"] for one in written],
        "scales": [one["scale"] for one in written],
        "windows": [
            list(shown_window(look, seen, dataset.is_ct and number == 0))
            for number, look in enumerate(looks)
        ],
        "ranges": [one["range"] for one in written],
        "steps": steps_of(geometry.shape, geometry.spacing_mm),
        "whole": max(map(_sent, written)) * math.prod(geometry.shape) <= _WHOLE,
        "mask": None,
        "notes": notes,
    }
    if label is not None:
        about["mask"] = _write_map(folder, "mask", label, about["steps"])
        maps = Maps(geometry.shape, geometry.spacing_mm, label, None)
        about["profile"] = [one.tolist() for one in counts(maps, Maps.mask)]
    write_json(folder / "image.json", about, indent=None)


def decode_prediction(
    folder: Path,
    case: Case,
    dataset: Dataset,
    predictions: Predictions | None,
    sought: Sequence[Sought],
    kept: DoubtMap | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write what is predicted of a case, where to look and where the doubt is; `prediction.json` says that it is whole.

    Args:
        folder: where its image is.
        case: of the data set.
        dataset: without its cases.
        predictions: of the run; None where it has none.
        sought: the reasons of its doubt.
        kept: where its mask is doubtful; None where the run does not say.
        notes: what is said of it already.

    Raises:
        CaseError: the mask or the prediction cannot be read.
        OSError: the disk is full.
    """
    notes = list(notes)
    geometry = case.read_geometry()
    found = [] if predictions is None else predictions.read(case)
    if predictions is not None and not found:
        notes.append("There is no prediction for this case.")
    if found and any(one.shape != geometry.shape for one in found):
        notes.append(f"The prediction is {found[0].shape}, the image {geometry.shape}: it is not drawn.")
        found = []
    predicted = _labels(found) if found else None
    del found
    doubt = same_grid(None if kept is None else kept.bytes_of(), geometry.shape, "map of doubt", notes)
    geometry, (predicted, doubt) = as_volume(geometry, predicted, doubt)
    label = _mask_of(folder, case, geometry.shape)
    about: dict[str, Any] = {"prediction": None, "doubt": None, "notes": notes}
    if doubt is not None:
        about["doubt"] = doubt.dtype.str
        write_volume(folder / "doubt.raw", _slabs(doubt), doubt.shape, doubt.dtype)
    if predicted is not None:
        steps = steps_of(geometry.shape, geometry.spacing_mm)
        about["prediction"] = _write_map(folder, "prediction", predicted, steps)
    maps = Maps(geometry.shape, geometry.spacing_mm, label, predicted, dataset.ignore, doubt)
    if label is not None and predicted is not None:
        about["profile"] = [one.tolist() for one in counts(maps, Maps.difference)]
    about["places"] = [asdict(place) for place in places(maps, sought)]
    write_json(folder / "prediction.json", about, indent=None)


def _mask_of(folder: Path, case: Case, shape: tuple[int, ...]) -> NDArray | None:
    """The mask as it was decoded; where it was not, because the image is damaged, the mask as its file has it."""
    if (folder / "image.json").exists():
        kind = read_json(folder / "image.json")["mask"]
        return None if kind is None else read_volume(folder / "mask.raw", shape, np.dtype(kind))
    label = None if case.read_label is None else case.read_label().array
    label = same_grid(label, case.read_geometry().shape, "mask", [])
    return as_volume(case.read_geometry(), label)[1][0]


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


def _slabs(volume: NDArray) -> Iterator[NDArray]:
    for first in range(0, len(volume), EDGE):
        yield volume[first : first + EDGE]


def _write_map(folder: Path, name: str, label: NDArray, steps: Sequence[int]) -> str:
    """Write a label map, and the same small enough to be turned round; their type."""
    kind = _whole(label)
    write_volume(folder / f"{name}.raw", _slabs(label), label.shape, kind)
    (folder / f"{name}.solid").write_bytes(coarse(label, steps).astype(kind).tobytes())
    return kind.str


def _write_channel(path: Path, stored: NDArray, scale: _Scale) -> dict[str, Any]:
    """Write a channel: its type in the file, the scale that is yet to be applied, the least and the largest value."""
    low, high = _range(stored, scale)
    kind, left = _kind(stored, scale, low, high)
    now = scale if left is None else None
    write_volume(path, (Stored.scaled(slab, now) for slab in _slabs(stored)), stored.shape, kind)
    return {"kind": kind.str, "scale": None if left is None else list(left), "range": [low, high]}


def _sent(channel: dict[str, Any]) -> int:
    """Bytes of a voxel on its way to the browser."""
    return 4 if channel["scale"] else np.dtype(channel["kind"]).itemsize


def _kind(stored: NDArray, scale: _Scale, low: float, high: float) -> tuple[np.dtype, _Scale]:
    """The smallest type that loses nothing beyond float32, and what is left of the scale.

    Whole values as whole numbers; whole numbers of 8 and 16 bits that a scale makes fractions of as they are; all
    else as float32.
    """
    if (scale is None or all(one % 1 == 0 for one in scale)) and _is_whole(stored):
        for kind in (np.uint8, np.int16, np.uint16):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return np.dtype(kind).newbyteorder("<"), None
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        return stored.dtype.newbyteorder("<"), scale
    return np.dtype("<f4"), None


def _is_whole(stored: NDArray) -> bool:
    if stored.dtype.kind in "iub":
        return True
    # NaN where there is one.
    finite = bool(np.isfinite([stored.min(), stored.max()]).all())
    return finite and all(np.array_equal(np.rint(flat), flat) for flat in stored)


def _range(stored: NDArray, scale: _Scale) -> tuple[float, float]:
    """The least and the largest grey value; voxels that are no number, for which a case may be looked at, count not."""
    ends = np.array([stored.min(), stored.max()], stored.dtype)
    if not np.isfinite(ends).all():
        found = stored[np.isfinite(stored)]
        if not found.size:
            return 0.0, 1.0
        ends = np.array([found.min(), found.max()], stored.dtype)
    low, high = sorted(Stored.scaled(ends, scale).astype(np.float64).tolist())
    return low, high


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
