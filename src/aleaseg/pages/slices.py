"""A case as pictures: a grey slice as PNG, outlines over it as paths."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry
from aleaseg.pages.contours import outline
from aleaseg.pages.overlay import overlay_png
from aleaseg.pages.places import Maps, Place, Sought, places
from aleaseg.pages.planes import Plane, planes_through

__all__ = [
    "ambiguity",
    "as_volume",
    "case_pictures",
    "ct_window",
    "focus",
    "grey_png",
    "same_grid",
    "shown_window",
    "window",
]

_Array = TypeVar("_Array", NDArray, NDArray | None)

_LONGEST_SIDE = 512
_MOST_CHANNELS = 4


def window(image: NDArray) -> tuple[float, float]:
    """Grey values to show as black and white: the 1st and the 99th percentile.

    Args:
        image: any shape; large ones are sampled.
    """
    values = image.reshape(-1)
    values = values[:: max(1, values.size // 200_000)].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (1, 99))
    if high <= low:
        low, high = values.min(), values.max()
    return float(low), float(high if high > low else low + 1)


def ct_window(inside: NDArray) -> tuple[float, float]:
    """The usual window of a CT for what lies inside the mask, in HU: soft tissue, of nothing too; else lung or bone."""
    middle = float(np.median(inside)) if inside.size else 40.0
    if middle < -300:
        return -1350.0, 150.0
    return (-500.0, 1300.0) if middle > 150 else (-160.0, 240.0)


def shown_window(image: NDArray, label: NDArray | None, is_ct: bool) -> tuple[float, float]:
    """Grey values to show as black and white: a CT's usual window, else percentiles.

    Percentiles of a body in air show no organ. A rescaled CT has no Hounsfield units, though.

    Args:
        image: one channel.
        label: of its shape; inside, where it is above 0; or None.
        is_ct: whether the channel is a CT in Hounsfield units.
    """
    if is_ct and np.nanmin(image) < -200:
        return ct_window(image[label > 0] if label is not None else np.array([]))
    return window(image)


def as_volume(geometry: Geometry, *arrays: _Array) -> tuple[Geometry, list[_Array]]:
    """A single picture as a volume of one slice, which hangs as it is stored; a volume as it is.

    Arrays are (*spatial) or (channel, *spatial), or None.
    """
    if len(geometry.shape) == 3:
        return geometry, list(arrays)
    lifted = Geometry((1, *geometry.shape), (1.0, *geometry.spacing_mm), None)
    return lifted, [None if array is None else np.expand_dims(array, -3) for array in arrays]


def same_grid(array: NDArray | None, shape: tuple[int, ...], what: str, notes: list[str]) -> NDArray | None:
    """An array of that shape as it is; another one is not drawn, which is noted."""
    if array is None or array.shape == shape:
        return array
    notes.append(f"The {what} is {array.shape}, the image {shape}: it is not drawn.")
    return None


def grey_png(flat: NDArray, low: float, high: float) -> str:
    """A slice (rows, columns) as a PNG in a data address, its longest side 512 at most.

    Grey value `low` is black, `high` white.
    """
    from PIL import Image

    grey = np.nan_to_num((flat.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    picture = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _outlines(
    flat: NDArray | None, classes: Mapping[str, Sequence[int]], plane: Plane
) -> dict[str, str] | None:
    if flat is None:
        return None
    return {name: outline(np.isin(plane.cut(flat), list(values))) for name, values in classes.items()}


def focus(plane: Plane, maps: Sequence[NDArray | None]) -> list[float]:
    """The part of the picture worth a close-up, in voxels: (x, y, width, height); empty without masks."""
    cuts = [plane.cut(flat) > 0 for flat in maps if flat is not None]
    if not any(cut.any() for cut in cuts):
        return []
    covered = np.logical_or.reduce(cuts)
    shape, (dy, dx) = covered.shape, plane.spacing_mm
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    # A square in mm with room around the masks, never smaller than a quarter of the field.
    side = 1.7 * max((rows[-1] + 1 - rows[0]) * dy, (columns[-1] + 1 - columns[0]) * dx)
    side = max(side, 0.25 * min(shape[0] * dy, shape[1] * dx))
    height, width = min(side / dy, shape[0]), min(side / dx, shape[1])
    y = min(max((rows[0] + rows[-1] + 1 - height) / 2, 0), shape[0] - height)
    x = min(max((columns[0] + columns[-1] + 1 - width) / 2, 0), shape[1] - width)
    return [round(float(value), 1) for value in (x, y, width, height)]


def case_pictures(
    image: NDArray,
    geometry: Geometry,
    label: NDArray | None,
    predicted: NDArray | None,
    classes: Mapping[str, Sequence[int]],
    ignore: int | None = None,
    is_ct: bool = False,
    sought: Sequence[Sought] = (),
    q: NDArray[np.float32] | None = None,
    doubt: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Planes through the place of the first reason, and one through each place that they do not show.

    Args:
        image: (channel, D, H, W) or (channel, H, W).
        geometry: of the image.
        label: label map, (D, H, W) or (H, W); or None.
        predicted: the same from the out-of-fold network; or None.
        classes: name -> label values.
        ignore: label value that means "not annotated".
        is_ct: whether the first channel is a CT in Hounsfield units.
        sought: the reasons of the case's doubt, the most important one first.
        q: confidences of annotators, (class, D, H, W) or (class, H, W); None: nobody stated any.
        doubt: where the mask is doubtful, (D, H, W) or (H, W) in [0, 1]; None: nobody knows.

    Returns:
        `windows`, the grey values that are black and white in each channel;
        `planes`, that which shows the first reason before the two others through its
        place; `others`, those of the other reasons; each with its grey pictures (one per
        channel, four at most), sizes in voxels and mm, orientation letters, the paths of
        both kinds of outline by class, the place of the voxel, and the close-up's frame; where
        there are confidences `unsure`, a translucent picture of 4 q (1 - q), and of the doubt `doubt`;
        and `places`, for each reason its code and the plane (counted over both lists).
    """
    flat = image.ndim == 3
    _, (volume,) = as_volume(geometry, image)
    unsure = None if q is None else ambiguity(q)
    geometry, (label, predicted, unsure, doubt) = as_volume(geometry, label, predicted, unsure, doubt)
    maps = Maps(volume.shape[1:], geometry.spacing_mm, label, predicted, ignore, doubt)
    first, *more = places(maps, sought)
    shown = [shown_window(one, label, is_ct and k == 0) for k, one in enumerate(volume[:_MOST_CHANNELS])]
    hung = planes_through(first.voxel, geometry)
    hung.sort(key=lambda plane: plane.axis != first.axis)
    over = {"unsure": unsure, "doubt": doubt}
    draw = _Drawer(volume[:_MOST_CHANNELS], shown, maps, classes, flat, over)
    planes, others = [draw(plane, first) for plane in hung], list[dict[str, Any]]()
    at = {(plane.axis, plane.index): number for number, plane in enumerate(hung)}
    found = [{"reason": first.reason, "plane": 0}]
    for place in more:
        plane = planes_through(place.voxel, geometry)[place.axis]
        if (plane.axis, plane.index) not in at:
            at[plane.axis, plane.index] = len(planes) + len(others)
            others.append(draw(plane, place))
        found.append({"reason": place.reason, "plane": at[plane.axis, plane.index]})
    windows = [list(limits) for limits in shown]
    return {"windows": windows, "planes": planes, "others": others, "places": found}


def ambiguity(q: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far from certain annotators are of each voxel: the largest 4 q (1 - q) of its classes.

    Args:
        q: (class, *spatial) confidences in [0, 1]; NaN where nobody looked.

    Returns:
        (*spatial) in [0, 1]: 1 at q = 1/2, where half of the raters disagree; 0 where all agree, or nobody looked.

    >>> ambiguity(np.array([[0, 0.25, 0.5, 1, np.nan]], np.float32)).tolist()
    [0.0, 0.75, 1.0, 0.0, 0.0]
    """
    found: NDArray[np.float32] = np.nan_to_num(4 * q * (1 - q)).max(axis=0)
    return found


@dataclass(frozen=True)
class _Drawer:
    """One plane of a case as what a page draws."""

    channels: NDArray
    windows: Sequence[tuple[float, float]]
    maps: Maps
    classes: Mapping[str, Sequence[int]]
    flat: bool
    over: Mapping[str, NDArray | None]

    def __call__(self, plane: Plane, place: Place) -> dict[str, Any]:
        label, predicted = self.maps.label, self.maps.predicted
        row, column = plane.position(place.voxel, self.maps.shape)
        rows, columns = plane.cut(self.channels[0]).shape
        cuts = zip(self.channels, self.windows, strict=True)
        return {
            "name": "" if self.flat else plane.name,
            "axis": plane.axis,
            "index": plane.index,
            "of": self.maps.shape[plane.axis],
            "size": [columns, rows],
            "voxel_mm": [plane.spacing_mm[1], plane.spacing_mm[0]],
            "letters": list(plane.letters),
            "images": [grey_png(plane.cut(channel), *limits) for channel, limits in cuts],
            "mask": _outlines(label, self.classes, plane),
            "oof": _outlines(predicted, self.classes, plane),
            "cross": [column, row],
            "focus": focus(plane, (label, predicted)),
            **{name: overlay_png(plane.cut(one), 1) for name, one in self.over.items() if one is not None},
        }
