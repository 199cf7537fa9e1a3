"""What was found, as tables that stand on the page of a comparison and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from aleaseg.evaluation.columns import AT, METRICS, SOFT, metrics_in
from aleaseg.evaluation.drawing import axis_svg, row_svg
from aleaseg.evaluation.summary import ALL
from aleaseg.evaluation.words import difference_form, form_of, title_of
from aleaseg.pages.axes import reach
from aleaseg.pages.numbers import ABSENT, interval, number, p_value
from aleaseg.pages.tables import Cell, Column, Row, Table, frame_table, quantity, records

__all__ = ["differences_table", "references_table", "risk_table", "soft_table", "summary_table"]

_POOLED = {"pooled_dice": "pooled Dice", "pooled_iou": "pooled IoU"}
_RISK = {
    "confidence": "confidence",
    "direction": "direction",
    "cases": "cases",
    "aurc": "AURC",
    "low": "from",
    "high": "to",
    "random": "of a random order",
    "optimal": "of the best order",
    "e_aurc": "E-AURC",
    "naurc": "nAURC",
}


def summary_table(summary: pd.DataFrame) -> Table:
    """Means of every metric with their intervals, a row for each class."""
    rows = {(str(row["metric"]), str(row["class"])): row for row in records(summary)}
    shown = [name for name in (*METRICS, *_POOLED) if any(key[0] == name for key in rows)]
    columns = [Column("class"), Column("cases", True)]
    columns += [Column(_POOLED.get(name) or title_of(name), True) for name in shown]
    found = []
    for over in dict.fromkeys(summary["class"]):
        cells = [Cell(over), quantity(rows.get(("dice", over), {}).get("cases"), ".0f")]
        for name in shown:
            row = rows.get((name, over), {})
            cells.append(quantity(row.get("mean"), form_of(name), row.get("low"), row.get("high")))
        found.append(Row(cells))
    return Table("Means over cases", columns, found)


def references_table(summary: pd.DataFrame, references: Mapping[str, str]) -> Table:
    """Means against every reference of `--at`: a row for each class and reference, on the page with colours.

    The colour of a class's mean says where it lies between the worst and the best of its references.

    Args:
        summary: rows of summary.csv.
        references: threshold as its columns have it -> what it is called, such as `3 of 4 raters`.
    """
    rows = {(str(row["metric"]), str(row["class"])): row for row in records(summary)}
    columns = [Column("reference"), Column("class"), *(Column(METRICS[name].title, True) for name in AT)]
    found = []
    for over in dict.fromkeys(summary["class"]):
        of_class = {
            name: [rows.get((f"{name}@{threshold}", over), {}) for threshold in references] for name in AT
        }
        for place, title in enumerate(references.values()):
            cells = [
                _shaded(of_class[name][place], [row.get("mean") for row in of_class[name]], name)
                for name in AT
            ]
            found.append(Row([Cell(title), Cell(over), *cells]))
    return Table("Against every reference", columns, found, "shaded")


def _shaded(row: Mapping[str, Any], means: Sequence[Any], name: str) -> Cell:
    """A mean; its colour is the deeper the better it is among others."""
    known = [mean for mean in means if mean is not None and mean == mean]
    value, far = row.get("mean"), max(known, default=0.0) - min(known, default=0.0)
    strength = None
    if known and value is not None and value == value and far > 0:
        strength = (value - min(known)) / far
        strength = strength if METRICS[name].higher_is_better else 1 - strength
    return quantity(value, form_of(name), row.get("low"), row.get("high"), strength=strength)


def soft_table(summary: pd.DataFrame) -> Table:
    """Means of what probabilities and confidences say together, a row for each class."""
    rows = {(str(row["metric"]), str(row["class"])): row for row in records(summary)}
    shown = [name for name in SOFT if any(key[0] == name for key in rows)]
    found = []
    for over in dict.fromkeys(summary["class"]):
        cells = [Cell(over)]
        for name in shown:
            row = rows.get((name, over), {})
            cells.append(quantity(row.get("mean"), form_of(name), row.get("low"), row.get("high")))
        found.append(Row(cells))
    columns = [Column("class"), *(Column(SOFT[name].title, True) for name in shown)]
    return Table("Against the confidences", columns, found)


def risk_table(risk: pd.DataFrame) -> Table:
    """AURC of every confidence."""
    return frame_table(risk, _RISK)


def differences_table(
    first: str, second: str, rows: Sequence[Mapping[str, Any]], title: str, every: str
) -> Table:
    """Differences of `second` less `first`, rows of comparison.csv; those of each metric stand on one axis.

    `every` is what the row over all classes is called on the page.
    """
    columns = [
        Column("metric", only="markdown"),
        Column("class"),
        Column(only="page", kind="axis"),
        Column("difference", True),
        Column("95% interval", True, kind="spread"),
        Column(first, True, head="first-name"),
        Column(second, True, head="second-name"),
        Column("p", True),
        Column("cases / groups", True, kind="muted"),
        Column(f"{second} is", kind="says"),
    ]
    drawn: list[Row] = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        of_metric = [row for row in rows if row["metric"] == metric]
        far = reach([row[end] for row in of_metric for end in ("low", "high", "difference")])
        known = metrics_in([metric])
        better = bool(known) and known[metric].higher_is_better
        name = Cell(title_of(metric), (f"{'high' if better else 'low'} = good",))
        drawn.append(Row([name, Cell(picture=axis_svg(far), kind="axis"), Cell()], "metric", heads=True))
        drawn += [_row(row, far, every) for row in of_metric]
    return Table(title, columns, drawn, "differences")


def _row(row: Mapping[str, Any], far: float, every: str) -> Row:
    over, form = row["class"] == ALL, difference_form(row)
    cells = [
        Cell(title_of(row["metric"])),
        Cell(every if over else str(row["class"])),
        Cell(picture=row_svg(row, far)),
        Cell(number(row["difference"], form)),
        Cell(interval(row["low"], row["high"], form) or ABSENT),
        *(Cell(number(row[f"{which}_mean"], form_of(row["metric"]))) for which in ("first", "second")),
        Cell(p_value(row["p"])),
        Cell(f"{row['cases']} / {row['groups']}"),
        Cell(str(row["verdict"])),
    ]
    return Row(cells, f"{str(row['verdict']).replace(' ', '-')}{' over' if over else ''}")
