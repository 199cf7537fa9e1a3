"""Tables as Markdown that can be committed as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.report.numbers import ABSENT, number, p_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["markdown_text", "table_lines", "write_frame_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$])")


def markdown_text(value: str) -> str:
    r"""Text that stays text in Markdown, on one line.

    >>> print(markdown_text("a|b <b> auv_x"))
    a\|b \<b\> auv\_x
    """
    return _SPECIAL.sub(r"\\\1", " ".join(value.split())).replace("&", "&amp;")


def write_frame_markdown(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
) -> list[str]:
    """A table in Markdown: numbers to the right, texts escaped, an en dash where nothing is known.

    Args:
        frame: rows as they are to stand.
        columns: name -> heading, in the order to show; None: all, by their names.
        formats: name -> how a number is written, such as `.3f`, `+.2f` or `p` (of a p-value);
            without it three decimals, and whole numbers as they are.

    Returns:
        Lines: the heading, the rule, one for each row.

    Raises:
        ValueError: a column that the frame does not have.
    """
    shown = columns or {str(name): str(name) for name in frame.columns}
    forms = formats or {}
    absent = [name for name in (*shown, *forms) if name not in frame]
    if absent:
        raise ValueError(f"no column {absent[0]!r}; expected some of: {', '.join(map(str, frame.columns))}")
    numeric = [_numeric(frame[name]) for name in shown]
    cells = [
        [_cell(value, forms.get(name)) for name, value in zip(shown, row, strict=True)]
        for row in frame[list(shown)].itertuples(index=False)
    ]
    return table_lines(list(shown.values()), cells, numeric)


def _numeric(column: Any) -> bool:
    known = [value for value in column if not _unknown(value)]
    return bool(known) and all(isinstance(value, int | float | np.number) for value in known)


def _unknown(value: Any) -> bool:
    return value is None or value != value or value == ""


def _cell(value: Any, form: str | None) -> str:
    if _unknown(value):
        return ABSENT
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        if form == "p":
            return markdown_text(p_value(value))
        return number(value, form or ("d" if isinstance(value, int | np.integer) else ".3f"))
    return markdown_text(str(value))


def table_lines(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> list[str]:
    """Heading, rule and rows of a table; numeric columns stand to the right. Headings are escaped, cells are not."""
    rule = ["---:" if right else "---" for right in numeric]
    return ["| " + " | ".join(cells) + " |" for cells in ([*map(markdown_text, headings)], rule, *rows)]
