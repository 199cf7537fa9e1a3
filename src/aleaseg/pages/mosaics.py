"""All slices of a volume in one small picture: with the mask, or in a window that shows what lies in the air."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Geometry
from aleaseg.pages.contours import outline, rings
from aleaseg.pages.planes import planes_through
from aleaseg.pages.thumbnails import line_colours

__all__ = ["background_window", "mosaic", "shown_slices"]

_MOST = 60
_TILE = 112
_WIDE = 1.6  # of the whole picture, width over height


def shown_slices(slices: int) -> list[int]:
    """Which of so many slices are in the picture: all, or sixty that lie evenly.

    >>> shown_slices(3), len(shown_slices(200)), shown_slices(200)[-1]
    ([0, 1, 2], 60, 199)
    """
    return [int(k) for k in np.unique(np.linspace(0, slices - 1, min(slices, _MOST)).round())]


def background_window(volume: NDArray) -> tuple[float, float]:
    """Grey values that are black and white where the darkest eighth of the range fills the picture.

    What repeats or smears in the air beside a patient is seen in it, and nowhere else.
    """
    values = volume.reshape(-1)[:: max(1, volume.size // 200_000)].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(low + (high - low) / 8 if high > low else low + 1)


def mosaic(
    volume: NDArray,
    geometry: Geometry,
    window: tuple[float, float],
    label: NDArray | None = None,
    classes: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """The slices from first to last, row by row, as a WebP file.

    Args:
        volume: (D, H, W).
        geometry: of it.
        window: the grey values that are black and white.
        label: (D, H, W); its outlines are drawn; None: none are.
        classes: name -> label values.
    """
    from PIL import Image, ImageDraw

    chosen = shown_slices(volume.shape[0])
    hung = [planes_through((k, 0, 0), geometry)[0] for k in chosen]
    dy, dx = hung[0].spacing_mm
    rows, columns = hung[0].cut(volume).shape
    scale = _TILE / max(rows * dy, columns * dx)
    height, width = max(1, round(rows * dy * scale)), max(1, round(columns * dx * scale))
    across = max(1, min(len(chosen), round(math.sqrt(_WIDE * len(chosen) * height / width))))
    down = math.ceil(len(chosen) / across)
    sheet = Image.new("RGB", (across * (width + 2), down * (height + 2)))
    pen = ImageDraw.Draw(sheet)
    low, high = window
    for number, plane in enumerate(hung):
        left, top = (number % across) * (width + 2), (number // across) * (height + 2)
        grey = np.nan_to_num((plane.cut(volume).astype(np.float64) - low) / (high - low), posinf=1.0)
        tile = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
        sheet.paste(tile.resize((width, height), Image.Resampling.BILINEAR), (left, top))
        if label is None or not classes:
            continue
        cut = plane.cut(label)
        for values, (colour, _) in zip(classes.values(), line_colours(len(classes)), strict=True):
            for ring in rings(outline(np.isin(cut, list(values)))):
                line = [(left + u / 2 * dx * scale, top + v / 2 * dy * scale) for u, v in ring]
                pen.line(line, fill=colour, width=1)
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=78, method=4)
    return file.getvalue()
