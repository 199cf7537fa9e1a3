"""Figures 2, 5 and 6 as SVG files that stand by themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from aleaseg.report.numbers import number
from aleaseg.report.svg import as_text, element, inline, short

__all__ = ["half_energy", "histograms_svg", "scatter_svg", "spectra_svg"]

_WIDTH, _HEIGHT = 420.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 14.0, 30.0, 40.0
# Okabe and Ito: told apart with any kind of colour vision.
_COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00")
_INK, _GRID = "#222222", "#dddddd"
_LOWEST = 1e-8
_FONT = "system-ui, sans-serif"


def half_energy(energies: Sequence[float]) -> int:
    """How many of the largest energies make up half of them all.

    >>> half_energy([0.4, 0.3, 0.2, 0.1])
    2
    """
    running = np.cumsum(energies)
    return int(np.searchsorted(running, 0.5 * running[-1] - 1e-12)) + 1


def spectra_svg(title: str, curves: Sequence[Mapping[str, Any]]) -> str:
    """Energies of four maps over their number, on a logarithmic axis; a dashed line where half is reached.

    Args:
        title: above the axes.
        curves: of `aleaseg.report.figures.spectra`.
    """
    longest = max(len(curve["energies"]) for curve in curves)
    least = max(_LOWEST, min(min(e for e in curve["energies"] if e > 0) for curve in curves))
    low = math.floor(math.log10(least))

    def across(place: float) -> float:
        return _LEFT + (place - 1) / max(1, longest - 1) * (_WIDTH - _LEFT - _RIGHT)

    def up(energy: float) -> float:
        return _TOP + math.log10(max(energy, 10.0**low)) / low * (_HEIGHT - _TOP - _BOTTOM)

    drawn = _frame(title, "number of the singular value", "energy p")
    for power in range(low, 1, max(1, -low // 5)):
        drawn += _level(up(10.0**power), f"1e{power}" if power else "1")
    for place in _whole(1, longest):
        drawn.append(_text(str(place), across(place), _HEIGHT - _BOTTOM + 15, "middle"))
    for slot, (curve, colour) in enumerate(zip(curves, _COLOURS, strict=False)):
        energies = [float(e) for e in curve["energies"] if e > 0]
        path = "M" + "L".join(f"{short(across(n))},{short(up(e))}" for n, e in enumerate(energies, start=1))
        half = half_energy(energies)
        x = across(half)
        drawn.append(element("path", d=path, fill="none", stroke=colour, stroke_width=1.6))
        drawn.append(
            element(
                "line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, stroke=colour, stroke_dasharray="3 3"
            )
        )
        said = f"{curve['which']}: {curve['case']}, S {curve['s']:.3f}, half at {half}"
        drawn.append(_text(said, _WIDTH - _RIGHT, _TOP + 14 + 14 * slot, "end", colour))
    return _file(drawn, title)


def histograms_svg(title: str, entry: Mapping[str, Any]) -> str:
    """Counts of AUV over [0, 1], and the median.

    Args:
        title: above the axes.
        entry: of `aleaseg.report.figures.auv_histograms`.
    """
    counts = entry["counts"]
    most, width = max(counts), (_WIDTH - _LEFT - _RIGHT) / len(counts)

    def up(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / max(1, most) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = _frame(title, "AUV (high = uncertain)", "cases")
    for count in _whole(0, most):
        drawn += _level(up(count), str(count))
    drawn += _unit_axis()
    for place, count in enumerate(counts):
        x = _LEFT + place * width
        height = _HEIGHT - _BOTTOM - up(count)
        drawn.append(
            element("rect", x=x + 0.5, y=up(count), width=width - 1, height=height, fill=_COLOURS[0])
        )
    x = _LEFT + entry["median"] * (_WIDTH - _LEFT - _RIGHT)
    drawn.append(
        element(
            "line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, stroke=_COLOURS[3], stroke_dasharray="4 3"
        )
    )
    said = f"{entry['n']} cases, median {entry['median']:.2f}"
    drawn.append(_text(said, _WIDTH - _RIGHT, _TOP + 14, "end", _COLOURS[3]))
    return _file(drawn, title)


def scatter_svg(title: str, points: NDArray[np.float64], auv: Sequence[float], names: Sequence[str]) -> str:
    """Points in a plane, from blue (AUV 0) to orange (AUV 1); grey without one.

    Args:
        title: above.
        points: (N, 2); the axes have no unit and are not numbered.
        auv: (N,) in [0, 1], or NaN.
        names: (N,) for the pointer.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    reach = np.where(high > low, high - low, 1.0)
    drawn = _frame(title, "", "")
    for point, value, name in zip((points - low) / reach, auv, names, strict=True):
        x = _LEFT + float(point[0]) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - float(point[1]) * (_HEIGHT - _TOP - _BOTTOM)
        title_of = element("title", text=f"{name}: AUV {number(value)}")
        drawn.append(element("circle", title_of, cx=x, cy=y, r=3.6, fill=_colour(value)))
    for place in range(40):
        x = _LEFT + place * 3.0
        drawn.append(element("rect", x=x, y=_HEIGHT - 24, width=3.2, height=8, fill=_colour(place / 39)))
    drawn.append(_text("AUV 0 to 1", _LEFT + 128, _HEIGHT - 16, "start"))
    return _file(drawn, title)


def _colour(auv: float) -> str:
    if not math.isfinite(auv):
        return "#999999"
    ends = ((0, 114, 178), (220, 220, 220), (213, 94, 0))
    first, second, share = (0, 1, 2 * auv) if auv < 0.5 else (1, 2, 2 * auv - 1)
    mixed = (
        round(a + (b - a) * min(1.0, max(0.0, share)))
        for a, b in zip(ends[first], ends[second], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _frame(title: str, below: str, beside: str) -> list[Element]:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn = [
        element("rect", width="100%", height="100%", fill="#ffffff"),
        _text(title, _LEFT, 18, "start", weight="600"),
        element(
            "rect",
            x=_LEFT,
            y=_TOP,
            width=_WIDTH - _LEFT - _RIGHT,
            height=_HEIGHT - _TOP - _BOTTOM,
            fill="none",
            stroke=_GRID,
        ),
    ]
    if below:
        drawn.append(_text(below, middle, _HEIGHT - 8, "middle"))
    if beside:
        y = (_TOP + _HEIGHT - _BOTTOM) / 2
        drawn.append(_text(beside, 12, y, "middle", transform=f"rotate(-90 12 {short(y)})"))
    return drawn


def _text(
    text: str, x: float, y: float, anchor: str, colour: str = _INK, weight: str = "400", **more: Any
) -> Element:
    return element(
        "text",
        text=text,
        x=x,
        y=y,
        text_anchor=anchor,
        fill=colour,
        font_family=_FONT,
        font_size=11,
        font_weight=weight,
        **more,
    )


def _level(y: float, text: str) -> list[Element]:
    return [
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, stroke=_GRID),
        _text(text, _LEFT - 6, y + 4, "end"),
    ]


def _unit_axis() -> list[Element]:
    wide = _WIDTH - _LEFT - _RIGHT
    return [
        _text(f"{value:g}", _LEFT + value * wide, _HEIGHT - _BOTTOM + 15, "middle")
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]


def _whole(low: int, high: int) -> list[int]:
    """At most six whole numbers between two, both ends among them."""
    return sorted({round(low + (high - low) * share / 5) for share in range(6)})


def _file(drawn: Sequence[Element], label: str) -> str:
    figure = inline(_WIDTH, _HEIGHT, *drawn, label=label)
    figure.set("xmlns", "http://www.w3.org/2000/svg")
    return as_text(figure) + "\n"
