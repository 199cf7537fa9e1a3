"""Figures 2, 5 and 6 as SVG files that stand by themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.pages.axes import Axes, ticks
from aleaseg.pages.numbers import number
from aleaseg.pages.svg import as_file, element, inline, text

__all__ = ["half_energy", "histograms_svg", "scatter_svg", "spectra_svg"]

_WIDTH, _HEIGHT = 420.0, 300.0
_MARGINS = 56.0, 14.0, 30.0, 40.0
_LOWEST = 1e-8


def half_energy(energies: Sequence[float]) -> int:
    """How many of the largest energies make up half of them all.

    >>> half_energy([0.4, 0.3, 0.2, 0.1])
    2
    """
    running = np.cumsum(energies)
    return int(np.searchsorted(running, 0.5 * running[-1] - 1e-12)) + 1


def spectra_svg(title: str, curves: Sequence[Mapping[str, Any]]) -> str:
    """Energies of four maps over their number, on a logarithmic axis; a dashed line where half is reached.

    The curves are those of `aleaseg.pages.figures.spectra`.
    """
    longest = max(len(curve["energies"]) for curve in curves)
    least = max(_LOWEST, min(min(e for e in curve["energies"] if e > 0) for curve in curves))
    low = math.floor(math.log10(least))
    axes = _axes((1, max(2, longest)), (10.0**low, 1.0), log_y=True)
    axes.names("number of the singular value", "energy p")
    for power in range(low, 1, max(1, -low // 5)):
        axes.level(10.0**power, f"1e{power}" if power else "1")
    for place in ticks(1, longest, 7, whole=True):
        axes.below(axes.x(place), f"{place:g}")
    for slot, curve in enumerate(curves):
        energies = [max(float(e), 10.0**low) for e in curve["energies"] if e > 0]
        half = half_energy(energies)
        said = f"{curve['which']}: {curve['case']}, S {curve['s']:.3f}, half at {half}"
        axes.curve(range(1, len(energies) + 1), energies, f"curve c{slot}", said)
        axes.post(half, f"half c{slot}")
        axes.drawn.append(text(said, axes.x.last, axes.y.last + 14 + 14 * slot, f"said c{slot}", "end"))
    return _file(axes, title)


def histograms_svg(title: str, entry: Mapping[str, Any]) -> str:
    """Counts of AUV over [0, 1], and the median; an entry of `aleaseg.pages.figures.auv_histograms`."""
    counts = entry["counts"]
    most = max(1, *counts)
    axes = _axes((0, 1), (0, most))
    axes.names("AUV (high = uncertain)", "cases")
    for count in ticks(0, most, whole=True):
        axes.level(count, f"{count:g}")
    for value in ticks(0, 1):
        axes.below(axes.x(value), f"{value:g}")
    for place, count in enumerate(counts):
        left, right = (axes.x(edge / len(counts)) for edge in (place, place + 1))
        axes.box(left + 0.5, axes.y(count), right - 0.5, axes.y(0), "bar c0")
    axes.post(entry["median"], "half c3")
    said = f"{entry['n']} cases, median {entry['median']:.2f}"
    axes.drawn.append(text(said, axes.x.last, axes.y.last + 14, "said c3", "end"))
    return _file(axes, title)


def scatter_svg(title: str, points: NDArray[np.float64], auv: Sequence[float], names: Sequence[str]) -> str:
    """Points in a plane, from blue (AUV 0) to orange (AUV 1); grey without one.

    Args:
        title: above.
        points: (N, 2); the axes have no unit and are not numbered.
        auv: (N,) in [0, 1], or NaN.
        names: (N,) for the pointer.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    axes = _axes((0, 1), (0, 1))
    for (x, y), value, name in zip((points - low) / span, auv, names, strict=True):
        axes.dot(float(x), float(y), "", f"{name}: AUV {number(value)}", 3.6)
        axes.drawn[-1].set("fill", _colour(value))
    for place in range(40):
        x = axes.x.first + place * 3.0
        axes.drawn.append(
            element("rect", x=x, y=_HEIGHT - 24, width=3.2, height=8, fill=_colour(place / 39))
        )
    axes.drawn.append(text("AUV 0 to 1", axes.x.first + 128, _HEIGHT - 16, anchor="start"))
    return _file(axes, title)


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


def _axes(x: tuple[float, float], y: tuple[float, float], *, log_y: bool = False) -> Axes:
    axes = Axes(_WIDTH, _HEIGHT, x, y, margins=_MARGINS, log_y=log_y)
    axes.box(axes.x.first, axes.y.last, axes.x.last, axes.y.first)
    return axes


def _file(axes: Axes, title: str) -> str:
    named = text(title, axes.x.first, 18, "name strong", "start")
    return as_file(inline(_WIDTH, _HEIGHT, named, *axes.drawn, label=title))
