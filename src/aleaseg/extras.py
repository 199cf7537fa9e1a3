"""What is imported late: optional packages, and the heavy parts of our own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

from aleaseg.errors import MissingExtra

__all__ = ["installed", "late", "need", "spare_monai"]

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

# What MONAI imports whole where it finds it, for a network and for plots that nobody here asks it for.
_UNASKED = ("matplotlib", "transformers")


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


class _Unasked(MetaPathFinder):
    """Hides packages for as long as MONAI is being imported; it takes each for one that is not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in _UNASKED:
            spec = getattr(sys.modules.get("monai"), "__spec__", None)
            if getattr(spec, "_initializing", False):
                raise ModuleNotFoundError(f"{name} is not needed for MONAI here", name=name)


def spare_monai() -> None:
    """From now on the import of MONAI leaves optional packages alone, which takes half as long.

    For processes that are ours from the start; in another's, somebody may want of MONAI what needs them. They are
    imported as ever by whoever asks for them.
    """
    if not any(isinstance(finder, _Unasked) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Unasked())
