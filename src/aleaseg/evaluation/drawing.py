"""Differences as intervals around 0, and case by case, as SVG that stands in a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aleaseg.evaluation.words import difference_form, title_of
from aleaseg.pages.axes import Axes
from aleaseg.pages.numbers import number, with_interval
from aleaseg.pages.svg import as_text, inline, known, text

__all__ = ["axis_svg", "row_svg", "strip_svg"]

_WIDTH, _HEIGHT = 320, 22
_STRIP_HEIGHT = 34


def _around_zero(far: float, width: float, height: float) -> Axes:
    axes = Axes(width, height, (-far, far), margins=(26, 26, 0, 0))
    axes.level(0.5)
    axes.post(0, "zero")
    return axes


def axis_svg(far: float) -> str:
    """The numbers over `row_svg`, from -far to far."""
    form = f"+.{max(0, -math.floor(math.log10(far)))}f"
    x = _around_zero(far, _WIDTH, 14).x
    ends = {-far: number(-far, form), 0.0: "0", far: number(far, form)}
    drawn = [text(said, x(value), 11) for value, said in ends.items()]
    return as_text(inline(_WIDTH, 14, *drawn, label=f"from {ends[-far]} to {ends[far]}"))


def row_svg(row: Mapping[str, Any], far: float) -> str:
    """A row of comparison.csv: its difference and interval around 0, on an axis that ends at `far` on both sides.

    Filled where the interval leaves out 0, hollow where it does not.
    """
    axes = _around_zero(far, _WIDTH, _HEIGHT)
    kind = str(row["verdict"]).replace(" ", "-")
    difference, low, high = (row[name] for name in ("difference", "low", "high"))
    of = f"{title_of(row['metric'])}, {row['class']}"
    said = f"{of}: {with_interval(difference, low, high, difference_form(row))}"
    if known(low) and known(high):
        axes.span(low, high, 0.5, f"spread {kind}")
    if known(difference):
        axes.mark("circle", f"point {kind}", difference, 0.5, said)
    return as_text(inline(_WIDTH, _HEIGHT, *axes.drawn, label=said))


def strip_svg(cases: Sequence[str], differences: Sequence[float], far: float) -> str:
    """Every case as a dot around 0, equal ones side by side, up to `far` on both sides; NaN is left out."""
    width = 2 * _WIDTH
    axes = _around_zero(far, width, _STRIP_HEIGHT)
    taken: dict[int, int] = {}
    there = [pair for pair in zip(cases, differences, strict=True) if known(pair[1])]
    for case, value in sorted(there, key=lambda pair: pair[1]):
        column = round(axes.x(value) / 5)
        place = taken.get(column, 0)
        taken[column] = place + 1
        # From the middle outwards, above and below in turn; what does not fit lies on the edge.
        away = (place + 1) // 2 * 4.0 * (1 if place % 2 else -1) / _STRIP_HEIGHT
        edge = 3.0 / _STRIP_HEIGHT
        kind = "case up" if value > 0 else "case down" if value < 0 else "case"
        axes.dot(value, min(max(0.5 - away, edge), 1 - edge), kind, f"{case}: {number(value, '+.3f')}")
    return as_text(inline(width, _STRIP_HEIGHT, *axes.drawn, label="difference of every case"))
