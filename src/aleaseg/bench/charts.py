"""The bench's figures as SVG: they stand in a page, or in a file of their own.

Colour and shape are those of the audit's page: orange diamonds for masks, violet squares for images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from aleaseg.corruption import LEVELS
from aleaseg.pages.axes import Axes
from aleaseg.pages.numbers import number, with_interval
from aleaseg.pages.svg import as_file, as_text, element, inline, known, mark, moved, short, text

__all__ = ["SERIES", "axis_svg", "detection_figure", "panel_svg", "row_svg", "series_svg", "swap_in_figure"]

SERIES = ("doubt", "image_doubt", "label_doubt", "oof_dice", "softmin", "auv", "auv/foreground")
"""The measures that are followed over the strengths of a fault."""

_SERIES_SHAPES = ("circle", "square", "diamond", "up", "plus", "down", "bar")
_TARGETS = {"masks": "diamond", "images": "square", "both": "circle"}
_ROW_WIDTH, _ROW_HEIGHT = 150, 20
_PANEL_WIDTH, _PANEL_HEIGHT = 224, 178

Row = Mapping[str, Any]


# -- AUROC of masks, images and both --------------------------------------------------------------


def _row_axes(width: float, height: float) -> Axes:
    return Axes(width, height, (0, 1), margins=(9, 9, 0, 0))


def _row(rows: Mapping[str, Row], width: float = _ROW_WIDTH) -> list[Element]:
    """One measure: target -> its row of `detection`."""
    axes = _row_axes(width, _ROW_HEIGHT)
    axes.level(0.5)
    axes.post(0.5, "chance")
    both = rows.get("both", {})
    if known(both.get("auroc_low")) and known(both.get("auroc_high")):
        axes.span(both["auroc_low"], both["auroc_high"], 0.5, "interval")
    for target, shape in _TARGETS.items():
        row = rows.get(target, {})
        if known(row.get("auroc")):
            said = with_interval(row["auroc"], row.get("auroc_low"), row.get("auroc_high"), ".3f")
            axes.mark(shape, target, row["auroc"], 0.5, f"{target}: {said}")
    return axes.drawn


def row_svg(rows: Mapping[str, Row]) -> str:
    """A line from 0 to 1 with a mark for masks, images and both; the interval is that of both."""
    said = ", ".join(f"{target} {number(row.get('auroc'), '.3f')}" for target, row in rows.items())
    return as_text(inline(_ROW_WIDTH, _ROW_HEIGHT, *_row(rows), label=f"AUROC: {said}"))


def _ticks(width: float = _ROW_WIDTH) -> list[Element]:
    x = _row_axes(width, 14).x
    return [text(f"{value:g}", x(value), 11) for value in (0.0, 0.5, 1.0)]


def axis_svg() -> str:
    """The numbers over `row_svg`."""
    return as_text(inline(_ROW_WIDTH, 14, *_ticks(), label="AUROC from 0 to 1"))


def detection_figure(names: Sequence[str], rows: Mapping[tuple[str, ...], Row]) -> str:
    """A file: one line per measure of `names`, in their order; rows are of `detection` by (measure, target)."""
    left, wide, top = 190, 340, 60
    drawn = [moved(left, top - 16, *_ticks(wide))]
    for place, (target, shape) in enumerate(_TARGETS.items()):
        drawn.append(mark(shape, target, left + 12.0 + 62 * place, 14.0, target))
        drawn.append(text(target, left + 22 + 62 * place, 18, "name", "start"))
    drawn.append(text("AUROC, right = better", left + wide - 9, 18, anchor="end"))
    for place, name in enumerate(names):
        y = top + place * _ROW_HEIGHT
        drawn.append(text(name, left - 6, y + 14, "name", "end"))
        of_name = {target: rows[name, target] for target in _TARGETS if (name, target) in rows}
        drawn.append(moved(left, y, *_row(of_name, wide)))
    said = "AUROC of every measure for masks, images and both; right is better, 0.5 is chance"
    return as_file(inline(left + wide + 10, top + len(names) * _ROW_HEIGHT + 8, *drawn, label=said))


# -- AUROC over the strength of a fault -----------------------------------------------------------


def _key(name: str) -> Element:
    """The key to one measure's line."""
    place = SERIES.index(name)
    line = element("line", x1=1, x2=31, y1=7, y2=7)
    return element(
        "g", line, mark(_SERIES_SHAPES[place], "dot", 16.0, 7.0, name), class_=f"series s{place}"
    )


def series_svg(name: str) -> str:
    """The key to one measure's line, to stand in a page."""
    return as_text(inline(32, 14, _key(name), label=f"line of {name}"))


def _panel(rows: Mapping[tuple[str, ...], Row]) -> list[Element]:
    """One fault: (measure, level) -> its row of `swap_in`."""
    axes = Axes(_PANEL_WIDTH, _PANEL_HEIGHT, (0, len(LEVELS)), margins=(30, 8, 8, 40))

    def across(level: str, place: int) -> float:
        # Side by side, so that equal values do not hide one another.
        return axes.x(LEVELS.index(level) + 0.5) + (place - (len(SERIES) - 1) / 2) * 5.0

    for value in (0.0, 0.5, 1.0):
        axes.level(value, f"{value:g}", "chance" if value == 0.5 else "grid")
    for level in LEVELS:
        of_level = [row for (_, where), row in rows.items() if where == level]
        x = across(level, (len(SERIES) - 1) // 2)
        axes.below(x, level, "tick" if of_level else "tick none")
        if of_level:
            axes.below(x, _size(of_level[0]), line=1)
    for place, name in reversed(list(enumerate(SERIES))):
        there = {level: row for level in LEVELS if (row := rows.get((name, level))) and known(row["auroc"])}
        points = [(across(level, place), axes.y(row["auroc"])) for level, row in there.items()]
        path = "L".join(f"{short(x)},{short(y)}" for x, y in points)
        marks = [
            mark(_SERIES_SHAPES[place], "dot", x, y, f"{name}, {level}: {_said(row)}")
            for (x, y), (level, row) in zip(points, there.items(), strict=True)
        ]
        line = element("path", d=f"M{path}" if path else "")
        axes.drawn.append(element("g", line, *marks, class_=f"series s{place}"))
    return axes.drawn


def _said(row: Row) -> str:
    return f"{with_interval(row['auroc'], row.get('low'), row.get('high'))}, n = {row['n']}"


def _size(row: Row) -> str:
    """How far the fault went, as it was measured."""
    if known(row.get("fault_dice")):
        return f"Dice {number(row['fault_dice'])}"
    return f"{number(row['psnr_db'], '.0f')} dB" if known(row.get("psnr_db")) else ""


def panel_svg(fault: str, rows: Mapping[tuple[str, ...], Row]) -> str:
    """AUROC against the strength of one fault, a line per measure of `SERIES`."""
    label = f"AUROC against the strength of {fault}"
    return as_text(inline(_PANEL_WIDTH, _PANEL_HEIGHT, *_panel(rows), label=label))


def swap_in_figure(panels: Mapping[str, Mapping[tuple[str, ...], Row]]) -> str:
    """A file: one small plot per fault, four side by side; fault -> (measure, level) -> its row of `swap_in`."""
    drawn, across = [], 4
    for place, name in enumerate(SERIES):
        x, y = 12 + 220 * (place % across), 8 + 20 * (place // across)
        drawn.append(moved(x, y, _key(name), text(name, 38, 11, "name", "start")))
    top, high = 56, _PANEL_HEIGHT + 26
    for place, (fault, rows) in enumerate(panels.items()):
        x, y = (place % across) * _PANEL_WIDTH, top + (place // across) * high
        title = text(fault, 30, 12, "name strong", "start")
        drawn.append(moved(x, y, title, moved(0, 18, *_panel(rows))))
    said = "AUROC against the strength of every fault; up is better, 0.5 is chance"
    height = top + math.ceil(len(panels) / across) * high
    return as_file(inline(across * _PANEL_WIDTH, height, *drawn, label=said))
