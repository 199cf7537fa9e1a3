"""Curves over epochs, as SVG: the paper's Figure 7 (arXiv 2604.10963), and DUO's weights and scales."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from aleaseg.pages.axes import Axes, ticks
from aleaseg.pages.numbers import number
from aleaseg.pages.svg import as_file, as_text, element, inline, known, moved, short, text
from aleaseg.training.history import DICE, History, Row

__all__ = ["Curve", "Panel", "compare_trainings", "panel_svg", "panels_of"]

_WIDTH, _HEIGHT = 520.0, 300.0
_MARGINS = 58.0, 14.0, 14.0, 42.0
# More curves than hues stand behind the others, and say their names when the pointer rests on them.
_HUES = 8


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
        curves = [
            _over(epochs, name, [row for row in of_classes if str(row["class"]) == name], column)
            for name in dict.fromkeys(str(row["class"]) for row in of_classes)
        ]
        panels += [Panel(title, curves, epochs)] * bool(curves)
    return panels


def _over(epochs: Sequence[int], name: str, rows: Sequence[Row], column: str) -> Curve:
    """A column over epochs; NaN where there is no row."""
    found = {int(row["epoch"]): _float(row[column]) for row in rows}
    return Curve(name, [found.get(epoch, math.nan) for epoch in epochs])


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
        return Panel(title, [_over(epochs, *table, column) for table in tables.items()], epochs, unit)

    panels = [
        panel("Validation loss (low = good)", "validation_loss", False),
        panel("Mean pseudo-Dice (high = good)", DICE, True),
    ]
    drawn = []
    for place, one in enumerate(panels):
        title = text(one.title, _MARGINS[0], 16, "name strong", "start")
        drawn.append(moved(place * _WIDTH, 0.0, title, moved(0.0, 22.0, *_panel(one))))
    drawn.append(moved(0.0, _HEIGHT + 26, *_keys(panels[0])))
    height = _HEIGHT + 34 + 20 * -(-len(trainings) // 2)
    label = "Validation loss and mean pseudo-Dice over epochs"
    return as_file(inline(_WIDTH * len(panels), height, *drawn, label=label))


def panel_svg(panel: Panel) -> str:
    """A drawing that stands in a page, its key below."""
    lines = -(-len(_named(panel)) // 2)
    keys = moved(0.0, _HEIGHT, *_keys(panel))
    return as_text(inline(_WIDTH, _HEIGHT + 20 * lines, *_panel(panel), keys, label=panel.title))


def _panel(panel: Panel) -> list[Element]:
    values = [value for curve in panel.curves for value in curve.values if known(value)]
    low, high = (0.0, 1.0) if panel.unit or not values else (min(values), max(values))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    first, last = (min(panel.epochs), max(panel.epochs)) if panel.epochs else (0, 1)
    axes = Axes(_WIDTH, _HEIGHT, (first, last), (low, high), margins=_MARGINS)
    for value in ticks(low, high):
        axes.level(value, f"{value:g}")
    for epoch in ticks(first, last, 8, whole=True):
        axes.below(axes.x(epoch), f"{epoch:g}")
    axes.names("epoch")
    # The strong ones last, on top.
    for place, curve in sorted(enumerate(panel.curves), key=lambda one: one[1].strong):
        end = next((value for value in reversed(curve.values) if known(value)), None)
        title = f"{curve.name}: {number(end, '.4g')} in the end"
        axes.curve(panel.epochs, curve.values, _kind(panel, place), title)
    return axes.drawn


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
        x, y = _MARGINS[0] + (slot % 2) * 230, 12.0 + 20 * (slot // 2)
        line = element("path", d=f"M{short(x)},{short(y - 4)}h26")
        name = text(curve.name, x + 34, y, "name", "start")
        keys.append(element("g", element("g", line, class_=_kind(panel, place)), name))
    return keys
