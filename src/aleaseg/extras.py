"""What is imported late: optional packages, and the heavy parts of our own."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from aleaseg.errors import MissingExtra

__all__ = ["installed", "late", "need"]

# module -> the extra of this package that brings it
_EXTRAS = {
    "cleanlab": "compare",
    "dask_jobqueue": "cluster",
    "distributed": "cluster",
    "huggingface_hub": "models",
    "ipyniivue": "review3d",
    "nnunetv2": "nnunet",
    "transformers": "models",
}


def need(module: str) -> ModuleType:
    """Import an optional package, or say which line installs it.

    Args:
        module: the module to import, for example `"transformers"`.

    Returns:
        The imported module.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        line = f"pip install 'aleaseg[{_EXTRAS[root]}]'" if root in _EXTRAS else f"pip install {root}"
        raise MissingExtra(f"{module} is needed for this and is not installed; run: {line}") from error


def installed() -> dict[str, bool]:
    """Extra -> whether all that it brings is there. Nothing is imported."""
    found: dict[str, bool] = {}
    for module, extra in _EXTRAS.items():
        found[extra] = found.get(extra, True) and importlib.util.find_spec(module) is not None
    return dict(sorted(found.items()))


def late(package: str, face: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are imported when they are first asked for.

    Args:
        package: its name.
        face: name -> the module that has it.
    """

    def get(name: str) -> Any:
        if name not in face:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(face))}"
            )
        return getattr(importlib.import_module(face[name]), name)

    return get
