"""Differences as intervals around 0, and case by case, as SVG that stands in a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from aleaseg.evaluation.words import difference_form, title_of
from aleaseg.report.numbers import interval, number
from aleaseg.report.svg import as_text, element, inline, known, mark

__all__ = ["axis_svg", "reach", "row_svg", "strip_svg"]

_WIDTH, _HEIGHT, _PAD = 320, 22, 26
_STRIP_HEIGHT = 34

Row = Mapping[str, Any]


def reach(numbers: Sequence[float]) -> float:
    """How far an axis around 0 goes: the next 1, 2 or 5 of a power of ten beyond all numbers.

    >>> reach([0.013, -0.031]), reach([-4.2]), reach([0.0])
    (0.05, 5.0, 1.0)
    """
    largest = max((abs(value) for value in numbers if math.isfinite(value)), default=0.0)
    if largest == 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    step = next(step for step in (1, 2, 5, 10) if step * power >= largest * (1 - 1e-12))
    return float(f"{step * power:.6g}")


def _across(value: float, far: float, width: float = _WIDTH) -> float:
    return width / 2 + value / far * (width / 2 - _PAD)


def _zero(height: float, width: float = _WIDTH) -> list[Element]:
    y = height / 2
    return [
        element("line", x1=float(_PAD), x2=width - float(_PAD), y1=y, y2=y, class_="grid"),
        element("line", x1=width / 2, x2=width / 2, y1=0, y2=height, class_="zero"),
    ]


def axis_svg(far: float) -> str:
    """The numbers over `row_svg`, from -far to far."""
    form = f"+.{max(0, -math.floor(math.log10(far)))}f"
    texts = [
        element("text", text=text, x=_across(value, far), y=11, class_="tick", text_anchor="middle")
        for value, text in ((-far, number(-far, form)), (0.0, "0"), (far, number(far, form)))
    ]
    return as_text(inline(_WIDTH, 14, *texts, label=f"from {number(-far, form)} to {number(far, form)}"))


def row_svg(row: Row, far: float) -> str:
    """A difference and its interval around 0; filled where the interval leaves out 0, hollow where it does not.

    Args:
        row: of comparison.csv.
        far: where the axis ends, on both sides.
    """
    drawn = _zero(_HEIGHT)
    kind = str(row["verdict"]).replace(" ", "-")
    y = _HEIGHT / 2
    form = difference_form(row)
    said = f"{title_of(row['metric'])}, {row['class']}: {number(row['difference'], form)}"
    spread = interval(row["low"], row["high"], form)
    if spread:
        low, high = _across(row["low"], far), _across(row["high"], far)
        drawn.append(element("line", x1=low, x2=high, y1=y, y2=y, class_=f"spread {kind}"))
        said = f"{said} ({spread})"
    if known(row["difference"]):
        drawn.append(mark("circle", f"point {kind}", _across(row["difference"], far), y, said))
    return as_text(inline(_WIDTH, _HEIGHT, *drawn, label=said))


def strip_svg(cases: Sequence[str], differences: Sequence[float], far: float, form: str = "+.3f") -> str:
    """Every case as a dot around 0, equal ones side by side.

    Args:
        cases: ids.
        differences: of each; NaN is left out.
        far: where the axis ends, on both sides.
        form: how a difference is written.
    """
    width = 2.0 * _WIDTH
    drawn = _zero(_STRIP_HEIGHT, width)
    taken: dict[int, int] = {}
    for case, value in sorted(zip(cases, differences, strict=True), key=lambda pair: pair[1]):
        if not known(value):
            continue
        x = _across(value, far, width)
        place = taken.get(round(x / 5), 0)
        taken[round(x / 5)] = place + 1
        # From the middle outwards, above and below in turn; what does not fit lies on the edge.
        away = (place + 1) // 2 * 4.0 * (1 if place % 2 else -1)
        y = min(max(_STRIP_HEIGHT / 2 + away, 3.0), _STRIP_HEIGHT - 3.0)
        kind = "case up" if value > 0 else "case down" if value < 0 else "case"
        title = element("title", text=f"{case}: {number(value, form)}")
        drawn.append(element("circle", title, cx=x, cy=y, r=2.6, class_=kind))
    return as_text(inline(width, _STRIP_HEIGHT, *drawn, label="difference of every case"))
