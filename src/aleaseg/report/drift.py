"""The drift of a run on its page: what differs in the cases that came in, drawn on one ruler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aleaseg.measures.column import Column
from aleaseg.pages.axes import Axes
from aleaseg.pages.numbers import number, p_value
from aleaseg.pages.svg import as_text, inline, text
from aleaseg.run import Run, read_table

__all__ = ["Shown", "ruler_svg", "shown_drift"]

_WIDTH, _HEIGHT = 320, 26
_FAR = 6.0
"""Where the ruler ends, in robust standard deviations of the population."""
_MOST = 20


@dataclass(frozen=True)
class Shown:
    """A row of the table.

    Attributes:
        measure: its title and class.
        part: of the new cases, and against whom.
        medians: of the new cases and of the population.
        p: stepped down, in words.
        svg: the two spreads on the ruler.
    """

    measure: str
    part: str
    medians: str
    p: str
    svg: str


def shown_drift(run: Run) -> tuple[list[Shown], int]:
    """The strongest alarms of drift.csv as rows, and how many alarms there are."""
    if not (run.path / "drift.csv").exists() or not run.manifest.get("drift"):
        return [], 0
    table = read_table(run.path / "drift.csv")
    alarms = table[table["drifts"].astype(str).str.lower() == "true"]
    about = run.manifest.get("columns") or {}
    rows = [
        _shown(row, Column.read(str(row["measure"]), about.get(row["measure"]) or {}))
        for row in alarms.head(_MOST).to_dict("records")
    ]
    return rows, len(alarms)


def _shown(row: dict[Any, Any], column: Column) -> Shown:
    class_name = str(row["class"]) if isinstance(row["class"], str) and row["class"] else ""
    part = {"all": "all new cases"}.get(row["part"], str(row["part"]))
    against = "" if row["against"] == "population" else ", against the same site's"
    unit = f" {column.unit}" if column.unit else ""
    return Shown(
        f"{column.title}{f', {class_name}' if class_name else ''}",
        f"{part} ({row['n']}){against}",
        f"{number(row['median'], '.3g')}{unit}, usually {number(row['median_population'], '.3g')}{unit}",
        p_value(row["p_adjusted"]),
        _spreads(row),
    )


def _ruler(height: float) -> Axes:
    axes = Axes(_WIDTH, height, (-_FAR, _FAR), margins=(14, 14, 0, 0))
    axes.post(0, "zero")
    return axes


def ruler_svg() -> str:
    """The numbers over the rows."""
    axes = _ruler(14)
    drawn = [text(f"{value:+d}" if value else "usual", axes.x(value), 11) for value in (-6, -3, 0, 3, 6)]
    return as_text(inline(_WIDTH, 14, *drawn, label="robust standard deviations from the usual"))


def _spreads(row: dict[Any, Any]) -> str:
    """The middle 90% as a line, the middle half as a bar, the median as a mark; the population above."""
    axes, said = _ruler(_HEIGHT), []
    for side, kind, shape, height in (
        ("population", "usual", "circle", 0.72),
        ("new", "new", "diamond", 0.28),
    ):
        spread = [float(row[f"{side}_{q}"]) for q in (5, 25, 50, 75, 95)]
        low, first, middle, third, high = (max(-_FAR, min(_FAR, value)) for value in spread)
        axes.span(low, high, height, f"reach {kind}")
        axes.span(first, third, height, f"half {kind}")
        words = f"{side}: median {spread[2]:+.1f}, 90% from {spread[0]:+.1f} to {spread[4]:+.1f} robust sd"
        axes.mark(shape, f"point {kind}", middle, height, words)
        said.append(words)
    return as_text(inline(_WIDTH, _HEIGHT, *axes.drawn, label="; ".join(said)))
