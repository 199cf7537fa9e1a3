"""Uncertainty beside errors, as SVG that stands in a page: the reliability diagram, and cases as dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aleaseg.evaluation.reliability import Reliability
from aleaseg.pages.axes import Axes, reach, ticks
from aleaseg.pages.numbers import number, with_interval
from aleaseg.pages.svg import as_text, inline, known, moved

__all__ = ["reliability_svg", "scatter_svg"]

_WIDTH, _HEIGHT, _COUNTS = 460.0, 290.0, 96.0
_LEFT, _RIGHT = 62.0, 14.0


def reliability_svg(found: Reliability) -> str:
    """The share of wrong voxels by uncertainty with its intervals, and below it how many voxels there are.

    Dashed where the share would be the uncertainty itself.
    """
    ends = [value for each in (found.wrong, found.high) for value in each if known(value)]
    far = min(1.0, reach(ends))
    axes = Axes(_WIDTH, _HEIGHT - _COUNTS, (0, 1), (0, far), margins=(_LEFT, _RIGHT, 10, 6))
    for tick in ticks(0, far):
        axes.level(tick, number(tick, ".3g"))
    axes.line(axes.x(0), axes.y(0), axes.x(far), axes.y(far), "chance")
    axes.names("", "share that is wrong")
    edges = np.linspace(0, 1, len(found.wrong) + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    axes.curve(list(middles), list(found.wrong), "curve h0", "share of wrong voxels by uncertainty")
    for x, share, low, high, voxels, first, last in zip(
        middles, found.wrong, found.low, found.high, found.voxels, edges[:-1], edges[1:], strict=True
    ):
        if not known(share):
            continue
        if known(low):
            axes.line(axes.x(x), axes.y(low), axes.x(x), axes.y(high), "interval")
        said = (
            f"uncertainty {first:.2f} to {last:.2f}: {with_interval(share, low, high, '.3f')} of {voxels:,}"
        )
        axes.mark("circle", "wrong", x, share, f"{said} voxels are wrong")
    counts = _count_axes(found, edges)
    return as_text(
        inline(
            _WIDTH,
            _HEIGHT,
            *axes.drawn,
            moved(0, _HEIGHT - _COUNTS, *counts.drawn),
            label="share of wrong voxels by uncertainty, and number of voxels",
        )
    )


def _count_axes(found: Reliability, edges: np.ndarray) -> Axes:
    """Voxels in each bin, by powers of ten."""
    power = max(1, math.ceil(math.log10(max(found.voxels.max(), 2))))
    axes = Axes(
        _WIDTH,
        _COUNTS,
        (0, 1),
        (0.7, 10.0**power),
        margins=(_LEFT, _RIGHT, 8, 38),
        log_y=True,
    )
    for exponent in dict.fromkeys((0, power)):
        axes.level(10.0**exponent, f"{10**exponent:,}" if exponent < 4 else f"1e{exponent}")
    for voxels, first, last in zip(found.voxels, edges[:-1], edges[1:], strict=True):
        if voxels:
            axes.box(axes.x(first) + 1, axes.y(voxels), axes.x(last) - 1, axes.y.first, "count")
    for tick in ticks(0, 1):
        axes.below(axes.x(tick), number(tick, ".3g"))
    axes.names("uncertainty u of a voxel", "voxels")
    return axes


def scatter_svg(cases: Sequence[str], unsure: Sequence[float], dice: Sequence[float]) -> str:
    """Every case as a dot: its Dice over the uncertainty at its predicted boundary; NaN is left out."""
    there = [row for row in zip(cases, unsure, dice, strict=True) if known(row[1]) and known(row[2])]
    x, y = [row[1] for row in there], [row[2] for row in there]
    axes = Axes(_WIDTH, _HEIGHT, _around(x), _around(y), margins=(_LEFT, _RIGHT, 10, 42))
    for tick in ticks(axes.y.low, axes.y.high):
        axes.level(tick, number(tick, ".3g"))
    for tick in ticks(axes.x.low, axes.x.high):
        axes.below(axes.x(tick), number(tick, ".3g"))
    axes.names("uncertainty at the predicted boundary", "Dice, mean over classes")
    for case, of_x, of_y in there:
        axes.dot(of_x, of_y, "case", f"{case}: Dice {of_y:.3f}, uncertainty {of_x:.3f}", 3.2)
    return as_text(inline(_WIDTH, _HEIGHT, *axes.drawn, label="Dice of every case over its uncertainty"))


def _around(values: Sequence[float]) -> tuple[float, float]:
    """From below the lowest to above the highest, within 0 and 1.

    >>> _around([0.5, 0.7]), _around([1.0])
    ((0.485, 0.715), (0.95, 1.0))
    """
    low, high = min(values), max(values)
    room = max(0.075 * (high - low), 0.01 if high > low else 0.05)
    return round(max(0.0, low - room), 6), round(min(1.0, high + room), 6)
