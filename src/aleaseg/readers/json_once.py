"""JSON in which every name has one value: Python's own reader takes the last of several in silence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["TwoValues", "loads_once"]


class TwoValues(ValueError):
    """A name has two values that differ."""


def loads_once(content: bytes) -> Any:
    """What a JSON file holds.

    Args:
        content: of the file, UTF-8, with or without a byte order mark.

    Raises:
        TwoValues: a name stands twice in one object, with two values.
        ValueError: it is not valid JSON.

    >>> loads_once(b'{"liver": 1, "spleen": 2}')
    {'liver': 1, 'spleen': 2}
    """
    return json.loads(content.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=_once)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            raise TwoValues(f"{name!r} has two values, {found[name]!r} and {value!r}")
        found[name] = value
    return found
