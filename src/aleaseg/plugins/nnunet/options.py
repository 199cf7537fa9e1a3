"""What can be chosen about the trainers: environment variables, since nnU-Net hands a trainer no options.

A family of trainers declares its options once, as the fields of a dataclass: each with its default and
the way its word is read. Every variable begins with the family's name, such as ALEASEG_DUO_; one that
does not exist is an error, so that a slip of the pen is not a training with the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from aleaseg.errors import UsageError

__all__ = ["ConfidenceOptions", "DuoOptions", "Options", "SureOptions"]


# -- how each is read -----------------------------------------------------------------------------


class _Reader(NamedTuple):
    """Makes a value of a word; raises ValueError where it cannot.

    Attributes:
        read: the value of a word.
        expected: what the word may be, for the message.
    """

    read: Callable[[str], Any]
    expected: str


def _option(default: Any, reader: _Reader, *, may_change: bool = False) -> Any:
    """A field that an environment variable sets; one that may change can be set anew when a training goes on."""
    return field(default=default, metadata={"reader": reader, "may_change": may_change})


def _number(low: float, high: float = math.inf) -> _Reader:
    def read(text: str) -> float:
        value = float(text)
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError(text)
        return value

    return _Reader(read, f"a number from {low:g}" + (f" to {high:g}" if math.isfinite(high) else ""))


def _whole(low: int) -> _Reader:
    def read(text: str) -> int:
        if int(text) < low:
            raise ValueError(text)
        return int(text)

    return _Reader(read, f"a whole number from {low}")


def _one_of(*names: str) -> _Reader:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return _Reader(read, f"one of {', '.join(names)}")


def _yes_or_no() -> _Reader:
    words = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}

    def read(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]

    return _Reader(read, "0 or 1")


def _weights() -> _Reader:
    def read(text: str) -> tuple[float, ...]:
        return tuple(_number(0).read(part) for part in text.split(","))

    return _Reader(read, "a number from 0 for each foreground class, such as 1,0.5")


def _selection() -> _Reader:
    def read(text: str) -> str:
        # A resumed training may be started from elsewhere.
        return text if text in ("", "none") else str(Path(text).resolve())

    return _Reader(read, "a run, its folder `selection`, or none")


# -- what every trainer can be told ---------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Options of a training, whatever its loss; a family adds its own.

    Attributes:
        key: of the family in a checkpoint; in capitals it begins the names of the variables.
        epochs: EPOCHS; None: nnU-Net's own number.
        iterations: ITERATIONS of an epoch; None: nnU-Net's own number.
        val_iterations: VAL_ITERATIONS; None: nnU-Net's own number.
        deep_supervision: DEEP_SUPERVISION.
        selection: SELECTION, see `aleaseg.plugins.nnunet.excluded.excluded`; a path is absolute.
    """

    key: ClassVar[str]

    epochs: int | None = _option(None, _whole(1), may_change=True)
    iterations: int | None = _option(None, _whole(1), may_change=True)
    val_iterations: int | None = _option(None, _whole(1), may_change=True)
    deep_supervision: bool = _option(True, _yes_or_no())
    selection: str = _option("", _selection(), may_change=True)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """The options that an environment asks for, checked; the rest as they are by default.

        Raises:
            UsageError: a variable that does not exist, or a value that cannot be; the message names it.

        >>> DuoOptions.read({"ALEASEG_DUO_ALPHA": "1", "HOME": "/somewhere"}).alpha
        1.0
        """
        known = {cls.variable(one.name): one for one in cls._in_order()}
        values: dict[str, Any] = {}
        for variable in sorted(environment):
            if not variable.startswith(cls.variable("")):
                continue
            if variable not in known:
                raise UsageError(
                    f"{variable} is set, and there is no such option; expected one of {', '.join(known)}; unset it"
                )
            option = known[variable]
            reader: _Reader = option.metadata["reader"]
            try:
                values[option.name] = reader.read(environment[variable].strip())
            except ValueError:
                raise UsageError(
                    f"{variable} is {environment[variable]!r}; expected {reader.expected}; correct it or unset it"
                ) from None
        return cls(**values)

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Self:
        """The options that a checkpoint holds."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
        }
        return cls(**values)

    @classmethod
    def given(cls, environment: Mapping[str, str]) -> frozenset[str]:
        """Names of the options that an environment sets."""
        return frozenset(one.name for one in fields(cls) if cls.variable(one.name) in environment)

    @classmethod
    def may_change(cls, name: str) -> bool:
        """Whether a training that goes on may be given another value than it had."""
        return any(one.name == name and one.metadata["may_change"] for one in fields(cls))

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of an option.

        >>> DuoOptions.variable("alpha")
        'ALEASEG_DUO_ALPHA'
        """
        return f"{cls.key}_{name}".upper()

    def describe(self) -> str:
        """The options in one line, as they would be set."""
        return " ".join(
            f"{self.variable(one.name)}={_word(getattr(self, one.name))}"
            for one in self._in_order()
            if getattr(self, one.name) not in (None, "")
        )

    @classmethod
    def _in_order(cls) -> list[Field[Any]]:
        """The family's own options, then those of every trainer."""
        everywhere = {one.name for one in fields(Options)}
        return sorted(fields(cls), key=lambda one: one.name in everywhere)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# -- the families ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class DuoOptions(Options):
    """Options of DUO's trainers.

    Attributes:
        alpha: ALPHA, how much a certain class is weighed down; >= 0.
        beta: BETA, share of Dice in the loss, in [0, 1].
        variant: VARIANT, `paper` or `official_readme`.
        renorm: RENORM, weights scaled to mean 1 over the batch.
        certainty: CERTAINTY, what stands for S: `scale` (S itself), `fisher` or `mahalanobis`.
        class_weights: CLASS_WEIGHTS, fixed weights of the foreground classes in place of those by S.
        warmup: WARMUP, epochs without noise at the start.
        penalty: PENALTY, lambda of lambda mean(g^2).
        initial: INITIAL, g at the start, above 0 and below 1; None: the variant's own.
        shared: SHARED, one noise per case for all its classes.
        detach_target: DETACH_TARGET, no gradient into the noise from the loss.
        seed: SEED, of noise head and noise.
    """

    key: ClassVar[str] = "aleaseg_duo"

    alpha: float = _option(0.5, _number(0))
    beta: float = _option(0.5, _number(0, 1))
    variant: str = _option("paper", _one_of("paper", "official_readme"))
    renorm: bool = _option(False, _yes_or_no())
    certainty: str = _option("scale", _one_of("scale", "fisher", "mahalanobis"))
    class_weights: tuple[float, ...] | None = _option(None, _weights())
    warmup: int = _option(0, _whole(0))
    penalty: float = _option(0.0, _number(0))
    initial: float | None = _option(None, _number(0.001, 0.999))
    shared: bool = _option(False, _yes_or_no())
    detach_target: bool = _option(False, _yes_or_no())
    seed: int = _option(0, _whole(0))


@dataclass(frozen=True)
class SureOptions(Options):
    """Options of the evidential trainers: a variant, and what shall be otherwise than in it.

    Of whatever has the name of a field of `aleaseg.losses.sure.SureSettings`, None is the variant's own.

    Attributes:
        variant: VARIANT, see `aleaseg.losses.sure.VARIANTS`; None: the trainer's own.
        form: FORM of the evidential loss, `a` or `b`.
        kind: KIND of its first term, `digamma`, `log` or `mse`.
        beta: BETA, weight of the order with the gradient.
        gamma: GAMMA, weight of what is learned from noise.
        level: LEVEL, of which the order with the level of noise.
        distance: DISTANCE, of which the order with the distance.
        far: FAR, of which the uncertainty far from every boundary.
        begin: BEGIN, share of the training after which all of these count.
        start: START, how much they count then; it rises to 1.
        near: NEAR, distance in voxels up to which a voxel is near a boundary.
        boundary: BOUNDARY, distance in voxels up to which a voxel is on it.
        noise: NOISE, what varies between levels: `sigma` or `mu`.
        per_class: PER_CLASS, patches of noise for each class and sample.
        edge: EDGE of such a patch, in voxels; 0: by the image's size.
        pairs: PAIRS of voxels compared by their gradients, per sample and step.
        seed: SEED of every draw.
    """

    key: ClassVar[str] = "aleaseg_sure"

    variant: str | None = _option(None, _one_of("edl", "edl_b", "sure", "sure2025"))
    form: str | None = _option(None, _one_of("a", "b"))
    kind: str | None = _option(None, _one_of("digamma", "log", "mse"))
    beta: float | None = _option(None, _number(0))
    gamma: float | None = _option(None, _number(0))
    level: float | None = _option(None, _number(0))
    distance: float | None = _option(None, _number(0))
    far: float | None = _option(None, _number(0))
    begin: float | None = _option(None, _number(0, 0.999))
    start: float | None = _option(None, _number(0.0001, 1))
    near: float | None = _option(None, _number(0))
    boundary: float | None = _option(None, _number(0))
    noise: str | None = _option(None, _one_of("sigma", "mu"))
    per_class: int | None = _option(None, _whole(1))
    edge: int | None = _option(None, _whole(0))
    pairs: int | None = _option(None, _whole(1))
    seed: int = _option(0, _whole(0))


@dataclass(frozen=True)
class ConfidenceOptions(Options):
    """Options of the trainer that learns confidences.

    Attributes:
        labels: LABELS, how, see `aleaseg.training.targets`; None: as the data set was written for.
        seed: SEED, of the thresholds that `sample` draws.
    """

    key: ClassVar[str] = "aleaseg_confidence"

    labels: str | None = _option(None, _one_of("soft", "weight", "regress", "sample"))
    seed: int = _option(0, _whole(0))
