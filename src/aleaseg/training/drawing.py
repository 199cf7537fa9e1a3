"""Curves over epochs, as SVG: the paper's Figure 7 (arXiv 2604.10963), and DUO's weights and scales."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from aleaseg.report.numbers import number
from aleaseg.report.svg import as_text, element, inline, known, short
from aleaseg.training.history import DICE, History

__all__ = ["Curve", "Panel", "compare_trainings", "panel_svg", "panels_of", "ticks"]

_WIDTH, _HEIGHT = 520.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 14.0, 42.0
# More curves than hues stand behind the others, and say their names when the pointer rests on them.
_HUES = 8

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """Numbers over epochs.

    Attributes:
        name: for the key.
        values: one for each epoch; NaN where there is none.
        strong: drawn thick, in the colour of the text.
    """

    name: str
    values: Sequence[float]
    strong: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: what is drawn, with the good direction.
        curves: in the order of the key.
        epochs: of the values.
        unit: whether the axis goes from 0 to 1, whatever the values.
    """

    title: str
    curves: Sequence[Curve]
    epochs: Sequence[int]
    unit: bool = False


def panels_of(history: History) -> list[Panel]:
    """What a training has to show: losses, pseudo-Dice, and with DUO weights and scales of the classes."""
    rows, of_classes = history.rows(), history.of_classes()
    epochs = [int(row["epoch"]) for row in rows]

    def curve(name: str, column: str, strong: bool = False) -> Curve:
        return Curve(name, [_float(row[column]) for row in rows], strong)

    panels = [
        Panel(
            "Loss (low = good)",
            [curve("training", "loss"), curve("validation", "validation_loss", True)],
            epochs,
        )
    ]
    classes = [curve(name, column) for name, column in history.dice.items()]
    mean = [curve("mean", DICE, True)] if len(classes) > 1 else []
    panels.append(
        Panel("Pseudo-Dice of the cases held out (high = good)", [*mean, *classes], epochs, unit=True)
    )
    for column, title in (
        ("weight", "Weights of the classes, 1 / (1 + αS)"),
        ("scale", "S of the classes (high = certain)"),
    ):
        by_class = {
            name: {
                int(row["epoch"]): _float(row[column]) for row in of_classes if str(row["class"]) == name
            }
            for name in dict.fromkeys(str(row["class"]) for row in of_classes)
        }
        curves = [
            Curve(name, [found.get(epoch, math.nan) for epoch in epochs])
            for name, found in by_class.items()
        ]
        panels += [Panel(title, curves, epochs)] * bool(curves)
    return panels


def _float(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)


def compare_trainings(trainings: Mapping[str, str | Path]) -> str:
    """A file: validation loss and mean pseudo-Dice of several trainings, a curve each (Figure 7).

    Args:
        trainings: name -> folder of `aleaseg train`.
    """
    tables = {name: History(Path(folder), (), ()).rows() for name, folder in trainings.items()}
    epochs = sorted({int(row["epoch"]) for rows in tables.values() for row in rows})

    def panel(title: str, column: str, unit: bool) -> Panel:
        found = {
            name: {int(row["epoch"]): _float(row[column]) for row in rows} for name, rows in tables.items()
        }
        curves = [Curve(name, [of.get(epoch, math.nan) for epoch in epochs]) for name, of in found.items()]
        return Panel(title, curves, epochs, unit)

    panels = [
        panel("Validation loss (low = good)", "validation_loss", False),
        panel("Mean pseudo-Dice (high = good)", DICE, True),
    ]
    drawn, across = list[Element](), 0.0
    for one in panels:
        title = element("text", text=one.title, x=_LEFT, y=16, class_="name strong")
        body = element("g", *_panel(one), transform="translate(0 22)")
        drawn.append(element("g", title, body, transform=f"translate({short(across)} 0)"))
        across += _WIDTH
    lines = -(-len(trainings) // 2)
    keys = element("g", *_keys(panels[0]), transform=f"translate(0 {short(_HEIGHT + 26)})")
    figure = inline(
        across, _HEIGHT + 34 + 20 * lines, label="Validation loss and mean pseudo-Dice over epochs"
    )
    figure.set("xmlns", "http://www.w3.org/2000/svg")
    style = files("aleaseg.training").joinpath("assets", "curves.css").read_text("utf-8")
    figure.append(element("style", text=style))
    figure.append(element("rect", width="100%", height="100%", fill="#ffffff"))
    figure.extend([*drawn, keys])
    return as_text(figure) + "\n"


def panel_svg(panel: Panel) -> str:
    """A drawing that stands in a page, its key below."""
    lines = -(-len(_named(panel)) // 2)
    keys = element("g", *_keys(panel), transform=f"translate(0 {short(_HEIGHT)})")
    return as_text(inline(_WIDTH, _HEIGHT + 20 * lines, *_panel(panel), keys, label=panel.title))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two, at most so many and two at least where there is room.

    >>> ticks(0.0, 1.0), ticks(0.13, 1.9), ticks(3, 3)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [0.5, 1.0, 1.5], [3.0])
    """
    if not high > low:
        return [float(low)]
    power = 10.0 ** math.floor(math.log10(high - low))
    for step in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0):
        width = step * power
        first, last = math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9)
        if last - first < most:
            return [float(f"{place * width:.6g}") for place in range(first, last + 1)]
    return [float(low), float(high)]


def _panel(panel: Panel) -> list[Element]:
    values = [value for curve in panel.curves for value in curve.values if known(value)]
    low, high = (0.0, 1.0) if panel.unit or not values else (min(values), max(values))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    first, last = (min(panel.epochs), max(panel.epochs)) if panel.epochs else (0, 1)

    def across(epoch: float) -> float:
        return _LEFT + (epoch - first) / max(1, last - first) * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = []
    for value in ticks(low, high):
        y = up(value)
        drawn.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(
            element("text", text=f"{value:g}", x=_LEFT - 7, y=y + 4, class_="tick", text_anchor="end")
        )
    bottom = _HEIGHT - _BOTTOM
    drawn += [
        element(
            "text", text=str(epoch), x=across(epoch), y=bottom + 17, class_="tick", text_anchor="middle"
        )
        for epoch in dict.fromkeys(round(value) for value in ticks(first, last, 8))
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn.append(
        element("text", text="epoch", x=middle, y=bottom + 34, class_="tick", text_anchor="middle")
    )
    # The strong ones last, on top.
    for place, curve in sorted(enumerate(panel.curves), key=lambda one: one[1].strong):
        drawn.append(_line(curve, _kind(panel, place), panel.epochs, across, up))
    return drawn


def _line(curve: Curve, kind: str, epochs: Sequence[int], across: Any, up: Any) -> Element:
    path, pen = "", "M"
    for epoch, value in zip(epochs, curve.values, strict=True):
        path += f"{pen}{short(across(epoch))},{short(up(value))}" if known(value) else ""
        pen = "L" if known(value) else "M"
    last = next((value for value in reversed(curve.values) if known(value)), None)
    said = element("title", text=f"{curve.name}: {number(last, '.4g')} in the end")
    ends = [(epoch, value) for epoch, value in zip(epochs, curve.values, strict=True) if known(value)]
    dots = [element("circle", cx=across(epoch), cy=up(value), r=2.4) for epoch, value in ends[-1:]]
    return element("g", said, element("path", d=path), *dots, class_=kind)


def _kind(panel: Panel, place: int) -> str:
    if panel.curves[place].strong:
        return "curve strong"
    hue = sum(not curve.strong for curve in panel.curves[:place])
    crowd = sum(not curve.strong for curve in panel.curves) > _HUES
    return "curve crowd" if crowd else f"curve h{hue}"


def _named(panel: Panel) -> list[tuple[int, Curve]]:
    """The curves of the key: all, or of a crowd only those before it."""
    named = [
        (place, curve) for place, curve in enumerate(panel.curves) if "crowd" not in _kind(panel, place)
    ]
    crowd = len(panel.curves) - len(named)
    if crowd:
        place = next(place for place, _ in enumerate(panel.curves) if "crowd" in _kind(panel, place))
        named.append((place, Curve(f"each of {crowd}: the pointer tells which", ())))
    return named


def _keys(panel: Panel) -> list[Element]:
    keys = []
    for slot, (place, curve) in enumerate(_named(panel)):
        x, y = _LEFT + (slot % 2) * 230, 12.0 + 20 * (slot // 2)
        line = element("path", d=f"M{short(x)},{short(y - 4)}h26")
        name = element("text", text=curve.name, x=x + 34, y=y, class_="name")
        keys.append(element("g", element("g", line, class_=_kind(panel, place)), name))
    return keys
