"""What a column of a table is: its name, title and unit, where it lies, and which way it points.

A table of measures, of metrics or of plain facts is made of these. The direction of a number
is declared here and nowhere else: the manifest, the pages and the cuts read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

__all__ = ["Column", "Direction", "Limits", "Role", "by_name"]

Role = Literal["score", "measure", "statistic", "confound", "id", "text"]
"""Score: a page's main numbers. Confound: what a score should not follow. Id and text: no numbers."""
Limits = tuple[float | None, float | None]
"""The least and the largest value; None: without end."""


class Direction(StrEnum):
    """Which end of a number is the bad one, as tables and pages say it."""

    HIGH_BAD = "high = bad"
    LOW_BAD = "low = bad"
    HIGH_CERTAIN = "high = certain"
    HIGH_GOOD = "high = good"
    LOW_GOOD = "low = good"
    NONE = "none"

    @property
    def sign(self) -> int:
        """1 where high is bad, -1 where low is bad, 0 where neither end is: the number times it, high = bad.

        >>> [Direction(said).sign for said in ("high = bad", "low = good", "high = certain", "none")]
        [1, 1, -1, 0]
        """
        if self is Direction.NONE:
            return 0
        return 1 if self in (Direction.HIGH_BAD, Direction.LOW_GOOD) else -1


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: in the table.
        title: on pages.
        short: the title where there is little room; empty: the title itself.
        text: what it is, in one sentence.
        direction: which end is bad.
        role: what it is for.
        unit: such as `mm`; empty without one.
        limits: where it must lie; None: anywhere.
        form: how a number of it is written, as `format` takes it.
    """

    name: str
    title: str
    text: str
    short: str = ""
    direction: Direction = Direction.NONE
    role: Role = "measure"
    unit: str = ""
    limits: Limits | None = None
    form: str = ".2f"

    @property
    def higher_is_better(self) -> bool:
        """Whether low is the bad end."""
        return self.direction.sign < 0

    def described(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "title": self.title,
            "short": self.short or self.title,
            "role": self.role,
            "direction": self.direction.value,
            "range": None if self.limits is None else list(self.limits),
            "unit": self.unit,
            "text": self.text,
        }

    @classmethod
    def read(cls, name: str, about: Mapping[str, Any]) -> Column:
        """Back from `described`; what an older manifest leaves out is made of the name.

        >>> Column.read("img_noise", {"direction": "none"}).title
        'Img noise'
        """
        said = about.get("direction")
        return cls(
            name=name,
            title=str(about.get("title") or name.replace("_", " ").capitalize()),
            text=str(about.get("text") or ""),
            short=str(about.get("short") or ""),
            direction=next((one for one in Direction if one == said), Direction.NONE),
            role=about.get("role") or "measure",
            unit=str(about.get("unit") or ""),
            limits=None if about.get("range") is None else tuple(about["range"]),
        )


C = TypeVar("C", bound=Column)


def by_name(columns: Iterable[C]) -> dict[str, C]:
    """The columns by their names, in their order.

    Raises:
        ValueError: two have one name.
    """
    found: dict[str, C] = {}
    for column in columns:
        if column.name in found:
            raise ValueError(f"two columns are called {column.name!r}; expected one declaration each")
        found[column.name] = column
    return found
