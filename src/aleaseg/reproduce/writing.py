"""A finished (or half-finished) table as Markdown, as CSV, and as one page that opens from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aleaseg.pages.files import copy_assets, write_if_changed
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.numbers import ABSENT, interval, number
from aleaseg.pages.tables import Cell, Column, Row
from aleaseg.pages.tables import Table as ShownTable
from aleaseg.pages.templates import write_html
from aleaseg.reproduce.against import Against, compare_rows
from aleaseg.reproduce.cells import Training
from aleaseg.reproduce.filling import Shown, Table, fill
from aleaseg.reproduce.grid import Grid, with_needs
from aleaseg.run import write_table

__all__ = ["write_page", "write_reproduced"]

_PACKAGE = "aleaseg.reproduce"
READ = (
    "Ours, next to it the paper's number (arXiv 2604.10963) where it is known to us, and ours minus it where both "
    "are of the same data. ± is half the range over seeds or lots."
)
_COLUMNS = ("row", "column", "ours", "spread", "paper", "difference", "done", "of", "why")


def write_reproduced(table: Table, grid: Grid, about: Mapping[str, str], command: str = "") -> Path:
    """Write NAME.md, NAME.csv, NAME_against.csv and NAME.html, whose path is returned.

    `about` stands at its head: preset, data, device, versions; `command` is as it was typed.
    """
    shown, against = fill(table, grid), compare_rows(table, grid)
    out = grid.folder
    write_table(out / f"{table.name}.csv", _COLUMNS, map(asdict, shown))
    if against:
        columns = list(asdict(against[0]))
        write_table(out / f"{table.name}_against.csv", columns, map(asdict, against))
    done, of, failed = _state(table, grid)
    trainings = [cell for cell in with_needs(table.cells) if isinstance(cell, Training) and grid.done(cell)]
    named = {
        "title": table.title,
        "caption": table.caption,
        "read": READ,
        "numbers": _numbers_table(table, shown),
        "against": _against_table(against),
        "against_says": AGAINST,
        "done": done,
        "of": of,
        "failed": failed,
        "footnotes": list(dict.fromkeys(table.footnotes)),
        "about": dict(about),
        "command": command,
        "curves": [(cell.name, f"work/{cell.name}/model/training.html") for cell in trainings],
    }
    write_if_changed(out / f"{table.name}.md", _markdown(named))
    return write_page(out / f"{table.name}.html", template="table.html.j2", **named)


def write_page(path: Path, **named: Any) -> Path:
    """A page of this package, and its style beside it."""
    copy_assets(path.parent, _PACKAGE, "reproduce.css")
    return write_html(path, _PACKAGE, styles=["reproduce.css"], **named)


def _state(table: Table, grid: Grid) -> tuple[int, int, dict[str, str]]:
    """Finished, all, and why some failed: of the cells and what they need."""
    cells = with_needs(table.cells)
    return (
        sum(map(grid.done, cells)),
        len(cells),
        {cell.name: why for cell in cells if (why := grid.failed(cell))},
    )


def _cell(one: Shown | None, form: str) -> Cell:
    if one is None:
        return Cell(ABSENT)
    ours = number(one.ours, form)
    if one.spread is not None and one.ours is not None:
        ours += f" ± {number(one.spread / 2, form)}"
    if one.ours is not None and one.done < one.of:
        ours += f" ({one.done} of {one.of})"
    less = "" if one.difference is None else f", {number(one.difference, f'+{form}')}"
    beside = () if one.paper is None else (f"paper {number(one.paper, form)}{less}",)
    return Cell(ours, beside, hint=one.why)


def _numbers_table(table: Table, shown: Sequence[Shown]) -> ShownTable:
    at = {(one.row, one.column): one for one in shown}
    headings = [*table.columns, *(["Mean"] if table.mean else [])]
    rows = [
        Row([Cell(row), *(_cell(at.get((row, column)), table.form) for column in headings)])
        for row in table.rows
    ]
    columns = [Column(), *(Column(heading, True) for heading in headings)]
    return ShownTable("Numbers", columns, rows, "reproduced ours")


def _against_table(against: Sequence[Against]) -> ShownTable:
    titles = ("row", "compared with", "run", "Dice differs by", "95% interval", "cases", "seeds", "claim")
    columns = [Column(title, numeric=3 <= place < 6) for place, title in enumerate(titles)]
    rows = []
    for one in against:
        spread = interval(one.low, one.high, "+.2f") or ABSENT
        difference = number(one.difference, "+.2f")
        texts = (one.row, one.baseline, one.run, difference, spread, str(one.cases), one.signs, one.claim)
        rows.append(Row([Cell(text) for text in texts]))
    return ShownTable("Differences", columns, rows, "reproduced")


AGAINST = (
    "Mean Dice of a row minus its baseline's, in points, on the same test cases and from the same seeds: above 0 the "
    "row is better. The interval is a bootstrap over cases; it does not reflect the variation between trainings, the "
    "signs of the seeds do. A claim needs several seeds on one side and an interval that excludes 0."
)


def _markdown(named: Mapping[str, Any]) -> str:
    """The page's own contents, without its links."""
    lines = [f"# {markdown_text(named['title'])}", "", markdown_text(named["caption"]), "", READ, ""]
    if named["command"]:
        lines += [f"`{named['command']}`", ""]
    lines += [f"- {name}: {markdown_text(text)}" for name, text in named["about"].items()]
    lines += [f"- cells: {named['done']} of {named['of']} finished", "", *table_markdown(named["numbers"])]
    if named["against"].rows:
        lines += ["", "## Against the baseline, case by case", "", AGAINST, ""]
        lines += table_markdown(named["against"])
    if named["failed"]:
        lines += ["", "## What failed", ""]
        lines += [f"- {markdown_text(name)}: {markdown_text(why)}" for name, why in named["failed"].items()]
    if named["footnotes"]:
        lines += ["", "## Keep in mind", ""]
        lines += [f"- {markdown_text(note)}" for note in named["footnotes"]]
    return "\n".join(lines) + "\n"
