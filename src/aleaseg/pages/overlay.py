"""A map of numbers over a slice: translucent colours that still read in grey and without colour vision.

The colours are viridis, whose lightness rises evenly with the number. What is near 0 is clear, so that the
image below is seen where there is nothing to say.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from aleaseg.pages.axes import Axes
from aleaseg.pages.numbers import number
from aleaseg.pages.svg import as_text, element, inline, text

__all__ = ["overlay_png", "scale_bar", "translucent"]

# Ten even steps of the map by van der Walt and Smith (2015), which is in the public domain.
_VIRIDIS = [
    "440154",
    "482878",
    "3e4989",
    "31688e",
    "26828e",
    "1f9e89",
    "35b779",
    "6ece58",
    "b5de2b",
    "fde725",
]
_LONGEST_SIDE = 512
_DENSEST = 0.7
_BAR = 260.0, 34.0


def translucent(flat: NDArray, most: float) -> NDArray[np.uint8]:
    """Numbers as colours, (*shape, 4) red, green, blue and opacity.

    Args:
        flat: from 0; NaN is clear.
        most: what has the last colour; larger numbers have it too.
    """
    colours = np.array([tuple(bytes.fromhex(colour)) for colour in _VIRIDIS], dtype=np.float64)
    part = np.clip(np.nan_to_num(flat.astype(np.float64) / most, nan=0.0), 0, 1)
    places = np.linspace(0, 1, len(colours))
    drawn = [np.interp(part, places, channel) for channel in colours.T]
    # The square root: half of the opacity is there at a quarter of the scale.
    opacity = 255 * _DENSEST * np.sqrt(part)
    return np.stack([*drawn, opacity], axis=-1).round().astype(np.uint8)


def overlay_png(flat: NDArray, most: float) -> str:
    """A map (rows, columns) as a PNG in a data address, to lie over the slice; its longest side 512 at most."""
    from PIL import Image

    picture = Image.fromarray(translucent(flat, most))
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def scale_bar(most: float, of: str) -> str:
    """What the colours stand for, from 0 to `most`, as they look over grey; `of` says of what they are."""
    width, height = _BAR
    axes = Axes(width, height, (0, most), margins=(10, 10, 0, 18))
    left, right = axes.x.first, axes.x.last
    axes.box(left, 0, right, 14, "bar-ground")
    axes.drawn.append(
        element(
            "image",
            href=overlay_png(np.linspace(0, most, 256)[None], most),
            x=left,
            width=right - left,
            height=14,
            preserveAspectRatio="none",
        )
    )
    axes.drawn += [text(number(part, ".3g"), axes.x(part), height - 4) for part in (0, most / 2, most)]
    return as_text(inline(width, height, *axes.drawn, label=f"{of}, from 0 to {number(most, '.3g')}"))
