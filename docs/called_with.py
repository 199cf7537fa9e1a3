"""For the Python reference: a function of settings is called with their fields, which only running it tells."""

import importlib
import inspect
from typing import Any

import griffe

_KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


class CalledWith(griffe.Extension):
    """Signature and docstring of what `aleaseg.settings.called_with` decorates, as `help()` shows them."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Called by griffe with each function that it has read."""
        if not any(str(each.value).startswith("called_with(") for each in func.decorators):
            return
        real = getattr(importlib.import_module(func.module.path), func.name)
        func.parameters = griffe.Parameters(*map(_told, inspect.signature(real).parameters.values()))
        if func.docstring is not None:
            func.docstring.value = inspect.cleandoc(real.__doc__)


def _told(parameter: inspect.Parameter) -> griffe.Parameter:
    given = parameter.default is not inspect.Parameter.empty
    return griffe.Parameter(
        parameter.name,
        annotation=inspect.formatannotation(parameter.annotation).replace("pathlib.", ""),
        kind=_KINDS[parameter.kind],
        default=repr(parameter.default) if given else None,
    )
