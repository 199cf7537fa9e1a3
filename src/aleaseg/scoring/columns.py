"""What every column means and which way it points: for tables, pages and cuts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aleaseg.scoring.catalogue import MEASURES

__all__ = ["CASE_COLUMNS", "MEASURE_COLUMNS", "SCORE_COLUMNS", "describe_columns"]

MEASURE_COLUMNS = ("case", "class", "measure", "variant", "value", "status")
SCORE_COLUMNS = (
    "case",
    "class",
    "present",
    "perception_scale",
    "auv",
    "volume_mm3",
    "oof_dice",
    "softmin",
    "status",
)
CASE_COLUMNS = (
    "case",
    "status",
    "group",
    "site",
    "doubt",
    "image_doubt",
    "label_doubt",
    "auv",
    "perception_scale",
    "oof_dice",
    "softmin",
    "reasons",
    "depth",
    "height",
    "width",
    "spacing_d_mm",
    "spacing_h_mm",
    "spacing_w_mm",
    "fov_mm3",
    "volume_mm3",
    "class_set",
)

_ALONG = {"d": "across the slices", "h": "down the slice", "w": "across the slice"}
_IMAGE_TEXTS = {
    "noise": "ln of the noise's standard deviation in the image's range",
    "contrast": "distance of the bright part's mean from the dark part's, in the image's range",
    "dark": "where the 10% quantile lies between the 1% and the 99% one",
    "tail": "ln of the 90% largest local difference over the median one",
    "peaks": "ln of the 99% largest local difference over the median one",
    "focus": "entropy focus criterion: 1 where all voxels are equally bright",
    "middle": "where the median lies between the 1% and the 99% quantile",
    "bright": "where the 90% quantile lies between the 1% and the 99% one",
    "skew": "third standardised moment of the grey values",
    "border": "share of the image's faces that is bright",
}
_AXIS_TEXTS = {
    "sharp": "graininess (high) or blur (low)",
    "ghost": "strength of the strongest echo",
    "fov": "ln of the field of view in mm",
    "tilt": "slope of the grey values",
    "bend": "curvature of the grey values",
    "uneven": "ln of how unevenly slices change",
}
_BAD_HIGH, _BAD_LOW, _CERTAIN, _NONE = "high = bad", "low = bad", "high = certain", "none"
_TEXTS: dict[str, tuple[str, str, list[float] | None, str]] = {
    "doubt": ("score", _BAD_HIGH, [0, 1], "the larger of image and label doubt; 0.5 is a robust z of 3"),
    "image_doubt": ("score", _BAD_HIGH, [0, 1], "how far the image's statistics lie from the population"),
    "label_doubt": ("score", _BAD_HIGH, [0, 1], "how far the mask lies from prediction and population"),
    "auv": ("score", _BAD_HIGH, [0, 1], "aleatoric uncertainty value, Eq. 6 of arXiv 2604.10963"),
    "perception_scale": (
        "measure",
        _CERTAIN,
        [0, 1],
        "semantic perception scale S, mean over present classes",
    ),
    "oof_dice": ("measure", _BAD_LOW, [0, 1], "Dice of the mask and the out-of-fold prediction"),
    "own_dice": (
        "measure",
        _BAD_LOW,
        [0, 1],
        "Dice of the mask and the outline that the package's own network sees inside its boxes",
    ),
    "softmin": (
        "measure",
        _BAD_LOW,
        [0, 1],
        "soft minimum of the probability of the given labels, T = 0.1",
    ),
    "false_positive_mm3": ("measure", _BAD_HIGH, None, "predicted volume where the mask is empty"),
    "intensity_variance": ("measure", _BAD_HIGH, None, "variance of the intensities inside the class"),
    "depth": ("confound", _NONE, None, "slices"),
    "height": ("confound", _NONE, None, "rows"),
    "width": ("confound", _NONE, None, "columns"),
    "spacing_d_mm": ("confound", _NONE, None, "spacing across the slices, mm"),
    "spacing_h_mm": ("confound", _NONE, None, "spacing of the rows, mm"),
    "spacing_w_mm": ("confound", _NONE, None, "spacing of the columns, mm"),
    "fov_mm3": ("confound", _NONE, None, "volume of the image, mm^3 (mm^2 in 2D)"),
    "volume_mm3": ("confound", _NONE, None, "volume of the mask, mm^3 (mm^2 in 2D)"),
    "class_set": ("confound", _NONE, None, "which classes the mask has"),
    "components": ("measure", _NONE, None, "pieces of the mask"),
    "extra_components": ("measure", _BAD_HIGH, [0, 1], "share of the mask outside its largest piece"),
    "border": ("measure", _NONE, [0, 1], "share of the mask on the border of the image"),
    **{
        f"centroid_{axis}": (
            "measure",
            _NONE,
            None,
            f"the mask's centre, from the image's centre {along}, mm",
        )
        for axis, along in _ALONG.items()
    },
    **{f"img_{name}": ("statistic", _NONE, None, text) for name, text in _IMAGE_TEXTS.items()},
    **{
        f"img_{name}_{axis}": ("statistic", _NONE, None, f"{text} {along}")
        for name, text in _AXIS_TEXTS.items()
        for axis, along in _ALONG.items()
    },
    "case": ("id", _NONE, None, "the case"),
    "class": ("id", _NONE, None, "the class, as the data set names it; empty: the whole case"),
    "measure": ("id", _NONE, None, "what was measured"),
    "variant": ("id", _NONE, None, "another way to compute the measure; empty: the default"),
    "value": ("measure", _NONE, None, "of the measure; its own entry here says which way it points"),
    "group": ("id", _NONE, None, "cases of one group share a fold"),
    "site": ("id", _NONE, None, "where the scan comes from"),
    "status": (
        "id",
        _NONE,
        None,
        "ok; partly: something could not be used; failed; or why a value is missing",
    ),
    "reasons": ("text", _NONE, None, "code=value, strongest first"),
    "present": ("measure", _NONE, None, "whether the mask has the class"),
    "error": ("text", _NONE, None, "what could not be used, and what to do"),
}


def describe_columns(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Role, direction, range and meaning of columns and measures, for the manifest."""
    found = {}
    for name in names:
        base, _, channel = name.rpartition("_")
        of_channel = name.startswith("img_") and channel.isdigit()
        fallback = ("measure", _NONE, None, name.replace("_", " "))
        if name in MEASURES:
            direction = _BAD_HIGH if MEASURES[name].higher_is_worse else _BAD_LOW
            fallback = ("measure", direction, None, MEASURES[name].text)
        role, direction, limits, text = _TEXTS.get(base if of_channel else name, fallback)
        text = f"{text}, channel {channel}" if of_channel else text
        found[name] = {"role": role, "direction": direction, "range": limits, "text": text}
    return found
