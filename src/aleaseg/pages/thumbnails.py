"""A plane of a case as one small file, its outlines drawn into it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from aleaseg.pages.contours import rings

__all__ = ["drawing", "line_colours", "thumbnail"]

# Of each class: its mask, and the same lighter for its prediction. All are bright: they lie on grey.
_COLOURS = (
    ("#ffab1a", "#ffe0a3"),
    ("#4cc3ff", "#bfe8ff"),
    ("#5fe08a", "#c6f5d5"),
    ("#ff6fb5", "#ffcbe4"),
    ("#f4ef5a", "#fbf9bf"),
    ("#b79bff", "#e2d7ff"),
    ("#ff7a66", "#ffd0c8"),
    ("#2fd6c3", "#b0f1e9"),
    ("#c9a27a", "#ecdac8"),
    ("#c6e14e", "#e9f4b8"),
)
# One class alone: two hues tell mask and prediction apart better than two shades of one; the second is
# the lighter one too, for whoever sees no hues.
_ALONE = ("#ffab1a", "#a8e4ff")

_LONGEST = 256
_SPECK = 80.0  # square pixels of the picture
_Ring = list[tuple[float, float]]
_FINER = 2  # lines are drawn so much larger, and made small together with the picture


def line_colours(classes: int) -> list[tuple[str, str]]:
    """The colours of the outlines of so many classes: of the mask (solid) and of the prediction (dashed)."""
    if classes == 1:
        return [_ALONE]
    return [_COLOURS[place % len(_COLOURS)] for place in range(classes)]


def _frame(plane: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """What of a plane a small picture shows, in voxels (x, y, width, height): close up where the masks are small."""
    columns, rows = plane["size"]
    x, y, width, height = plane["focus"] or (0, 0, columns, rows)
    if width * height > 0.35 * columns * rows:
        x, y, width, height = 0, 0, columns, rows
    return x, y, width, height


def drawing(plane: Mapping[str, Any]) -> str:
    """One plane of `case_pictures` as a small SVG file, both outlines drawn, close up where the masks are small."""
    columns, rows = plane["size"]
    dx, dy = plane["voxel_mm"]
    x, y, width, height = _frame(plane)
    # Half voxels are the unit of the paths; mm give the aspect.
    scale = 200 / max(width * dx, height * dy)
    size = f'width="{width * dx * scale:.1f}" height="{height * dy * scale:.1f}"'
    view = f'viewBox="{2 * x:g} {2 * y:g} {2 * width:g} {2 * height:g}" preserveAspectRatio="none"'
    lines = list(_lines(plane))
    thin = 'vector-effect="non-scaling-stroke"'
    # All halos first: none may lie on another class's line.
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view}>',
        f'<image href="{plane["images"][0]}" width="{2 * columns}" height="{2 * rows}"',
        ' preserveAspectRatio="none"/>',
        '<g fill="none" stroke-linejoin="round">',
        *(
            f'<path d="{path}" {thin} stroke="#000" stroke-opacity=".45" stroke-width="3"/>'
            for path, *_ in lines
        ),
        *(
            f'<path d="{path}" {thin} stroke="{colour}" stroke-width="1.6"'
            f"{' stroke-dasharray=' + chr(34) + '4 2.5' + chr(34) if dashed else ''}/>"
            for path, colour, dashed in lines
        ),
    ]
    return "".join(parts) + "</g></svg>\n"


def _lines(plane: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Path, colour and whether it is dashed, of every outline of a plane: masks before predictions."""
    for side, key in enumerate(("mask", "oof")):
        paths = plane[key] or {}
        for colours, path in zip(line_colours(len(paths)), paths.values(), strict=True):
            if path:
                yield path, colours[side], key == "oof"


def thumbnail(plane: Mapping[str, Any]) -> bytes:
    """One plane of `case_pictures` as a small WebP file, both outlines drawn, close up where the masks are small.

    Its longest side is 256 pixels.
    """
    from PIL import Image, ImageDraw

    dx, dy = plane["voxel_mm"]
    x, y, width, height = _frame(plane)
    scale = _LONGEST * _FINER / max(width * dx, height * dy)
    size = max(1, round(width * dx * scale)), max(1, round(height * dy * scale))
    grey = Image.open(io.BytesIO(base64.b64decode(plane["images"][0].partition(",")[2])))
    # The picture may be smaller than the slice; the frame counts voxels.
    shrunk = grey.width / plane["size"][0]
    box = tuple(shrunk * value for value in (x, y, x + width, y + height))
    picture = grey.resize(size, Image.Resampling.BICUBIC, box=box).convert("RGB")
    pen = ImageDraw.Draw(picture)
    lines = [
        (ring, colour, dashed)
        for path, colour, dashed in _lines(plane)
        for ring in _large(
            [
                [((u / 2 - x) * dx * scale, (v / 2 - y) * dy * scale) for u, v in ring]
                for ring in rings(path)
            ]
        )
    ]
    for ring, _, dashed in lines:
        if not dashed:
            pen.line(ring, fill="#101010", width=4 * _FINER // 2 + 2, joint="curve")
    for ring, colour, dashed in lines:
        for piece in _dashes(ring, 9.0 * _FINER, 5.0 * _FINER) if dashed else [ring]:
            pen.line(piece, fill=colour, width=2 * _FINER, joint="curve")
    small = picture.resize((max(1, size[0] // _FINER), max(1, size[1] // _FINER)), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=88, method=4)
    return file.getvalue()


def _large(found: list[_Ring]) -> list[_Ring]:
    """Without the specks and pinholes of a weak network, which would hide the rest; the largest always stays."""
    sizes = [_area(ring) for ring in found]
    least = min(max(sizes, default=0.0), _SPECK * _FINER**2)
    return [ring for ring, size in zip(found, sizes, strict=True) if size >= least]


def _area(ring: _Ring) -> float:
    """Of a closed line (the shoelace formula)."""
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))) / 2


def _dashes(ring: _Ring, on: float, off: float) -> Iterator[_Ring]:
    """The drawn pieces of a dashed line."""
    piece, left, drawn = [ring[0]], on, True
    for start, end in pairwise(ring):
        length = math.dist(start, end)
        walked = 0.0
        while length - walked > left:
            walked += left
            share = walked / length
            at = start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
            if drawn:
                yield [*piece, at]
            piece, drawn = [at], not drawn
            left = on if drawn else off
        left -= length - walked
        if drawn:
            piece.append(end)
    if drawn and len(piece) > 1:
        yield piece
