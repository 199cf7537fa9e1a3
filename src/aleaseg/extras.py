"""The one door to optional packages."""

from __future__ import annotations

import importlib
from types import ModuleType

from aleaseg.errors import MissingExtra

__all__ = ["need"]

# module -> the extra of this package that brings it
_EXTRAS = {
    "cleanlab": "compare",
    "huggingface_hub": "models",
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
