"""Every column of a run's tables: the measures, and beside them ids, sizes and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aleaseg.measures.column import Column, Direction, Limits, Role, by_name
from aleaseg.scoring.catalogue import MEASURES

__all__ = ["CASE_COLUMNS", "COLUMNS", "MEASURE_COLUMNS", "SCORE_COLUMNS", "describe_columns"]

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
    "auv_for_size",
    "perception_scale",
    "oof_dice",
    "softmin",
    "reasons",
    "why",
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

_ALONG = {
    "d": "from slice to slice",
    "h": "from top to bottom of the slice",
    "w": "from left to right of the slice",
}
_SHORTLY = {"d": "slice to slice", "h": "top to bottom", "w": "left to right"}


def _id(name: str, title: str, text: str, role: Role = "id") -> Column:
    return Column(name=name, title=title, text=text, role=role)


def _measure(
    name: str, title: str, text: str, direction: Direction, limits: Limits | None = None, unit: str = ""
) -> Column:
    return Column(name=name, title=title, text=text, direction=direction, limits=limits, unit=unit)


def _confound(name: str, title: str, text: str, unit: str = "") -> Column:
    return Column(
        name=name, title=title, text=text, role="confound", unit=unit, limits=(0, None) if unit else None
    )


def _statistic(name: str, title: str, text: str) -> Column:
    return Column(name=f"img_{name}", title=title, text=text, role="statistic")


def _along(name: str, title: str, text: str) -> list[Column]:
    """A statistic of the image, once for each axis."""
    return [
        _statistic(f"{name}_{axis}", f"{title} {_SHORTLY[axis]}", f"{text} {along}")
        for axis, along in _ALONG.items()
    ]


# Of the case, in the order in which pages show them.
_CONFOUNDS = (
    _confound("volume_mm3", "Volume", "volume of the mask, mm^3 (mm^2 in 2D)", "mm³"),
    _confound("depth", "Depth", "slices", "slices"),
    _confound("height", "Height", "rows", "voxels"),
    _confound("width", "Width", "columns", "voxels"),
    _confound("spacing_d_mm", "Spacing of slices", "distance from slice to slice, mm", "mm"),
    _confound("spacing_h_mm", "Spacing of rows", "distance from row to row, mm", "mm"),
    _confound("spacing_w_mm", "Spacing of columns", "distance from column to column, mm", "mm"),
    _confound("fov_mm3", "Field of view", "volume of the image, mm^3 (mm^2 in 2D)", "mm³"),
    _confound("class_set", "Class set", "which classes the mask has"),
    _confound("site", "Site", "where the scan comes from"),
    _confound(
        "batch", "Batch", "which arrival the case came with; 0: it was there when the population was made"
    ),
)
# Numbers of measures.csv that stand for no case by themselves.
_NUMBERS = (
    Column(
        name="perception_scale",
        title="Perception scale S",
        short="S",
        text="semantic perception scale S, mean over present classes",
        direction=Direction.HIGH_CERTAIN,
        role="score",
        limits=(0, 1),
    ),
    _measure(
        "auv_for_size",
        "AUV for its size",
        "AUV of what is left of ln S when each class's volume is known; 1 = the least S for its size",
        Direction.HIGH_BAD,
        (0, 1),
    ),
    _measure(
        "mean_confidence",
        "Mean confidence",
        "how sure the annotators were of what was marked: mean of q where q > 0",
        Direction.HIGH_CERTAIN,
        (0, 1),
    ),
    _measure(
        "rater_disagreement",
        "Raters disagree",
        "1 minus the mean IoU of the raters' pairs; 0 = all masks are the same",
        Direction.HIGH_BAD,
        (0, 1),
    ),
    _measure(
        "eye_dice",
        "Dice with the extractor's outline",
        "Dice of the mask and the outline that the extractor sees inside its boxes",
        Direction.LOW_BAD,
        (0, 1),
    ),
    _measure(
        "false_positive_mm3",
        "False positive",
        "predicted volume where the mask is empty",
        Direction.HIGH_BAD,
        (0, None),
        "mm³",
    ),
    _measure(
        "intensity_variance",
        "Variance of intensities",
        "variance of the intensities inside the class",
        Direction.HIGH_BAD,
        (0, None),
    ),
    _measure("components", "Pieces", "pieces of the mask", Direction.NONE, (0, None)),
    _measure(
        "extra_components",
        "Outside the largest piece",
        "share of the mask outside its largest piece",
        Direction.HIGH_BAD,
        (0, 1),
    ),
    _measure(
        "border", "On the border", "share of the mask on the border of the image", Direction.NONE, (0, 1)
    ),
    _measure(
        "roughness",
        "Roughness",
        "share of the mask that a morphological opening takes away",
        Direction.NONE,
        (0, 1),
    ),
    _measure(
        "step",
        "Step",
        "ln of the mean length of straight runs of the border in slices",
        Direction.NONE,
        (0, None),
    ),
    _measure(
        "step_across",
        "Step across slices",
        "the same of the border as it is seen across the slices",
        Direction.NONE,
        (0, None),
    ),
    _measure(
        "rim_contrast",
        "Rim contrast",
        "mean grey value inside minus that of a ring of three voxels, over the sd of both",
        Direction.NONE,
    ),
    _measure(
        "rim_spread",
        "Rim spread",
        "sd of grey values inside over that of inside and ring",
        Direction.NONE,
        (0, None),
    ),
    _measure(
        "edge_alignment",
        "Edge alignment",
        "how far grey values change along the border's normal: 1 everywhere, 0 nowhere",
        Direction.LOW_BAD,
        (0, 1),
    ),
    *(
        _measure(
            f"centroid_{axis}",
            f"Centre {_SHORTLY[axis]}",
            f"the mask's centre, from the image's centre {along}, mm",
            Direction.NONE,
            None,
            "mm",
        )
        for axis, along in _ALONG.items()
    ),
)
# No single statistic of an image has a bad end; the population decides.
_STATISTICS = (
    _statistic("noise", "Noise", "ln of the noise's standard deviation in the image's range"),
    _statistic(
        "contrast",
        "Contrast",
        "distance of the bright part's mean from the dark part's, in the image's range",
    ),
    _statistic("dark", "Dark grey values", "where the 10% quantile lies between the 1% and the 99% one"),
    _statistic("tail", "Tail", "ln of the 90% largest local difference over the median one"),
    _statistic("peaks", "Peaks", "ln of the 99% largest local difference over the median one"),
    _statistic("focus", "Focus", "entropy focus criterion: 1 where all voxels are equally bright"),
    _statistic("middle", "Middle grey values", "where the median lies between the 1% and the 99% quantile"),
    _statistic(
        "bright", "Bright grey values", "where the 90% quantile lies between the 1% and the 99% one"
    ),
    _statistic("skew", "Skewness of grey values", "third standardised moment of the grey values"),
    _statistic("border", "Body at the border", "share of the image's faces that is bright"),
    *_along("sharp", "Sharpness", "graininess (high) or blur (low)"),
    *_along("ghost", "Ghosting", "strength of the strongest echo"),
    *_along("fov", "Field of view", "ln of the field of view in mm"),
    *_along("tilt", "Tilt", "slope of the grey values"),
    *_along("bend", "Bend", "curvature of the grey values"),
    *_along("uneven", "Uneven", "ln of how unevenly slices change"),
)
_IDS = (
    _id("case", "Case", "the case"),
    _id("class", "Class", "the class, as the data set names it; empty: the whole case"),
    _id("measure", "Measure", "what was measured"),
    _id("variant", "Variant", "another way to compute the measure; empty: the default"),
    _measure(
        "value", "Value", "of the measure; its own entry here says which way it points", Direction.NONE
    ),
    _id("group", "Group", "cases of one group share a fold"),
    _id(
        "status",
        "Status",
        "ok; partly: something could not be used; failed; or why a value is missing",
    ),
    _measure("present", "Present", "whether the mask has the class", Direction.NONE),
    _id("reasons", "Reasons", "code=value, strongest first", "text"),
    _id("why", "Why", "the same in words", "text"),
    _id("error", "Error", "what could not be used, and what to do", "text"),
)
_DOUBTS = ("doubt", "image_doubt", "label_doubt", "auv")

COLUMNS: Mapping[str, Column] = by_name(
    (
        *_IDS,
        *(MEASURES[name] for name in _DOUBTS),
        *_NUMBERS,
        *(measure for name, measure in MEASURES.items() if name not in _DOUBTS),
        *_CONFOUNDS,
        *_STATISTICS,
    )
)
"""In the order in which pages show them."""
_PLACES = {name: place for place, name in enumerate(COLUMNS)}


def describe_columns(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Title, role, direction, range, unit and meaning of columns and measures, for the manifest.

    Args:
        names: of `COLUMNS`; a statistic of one of several channels has its number behind it
            (`img_noise_0`). What is not known is a measure without a direction.

    Returns:
        In the order of `COLUMNS`.
    """
    found = {name: _described(name) for name in dict.fromkeys(names)}
    return dict(
        sorted(found.items(), key=lambda item: _PLACES.get(_without_channel(item[0]), len(_PLACES)))
    )


def _without_channel(name: str) -> str:
    base, _, channel = name.rpartition("_")
    return base if name.startswith("img_") and channel.isdigit() else name


def _unknown(name: str) -> Column:
    words = name.removeprefix("img_").replace("_", " ")
    role: Role = "statistic" if name.startswith("img_") else "measure"
    return Column(name=name, title=words.capitalize(), text=words, role=role)


def _described(name: str) -> dict[str, Any]:
    base = _without_channel(name)
    column = COLUMNS.get(base) or _unknown(base)
    about = column.described()
    if base != name:
        channel = name.rpartition("_")[2]
        about |= {
            "title": f"{column.title} channel {channel}",
            "short": f"{column.title} {channel}",
            "text": f"{column.text}, channel {channel}",
        }
    return about
