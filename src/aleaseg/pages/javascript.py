"""Data as `.js` files.

A page that was opened from disk may load scripts but may not fetch JSON, so
data come as calls: `ALEASEG.receive("index", {...})`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["as_script", "escape", "plain", "significant"]


def significant(value: float, digits: int = 5) -> float | int | None:
    """A number short enough to be sent; None where it is not finite."""
    number = float(value)
    if not math.isfinite(number):
        return None
    short = float(f"{number:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def plain(value: Any, digits: int = 5) -> Any:
    """A value as JSON takes it: numbers short, null where they are not finite; arrays as lists."""
    # The usual ones first: the page of ten thousand cases sends some ten million.
    kind = type(value)
    if kind is float:
        return significant(value, digits)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, float):
        return significant(value, digits)
    if isinstance(value, int | str):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist(), digits)
    return str(value)


def escape(value: Any) -> str:
    r"""JSON that may stand in any script: ASCII only, and no character that HTML reads.

    Lone surrogates, U+2028 and U+2029 become escapes, and so do `<`, `>` and `&`.

    >>> escape("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_script(kind: str, key: str, value: Any, stamp: str = "") -> str:
    """A script that hands a value to the page.

    Args:
        kind: `index`, `case` or `pictures`.
        key: which one; hexadecimal digits or empty.
        value: anything JSON knows; NaN becomes null.
        stamp: what it was made from; written into the first line.
    """
    return f"// {stamp}\nALEASEG.receive({escape(kind)},{escape(key)},{escape(value)});\n"
