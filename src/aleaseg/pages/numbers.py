"""Numbers and other values as texts, for pages and Markdown alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ABSENT", "in_words", "interval", "number", "p_value", "with_interval"]

ABSENT = "–"


def number(value: Any, form: str = ".2f") -> str:
    """A number with a real minus sign; an en dash where there is none.

    >>> number(-0.125), number(0.125, "+.3f"), number(float("nan")), number(-0.001), number(0.5, ".1%")
    ('−0.12', '+0.125', '–', '0.00', '50.0%')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    text = format(value, form)
    if float(text.replace(",", "").rstrip("%")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: Any, high: Any, form: str = ".2f") -> str:
    """Both ends, or nothing where one is missing.

    >>> interval(-0.2, 0.1), interval(0.9, 0.95), interval(float("nan"), 1.0)
    ('−0.20 to 0.10', '0.90–0.95', '')
    """
    if number(low) == ABSENT or number(high) == ABSENT:
        return ""
    between = "–" if low >= 0 and "+" not in form else " to "
    return between.join(number(end, form) for end in (low, high))


def p_value(value: Any) -> str:
    """To three decimals.

    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '< 0.001', '–')
    """
    if value is not None and math.isfinite(value) and value < 0.001:
        return "< 0.001"
    return number(value, ".3f")


def with_interval(value: Any, low: Any, high: Any, form: str = ".2f") -> str:
    """A number, and behind it its interval where it has one.

    >>> with_interval(0.87, 0.85, 0.89), with_interval(0.87, None, None)
    ('0.87 (0.85–0.89)', '0.87')
    """
    spread = interval(low, high, form)
    return f"{number(value, form)} ({spread})" if spread else number(value, form)


def in_words(value: Any) -> str:
    """Any value as a person writes it: what is listed with commas, a mapping as names and values.

    >>> in_words([1, 2.5]), in_words({"some_name": True}), in_words(None)
    ('1, 2.5', 'some name yes', '–')
    """
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {in_words(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        nested = any(isinstance(item, Mapping) for item in value)
        return ("; " if nested else ", ").join(in_words(item) for item in value[:40])
    return str(value)
