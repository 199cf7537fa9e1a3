"""Tables as data: said once, shown on a page (`tables.html.j2`) and in Markdown (`table_markdown`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.pages.numbers import ABSENT, interval, number, p_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Column", "Row", "Table", "frame_table", "heat", "named", "quantity", "records"]


@dataclass(frozen=True)
class Cell:
    """What stands in one place.

    Attributes:
        text: what is read.
        notes: what stands small beside it, such as an interval; in Markdown in brackets.
        strong: bold.
        code: whether it is a name: of a measure, a column, a file.
        key: what sorting goes by; None: the text.
        hint: for the pointer.
        kind: classes on the page.
        strength: of a colour, in [0, 1]; the side (`above` or `below`) is a class.
        picture: the markup of a drawing in place of the text, on the page; it is not escaped.
    """

    text: str = ""
    notes: tuple[str, ...] = ()
    strong: bool = False
    code: bool = False
    key: float | str | None = None
    hint: str = ""
    kind: str = ""
    strength: float | None = None
    picture: str = ""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        numeric: whether it stands to the right.
        only: `page` or `markdown`, where it stands in one of them alone.
        kind: classes of its cells on the page.
        head: classes of its heading on the page.
        hint: of the heading, for the pointer.
        order: `ascending` or `descending`, where the rows are sorted by it.
        picture: the markup of a drawing in place of the heading, on the page; it is not escaped.
    """

    title: str = ""
    numeric: bool = False
    only: str = ""
    kind: str = ""
    head: str = ""
    hint: str = ""
    order: str = ""
    picture: str = ""

    def classes(self, cell: Cell | None = None) -> str:
        """Of one of its cells on the page, or of its heading."""
        own = (self.head,) if cell is None else (self.kind, cell.kind, "strong" * cell.strong)
        return " ".join(filter(None, ("number" * self.numeric, *own)))


@dataclass(frozen=True)
class Row:
    """A row: a cell for every column.

    Attributes:
        cells: in the order of the columns.
        kind: classes on the page.
        heads: whether it stands over the rows below it, on the page alone; its last cell then spans what is left.
    """

    cells: Sequence[Cell]
    kind: str = ""
    heads: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: for a screen reader.
        columns: the first names the rows.
        rows: from above.
        kind: classes on the page; with `sortable` it can be sorted by its headings.
        spans: of the page, over the headings: a title, how many columns it is over, and its classes.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    kind: str = ""
    spans: Sequence[tuple[str, int, str]] = ()

    @property
    def shown(self) -> list[int]:
        """Which columns stand on the page."""
        return [place for place, column in enumerate(self.columns) if column.only != "markdown"]

    @property
    def bodies(self) -> Iterator[list[Row]]:
        """The rows of the page; each row that stands over others starts anew."""
        body: list[Row] = []
        for row in self.rows:
            if row.heads and body:
                yield body
                body = []
            body.append(row)
        yield body


def quantity(
    value: Any, form: str = ".2f", low: Any = None, high: Any = None, *, spread: str = "", **more: Any
) -> Cell:
    """A number that can be sorted by, and its interval where it has one, written as `spread` or as the number is."""
    ends = interval(low, high, spread or form)
    key = "" if number(value) == ABSENT else value
    return Cell(number(value, form), (ends,) if ends else (), key=key, **more)


def named(text: str, *notes: str, **more: Any) -> Cell:
    """A name of a measure or a column."""
    return Cell(text, notes, code=True, **more)


def heat(value: Any, middle: float, text: str, hint: str = "", strong: bool = False) -> Cell:
    """A number whose colour says on which side of the middle it is, and how far from it; at most 1."""
    if number(value) == ABSENT:
        return Cell(ABSENT, key="", hint=hint, kind="muted")
    strength = min(1.0, abs(value - middle) / (1 - middle))
    side = "above" if value > middle else "below"
    return Cell(text, key=value, hint=hint, kind=side, strong=strong, strength=strength)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, their values by the names of the columns."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def frame_table(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
) -> Table:
    """A frame as a table: numbers to the right, an en dash where nothing is known.

    Args:
        frame: rows as they are to stand.
        columns: name -> heading, in the order to show; None: all, by their names.
        formats: name -> how a number is written, such as `.3f`, `+.2f` or `p` (of a p-value);
            without it three decimals, and whole numbers as they are.

    Raises:
        ValueError: a column that the frame does not have.
    """
    shown = columns or {str(name): str(name) for name in frame.columns}
    forms = formats or {}
    absent = [name for name in (*shown, *forms) if name not in frame]
    if absent:
        raise ValueError(f"no column {absent[0]!r}; expected some of: {', '.join(map(str, frame.columns))}")
    heads = [Column(heading, _numeric(frame[name])) for name, heading in shown.items()]
    rows = [
        Row([_cell(value, forms.get(name)) for name, value in zip(shown, row, strict=True)])
        for row in frame[list(shown)].itertuples(index=False)
    ]
    return Table("", heads, rows)


def _numeric(column: Any) -> bool:
    known = [value for value in column if not _unknown(value)]
    return bool(known) and all(isinstance(value, int | float | np.number) for value in known)


def _unknown(value: Any) -> bool:
    return value is None or value != value or value == ""


def _cell(value: Any, form: str | None) -> Cell:
    if _unknown(value):
        return Cell(ABSENT, key="")
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if not isinstance(value, int | float | np.number):
        return Cell(str(value))
    if form == "p":
        return Cell(p_value(value), key=float(value))
    return quantity(value, form or ("d" if isinstance(value, int | np.integer) else ".3f"))
