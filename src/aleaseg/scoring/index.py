"""The tables of measures in the documentation, made from the table of measures.

`python -m aleaseg.scoring.index docs` writes them into every page that has a place for one, which
two comments mark: `<!-- measures -->` or `<!-- columns -->` before it, `<!-- end -->` behind it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from aleaseg.measures.column import Limits
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.columns import COLUMNS

__all__ = ["filled"]

_BLOCK = re.compile(r"(?P<begin><!-- (?P<name>measures|columns) -->\n).*?(?P<end><!-- end -->)", re.S)


def filled(text: str) -> str:
    r"""A page with its tables made anew.

    >>> "| `auv` |" in filled("<!-- measures -->\n<!-- end -->")
    True
    """
    made = {"measures": _measures, "columns": _columns}
    return _BLOCK.sub(lambda found: f"{found['begin']}\n{made[found['name']]()}\n{found['end']}", text)


def _measures() -> str:
    """Every measure, with its function and its page beside it."""
    rows = [
        (
            f"`{name}`",
            measure.text,
            measure.direction.value,
            _range(measure.limits),
            measure.unit,
            measure.sight,
            measure.eye.value,
            measure.source,
            f"`{measure.formula.removeprefix('aleaseg.measures.')}`",
            f"[{measure.page}]({measure.page}.md)",
        )
        for name, measure in MEASURES.items()
    ]
    heads = ("measure", "what it is", "direction", "range", "unit", "sees", "computed from", "source")
    return _table((*heads, "function in `aleaseg.measures`", "page"), rows)


def _columns() -> str:
    """The columns of the usual tables that have a bad end."""
    rows = [
        (f"`{name}`", column.title, _range(column.limits), column.unit, column.direction.value)
        for name, column in COLUMNS.items()
        if column.direction.sign and (name not in MEASURES or column.role == "score")
    ]
    return _table(("number", "title", "range", "unit", "direction"), rows)


def _range(limits: Limits | None) -> str:
    low, high = limits or (None, None)
    if low is None:
        return "any" if high is None else f"to {high:.3g}"
    return f"from {low:.3g}" if high is None else f"{low:.3g} to {high:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ["---"] * len(heads), *rows))


def main(folder: str) -> None:
    """Write the tables into the pages below a folder."""
    for page in sorted(Path(folder).rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            page.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:] or ("docs",))
