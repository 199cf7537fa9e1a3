"""Extractors: from a case to one class map per class."""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.metadata import entry_points

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
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
    "own": "aleaseg.extractors.own:Own",
    "medsam2": "aleaseg.extractors.medsam2:MedSAM2",
    "mobilesam": "aleaseg.extractors.mobilesam:MobileSAM",
    "segvol": "aleaseg.extractors.segvol:SegVol",
    "universal": "aleaseg.extractors.universal:Universal",
    "nnunet": "aleaseg.extractors.nnunet:NnUNet",
}


def names() -> list[str]:
    """Every extractor there is, our own first."""
    return [*_OURS, *sorted({point.name for point in entry_points(group=GROUP)} - set(_OURS))]


# What an extractor that nobody asked for may take of one core.
_LONGEST_SECONDS = 1800


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
                    f"extractor {name!r} of {point.value} is not a subclass of aleaseg.extractors.Extractor"
                )
            return loaded
    raise UsageError(f"unknown extractor {name!r}; expected one of: auto, {', '.join(names())}")


def choose_extractor(
    settings: ExtractorSettings, dataset: Dataset, predictions: str | None
) -> tuple[str, str]:
    """The extractor and why it.

    Args:
        settings: what is asked; the name may be `auto`: a foundation model whose weights are there
            and which suits the data, else the package's own prompted network where there are labels
            and it takes no longer than half an hour, else the task network.
        dataset: the classes, channels and labels.
        predictions: where out-of-fold predictions come from, or None.

    Raises:
        UsageError: no such extractor.
    """
    if settings.name != "auto":
        extractor_class(settings.name)
        return settings.name, "asked for"
    if predictions == "own":
        return "own", "the package's own network looks at the masks anyway"
    from aleaseg.extractors.weights import find

    passed = []
    for name in ("medsam2", "segvol") if settings.weights is None else ():
        traits = extractor_class(name).traits
        if find(traits.weights or name) is None:
            continue
        why = _unsuited(traits, dataset)
        if why is None:
            try:
                make_extractor(checked(replace(settings, name=name), dataset, predictions), dataset)
            except UsageError as error:
                why = str(error)
        if why is None:
            return name, "its weights are there"
        passed.append(f"{name} is there, but {why}")
    else_ = f"; {'; '.join(passed)}" if passed else "; no foundation model's weights are there"
    why_not = _own_unsuited(settings, dataset, predictions)
    if why_not is None:
        return "own", "it comes with the package and sees more than the task network" + else_
    passed.append(f"the package's own network is passed over: {why_not}")
    else_ = f"; {'; '.join(passed)}"
    if predictions is None:
        return (
            "variance",
            "there are no labels to train a network on, so only intensities can be looked at" + else_,
        )
    return "task", "the out-of-fold network is there anyway" + else_


def _own_unsuited(settings: ExtractorSettings, dataset: Dataset, predictions: str | None) -> str | None:
    """Why the package's own network is not taken unasked."""
    if settings.weights is not None:
        return "--weights is for another"
    if not dataset.has_labels:
        return "it is told by labels where to look, and there are none"
    try:
        own = make_extractor(checked(replace(settings, name="own"), dataset, predictions), dataset)
    except UsageError as error:
        return str(error)
    seconds = 0.0
    for case in dataset.cases:
        try:
            seconds += own.cost(case.read_geometry().shape, len(dataset.classes)).seconds
        except AleasegError:
            continue  # the case says so itself when it is scored
        if seconds > _LONGEST_SECONDS:  # the headers of the others need not be read for this
            return (
                f"it would take more than {_LONGEST_SECONDS / 60:g} minutes of a core; `--extractor own` takes it "
                "all the same"
            )
    return None


def _unsuited(traits: Traits, dataset: Dataset) -> str | None:
    """Why nobody should choose it for this data without being asked."""
    channels = [name.upper() for name in dataset.channels]
    if traits.modality is not None and channels != [traits.modality]:
        return f"the images are not declared to be {traits.modality}"
    if 3 in traits.dimensions and 2 not in traits.dimensions and dataset.cases:
        try:
            if len(dataset.cases[0].read_geometry().shape) == 2:
                return "the images are 2D"
        except AleasegError:
            return None
    return None


def checked(settings: ExtractorSettings, dataset: Dataset, predictions: str | None) -> ExtractorSettings:
    """The settings with defaults put in, made sure to suit the extractor and the data set.

    Raises:
        UsageError: what cannot work, with the valid names.
    """
    traits = extractor_class(settings.name).traits
    done = settled(settings, traits)
    check_needs(done, traits, dataset)
    if predictions is None and traits.predictions:
        raise UsageError(
            f"extractor `{settings.name}` needs out-of-fold predictions, and there are no labels; use `variance`"
        )
    if predictions is None and done.prompt == "pseudo":
        raise UsageError(
            "--prompt pseudo puts boxes around predictions, and there are none; give them with --predictions FOLDER, "
            "or use --prompt auto_box"
        )
    return done


def make_extractor(
    settings: ExtractorSettings | str, dataset: Dataset, predictions: Predictions | None = None
) -> Extractor:
    """Build an extractor; weights are loaded when they are first needed, or by `load`.

    Args:
        settings: or just a name.
        dataset: classes, channels, and whether there are labels.
        predictions: where out-of-fold predictions come from; None without.

    Raises:
        UsageError: it cannot work here.
    """
    if isinstance(settings, str):
        settings = ExtractorSettings(settings)
    found = extractor_class(settings.name)
    made = found(settled(settings, found.traits), dataset, predictions)
    if settings.cache is None:
        return made
    from aleaseg.extractors.cached import Cached

    return Cached(made, settings.cache)
