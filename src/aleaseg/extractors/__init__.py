"""The eye: from a case to one class map per class."""

from __future__ import annotations

from collections.abc import Mapping

from aleaseg.errors import UsageError
from aleaseg.extractors.base import ClassMap, Extractor
from aleaseg.predictions import Predictions

__all__ = ["NAMES", "ClassMap", "Extractor", "choose_extractor", "make_extractor"]

NAMES = {
    "task": "the out-of-fold task network's logits",
    "variance": "the image's own intensities: their variance in place of S",
}


def choose_extractor(name: str, predictions: str | None) -> tuple[str, str]:
    """The extractor and why it.

    Args:
        name: of `NAMES`, or `auto`.
        predictions: where out-of-fold predictions come from, or None.

    Raises:
        UsageError: no such extractor, or it cannot work here.
    """
    if name == "auto":
        if predictions is None:
            return (
                "variance",
                "there are no labels to train a network on, so only intensities can be looked at",
            )
        return (
            "task",
            "the out-of-fold network is there anyway, and no foundation model's weights are asked for",
        )
    if name not in NAMES:
        raise UsageError(f"unknown extractor {name!r}; expected one of: auto, {', '.join(NAMES)}")
    if name == "task" and predictions is None:
        raise UsageError(
            "extractor `task` needs out-of-fold predictions, and there are no labels; use `variance`"
        )
    return name, "asked for"


def make_extractor(
    name: str, predictions: Predictions | None, classes: Mapping[str, tuple[int, ...]]
) -> Extractor:
    """Build an extractor by its name."""
    if name == "task":
        from aleaseg.extractors.task import Task

        if predictions is None:
            raise UsageError("extractor `task` needs out-of-fold predictions")
        return Task(predictions, classes)
    from aleaseg.extractors.intensity import Intensity

    return Intensity(classes)
