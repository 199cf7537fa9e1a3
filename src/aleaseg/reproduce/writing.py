"""A finished (or half-finished) table as Markdown, as CSV, and as one page that opens from disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aleaseg.report.javascript import write_if_changed
from aleaseg.report.markdown import markdown_text, table_lines
from aleaseg.report.numbers import ABSENT, interval, number
from aleaseg.report.pages import copy_assets, templates
from aleaseg.reproduce.against import Against, compare_rows
from aleaseg.reproduce.cells import Training
from aleaseg.reproduce.grid import Grid, with_needs
from aleaseg.reproduce.tables import Shown, Table, fill
from aleaseg.run import write_table

__all__ = ["write_page", "write_reproduced"]

READ = (
    "Ours stands first, then the paper's number (arXiv 2604.10963), then ours less it. A dash: not known to us, or "
    "not of the same data. ± is half the range over seeds or lots."
)
_COLUMNS = ("row", "column", "ours", "spread", "paper", "difference", "done", "of", "why")


def write_reproduced(table: Table, grid: Grid, about: Mapping[str, str], command: str = "") -> Path:
    """Write NAME.md, NAME.csv, NAME_against.csv and NAME.html.

    Args:
        table: declared.
        grid: what is finished.
        about: for the head: preset, data, device, versions.
        command: as it was typed.

    Returns:
        The path of the page.
    """
    shown, against = fill(table, grid), compare_rows(table, grid)
    out = grid.folder
    write_table(out / f"{table.name}.csv", _COLUMNS, map(asdict, shown))
    if against:
        columns = list(asdict(against[0]))
        write_table(out / f"{table.name}_against.csv", columns, map(asdict, against))
    write_if_changed(out / f"{table.name}.md", _markdown(table, shown, against, grid, about, command))
    context = _context(table, shown, against, grid, about, command)
    return write_page(out, f"{table.name}.html", "table.html.j2", context)


def write_page(out: Path, name: str, template: str, context: Mapping[str, Any]) -> Path:
    """A page of this package beside the style of all pages."""
    environment = templates("aleaseg.reproduce")
    copy_assets(out, "aleaseg.reproduce", "reproduce.css")
    write_if_changed(out / name, environment.get_template(template).render(context))
    return out / name


def _state(table: Table, grid: Grid) -> tuple[int, int, dict[str, str]]:
    """Finished, all, and why some failed: of the cells and what they need."""
    cells = with_needs(table.cells)
    return (
        sum(map(grid.done, cells)),
        len(cells),
        {cell.name: why for cell in cells if (why := grid.failed(cell))},
    )


def _numbers(one: Shown, form: str) -> tuple[str, str, str]:
    ours = number(one.ours, form)
    if one.spread is not None and one.ours is not None:
        ours += f" ± {number(one.spread / 2, form)}"
    if one.ours is not None and one.done < one.of:
        ours += f" ({one.done} of {one.of})"
    signed = f"+{form}" if one.difference else form
    return ours, number(one.paper, form), number(one.difference, signed)


def _headings(table: Table) -> list[str]:
    return [*table.columns, *(["Mean"] if table.mean else [])]


def _markdown(
    table: Table,
    shown: Sequence[Shown],
    against: Sequence[Against],
    grid: Grid,
    about: Mapping[str, str],
    command: str,
) -> str:
    done, of, failed = _state(table, grid)
    at = {(one.row, one.column): one for one in shown}
    rows = []
    for row in table.rows:
        cells = [markdown_text(row)]
        for column in _headings(table):
            one = at.get((row, column))
            cells.append(ABSENT if one is None else _brackets(*_numbers(one, table.form)))
        rows.append(cells)
    lines = [f"# {markdown_text(table.title)}", "", markdown_text(table.caption), "", READ, ""]
    if command:
        lines += [f"`{command}`", ""]
    lines += [f"- {name}: {markdown_text(text)}" for name, text in about.items()]
    lines += [f"- cells: {done} of {of} finished", ""]
    lines += table_lines(["", *_headings(table)], rows, [False, *[True] * len(_headings(table))])
    if against:
        lines += ["", "## Against the baseline, case by case", "", AGAINST, ""]
        lines += table_lines(
            ["", "less", "run", "Dice differs by", "95% interval", "cases", "is"],
            [_against_cells(one, markdown_text) for one in against],
            [False, False, False, True, True, True, False],
        )
    if failed:
        lines += ["", "## What failed", ""]
        lines += [f"- {markdown_text(name)}: {markdown_text(why)}" for name, why in failed.items()]
    if table.footnotes:
        lines += ["", "## To be borne in mind", ""]
        lines += [f"- {markdown_text(note)}" for note in dict.fromkeys(table.footnotes)]
    return "\n".join(lines) + "\n"


AGAINST = (
    "Mean Dice of a row less its baseline's, in points, on the same test cases and from the same seed. The interval is "
    "a bootstrap over cases; it knows nothing of the scatter between trainings."
)


def _brackets(ours: str, paper: str, difference: str) -> str:
    if paper == ABSENT:
        return ours
    return f"{ours} ({paper}; {difference})"


def _against_cells(one: Against, escape: Callable[[str], str]) -> list[str]:
    return [
        *map(escape, (one.row, one.baseline, one.run)),
        number(one.difference, "+.2f"),
        interval(one.low, one.high, "+.2f") or ABSENT,
        str(one.cases),
        one.verdict,
    ]


def _context(
    table: Table,
    shown: Sequence[Shown],
    against: Sequence[Against],
    grid: Grid,
    about: Mapping[str, str],
    command: str,
) -> dict[str, Any]:
    done, of, failed = _state(table, grid)
    at = {(one.row, one.column): one for one in shown}
    rows = [
        {
            "name": row,
            "cells": [
                None
                if (one := at.get((row, column))) is None
                else dict(zip(("ours", "paper", "difference"), _numbers(one, table.form), strict=True))
                | {"why": one.why}
                for column in _headings(table)
            ],
        }
        for row in table.rows
    ]
    cells = with_needs(table.cells)
    return {
        "title": table.title,
        "caption": table.caption,
        "read": READ,
        "headings": _headings(table),
        "rows": rows,
        "against": [_against_cells(one, str) for one in against],
        "against_says": AGAINST,
        "done": done,
        "of": of,
        "failed": failed,
        "footnotes": list(dict.fromkeys(table.footnotes)),
        "about": dict(about),
        "command": command,
        "curves": [
            (cell.name, f"work/{cell.name}/model/training.html")
            for cell in cells
            if isinstance(cell, Training) and grid.done(cell)
        ],
    }
