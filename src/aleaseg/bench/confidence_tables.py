"""The tables of `bench confidence`: the matrix, differences, winners; for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.bench.confidence_result import ELSEWHERE, ConfidenceResult
from aleaseg.pages.numbers import ABSENT, interval, number, p_value
from aleaseg.pages.tables import Cell, Column, Row, Table, records

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["beyond_table", "differences_table", "heading", "matrix_table", "winners_table"]


def heading(result: ConfidenceResult, column: str) -> str:
    """What a column is called: a reference by its raters, where it has some."""
    if column == ELSEWHERE:
        return "Dice elsewhere"
    threshold = column.partition("@")[2]
    if not threshold:
        return result.columns[column].title
    said = result.design.titles[threshold]
    return f"Dice at {said.partition(', ')[2] or said.replace('>=', '≥')}"


def matrix_table(result: ConfidenceResult, part: str = "all") -> Table:
    """Means of every row in every column; the colour says how far from the baseline, bold that this is claimed."""
    gaps = {(one["row"], one["column"]): one for one in records(result.to_baseline[part])}
    columns = [
        Column("learnt"),
        *(
            Column(heading(result, name), True, head="upright", hint=_meaning(result, name))
            for name in result.columns
        ),
    ]
    far = _far(result, gaps)
    rows = []
    for row in result.rows:
        cells = [Cell(result.design.title(row), code=True, strong=row == result.design.baseline)]
        cells += [
            _cell(result, row, name, part, gaps.get((row, name)), far[name]) for name in result.columns
        ]
        rows.append(Row(cells))
    dice = [name for name in result.columns if "@" in name]
    spans = (
        ("", 1, ""),
        ("against q ≥ r, high = good", len(dice), ""),
        ("against q itself", len(result.columns) - len(dice), ""),
    )
    return Table(
        f"Every way against every reference, {part} cases", columns, rows, "heatmap confidence", spans
    )


def _meaning(result: ConfidenceResult, name: str) -> str:
    column = result.columns[name]
    return f"{column.text}; {column.direction.value}"


def _far(result: ConfidenceResult, gaps: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, float]:
    """The largest difference to the baseline: of all Dice together, and of each other column."""
    most = {
        name: max(
            (abs(gap["difference"]) for (_, column), gap in gaps.items() if column == name), default=0.0
        )
        for name in result.columns
    }
    dice = max((value for name, value in most.items() if "@" in name), default=0.0)
    return {name: dice if "@" in name else value for name, value in most.items()}


def _cell(
    result: ConfidenceResult, row: str, name: str, part: str, gap: Mapping[str, Any] | None, far: float
) -> Cell:
    column, mean = result.columns[name], result.mean(row, name, part)
    value, form = mean["mean"], column.form
    own = "own" if name == f"dice@{result.thresholds.get(row, np.nan):g}" else ""
    said = f"{number(value, form)} ({interval(mean['low'], mean['high'], form) or 'no interval'})"
    if gap is None:
        return Cell(number(value, form), hint=f"{said}: what the others are compared with", kind=own)
    better = (gap["difference"] > 0) == column.higher_is_better
    hint = f"{said}; less {result.design.baseline}: {_gap(gap, form)}, {gap['says']}"
    return Cell(
        number(value, form),
        strong=gap["says"] != "no claim",
        hint=hint,
        kind=" ".join(filter(None, ("above" if better else "below", own))),
        # The root: one way that fails must not leave all the others without colour.
        strength=float(np.sqrt(min(1.0, abs(gap["difference"]) / far))) if far else 0.0,
    )


def _gap(gap: Mapping[str, Any], form: str) -> str:
    signed = f"+{form}"
    return f"{number(gap['difference'], signed)} ({interval(gap['low'], gap['high'], signed) or 'no interval'})"


def differences_table(result: ConfidenceResult, part: str = "all") -> Table:
    """Every row less the baseline; bold: claimed."""
    gaps = {(one["row"], one["column"]): one for one in records(result.to_baseline[part])}
    names = [*result.columns, ELSEWHERE]
    columns = [Column("learnt"), *(Column(heading(result, name), True) for name in names)]
    rows = [
        Row(
            [Cell(result.design.title(row), code=True), *(_less(result, gaps[row, name]) for name in names)]
        )
        for row in result.rows
        if row != result.design.baseline
    ]
    return Table(f"Less {result.design.baseline}, {part} cases", columns, rows, "bench")


def _less(result: ConfidenceResult, gap: Mapping[str, Any]) -> Cell:
    name = gap["column"]
    form = "+.3f" if name == ELSEWHERE else f"+{result.columns[name].form}"
    if not np.isfinite(gap["difference"]):
        return Cell(ABSENT)
    ends = interval(gap["low"], gap["high"], form)
    hint = f"Holm's p {p_value(gap['p_holm'])}: {gap['says']}"
    notes = tuple(filter(None, (ends, gap["signs"])))
    return Cell(number(gap["difference"], form), notes, strong=gap["says"] != "no claim", hint=hint)


def _listed(result: ConfidenceResult, frame: pd.DataFrame, titles: tuple[str, str], title: str) -> Table:
    """A row for each difference."""
    columns = [
        Column("column"),
        *(Column(one) for one in titles),
        *(Column(one, True) for one in ("difference", "signs", "p", "Holm's p")),
        Column("says"),
    ]
    rows = []
    for gap in records(frame):
        form = f"+{result.columns[gap['column']].form}"
        cells = [
            Cell(heading(result, gap["column"])),
            Cell(result.design.title(gap["row"]), code=True),
            Cell(result.design.title(gap["baseline"]), code=True),
            Cell(
                number(gap["difference"], form),
                tuple(filter(None, (interval(gap["low"], gap["high"], form),))),
            ),
            Cell(gap["signs"]),
            Cell(p_value(gap["p"])),
            Cell(p_value(gap["p_holm"])),
            Cell(gap["says"], strong=gap["says"] != "no claim"),
        ]
        rows.append(Row(cells))
    return Table(title, columns, rows, "bench")


def winners_table(result: ConfidenceResult, part: str = "all") -> Table:
    """The best training threshold of each column, less the second best."""
    return _listed(
        result, result.winners[part], ("best threshold", "second"), "The best training threshold"
    )


def beyond_table(result: ConfidenceResult, part: str = "all") -> Table:
    """Every other way less the best threshold, where something is claimed."""
    frame = result.beyond[part]
    claimed = frame[frame["says"] != "no claim"] if len(frame) else frame
    return _listed(result, claimed, ("way", "best threshold"), "Other ways minus the best threshold")
