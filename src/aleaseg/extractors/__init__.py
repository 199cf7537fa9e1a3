"""The eye: from a case to one class map per class."""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.metadata import entry_points

from aleaseg.case import Dataset
from aleaseg.errors import UsageError
from aleaseg.extractors.base import (
    ClassMap,
    Cost,
    Extractor,
    ExtractorSettings,
    NoMap,
    Traits,
    check_needs,
    needs_labels,
    settled,
)
from aleaseg.predictions import Predictions

__all__ = [
    "GROUP",
    "ClassMap",
    "Cost",
    "Extractor",
    "ExtractorSettings",
    "NoMap",
    "Traits",
    "checked",
    "choose_extractor",
    "extractor_class",
    "make_extractor",
    "names",
    "needs_labels",
]

GROUP = "aleaseg.extractors"
"""The entry-point group by which other packages add extractors: name = "module:Class"."""

_OURS = {
    "task": "aleaseg.extractors.task:Task",
    "variance": "aleaseg.extractors.intensity:Intensity",
    "medsam2": "aleaseg.extractors.medsam2:MedSAM2",
    "segvol": "aleaseg.extractors.segvol:SegVol",
    "universal": "aleaseg.extractors.universal:Universal",
    "nnunet": "aleaseg.extractors.nnunet:NnUNet",
}


def names() -> list[str]:
    """Every extractor there is, our own first."""
    return [*_OURS, *sorted({point.name for point in entry_points(group=GROUP)} - set(_OURS))]


def extractor_class(name: str) -> type[Extractor]:
    """The class of an extractor; imports its module.

    Raises:
        UsageError: there is none of that name, or what another package gives is none.
    """
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(":")
        found: type[Extractor] = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=GROUP):
        if point.name == name:
            loaded = point.load()
            if not (isinstance(loaded, type) and issubclass(loaded, Extractor)):
                raise UsageError(
                    f"extractor {name!r} of {point.value} is no subclass of aleaseg.extractors.Extractor"
                )
            return loaded
    raise UsageError(f"unknown extractor {name!r}; expected one of: auto, {', '.join(names())}")


def choose_extractor(name: str, predictions: str | None) -> tuple[str, str]:
    """The extractor and why it.

    Args:
        name: of `names()`, or `auto`.
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
    if name not in names():
        raise UsageError(f"unknown extractor {name!r}; expected one of: auto, {', '.join(names())}")
    if name == "task" and predictions is None:
        raise UsageError(
            "extractor `task` needs out-of-fold predictions, and there are no labels; use `variance`"
        )
    return name, "asked for"


def checked(settings: ExtractorSettings, dataset: Dataset) -> ExtractorSettings:
    """The settings with defaults put in, made sure to suit the extractor and the data set.

    Raises:
        UsageError: what cannot work, with the valid names.
    """
    traits = extractor_class(settings.name).traits
    done = settled(settings, traits)
    check_needs(done, traits, dataset)
    return done


def make_extractor(
    settings: ExtractorSettings | str, dataset: Dataset, predictions: Predictions | None = None
) -> Extractor:
    """Build an extractor; loads its weights.

    Args:
        settings: or just a name.
        dataset: classes and channels; its cases are not needed.
        predictions: where out-of-fold predictions come from; None without.

    Raises:
        UsageError: it cannot work here, or its weights are refused.
    """
    if isinstance(settings, str):
        settings = ExtractorSettings(settings)
    found = extractor_class(settings.name)
    return found(settled(settings, found.traits), replace(dataset, cases=()), predictions)
