"""The bench's figures as SVG: they stand in a page, or in a file of their own.

Colour and shape are those of the audit's page: orange diamonds for masks, violet squares for images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any
from xml.etree.ElementTree import Element

from aleaseg.bench.shown import interval, number
from aleaseg.corruption import LEVELS
from aleaseg.report.svg import as_text, element, inline, known, mark, short

__all__ = ["SERIES", "axis_svg", "detection_figure", "panel_svg", "row_svg", "series_svg", "swap_in_figure"]

SERIES = ("doubt", "image_doubt", "label_doubt", "oof_dice", "softmin", "auv", "auv/foreground")
"""The measures that are followed over the strengths of a fault."""

_SERIES_SHAPES = ("circle", "square", "diamond", "up", "plus", "down", "bar")
_TARGETS = {"masks": "diamond", "images": "square", "both": "circle"}
_ROW_WIDTH, _ROW_HEIGHT, _PAD = 150, 20, 9
_PANEL_WIDTH, _PANEL_HEIGHT = 224, 178

Row = Mapping[str, Any]


def _file(width: float, height: float, *children: Element, label: str) -> str:
    """A whole file: its own style, on a light ground."""
    style = files("aleaseg.bench").joinpath("assets", "figures.css").read_text("utf-8")
    figure = inline(width, height, label=label)
    figure.set("xmlns", "http://www.w3.org/2000/svg")
    figure.append(element("style", text=style))
    figure.append(element("rect", width="100%", height="100%", fill="#ffffff"))
    figure.extend(children)
    return as_text(figure) + "\n"


# -- AUROC of masks, images and both --------------------------------------------------------------


def _across(value: float, width: float) -> float:
    return _PAD + value * (width - 2 * _PAD)


def _row(rows: Mapping[str, Row], width: float = _ROW_WIDTH) -> list[Element]:
    """One measure: target -> its row of `detection`."""
    middle = _ROW_HEIGHT / 2
    drawn = [
        element(
            "line", x1=_across(0.0, width), x2=_across(1.0, width), y1=middle, y2=middle, class_="grid"
        ),
        element(
            "line", x1=_across(0.5, width), x2=_across(0.5, width), y1=0, y2=_ROW_HEIGHT, class_="chance"
        ),
    ]
    both = rows.get("both", {})
    if known(both.get("auroc_low")) and known(both.get("auroc_high")):
        low, high = (_across(both[f"auroc_{end}"], width) for end in ("low", "high"))
        drawn.append(element("line", x1=low, x2=high, y1=middle, y2=middle, class_="interval"))
    for target, shape in _TARGETS.items():
        row = rows.get(target, {})
        if known(row.get("auroc")):
            said = f"{target}: {number(row['auroc'], '.3f')}"
            spread = interval(row.get("auroc_low"), row.get("auroc_high"), ".3f")
            title = f"{said} ({spread})" if spread else said
            drawn.append(mark(shape, target, _across(row["auroc"], width), middle, title))
    return drawn


def row_svg(rows: Mapping[str, Row]) -> str:
    """A line from 0 to 1 with a mark for masks, images and both; the interval is that of both."""
    said = ", ".join(f"{target} {number(row.get('auroc'), '.3f')}" for target, row in rows.items())
    return as_text(inline(_ROW_WIDTH, _ROW_HEIGHT, *_row(rows), label=f"AUROC: {said}"))


def _ticks(width: float = _ROW_WIDTH) -> list[Element]:
    return [
        element("text", text=text, x=_across(value, width), y=11, class_="tick", text_anchor="middle")
        for value, text in ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))
    ]


def axis_svg() -> str:
    """The numbers over `row_svg`."""
    return as_text(inline(_ROW_WIDTH, 14, *_ticks(), label="AUROC from 0 to 1"))


def detection_figure(names: Sequence[str], rows: Mapping[tuple[str, ...], Row]) -> str:
    """A file: one line per measure.

    Args:
        names: in the order to draw.
        rows: (measure, target) -> its row of `detection`.
    """
    left, wide, top = 190, 340, 60
    drawn = [element("g", *_ticks(wide), transform=f"translate({left} {top - 16})")]
    for place, (target, shape) in enumerate(_TARGETS.items()):
        drawn.append(mark(shape, target, left + 12.0 + 62 * place, 14.0, target))
        drawn.append(element("text", text=target, x=left + 22 + 62 * place, y=18, class_="name"))
    said = "AUROC, right = better"
    drawn.append(element("text", text=said, x=left + wide - 9, y=18, class_="tick", text_anchor="end"))
    for place, name in enumerate(names):
        y = top + place * _ROW_HEIGHT
        drawn.append(element("text", text=name, x=left - 6, y=y + 14, class_="name", text_anchor="end"))
        of_name = {target: rows[name, target] for target in _TARGETS if (name, target) in rows}
        drawn.append(element("g", *_row(of_name, wide), transform=f"translate({left} {y})"))
    return _file(
        left + wide + 10,
        top + len(names) * _ROW_HEIGHT + 8,
        *drawn,
        label="AUROC of every measure for masks, images and both; right is better, 0.5 is chance",
    )


# -- AUROC over the strength of a fault -----------------------------------------------------------


def _series_class(name: str) -> str:
    return f"series s{SERIES.index(name)}"


def series_svg(name: str) -> str:
    """The key to one measure's line."""
    line = element("line", x1=1, x2=31, y1=7, y2=7)
    group = element("g", line, mark(_key_shape(name), "dot", 16.0, 7.0, name), class_=_series_class(name))
    return as_text(inline(32, 14, group, label=f"line of {name}"))


def _key_shape(name: str) -> str:
    return _SERIES_SHAPES[SERIES.index(name)]


def _panel(rows: Mapping[tuple[str, ...], Row]) -> list[Element]:
    """One fault: (measure, level) -> its row of `swap_in`."""
    left, right, top, bottom = 30.0, _PANEL_WIDTH - 8.0, 8.0, _PANEL_HEIGHT - 40.0

    def across(level: str, place: int) -> float:
        # Side by side, so that equal values do not hide one another.
        step = (right - left) / len(LEVELS)
        return left + step * (LEVELS.index(level) + 0.5) + (place - (len(SERIES) - 1) / 2) * 5.0

    def up(value: float) -> float:
        return bottom - value * (bottom - top)

    drawn = []
    for value, text in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        kind = "chance" if value == 0.5 else "grid"
        drawn.append(element("line", x1=left, x2=right, y1=up(value), y2=up(value), class_=kind))
        drawn.append(
            element("text", text=text, x=left - 5, y=up(value) + 4, class_="tick", text_anchor="end")
        )
    for level in LEVELS:
        of_level = [row for (_, where), row in rows.items() if where == level]
        x = across(level, (len(SERIES) - 1) // 2)
        kind = "tick" if of_level else "tick none"
        drawn.append(element("text", text=level, x=x, y=bottom + 16, class_=kind, text_anchor="middle"))
        if of_level:
            said = _size(of_level[0])
            drawn.append(
                element("text", text=said, x=x, y=bottom + 30, class_="tick", text_anchor="middle")
            )
    for place, name in reversed(list(enumerate(SERIES))):
        points = [
            (across(level, place), up(row["auroc"]), level, row)
            for level in LEVELS
            if (row := rows.get((name, level))) is not None and known(row["auroc"])
        ]
        path = "".join(
            f"{'ML'[bool(index)]}{short(x)},{short(y)}" for index, (x, y, _, _) in enumerate(points)
        )
        marks = [
            mark(_key_shape(name), "dot", x, y, f"{name}, {level}: {_said(row)}")
            for x, y, level, row in points
        ]
        drawn.append(element("g", element("path", d=path), *marks, class_=_series_class(name)))
    return drawn


def _said(row: Row) -> str:
    spread = interval(row.get("low"), row.get("high"))
    return f"{number(row['auroc'])}{f' ({spread})' if spread else ''}, n = {row['n']}"


def _size(row: Row) -> str:
    """How far the fault went, as it was measured."""
    if known(row.get("fault_dice")):
        return f"Dice {number(row['fault_dice'])}"
    return f"{number(row['psnr_db'], '.0f')} dB" if known(row.get("psnr_db")) else ""


def panel_svg(fault: str, rows: Mapping[tuple[str, ...], Row]) -> str:
    """AUROC against the strength of one fault, a line per measure of `SERIES`."""
    label = f"AUROC against the strength of {fault}"
    return as_text(inline(_PANEL_WIDTH, _PANEL_HEIGHT, *_panel(rows), label=label))


def swap_in_figure(panels: Mapping[str, Mapping[tuple[str, ...], Row]], across: int = 4) -> str:
    """A file: one small plot per fault.

    Args:
        panels: fault -> (measure, level) -> its row of `swap_in`.
        across: plots side by side.
    """
    drawn = []
    for place, name in enumerate(SERIES):
        x, y = 12 + 220 * (place % across), 8 + 20 * (place // across)
        line = element("line", x1=1, x2=31, y1=7, y2=7)
        key = element("g", line, mark(_key_shape(name), "dot", 16.0, 7.0, name))
        key.set("class", _series_class(name))
        text = element("text", text=name, x=38, y=11, class_="name")
        drawn.append(element("g", key, text, transform=f"translate({x} {y})"))
    top, high = 56, _PANEL_HEIGHT + 26
    for place, (fault, rows) in enumerate(panels.items()):
        x, y = (place % across) * _PANEL_WIDTH, top + (place // across) * high
        title = element("text", text=fault, x=30, y=12, class_="name strong")
        body = element("g", *_panel(rows), transform="translate(0 18)")
        drawn.append(element("g", title, body, transform=f"translate({x} {y})"))
    return _file(
        across * _PANEL_WIDTH,
        top + math.ceil(len(panels) / across) * high,
        *drawn,
        label="AUROC against the strength of every fault; up is better, 0.5 is chance",
    )
