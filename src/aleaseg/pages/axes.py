"""One pair of axes for every drawing: where numbers lie, round ticks, lines, curves and marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from aleaseg.pages.svg import element, known, mark, short, text

__all__ = ["Axes", "Scale", "reach", "ticks"]


@dataclass(frozen=True)
class Scale:
    """Where numbers lie along one axis.

    Attributes:
        low, high: numbers at its ends.
        first, last: where these lie in the drawing.
        log: whether equal steps are equal factors; then both ends are above 0.

    >>> Scale(0, 10, 100, 200)(5), Scale(0.01, 1, 0, 100, log=True)(0.1)
    (150.0, 50.0)
    """

    low: float
    high: float
    first: float
    last: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a number lies in the drawing."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = map(math.log10, (low, high, value))
        return float(self.first + (value - low) / ((high - low) or 1) * (self.last - self.first))


class Axes:
    """What is drawn between two scales; right and up are more.

    Args:
        width: of the drawing.
        height: of the drawing.
        x: numbers at the left and at the right end.
        y: numbers at the lower and at the upper end.
        margins: left, right, above and below.
        log_y: whether the upright axis is logarithmic.

    Attributes:
        drawn: elements, in the order in which they are painted.
    """

    def __init__(
        self,
        width: float,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float] = (0, 1),
        *,
        margins: tuple[float, float, float, float] = (0, 0, 0, 0),
        log_y: bool = False,
    ) -> None:
        left, right, above, below = margins
        self.x = Scale(*x, left, width - right)
        self.y = Scale(*y, height - below, above, log_y)
        self.drawn: list[Element] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line between two places of the drawing."""
        self.drawn.append(
            element("line", x1=float(x1), x2=float(x2), y1=float(y1), y2=float(y2), class_=kind)
        )

    def box(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        """A rectangle from its upper left corner to its lower right one, both places of the drawing."""
        self.drawn.append(element("rect", x=x1, y=y1, width=x2 - x1, height=y2 - y1, class_=kind))

    def level(self, value: float, said: str = "", kind: str = "grid") -> None:
        """A line across at a number, and the number at its left."""
        y = self.y(value)
        self.line(self.x.first, y, self.x.last, y, kind)
        if said:
            self.drawn.append(text(said, self.x.first - 6, y + 4, anchor="end"))

    def post(self, value: float, kind: str) -> None:
        """An upright line at a number."""
        self.line(self.x(value), self.y.last, self.x(value), self.y.first, kind)

    def below(self, x: float, said: str, kind: str = "tick", line: int = 0) -> None:
        """A text under the axis, in its first line or a later one, its middle at a place of the drawing."""
        self.drawn.append(text(said, x, self.y.first + 16 + 14 * line, kind))

    def names(self, across: str, up: str = "") -> None:
        """What the axes are of."""
        x, y = ((scale.first + scale.last) / 2 for scale in (self.x, self.y))
        self.below(x, across, line=1)
        if up:
            upright = text(up, 12, y)
            upright.set("transform", f"rotate(-90 12 {short(y)})")
            self.drawn.append(upright)

    def span(self, low: float, high: float, value: float, kind: str) -> None:
        """A bar across from one number to another, such as an interval."""
        self.line(self.x(low), self.y(value), self.x(high), self.y(value), kind)

    def mark(self, shape: str, kind: str, x: float, y: float, title: str) -> None:
        """A mark of `aleaseg.pages.svg.mark` at two numbers."""
        self.drawn.append(mark(shape, kind, self.x(x), self.y(y), title))

    def dot(self, x: float, y: float, kind: str, title: str, radius: float = 2.6) -> None:
        """A small circle at two numbers."""
        named = element("title", text=title)
        self.drawn.append(element("circle", named, cx=self.x(x), cy=self.y(y), r=radius, class_=kind))

    def curve(self, x: Sequence[float], y: Sequence[float], kind: str, title: str) -> None:
        """A line through points, with a gap where there is no number and a dot at its end."""
        path, pen, end = "", "M", list[Element]()
        for across, up in zip(x, y, strict=True):
            if not known(up):
                pen = "M"
                continue
            place = self.x(across), self.y(up)
            path += f"{pen}{short(place[0])},{short(place[1])}"
            pen, end = "L", [element("circle", cx=place[0], cy=place[1], r=2.4)]
        self.drawn.append(
            element("g", element("title", text=title), element("path", d=path), *end, class_=kind)
        )


def ticks(low: float, high: float, most: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers from low to high, at most so many and two at least where there is room; with `whole`, whole ones.

    >>> ticks(0.0, 1.0), ticks(0.13, 1.9), ticks(3, 3), ticks(0, 9, whole=True)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [0.5, 1.0, 1.5], [3.0], [0.0, 2.0, 4.0, 6.0, 8.0])
    """
    if not high > low:
        return [float(low)]
    power = 10.0 ** math.floor(math.log10(high - low))
    for step in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0):
        width = step * power
        first, last = math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9)
        if last - first < most and not (whole and width % 1):
            return [float(f"{place * width:.6g}") for place in range(first, last + 1)]
    return [float(low), float(high)]


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
