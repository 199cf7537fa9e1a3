"""What the columns of `cases.csv` are called on the page, and which way they point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Column", "describe", "values"]

# name -> (title, direction, unit); used where the manifest says nothing else.
_KNOWN = {
    "doubt": ("Doubt", "high = bad", ""),
    "image_doubt": ("Image doubt", "high = bad", ""),
    "label_doubt": ("Label doubt", "high = bad", ""),
    "auv": ("AUV", "high = bad", ""),
    "perception_scale": ("Perception scale S", "high = certain", ""),
    "oof_dice": ("Dice with prediction", "low = bad", ""),
    "softmin": ("Softmin", "low = bad", ""),
    "volume_mm3": ("Volume", "none", "mm³"),
    "fov_mm3": ("Field of view", "none", "mm³"),
    "depth": ("Depth", "none", "slices"),
    "height": ("Height", "none", "voxels"),
    "width": ("Width", "none", "voxels"),
    "spacing_d_mm": ("Spacing across slices", "none", "mm"),
    "spacing_h_mm": ("Spacing down", "none", "mm"),
    "spacing_w_mm": ("Spacing across", "none", "mm"),
    "class_set": ("Class set", "none", ""),
    "site": ("Site", "none", ""),
    "group": ("Group", "none", ""),
}
_SCORES = ("doubt", "image_doubt", "label_doubt", "auv", "perception_scale", "oof_dice", "softmin")
_CONFOUNDS = (
    *("volume_mm3", "depth", "height", "width", "spacing_d_mm", "spacing_h_mm", "spacing_w_mm", "fov_mm3"),
    *("class_set", "site"),
)
_NOT_NUMBERS = ("case", "status", "group", "site", "reasons", "class_set", "error")


@dataclass(frozen=True)
class Column:
    """A column, described.

    Attributes:
        name: in `cases.csv`.
        title: on the page.
        role: `score` (the page's main numbers), `statistic` (of the image) or `confound`.
        direction: `high = bad`, `low = bad`, `high = certain` or `none`.
        unit: such as `mm³`; empty without.
        text: one sentence on what it is; may be empty.
        unit_range: whether it lies in [0, 1].
    """

    name: str
    title: str
    role: str
    direction: str
    unit: str
    text: str
    unit_range: bool


_STATISTICS = {
    "sharp": "Sharpness",
    "ghost": "Ghosting",
    "fov": "Field of view",
    "dark": "Dark grey values",
    "middle": "Middle grey values",
    "bright": "Bright grey values",
    "skew": "Skewness of grey values",
    "border": "Body at the border",
}
_AXES = {"d": "across slices", "h": "down", "w": "across"}


def _title(name: str) -> str:
    """A statistic of the image is called `img_WHAT`, then its axis and its channel where it has them."""
    what, *rest = name.removeprefix("img_").split("_")
    words = [_STATISTICS.get(what, what.capitalize() or name)]
    words += [_AXES.get(part, f"channel {part}" if part.isdigit() else part) for part in rest]
    return " ".join(words)


def describe(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> list[Column]:
    """The columns that have any value: scores first, then confounds, then statistics of the image."""
    declared: Mapping[str, Any] = manifest.get("columns") or {}
    flat = "depth" not in frame or not np.isfinite(values(frame, "depth")).any()
    found = []
    for name in frame.columns:
        if name in ("case", "status", "reasons", "error", "group"):
            continue
        texts = name in _NOT_NUMBERS
        column = values(frame, name)
        if not texts and not np.isfinite(column).any():
            continue
        if texts and not any(column):
            continue
        about = declared.get(name) or {}
        title, direction, unit = _KNOWN.get(name, (_title(name), "none", ""))
        if flat and unit == "mm³":
            title, unit = "Area" if name == "volume_mm3" else title, "mm²"
        role = "score" if name in _SCORES else "confound" if name in _CONFOUNDS else "statistic"
        direction = str(about.get("direction") or direction)
        in_unit = not texts and name in _SCORES and bool(np.nanmin(column) >= 0 and np.nanmax(column) <= 1)
        found.append(Column(name, title, role, direction, unit, str(about.get("text") or ""), in_unit))
    order = {name: place for place, name in enumerate((*_SCORES, *_CONFOUNDS))}
    return sorted(
        found, key=lambda column: (column.role != "score", column.role, order.get(column.name, 99))
    )


def values(frame: pd.DataFrame, name: str) -> NDArray:
    """A column: float64 with NaN for missing, or texts (dtype object)."""
    if name in _NOT_NUMBERS:
        return np.array([text if isinstance(text, str) else "" for text in frame[name]], dtype=object)
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
