"""What every extractor is: what S and AUV are computed from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from aleaseg.case import Case, Dataset
from aleaseg.errors import UsageError
from aleaseg.predictions import Predictions

__all__ = [
    "NORMALIZATIONS",
    "PROMPTS",
    "ClassMap",
    "Cost",
    "Extractor",
    "ExtractorSettings",
    "Kind",
    "NoMap",
    "Traits",
]

Kind = Literal["logit", "probability", "intensity"]

PROMPTS = {
    "none": "nothing: the network knows its classes",
    "text": "the class's name, in a sentence",
    "class": "the class's name, looked up among those the model knows",
    "label_box": "a box about the label on the slice where its area is largest",
    "label_slice_boxes": "a box about the label on every slice that has it",
    "pseudo": "a box about an out-of-fold or label-free prediction, on the slice where its area is largest",
    "auto_box": "a box around the body: one map of the whole image, no classes",
}
NORMALIZATIONS = {
    "raw": "the model's own preprocessing: a fixed window, or percentiles of the whole image (the paper's X-hat)",
    "foreground": "clipped to the 0.5-99.5% range of this case's annotated foreground, then standardised "
    "(the paper's X)",
}


@dataclass(frozen=True)
class ClassMap:
    """The decoded map of one class, on the extractor's own grid.

    Attributes:
        name: of the class; empty for a map of the whole image.
        values: (D, H, W) or (H, W), finite. Kind `intensity`: the image, NaN outside the class.
        kind: S of logits and of probabilities differ; they are never mixed in a population.
        z_range: slices [first, last) of the image's first axis that were decoded; of the
            map's first axis where the extractor works on a grid of its own.
        prompt: what told the extractor where to look, of `PROMPTS` (`mask` for intensities).
        presence: the model's own score of each slice of the map, > 0: the object is there.
            None where the model has no such score.
        overlap: Dice of the model's own outline, on the case's grid, and the label's mask that told it
            where to look; None where no label did, or the extractor does not say.
    """

    name: str
    values: NDArray
    kind: Kind
    z_range: tuple[int, int]
    prompt: str = "none"
    presence: tuple[float, ...] | None = None
    overlap: float | None = None


@dataclass(frozen=True)
class NoMap:
    """A class of which there is no map, and why: never a silent zero.

    Attributes:
        name: of the class.
        why: one word for the status column: `absent` (the case lacks the class), `unknown_class`
            (the model has no such class), `no_box` (no prediction to put a box about), ...
    """

    name: str
    why: str


@dataclass(frozen=True)
class Traits:
    """What an extractor needs and what it may be asked.

    Attributes:
        text: what it is, in a line.
        dimensions: of the images it can look at.
        prompts: of `PROMPTS`, the default first.
        normalizations: of `NORMALIZATIONS`, the default first; empty: it has no choice.
        modality: what it was made for, such as `CT`; None: any.
        channels: how many image channels it looks at; None: as many as there are.
        class_names: whether it must understand what classes are called.
        classes_by_label: whether classes are told apart by the label alone: without one there is a
            single map of the whole image.
        pixels: sides of the network's input that may be asked for, the default first; empty: no choice.
        weights: name in the catalogue of weights; None: it needs none of its own.
        own_weights: whether the user brings a model of their own with --weights.
        licence: of the released weights.
        bundled: whether its weights come with the package, so that it may look where nobody asked.
        predictions: whether it looks at out-of-fold predictions.
        scale: whether S is taken of its maps; else the variance of their intensities.
        caution: what a reader of its AUV has to know.
    """

    text: str
    dimensions: tuple[int, ...] = (2, 3)
    prompts: tuple[str, ...] = ("none",)
    normalizations: tuple[str, ...] = ()
    modality: str | None = None
    channels: int | None = None
    class_names: bool = False
    classes_by_label: bool = False
    pixels: tuple[int, ...] = ()
    weights: str | None = None
    own_weights: bool = False
    licence: str = ""
    bundled: bool = False
    predictions: bool = False
    scale: bool = True
    caution: str = ""

    @property
    def brings_model(self) -> bool:
        """Whether it looks through a model that does not come from this run."""
        return self.weights is not None or self.own_weights


@dataclass(frozen=True)
class ExtractorSettings:
    """What is asked of an extractor; written into the manifest.

    Attributes:
        name: of the registry.
        prompt: of `PROMPTS`; empty: the extractor's default.
        normalize: of `NORMALIZATIONS`; empty: the extractor's default.
        weights: a file (nnU-Net: a results folder); `random` or `random:SEED`: untrained weights,
            marked as such everywhere; None: those that `aleaseg weights fetch` brought.
        window: the raw image's lowest and highest value, such as (-160, 240); None: the
            extractor's for CT, percentiles for the rest.
        channel: which image channel a model of one channel looks at; None: there must be one only.
        pixels: side of the network's input, where there is a choice; None: the extractor's default.
        device: `cpu` or `cuda`.
        precision: `float32`, `bfloat16` (autocast), or `auto`: bfloat16 on a GPU.
        accept_licence: the user has read and accepts the licence of restricted weights.
        cache: a folder where class maps are kept by content; None: nowhere.
    """

    name: str
    prompt: str = ""
    normalize: str = ""
    weights: str | None = None
    window: tuple[float, float] | None = None
    channel: int | None = None
    pixels: int | None = None
    device: str = "cpu"
    precision: str = "auto"
    accept_licence: bool = False
    cache: str | None = None


@dataclass(frozen=True)
class Cost:
    """What looking at one case takes, roughly; said before a run starts.

    Attributes:
        seconds: on this machine, one case after the other.
        memory_bytes: the model and what it holds of the case.
    """

    seconds: float
    memory_bytes: int


class Extractor(ABC):
    """From a case to one class map at a time.

    Final classes implement `identity`, `cost` and `_maps`. Built from settings that
    `checked` has made sure of, so that what cannot work is refused before anything runs.

    Args:
        settings: what is asked.
        dataset: classes and channels; its cases are not needed.
        predictions: where out-of-fold predictions come from; None without.

    Attributes:
        name: as on the command line.
        traits: what it needs and may be asked.
    """

    name: ClassVar[str]
    traits: ClassVar[Traits]

    def __init__(
        self, settings: ExtractorSettings, dataset: Dataset, predictions: Predictions | None = None
    ) -> None:
        self.settings = settings
        self.dataset = dataset
        self.predictions = predictions

    def load(self) -> None:  # noqa: B027  (most have nothing to load beforehand)
        """Load the weights now, where that is not done by itself: what does not fit is refused before a long run.

        The one method with a body that is meant to be replaced.

        Raises:
            WeightsRefused: they are not those of the model.
        """

    @property
    def classes(self) -> Mapping[str, tuple[int, ...]]:
        """Class name -> label values."""
        return self.dataset.classes

    @property
    def title(self) -> str:
        """The name as pages show it; untrained weights are never left unsaid."""
        untrained = (self.settings.weights or "").partition(":")[0] == "random"
        return f"{self.settings.name} with RANDOM weights" if untrained else self.settings.name

    @property
    def maps_classes(self) -> bool:
        """Whether there is a map a class; else one of the whole image."""
        labelled = self.dataset.has_labels or not self.traits.classes_by_label
        return labelled and self.settings.prompt != "auto_box"

    @property
    def needs_labels(self) -> bool:
        """Whether it looks at the case's own label: then its maps may tell of the mask too."""
        return needs_labels(self.settings)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides its results (code, weights' sha256, settings): for the manifest and as the key of a cache."""

    @abstractmethod
    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """Roughly what a case of that shape, (D, H, W) or (H, W), takes with so many classes."""

    @abstractmethod
    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """The maps of a case. Several of one class (one per fold's model): the median S counts.

        Raises:
            CaseError: the case cannot be decoded.
        """


def needs_labels(settings: ExtractorSettings) -> bool:
    """Whether prompt or normalisation look at the case's own label."""
    return settings.normalize == "foreground" or settings.prompt.startswith("label_")


def settled(settings: ExtractorSettings, traits: Traits) -> ExtractorSettings:
    """The settings with the extractor's defaults put in; refused where it has no such choice.

    Raises:
        UsageError: with the valid names.
    """
    prompt = settings.prompt or traits.prompts[0]
    normalize = settings.normalize or (traits.normalizations or ("",))[0]
    for option, value, valid in (
        ("prompt", prompt, traits.prompts),
        ("normalize", normalize, traits.normalizations or ("",)),
    ):
        if value not in valid:
            leave = "--prompt" if option == "prompt" else "--normalize (or --scenario)"
            names = ", ".join(name for name in valid if name) or f"none; leave {leave} out"
            raise UsageError(
                f"extractor `{settings.name}` cannot take --{option} {value}; expected one of: {names}"
            )
    pixels = settings.pixels
    if pixels is None and traits.pixels:
        pixels = traits.pixels[0]
    if pixels is not None and pixels not in traits.pixels:
        names = ", ".join(map(str, traits.pixels)) or "none; leave --pixels out"
        raise UsageError(
            f"extractor `{settings.name}` cannot take --pixels {pixels}; expected one of: {names}"
        )
    return replace(settings, prompt=prompt, normalize=normalize, pixels=pixels)


def check_needs(settings: ExtractorSettings, traits: Traits, dataset: Dataset) -> None:
    """Refuse a data set that the extractor cannot look at at all; a case that it cannot is named later.

    Args:
        settings: settled.
        traits: of the extractor.
        dataset: what it shall look at.

    Raises:
        UsageError: what came, what was expected, what to do.
    """
    name = settings.name
    for option, value, has in (
        ("weights", settings.weights, traits.weights is not None or traits.own_weights),
        ("window", settings.window, bool(traits.normalizations)),
    ):
        if value is not None and not has:
            raise UsageError(
                f"extractor `{name}` takes no --{option}; leave it out, or choose another --extractor"
            )
    if settings.precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"unknown precision {settings.precision!r}; expected auto, float32 or bfloat16")
    if settings.window is not None and not -math.inf < settings.window[0] < settings.window[1] < math.inf:
        raise UsageError(
            f"--window {settings.window[0]:g},{settings.window[1]:g}: expected LOW,HIGH with LOW < HIGH"
        )
    if settings.window is not None and settings.normalize == "foreground":
        raise UsageError(
            "--window is for --normalize raw; with --normalize foreground the annotated foreground's own "
            "range is the window"
        )
    _check_labels(settings, traits, dataset)
    channels = len(dataset.channels)
    if traits.channels == 1 and channels > 1 and settings.channel is None:
        named = ", ".join(f"{i} ({c})" for i, c in enumerate(dataset.channels))
        raise UsageError(
            f"extractor `{name}` looks at one image channel, and {dataset.name} has {channels}: {named}; "
            "choose one with --channel"
        )
    if traits.class_names and not dataset.classes:
        raise UsageError(
            f"extractor `{name}` needs class names, and {dataset.name} declares none; "
            "name them with --classes, such as liver=1,tumour=2"
        )


def _check_labels(settings: ExtractorSettings, traits: Traits, dataset: Dataset) -> None:
    if needs_labels(settings) and not dataset.has_labels:
        why = (
            "--normalize foreground"
            if settings.normalize == "foreground"
            else f"--prompt {settings.prompt}"
        )
        free = [p for p in traits.prompts if not p.startswith("label_")]
        other = f"`--prompt {' or '.join(free)} --normalize raw`" if free else "another extractor"
        raise UsageError(
            f"extractor `{settings.name}` with {why} looks at labels, and {dataset.name} has none; use {other}"
        )
