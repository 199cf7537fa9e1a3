"""Which eye looks: the extractor that is asked for, or chosen, and whether it suits data and reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aleaseg.case import Dataset
from aleaseg.errors import AleasegError, UsageError
from aleaseg.manifest import Settings
from aleaseg.run import Run
from aleaseg.work import choose_device as choose_device

if TYPE_CHECKING:
    from aleaseg.extractors import Extractor, ExtractorSettings

__all__ = [
    "SCENARIOS",
    "channel_number",
    "check_same_eye",
    "choose_device",
    "choose_eye",
    "given_predictions",
    "given_weights",
    "warnings_before",
]

SCENARIOS = {"a": "raw", "b": "raw", "c": "foreground", "d": "foreground"}
"""Table 5 of arXiv 2604.10963: raw (X-hat) or mask-normalised (X) input; a and c cut by all classes, b and d by one."""
_OF_THE_EYE = ("extractor", "prompt", "normalize", "scenario", "weights", "window", "channel", "precision")
_SLOW_SECONDS = 60


def choose_eye(
    settings: Settings,
    dataset: Dataset,
    source: str | None,
    reference: Run | None = None,
    *,
    accept_licence: bool = False,
    cache: str | None = None,
) -> tuple[ExtractorSettings, str]:
    """What is asked of which extractor, and why it.

    Args:
        settings: of the run. With a reference and `auto`, the reference's count.
        dataset: what it shall look at.
        source: where out-of-fold predictions come from, or None.
        reference: the run that the cases will be compared with.
        accept_licence: of restricted weights.
        cache: a folder where class maps are kept.

    Raises:
        UsageError: what cannot work, with the valid names.
    """
    from aleaseg.extractors import ExtractorSettings, checked, choose_extractor

    why = None
    if settings.extractor == "auto" and reference is not None:
        settings, why = _as_the_reference(settings, reference, source, dataset)
    asked = ExtractorSettings(
        settings.extractor,
        prompt=settings.prompt,
        normalize=_normalization(settings),
        weights=settings.weights,
        window=settings.window,
        channel=channel_number(settings.channel, dataset),
        device=choose_device(settings.device),
        precision=settings.precision,
        accept_licence=accept_licence,
        cache=cache,
    )
    if why is None and settings.extractor == "auto" and settings.measures == "all":
        asked = replace(asked, name="task")
        why = "--measures all lays every reading of its maps side by side; auv/own has the package's own network"
    if why is None:
        name, why = choose_extractor(asked, dataset, source)
        asked = replace(asked, name=name)
    return checked(asked, dataset, source), why


def _as_the_reference(
    settings: Settings, reference: Run, source: str | None, dataset: Dataset
) -> tuple[Settings, str]:
    then = reference.manifest["settings"]
    made = reference.manifest["extractor"]["name"]
    if made == "task" and source is None:
        return replace(settings, extractor="variance"), (
            "the reference was scored with predictions, and there are none here, so only intensities can be "
            "looked at"
        )
    if made == "own" and then["extractor"] == "auto" and not dataset.has_labels:
        return replace(settings, extractor="variance"), (
            "the reference's eye was told by labels where to look, and there are none here, so only intensities "
            "can be looked at"
        )
    told = {name: then[name] for name in _OF_THE_EYE if name in then}
    # As it was resolved: here the channel may be called something else.
    window = reference.manifest["extractor"].get("window", told.get("window"))
    told |= {
        "extractor": reference.manifest["extractor"]["name"],
        "window": tuple(window) if window else None,
    }
    return replace(settings, **told), "the reference was scored with it"


def _normalization(settings: Settings) -> str:
    """Of the scenario, where one is given."""
    if settings.scenario is None:
        return settings.normalize
    if settings.scenario not in SCENARIOS:
        raise UsageError(f"unknown scenario {settings.scenario!r}; expected one of: {', '.join(SCENARIOS)}")
    meant = SCENARIOS[settings.scenario]
    if settings.normalize not in ("", meant):
        raise UsageError(
            f"--scenario {settings.scenario} means --normalize {meant}, and --normalize {settings.normalize} was "
            "given too; leave one of them away"
        )
    return meant


def channel_number(given: str | None, dataset: Dataset) -> int | None:
    """The number of a channel given by name or number.

    Raises:
        UsageError: there is no such channel.
    """
    if given is None:
        return None
    names = list(dataset.channels)
    if given in names:
        return names.index(given)
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
    raise UsageError(f"--channel {given}: {dataset.name} has the channels {known}")


def given_predictions(predictions: str | Path) -> str:
    """A path made absolute; `crossfit` and `eye` as they are."""
    return str(predictions) if predictions in ("crossfit", "eye") else str(Path(predictions).resolve())


def given_weights(weights: str | Path | None) -> str | None:
    """A path made absolute; `random` and None as they are."""
    if weights is None or str(weights).partition(":")[0] == "random":
        return None if weights is None else str(weights)
    return str(Path(weights).resolve())


def check_same_eye(name: str, model: Extractor | None, reference: Run) -> None:
    """S of two different eyes cannot be compared: name, weights, prompt and the rest must be the reference's.

    Args:
        name: of the extractor.
        model: the extractor, where it brings a model of its own.
        reference: what it will be compared with.

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
    """What a person should know before cases are looked at: random weights, and how long it may take.

    Args:
        eye: an extractor that brings a model of its own.
        dataset: what it will look at.
    """
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
            f"{eye.settings.name} looks at {len(shapes)} cases: about {seconds / 60:.0f} minutes on one "
            f"{'GPU' if eye.settings.device == 'cuda' else 'core'}; a run that is stopped goes on where it was."
        )
    return lines
