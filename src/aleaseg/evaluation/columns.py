"""What is measured: names, directions, and how each is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.measures.column import Column, Direction, by_name

__all__ = [
    "AT",
    "CASE_COLUMNS",
    "CUE_COLUMNS",
    "METRICS",
    "METRIC_COLUMNS",
    "OF_THE_CASE",
    "SOFT",
    "case_columns",
    "describe",
    "metric_columns",
    "metrics_at",
    "metrics_in",
    "tolerances",
]

_BAD: dict[str, Any] = {"direction": Direction.LOW_GOOD, "form": ".3f", "limits": (0, 1)}
_GOOD = {**_BAD, "direction": Direction.HIGH_GOOD}
_MM = {**_BAD, "form": ".2f", "unit": "mm", "limits": (0, None)}


def _of_cue(
    name: str, cue: str, wanted: str, sign: int
) -> tuple[tuple[str, str, str, dict[str, Any]], ...]:
    kind = {**_BAD, "direction": Direction.HIGH_GOOD if sign > 0 else Direction.LOW_GOOD, "limits": (-1, 1)}
    return (
        (f"ur_{name}", f"UR, {cue}", f"share of pairs in which {wanted}, ties half; 0.5 is chance", _GOOD),
        (f"ucc_{name}", f"UCC, {cue}", f"rank correlation, {sign:+d} where {wanted}", kind),
    )


METRICS = by_name(
    Column(name=name, title=title, text=text, **kind)
    for name, title, text, kind in (
        ("dice", "Dice", "overlap, 2|AB| / (|A| + |B|), 0 to 1", _GOOD),
        ("iou", "IoU", "intersection over union, 0 to 1; its mean over classes is mIoU", _GOOD),
        (
            "hd95_mm",
            "HD95 (mm)",
            "the larger of both directions' 95th percentile of edge distances",
            _MM,
        ),
        ("assd_mm", "ASSD (mm)", "mean distance of both masks' edges", _MM),
        ("nsd", "NSD", "share of both surfaces within the tolerance of the other, 0 to 1", _GOOD),
        (
            "ece",
            "ECE",
            "expected calibration error, reference foreground grown by 5 voxels, 0 to 1",
            _BAD,
        ),
        ("ace", "ACE", "the same with equal weight for every bin", _BAD),
        (
            "ece_image",
            "whole-image ECE",
            "expected calibration error over the whole image",
            {**_BAD, "form": ".4f"},
        ),
        ("ace_image", "whole-image ACE", "the same with equal weight for every bin", _BAD),
        (
            "ueo",
            "UEO",
            "uncertainty-error overlap: Dice of what is uncertain with what is wrong, at the best threshold",
            _GOOD,
        ),
        *_of_cue("gradient", "gradient", "uncertainty falls with the gradient along boundaries", -1),
        *_of_cue("distance", "distance", "what noise adds falls with the distance from a boundary", -1),
        *_of_cue("noise", "noise", "uncertainty near boundaries rises with noise", 1),
    )
)
"""In the order of their columns."""

OF_THE_CASE = tuple(name for name in METRICS if name == "ueo" or name.startswith(("ur_", "ucc_")))
"""Those that a case has and a class has not."""
_OF_CLASSES = tuple(name for name in METRICS if name not in OF_THE_CASE)
SOFT = by_name(
    Column(name=name, title=title, text=text, **kind)
    for name, title, text, kind in (
        (
            "soft_dice",
            "soft Dice",
            "1 - sum |p - q| / sum (p + q) of the probabilities and the confidences; a mask is 0 and 1",
            _GOOD,
        ),
        ("brier", "Brier", "mean (p - q)^2 near the marked voxels, those within 5 of them", _BAD),
        (
            "brier_image",
            "whole-image Brier",
            "mean (p - q)^2 over the whole image",
            {**_BAD, "form": ".4f"},
        ),
        (
            "ece_q",
            "ECE of q",
            "how far p lies from the mean confidence in its bin, near the marked voxels",
            _BAD,
        ),
        ("ece_q_image", "whole-image ECE of q", "the same over the whole image", {**_BAD, "form": ".4f"}),
        (
            "ged",
            "GED",
            "squared generalised energy distance of the mask from those of the raters, 0 to 2",
            {**_BAD, "limits": (0, 2)},
        ),
        (
            "ncc",
            "NCC",
            "correlation of the uncertainty (what the model states, else p (1 - p)) with q (1 - q)",
            {**_GOOD, "limits": (-1, 1)},
        ),
    )
)
"""Of predictions and confidences, with `--at`."""
AT = ("dice", "iou", "hd95_mm", "assd_mm", "nsd")
"""Metrics that stand once more for each reference of `--at`, such as `dice@0.6`."""


def metrics_at(at: Sequence[float]) -> dict[str, Column]:
    """What is measured beside METRICS where confidences are thresholded so, in the order of its columns.

    >>> list(metrics_at([0.6]))[:2]
    ['dice@0.6', 'iou@0.6']
    """
    if not at:
        return {}
    found = {}
    for threshold in at:
        for name in AT:
            usual = METRICS[name]
            column = replace(
                usual,
                name=f"{name}@{threshold:g}",
                title=f"{usual.title} at {threshold:g}",
                text=f"{usual.text}; against the voxels with q >= {threshold:g}",
            )
            found[column.name] = column
    return {**found, **SOFT}


def metrics_in(names: Iterable[str]) -> dict[str, Column]:
    """Those of the names that are metrics, in the order of columns.

    >>> list(metrics_in(["case", "dice@0.75", "dice", "ncc"]))
    ['dice', 'dice@0.75', 'ncc']
    """
    there = list(names)
    at = dict.fromkeys(
        float(name.partition("@")[2]) for name in there if name.partition("@")[0] in AT and "@" in name
    )
    known = {**METRICS, **metrics_at([*at]), **SOFT}
    return {name: column for name, column in known.items() if name in set(there)}


def metric_columns(at: Sequence[float]) -> list[str]:
    """Of metrics.csv."""
    return _beside_metrics(METRIC_COLUMNS, at)


def case_columns(at: Sequence[float]) -> list[str]:
    """Of cases.csv."""
    return _beside_metrics(CASE_COLUMNS, at)


def _beside_metrics(columns: Sequence[str], at: Sequence[float]) -> list[str]:
    place = columns.index(_OF_CLASSES[-1]) + 1
    return [*columns[:place], *metrics_at(at), *columns[place:]]


METRIC_COLUMNS = (
    "case",
    "class",
    "group",
    "status",
    *_OF_CLASSES,
    "tolerance_mm",
    "reference_voxels",
    "predicted_voxels",
    "both_voxels",
    "error",
)
CASE_COLUMNS = (
    "case",
    "group",
    "status",
    *_OF_CLASSES,
    "ueo",
    "max_probability",
    "max_probability_near",
    "mean_uncertainty",
    "boundary_uncertainty",
    "voxel_mm3",
    "error",
)
CUE_COLUMNS = (
    "case",
    "group",
    "status",
    *(name for name in OF_THE_CASE if name != "ueo"),
    *(f"points_{cue}" for cue in ("gradient", "distance", "noise")),
)


def _beside(name: str, text: str, unit: str = "") -> Column:
    return Column(name=name, title=name.replace("_", " "), text=text, unit=unit)


_OTHERS = (
    _beside("case", "the case"),
    _beside("class", "the class, as the reference names it; all: the mean over classes"),
    _beside("group", "cases of one group are resampled together"),
    _beside(
        "status",
        "ok; both_empty; reference_empty or prediction_empty: overlap is 0, and HD95 and ASSD are the "
        "image's diagonal; failed",
    ),
    _beside("tolerance_mm", "of NSD", "mm"),
    _beside("reference_voxels", "of the class in the reference"),
    _beside("predicted_voxels", "of the class in the prediction"),
    _beside("both_voxels", "of the class in both"),
    _beside(
        "max_probability", "mean over the image of the predicted label's probability, high = confident"
    ),
    _beside("max_probability_near", "the same over the predicted foreground grown by 5 voxels"),
    _beside("mean_uncertainty", "uncertainty, mean over the image, 0 to 1, high = unsure"),
    _beside("boundary_uncertainty", "the same within a voxel of the predicted boundary"),
    *(
        _beside(f"points_{cue}", f"voxels that were compared for the {cue}; 0: the case has no score")
        for cue in ("gradient", "distance", "noise")
    ),
    _beside("voxel_mm3", "volume of a voxel, mm^3 (mm^2 in 2D)", "mm³"),
    _beside("error", "what could not be measured, and what to do"),
)


def describe(at: Sequence[float] = ()) -> dict[str, dict[str, Any]]:
    """Title, direction, range, unit and meaning of every column, for the manifest."""
    columns = (*_OTHERS, *METRICS.values(), *metrics_at(at).values())
    return {column.name: column.described() for column in columns}


def tolerances(text: str, classes: list[str]) -> dict[str, float]:
    """NSD's tolerance of each class: `1`, or `1,tumour=2`, the bare number for all that are not named.

    Raises:
        UsageError: it cannot be read, or names a class that is not there.

    >>> tolerances("1,tumour=2", ["liver", "tumour"])
    {'liver': 1.0, 'tumour': 2.0}
    """
    rest, named = 1.0, dict[str, float]()
    for part in text.split(","):
        name, sign, number = (piece.strip() for piece in part.rpartition("="))
        try:
            mm = float(number)
        except ValueError as error:
            raise UsageError(
                f"--tolerance: {part.strip()!r} cannot be read; write mm, as `1`, or `1,tumour=2`"
            ) from error
        if not 0 <= mm < float("inf"):
            raise UsageError(f"--tolerance: {part.strip()!r} is not a distance; expected mm from 0")
        if sign and name not in classes:
            raise UsageError(
                f"--tolerance: no class {name!r}; the reference has {', '.join(classes) or 'none'}"
            )
        if sign:
            named[name] = mm
        else:
            rest = mm
    return {name: named.get(name, rest) for name in classes}
