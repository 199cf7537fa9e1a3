"""Texts and tables as Markdown that can be committed as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aleaseg.pages.tables import Cell, Table

__all__ = ["markdown_text", "table_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$])")


def markdown_text(value: str) -> str:
    r"""Text that stays text in Markdown, on one line.

    >>> print(markdown_text("a|b <b> auv_x"))
    a\|b \<b\> auv\_x
    """
    return _SPECIAL.sub(r"\\\1", " ".join(value.split())).replace("&", "&amp;")


def table_markdown(table: Table) -> list[str]:
    r"""The lines of a table: headings, rule and rows; numeric columns stand to the right.

    >>> from aleaseg.pages.tables import Column, Row, quantity
    >>> one = Table("", [Column("who"), Column("r", True)], [Row([Cell("a_b"), quantity(0.5, ".1f", 0.4, 0.6)])])
    >>> print(*table_markdown(one), sep="\n")
    | who | r |
    | --- | ---: |
    | a\_b | 0.5 (0.4–0.6) |
    """
    places = [place for place, column in enumerate(table.columns) if column.only != "page"]
    columns = [table.columns[place] for place in places]
    lines = [[markdown_text(column.title) for column in columns]]
    lines.append(["---:" if column.numeric else "---" for column in columns])
    lines += [[_cell(row.cells[place]) for place in places] for row in table.rows if not row.heads]
    return [_line(line) for line in lines]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    shown = f"**{text}**" if cell.strong else text
    return f"{shown} ({markdown_text('; '.join(cell.notes))})" if cell.notes else shown
