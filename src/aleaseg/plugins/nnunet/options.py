"""What can be chosen about DUO's trainers: environment variables, since nnU-Net hands a trainer no options.

Every variable begins with ALEASEG_DUO_. One that does not exist is an error, so that a slip of the
pen is not a training with the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError

__all__ = ["PREFIX", "DuoOptions", "describe", "given", "read_options"]

PREFIX = "ALEASEG_DUO_"


@dataclass(frozen=True)
class DuoOptions:
    """Options of a training.

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
        epochs: EPOCHS; None: nnU-Net's own number.
        iterations: ITERATIONS of an epoch; None: nnU-Net's own number.
        val_iterations: VAL_ITERATIONS; None: nnU-Net's own number.
        deep_supervision: DEEP_SUPERVISION.
        selection: SELECTION, see `aleaseg.plugins.nnunet.excluded.excluded`; a path is absolute.
    """

    alpha: float = 0.5
    beta: float = 0.5
    variant: str = "paper"
    renorm: bool = False
    certainty: str = "scale"
    class_weights: tuple[float, ...] | None = None
    warmup: int = 0
    penalty: float = 0.0
    initial: float | None = None
    shared: bool = False
    detach_target: bool = False
    seed: int = 0
    epochs: int | None = None
    iterations: int | None = None
    val_iterations: int | None = None
    deep_supervision: bool = True
    selection: str = ""


def read_options(environment: Mapping[str, str]) -> DuoOptions:
    """The options that an environment asks for, checked; the rest as they are by default.

    Raises:
        UsageError: a variable that does not exist, or a value that cannot be; the message names it.

    >>> read_options({"ALEASEG_DUO_ALPHA": "1", "HOME": "/somewhere"}).alpha
    1.0
    """
    values: dict[str, Any] = {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in _READERS or variable != _variable(name):
            known = ", ".join(map(_variable, _READERS))
            raise UsageError(
                f"{variable} is set, and there is no such option; expected one of {known}; unset it"
            )
        read, expected = _READERS[name]
        try:
            values[name] = read(environment[variable].strip())
        except ValueError:
            raise UsageError(
                f"{variable} is {environment[variable]!r}; expected {expected}; set it anew or unset it"
            ) from None
    return DuoOptions(**values)


def given(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the options that an environment sets."""
    return frozenset(name for name in _READERS if _variable(name) in environment)


def describe(options: DuoOptions) -> str:
    """The options in one line, as they would be set."""
    return " ".join(
        f"{_variable(one.name)}={_word(getattr(options, one.name))}"
        for one in fields(options)
        if getattr(options, one.name) not in (None, "")
    )


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# -- how each is read -----------------------------------------------------------------------------


def _number(low: float, high: float = math.inf) -> tuple[Callable[[str], Any], str]:
    def read(text: str) -> float:
        value = float(text)
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError(text)
        return value

    return read, f"a number from {low:g}" + (f" to {high:g}" if math.isfinite(high) else "")


def _whole(low: int) -> tuple[Callable[[str], Any], str]:
    def read(text: str) -> int:
        if int(text) < low:
            raise ValueError(text)
        return int(text)

    return read, f"a whole number from {low}"


def _one_of(*names: str) -> tuple[Callable[[str], Any], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return read, f"one of {', '.join(names)}"


def _yes_or_no() -> tuple[Callable[[str], Any], str]:
    words = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}

    def read(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]

    return read, "0 or 1"


def _weights() -> tuple[Callable[[str], Any], str]:
    def read(text: str) -> tuple[float, ...]:
        return tuple(_number(0)[0](part) for part in text.split(","))

    return read, "a number from 0 for each foreground class, such as 1,0.5"


def _selection() -> tuple[Callable[[str], Any], str]:
    def read(text: str) -> str:
        # A resumed training may be started from elsewhere.
        return text if text in ("", "none") else str(Path(text).resolve())

    return read, "a run, its folder `selection`, or none"


_READERS = {
    "alpha": _number(0),
    "beta": _number(0, 1),
    "variant": _one_of("paper", "official_readme"),
    "renorm": _yes_or_no(),
    "certainty": _one_of("scale", "fisher", "mahalanobis"),
    "class_weights": _weights(),
    "warmup": _whole(0),
    "penalty": _number(0),
    "initial": _number(0.001, 0.999),
    "shared": _yes_or_no(),
    "detach_target": _yes_or_no(),
    "seed": _whole(0),
    "epochs": _whole(1),
    "iterations": _whole(1),
    "val_iterations": _whole(1),
    "deep_supervision": _yes_or_no(),
    "selection": _selection(),
}
