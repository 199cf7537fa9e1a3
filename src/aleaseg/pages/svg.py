"""Drawings as SVG elements, from ElementTree: text in them is never markup."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from aleaseg.pages.files import asset

__all__ = ["as_file", "as_text", "element", "inline", "known", "mark", "moved", "short", "text"]

_SHAPES = {
    "circle": "M-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
    "square": "M-3.5,-3.5h7v7h-7z",
    "diamond": "M0,-4.8L4.8,0L0,4.8L-4.8,0z",
    "up": "M0,-4.5L4.3,3.5L-4.3,3.5z",
    "down": "M0,4.5L4.3,-3.5L-4.3,-3.5z",
    "plus": "M-4.5,-1.2h3.3v-3.3h2.4v3.3h3.3v2.4h-3.3v3.3h-2.4v-3.3h-3.3z",
    "bar": "M-4.6,-1.5h9.2v3h-9.2z",
}


def element(tag: str, *children: Element, text: str = "", **attributes: Any) -> Element:
    """An SVG element; `class_` is class, and `stroke_width` is stroke-width."""
    given = {name.rstrip("_").replace("_", "-"): short(value) for name, value in attributes.items()}
    made = Element(tag, given)
    made.text = text or None
    made.extend(children)
    return made


def text(said: str, x: float, y: float, kind: str = "tick", anchor: str = "middle") -> Element:
    """A text that starts, has its middle or ends at a place."""
    return element("text", text=said, x=x, y=y, class_=kind, text_anchor=anchor)


def moved(x: float, y: float, *children: Element) -> Element:
    """Elements moved together."""
    return element("g", *children, transform=f"translate({short(x)} {short(y)})")


def short(value: Any) -> str:
    """A number in two decimals at most; anything else as it is."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def mark(shape: str, kind: str, x: float, y: float, title: str) -> Element:
    """A filled mark, one of circle, square, diamond, up, down, plus and bar, with a title to hover."""
    made = moved(x, y, element("title", text=title))
    made.tag = "path"
    made.attrib |= {"d": _SHAPES[shape], "class": kind}
    return made


def known(value: Any) -> bool:
    """Whether there is a finite number to draw."""
    return value is not None and math.isfinite(value)


def inline(width: float, height: float, *children: Element, label: str) -> Element:
    """A drawing that stands in a page; `label` is what a screen reader says."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {short(width)} {short(height)}",
        width=width,
        height=height,
        class_="figure",
        role="img",
        aria_label=label,
    )


def as_text(drawing: Element) -> str:
    """The markup of a drawing."""
    return ElementTree.tostring(drawing, encoding="unicode")


def as_file(drawing: Element, *, ground: bool = True) -> str:
    """A drawing as a whole file: its own style, on a white ground or on none."""
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    drawing.insert(0, element("style", text=asset("drawings.css")))
    if ground:
        drawing.insert(1, element("rect", width="100%", height="100%", class_="ground"))
    return as_text(drawing) + "\n"
