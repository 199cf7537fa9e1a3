"""What is measured: names, directions, and how each is written."""

from __future__ import annotations

from dataclasses import dataclass

from aleaseg.errors import UsageError

__all__ = ["CASE_COLUMNS", "METRICS", "METRIC_COLUMNS", "Metric", "describe", "tolerances"]


@dataclass(frozen=True)
class Metric:
    """A column of numbers.

    Attributes:
        title: on tables and pages.
        higher_is_better: its direction.
        form: how a number of it is written.
        text: what it is.
    """

    title: str
    higher_is_better: bool
    form: str
    text: str

    @property
    def direction(self) -> str:
        """In words."""
        return "high = good" if self.higher_is_better else "low = good"


METRICS = {
    "dice": Metric("Dice", True, ".3f", "overlap, 2|AB| / (|A| + |B|), 0 to 1"),
    "iou": Metric("IoU", True, ".3f", "intersection over union, 0 to 1; its mean over classes is mIoU"),
    "hd95_mm": Metric(
        "HD95 (mm)", False, ".2f", "the larger of both directions' 95th percentile of edge distances"
    ),
    "assd_mm": Metric("ASSD (mm)", False, ".2f", "mean distance of both masks' edges"),
    "nsd": Metric("NSD", True, ".3f", "share of both surfaces within the tolerance of the other, 0 to 1"),
    "ece": Metric(
        "ECE", False, ".3f", "expected calibration error, reference foreground grown by 5 voxels, 0 to 1"
    ),
    "ace": Metric("ACE", False, ".3f", "the same with every bin weighing alike"),
    "ece_image": Metric("whole-image ECE", False, ".4f", "expected calibration error over the whole image"),
    "ace_image": Metric("whole-image ACE", False, ".3f", "the same with every bin weighing alike"),
}
"""In the order of their columns."""

METRIC_COLUMNS = (
    "case",
    "class",
    "group",
    "status",
    *METRICS,
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
    *METRICS,
    "max_probability",
    "max_probability_near",
    "voxel_mm3",
    "error",
)

_TEXTS = {
    "case": "the case",
    "class": "the class, as the reference names it; all: the mean over classes",
    "group": "cases of one group are resampled together",
    "status": "ok; both_empty; reference_empty or prediction_empty: overlap is 0, and HD95 and ASSD are the image's "
    "diagonal; failed",
    "tolerance_mm": "of NSD",
    "reference_voxels": "of the class in the reference",
    "predicted_voxels": "of the class in the prediction",
    "both_voxels": "of the class in both",
    "max_probability": "mean over the image of the predicted label's probability, high = confident",
    "max_probability_near": "the same over the predicted foreground grown by 5 voxels",
    "voxel_mm3": "volume of a voxel, mm^3 (mm^2 in 2D)",
    "error": "what could not be measured, and what to do",
}


def describe() -> dict[str, dict[str, str]]:
    """Direction and meaning of every column, for the manifest."""
    found = {name: {"direction": "none", "text": text} for name, text in _TEXTS.items()}
    return found | {
        name: {"direction": metric.direction, "text": metric.text} for name, metric in METRICS.items()
    }


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
            raise UsageError(f"--tolerance: {part.strip()!r} is no distance; expected mm from 0")
        if sign and name not in classes:
            raise UsageError(
                f"--tolerance: no class {name!r}; the reference has {', '.join(classes) or 'none'}"
            )
        if sign:
            named[name] = mm
        else:
            rest = mm
    return {name: named.get(name, rest) for name in classes}
