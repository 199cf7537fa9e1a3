"""What a JSON beside a picture, a TIFF's description and EXIF say about its voxels: spacing and orientation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aleaseg.readers.files import split_ending

__all__ = ["MM", "Beside", "TiffSays", "exif_orientation", "spacing_beside", "tiff_says"]

# How many mm a unit of length is, by every name that headers have for it.
MM = {
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "millimeters": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimetre": 10.0, "dm": 100.0,
    "m": 1000.0, "meter": 1000.0, "metre": 1000.0, "inch": 25.4, "in": 25.4,
    "um": 1e-3, "\u00b5m": 1e-3, "\u03bcm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3,
    "\\u00B5m": 1e-3, "nm": 1e-6, "nanometer": 1e-6,
}  # fmt: skip
_CHANNEL = re.compile(r"(.+)_\d{4}")
_MOST_JSON = 1 << 20
_TURNED = {
    2: "mirrored left to right", 3: "turned by 180 degrees", 4: "mirrored top to bottom",
    5: "mirrored and turned by 270 degrees", 6: "turned by 90 degrees",
    7: "mirrored and turned by 90 degrees", 8: "turned by 270 degrees",
}  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """A spacing in a JSON beside an image.

    Attributes:
        path: of the JSON.
        mm: the numbers as they stand there; NaN for what is not a number.
    """

    path: Path
    mm: tuple[float, ...]


@dataclass(frozen=True)
class TiffSays:
    """A spacing in a TIFF's description (ImageJ, OME).

    Attributes:
        spacing_mm: (D, H, W); D is 0 where only the plane's is stated.
    """

    spacing_mm: tuple[float, float, float]


def spacing_beside(path: Path) -> Beside | None:
    """The `spacing` of CASE.json beside CASE_0000.tif or CASE.tif, as nnU-Net keeps it; None where there is none."""
    split = split_ending(path.name)
    if split is None:
        return None
    match = _CHANNEL.fullmatch(split[0])
    for stem in dict.fromkeys((match[1], split[0]) if match else (split[0],)):
        beside = path.with_name(f"{stem}.json")
        try:
            with open(beside, "rb") as file:
                said = json.loads(file.read(_MOST_JSON))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(said, dict) and "spacing" in said:
            return Beside(beside, _numbers(said["spacing"]))
    return None


def _numbers(said: Any) -> tuple[float, ...]:
    values = said if isinstance(said, list) else [said]
    return tuple(
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
        for value in values
    )


def tiff_says(path: Path) -> TiffSays | None:
    """The spacing in the description of a TIFF; None where it states none in a unit of length.

    The bare resolution of a TIFF is one of print, 72 to the inch by default, and is not read.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    from PIL import Image

    try:
        with Image.open(path) as picture:
            tags: Any = picture.tag_v2  # type: ignore[attr-defined]
            text, across, down = str(tags.get(270, "")), tags.get(282), tags.get(283)
            spacing = _ome(text) if "<OME" in text else _imagej(text, float(across or 0), float(down or 0))
    # Whatever Pillow says of a TIFF that it does not know: the reader of voxels judges the file.
    except Exception:
        return None
    return None if spacing is None else TiffSays(spacing)


def _imagej(text: str, across: float, down: float) -> tuple[float, float, float] | None:
    if not text.startswith("ImageJ="):
        return None
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    mm = MM.get(said.get("unit", "").strip())
    if mm is None or not (across > 0 and down > 0):
        return None
    return float(said.get("spacing", 0) or 0) * mm, mm / down, mm / across


def _ome(text: str) -> tuple[float, float, float] | None:
    lengths = []
    for axis in "ZYX":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', text)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text)
        mm = MM.get(unit[1] if unit else "um")  # the default of OME
        if mm is None:
            return None
        lengths.append(float(size[1]) * mm if size else 0.0)
    z, y, x = lengths
    return (z, y, x) if y > 0 and x > 0 else None


def exif_orientation(path: Path) -> str | None:
    """How EXIF (or a TIFF's tag) says that the stored picture is to be turned before it is shown; None for as it is."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if hasattr(picture, "tag_v2"):
                code = picture.tag_v2.get(274)
            else:
                exif = Image.Exif()
                exif.load(picture.info.get("exif", b""))
                code = exif.get(274)
        return _TURNED.get(int(code)) if code is not None else None
    except Exception:  # damaged EXIF says nothing; the reader of voxels judges the file
        return None
