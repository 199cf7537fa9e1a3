"""NiiVue, where it is installed: another three-dimensional view, which draws the image too (extra `review3d`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["niivue_script"]


def niivue_script() -> Path | None:
    """The built script of the package ipyniivue, for the page to load; None without. Nothing of it is imported."""
    found = importlib.util.find_spec("ipyniivue")
    places = [] if found is None else found.submodule_search_locations or []
    scripts = (Path(place) / "static" / "widget.js" for place in places)
    return next((path for path in scripts if path.is_file()), None)
