"""An option is written once: as a field of the settings that hold it.

    @dataclass(frozen=True)
    class Colouring(Settings):
        image: Annotated[str | Path, Argument("What is coloured.", "FILE", form=whole_path)]
        _: KW_ONLY
        passes: Annotated[int, Option("How often.", least=1)] = 1

The type, the default, the words and the bounds are those of the Python function, of the verb and of its
help alike. A value is brought into one form where settings are made, so that a folder begun from the
command line can be gone on with from Python, and from any current folder.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

from aleaseg.errors import UsageError

__all__ = [
    "FUSIONS",
    "READING",
    "Argument",
    "DatasetSettings",
    "Device",
    "Fusion",
    "Option",
    "Scale",
    "Seed",
    "Settings",
    "called_with",
    "options",
    "path_unless",
    "table_or_regex",
    "whole_path",
    "whole_paths",
]

P = ParamSpec("P")
S = TypeVar("S", bound="Settings")
R = TypeVar("R")


@dataclass(frozen=True)
class Option:
    """What is said of a field.

    Attributes:
        help: what it means, for somebody who asks for help.
        metavar: what stands for the value there.
        names: as they are typed; empty: the field's name.
        least: the smallest value.
        choices: the valid values.
        form: brings a value, as text or as Python has it, into the form that is kept.
        free: decides no number: it may be another one when a folder is gone on with.
    """

    help: str
    metavar: str = ""
    names: tuple[str, ...] = ()
    least: float | None = None
    choices: tuple[str, ...] = ()
    form: Callable[[Any], Any] | None = None
    free: bool = False


@dataclass(frozen=True)
class Argument(Option):
    """An option that is told by its place."""


def options(kind: type[Settings]) -> Iterator[tuple[str, Any, Option]]:
    """(name, type, what is said of it) of every field that has something said of it, inherited ones last."""
    hints = get_type_hints(kind, include_extras=True)
    # Of each field the class that declares it, as far from here as that is.
    floor = {
        name: n
        for n, base in reversed([*enumerate(kind.__mro__)])
        for name in inspect.get_annotations(base)
    }
    for field in sorted(fields(kind), key=lambda field: floor[field.name]):
        for said in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(said, Option):
                yield field.name, hints[field.name].__origin__, said


@dataclass(frozen=True)
class Settings:
    """What is asked; the base of all settings."""

    def __post_init__(self) -> None:
        """Bring values into their form, and refuse what cannot work."""
        for name, _, option in options(type(self)):
            value = getattr(self, name)
            if value is not None and option.form is not None:
                value = option.form(value)
                object.__setattr__(self, name, value)
            if value is not None and option.choices and value not in option.choices:
                raise UsageError(
                    f"unknown {name} {value!r}; expected one of: {', '.join(filter(None, option.choices))}"
                )
            if value is not None and option.least is not None and value < option.least:
                raise UsageError(f"{name} is {value}; expected at least {option.least:g}")

    def asked(self) -> dict[str, Any]:
        """What decides the numbers, for a manifest."""
        free = {name for name, _, option in options(type(self)) if option.free}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in free}


def called_with(kind: Callable[P, S]) -> Callable[[Callable[[S], R]], Callable[P, R]]:
    """A function of settings is called with their fields instead; its docstring says what each means."""

    def decorate(function: Callable[[S], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(kind(*args, **kwargs))

        if isinstance(kind, type) and issubclass(kind, Settings):
            _tell(called, kind)
        return called

    return decorate


def _tell(function: Callable[..., Any], kind: type[Settings]) -> None:
    """Give a function the signature of settings, and say in its docstring what each of them means."""
    said = {name: (hint, option) for name, hint, option in options(kind)}
    own = inspect.signature(function)
    taken = inspect.signature(kind).parameters.values()
    parameters = [parameter.replace(annotation=said[parameter.name][0]) for parameter in taken]
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    told = "".join(f"    {parameter.name}: {said[parameter.name][1].help}\n" for parameter in parameters)
    doc, _, returned = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns:")
    function.__doc__ = f"{doc}\n\nArgs:\n{told}" + (f"\nReturns:{returned}\n" if returned else "")


def whole_path(path: str | PathLike[str]) -> str:
    """From the root: another folder may be the current one next time. Empty stays empty."""
    return str(Path(path).resolve()) if path != "" else ""


def whole_paths(value: str | Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    """`A,B`, or paths already: each from the root."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(whole_path(part) for part in parts if part)


def path_unless(*words: str) -> Callable[[str | Path], str]:
    """A whole path, but for these words, and what begins with one of them and a colon."""

    def form(value: str | Path) -> str:
        return str(value) if str(value).partition(":")[0] in words else whole_path(value)

    return form


def table_or_regex(value: str | Path) -> str:
    """A table's whole path; a regular expression as it is."""
    return whole_path(value) if str(value).lower().endswith(".csv") else str(value)


FUSIONS = ("mean", "majority", "staple")
"""How several raters become one confidence; see `aleaseg.readers.fusing`."""
Scale = Annotated[
    float | None, Option("The number that means certain: 1, 10, 100; default: as declared.", "X")
]
Fusion = Annotated[
    str | None,
    Option(
        "How raters become one confidence: mean, majority, staple; default: mean.", "HOW", choices=FUSIONS
    ),
]


@dataclass(frozen=True)
class DatasetSettings(Settings):
    """Which data set, and how it is read: every verb that opens one takes these."""

    dataset: Annotated[str | Path, Argument("The data set's folder.", "DATASET", form=whole_path)]
    _: KW_ONLY
    classes: Annotated[
        str | None, Option("Classes to keep, or name=value where none are declared.", "A,B")
    ] = None
    image: Annotated[
        str | None, Option("Which files are images, if that is unclear: '*_t1.nii.gz'.", "PATTERN")
    ] = None
    label: Annotated[
        str | None, Option("Which files are masks, likewise: '*_rater1.nii.gz'.", "PATTERN")
    ] = None
    scale: Scale = None
    fuse: Fusion = None

    @property
    def reading(self) -> dict[str, Any]:
        """What `open_dataset` is told beside the folder."""
        return {name: getattr(self, name) for name in READING if hasattr(self, name)}


READING = ("classes", "image", "label", "groups", "sites", "scale", "fuse")
"""Settings that say how a data set is read, where a verb has them."""
Device = Annotated[str, Option("Where networks run.", choices=("auto", "cpu", "cuda"))]
Seed = Annotated[int, Option("Seed of everything random.", "N", least=0)]
