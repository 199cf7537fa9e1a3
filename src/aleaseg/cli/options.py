"""From settings to what is typed: each field is an argument or an option of the verb that takes the settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo

from aleaseg.settings import Argument, Option, Settings, options

__all__ = ["Group", "Verb", "verb"]

_NUMBERS = {int: "N", float: "X"}


def verb(run: Callable[..., None]) -> Callable[..., None]:
    """A function of settings, for typer: it is called with their fields, and with what else it takes."""
    parameters: list[inspect.Parameter] = []
    told: list[inspect.Parameter] = []
    kinds: dict[str, type[Settings]] = {}
    for parameter in inspect.signature(run, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, Settings):
            kinds[parameter.name] = parameter.annotation
            told += _parameters(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(run)
    def typed(**given: Any) -> None:
        for name, kind in kinds.items():
            made = kind(**{field: given.pop(field) for field, _, _ in options(kind)})
            given[name] = made
        run(**given)

    parameters = sorted([*parameters, *told], key=_place)
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return typed


def _place(parameter: inspect.Parameter) -> tuple[bool, bool]:
    """Arguments first, then options that are required, then the verb's own and those of the settings."""
    said = parameter.annotation.__metadata__[0]
    return not isinstance(said, ArgumentInfo), parameter.default is not inspect.Parameter.empty


def _parameters(kind: type[Settings]) -> Iterator[inspect.Parameter]:
    signature = inspect.signature(kind)
    for name, hint, option in options(kind):
        default = signature.parameters[name].default
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=",".join(default) if isinstance(default, tuple) else default,
            annotation=Annotated[_typed(hint, option), _said(name, hint, option)],
        )


def _typed(hint: Any, option: Option) -> Any:
    """What typer reads: text, a path, a number, a flag or a choice."""
    several = tuple(get_origin(each) or each for each in get_args(hint) or (hint,))
    if PathLike in several:
        several = (Path, *several)
    kind: Any = next((each for each in (bool, int, float, Path) if each in several), str)
    if option.choices:
        kind = Literal[option.choices]
    return kind | None if NoneType in several else kind


def _said(name: str, hint: Any, option: Option) -> Any:
    metavar = option.metavar or next(
        (sign for kind, sign in _NUMBERS.items() if kind in (hint, *get_args(hint))), None
    )
    if isinstance(option, Argument):
        return typer.Argument(help=option.help, metavar=metavar or name.upper())
    names = option.names or (f"--{name.replace('_', '-')}",)
    if hint is bool or option.choices:
        metavar = option.metavar or "|".join(option.choices) or None
    return typer.Option(*names, help=option.help, metavar=metavar, min=option.least)


def _without_noise(parameters: list[Any]) -> list[Any]:
    """A flag takes nothing, and what stands at its place is said by its name: no type beside either."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: ""
    return parameters


class Verb(TyperCommand):
    """A verb as its help shows it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters, and --help."""
        return _without_noise(super().get_params(ctx))


class Group(TyperGroup):
    """A group of verbs as its help shows it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters, and --help."""
        return _without_noise(super().get_params(ctx))
