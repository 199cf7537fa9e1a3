"""Which eye looks: the extractor that is asked for, or chosen, and whether it suits data and reference.

Decided once, before anything is computed, and handed on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.extractors import (
    Extractor,
    ExtractorSettings,
    checked,
    choose_extractor,
    extractor_class,
    make_extractor,
)
from aleaseg.predictions import Predictions
from aleaseg.run import Run
from aleaseg.work import choose_device

__all__ = ["Eye", "channel_number", "check_same_eye", "choose_eye", "warnings_before"]

_OF_THE_EYE = (
    "extractor",
    "prompt",
    "normalize",
    "scenario",
    "weights",
    "window",
    "channel",
    "pixels",
    "precision",
)
_SLOW_SECONDS = 60


@dataclass(frozen=True)
class Eye:
    """Which extractor looks.

    Attributes:
        asked: what is asked of it, defaults put in.
        why: why it.
        model: the extractor itself, where it brings a model of its own; else it is built with the predictions.
    """

    asked: ExtractorSettings
    why: str
    model: Extractor | None

    def open(self, dataset: Dataset, predictions: Predictions | None) -> Extractor:
        """The extractor, for this data."""
        return self.model or make_extractor(self.asked, dataset, predictions)


def choose_eye(
    settings: AuditSettings, dataset: Dataset, source: str | None, reference: Run | None = None
) -> Eye:
    """What is asked of which extractor, and why it. A model is loaded once, to be sure that it can be.

    Args:
        settings: of the run. With a reference and `auto`, the reference's count.
        dataset: what it shall look at.
        source: where out-of-fold predictions come from, or None.
        reference: the run that the cases will be compared with.

    Raises:
        UsageError: what cannot work, with the valid names.
    """
    chosen, why = settings, None
    if settings.extractor == "auto" and reference is not None:
        chosen, why = _as_the_reference(settings, reference, source, dataset)
    asked = ExtractorSettings(
        chosen.extractor,
        prompt=chosen.prompt,
        normalize=chosen.normalization,
        weights=None if chosen.weights is None else str(chosen.weights),
        window=chosen.window,
        channel=channel_number(chosen.channel, dataset),
        pixels=chosen.pixels,
        device=choose_device(chosen.device, here=False),
        precision=chosen.precision,
        accept_licence=chosen.accept_licence,
        cache=None if chosen.cache is None else str(chosen.cache),
    )
    if why is None and chosen.extractor == "auto" and chosen.measures == "all":
        asked = replace(asked, name="task")
        why = "--measures all lays every reading of its maps side by side; auv/own has the package's own network"
    if why is None:
        name, why = choose_extractor(asked, dataset, source)
        asked = replace(asked, name=name)
    asked = checked(asked, dataset, source)
    model = None
    if extractor_class(asked.name).traits.brings_model:
        model = make_extractor(asked, dataset)
        # Let go again: whoever scores cases brings a network of their own.
        make_extractor(asked, dataset).load()
    # Chosen by itself, an eye without a model is the reference's, or looks where the reference's cannot.
    if reference is not None and (model is not None or settings.extractor != "auto"):
        check_same_eye(asked.name, model, reference)
    return Eye(asked, why, model)


def _as_the_reference(
    settings: AuditSettings, reference: Run, source: str | None, dataset: Dataset
) -> tuple[AuditSettings, str]:
    then = reference.manifest["settings"]
    made = reference.manifest["extractor"]["name"]
    traits = extractor_class(made).traits
    if traits.predictions and source is None:
        return replace(settings, extractor="variance"), (
            "the reference was scored with predictions, and there are none here, so only intensities can be "
            "looked at"
        )
    if traits.bundled and then["extractor"] == "auto" and not dataset.has_labels:
        return replace(settings, extractor="variance"), (
            "the reference's extractor was prompted by labels, and there are none here, so only intensities "
            "can be used"
        )
    told = {name: then[name] for name in _OF_THE_EYE if name in then}
    # As it was resolved: here the channel may be called something else.
    window = reference.manifest["extractor"].get("window", told.get("window"))
    told |= {
        "extractor": made,
        "window": tuple(window) if window else None,
    }
    return replace(settings, **told), "the reference was scored with it"


def channel_number(given: str | int | None, dataset: Dataset) -> int | None:
    """The number of a channel given by name or number.

    Raises:
        UsageError: there is no such channel.
    """
    if given is None:
        return None
    names, given = list(dataset.channels), str(given)
    if given in names:
        return names.index(given)
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
    raise UsageError(f"--channel {given}: {dataset.name} has the channels {known}")


def check_same_eye(name: str, model: Extractor | None, reference: Run) -> None:
    """S of two different eyes cannot be compared: name, weights, prompt and the rest must be the reference's.

    Raises:
        UsageError: the message names what differs.
    """
    made = reference.manifest["extractor"]
    here = {"name": name} if model is None else json.loads(json.dumps(model.identity()))
    differing = [key for key in here if made.get(key) != here[key]]
    if differing:
        lines = "; ".join(f"{key}: {made.get(key)!r} there, {here[key]!r} here" for key in differing)
        raise UsageError(
            f"the reference {reference.path} was scored with another extractor ({lines}); ask for the same, or leave "
            "--extractor and its options away"
        )


def warnings_before(eye: Extractor, dataset: Dataset) -> list[str]:
    """What a person should know before cases are looked at: random weights, and how long it may take."""
    lines = []
    if eye.title != eye.settings.name:
        lines.append(f"The extractor is {eye.title}: S and AUV will mean nothing.")
    shapes = []
    for case in dataset.cases:
        try:
            shapes.append(case.read_geometry().shape)
        except AleasegError:
            continue  # the case says so itself when it is scored
    seconds = sum(eye.cost(shape, max(1, len(dataset.classes))).seconds for shape in shapes)
    if seconds >= _SLOW_SECONDS:
        lines.append(
            f"{eye.settings.name} runs on {len(shapes)} cases: about {seconds / 60:.0f} minutes on one "
            f"{'GPU' if eye.settings.device == 'cuda' else 'core'}; a run that is stopped resumes."
        )
    return lines
