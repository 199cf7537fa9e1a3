"""What `evaluate` and `compare` show in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aleaseg.cli.names import shortened
from aleaseg.cli.terminal import say

if TYPE_CHECKING:
    from rich.table import Table

    from aleaseg.evaluation import Comparison, Evaluation

__all__ = ["Out", "show_comparison", "show_errors", "show_evaluation"]

# Of an evaluation, so that a comparison's seven columns fit into 80 letters.
_WIDEST_NAME = 10

Out = Annotated[Path, typer.Option("--out", "-o", help="A new folder for the results.", metavar="OUT")]


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # Narrow: eight columns of numbers have to fit into 80 letters.
    return Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left")


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _short(title: str) -> str:
    return title.replace(" (mm)", " mm")


def show_evaluation(evaluation: Evaluation) -> None:
    """A table of the means, by class; then errors and notes."""
    from rich.text import Text

    from aleaseg.evaluation.columns import METRICS
    from aleaseg.metrics.paired import FEWEST_GROUPS
    from aleaseg.pages.numbers import ABSENT, interval, number

    rows: dict[tuple[str, str], Any] = {
        (str(row["metric"]), str(row["class"])): row for row in evaluation.summary.to_dict("records")
    }
    measured = len(evaluation.cases) - len(evaluation.errors)
    shown = [name for name in ("iou", "hd95_mm", "assd_mm", "nsd", "ece") if (name, "all") in rows]
    table = _table(f"{measured} cases against {evaluation.manifest['dataset']['name']}: means")
    table.add_column("class", overflow="fold")
    for name in ("cases", "Dice", "95% interval", *(_short(METRICS[name].title) for name in shown)):
        table.add_column(name, justify="right", no_wrap=True)
    names = list(dict.fromkeys(evaluation.summary["class"]))
    for over in names[1:] if len(names) == 2 else names:  # of a single class `all` says the same
        dice = rows.get(("dice", over), {})
        cells: list[Text | str] = [
            Text(str(over)),
            str(dice.get("cases", "")),
            number(dice.get("mean"), ".3f"),
        ]
        cells.append(interval(dice.get("low"), dice.get("high"), ".3f") or ABSENT)
        cells += [number(rows.get((name, over), {}).get("mean"), METRICS[name].form) for name in shown]
        table.add_row(*cells)
    if rows:
        _print(table)
        of_dice = [row for (metric, _), row in rows.items() if metric == "dice"]
        if not any(interval(row["low"], row["high"], ".3f") for row in of_dice):
            say(f"- No intervals: they need at least {FEWEST_GROUPS} groups of cases.")
    _show_references(evaluation, rows, names)
    for row in evaluation.risk.to_dict("records"):
        spread = interval(row["low"], row["high"], ".3f")
        say(
            f"- AURC by {row['confidence']}: {number(row['aurc'], '.3f')}{f' ({spread})' if spread else ''}; in random "
            f"order {number(row['random'], '.3f')}, at best {number(row['optimal'], '.3f')} (low = good)",
            wrap=True,
        )
    for note in evaluation.manifest["notes"]:
        say(f"- {note}", wrap=True)
    show_errors(evaluation)
    say(f"Tables: {evaluation.path}")


def _show_references(evaluation: Evaluation, rows: dict[tuple[str, str], Any], names: list[Any]) -> None:
    """Two more tables with `--at`: against every reference, and against the confidences themselves."""
    from rich.text import Text

    from aleaseg.evaluation.columns import AT, METRICS, SOFT
    from aleaseg.pages.numbers import number

    references = evaluation.manifest.get("references") or {}
    if not references or not rows:
        return
    shown = names[1:] if len(names) == 2 else names
    table = _table("Against every reference")
    for title in ("reference", "class"):
        table.add_column(title, overflow="fold")
    for name in AT:
        table.add_column(_short(METRICS[name].title), justify="right", no_wrap=True)
    for threshold, title in references.items():
        for over in shown:
            means = (rows.get((f"{name}@{threshold}", over), {}).get("mean") for name in AT)
            cells = [number(mean, METRICS[name].form) for name, mean in zip(AT, means, strict=True)]
            table.add_row(Text(title), Text(str(over)), *cells)
    _print(table)
    there = [name for name in SOFT if any(metric == name for metric, _ in rows)]
    table = _table("Against the confidences themselves")
    table.add_column("class", overflow="fold")
    for name in there:
        table.add_column(SOFT[name].title, justify="right")
    for over in shown:
        cells = [number(rows.get((name, over), {}).get("mean"), SOFT[name].form) for name in there]
        table.add_row(Text(str(over)), *cells)
    _print(table)


def show_errors(evaluation: Evaluation, most: int = 10) -> None:
    """Cases that could not be measured, the first so many."""
    errors = list(evaluation.errors.values())
    for error in errors[:most]:
        say(f"not measured: {error}")
    if len(errors) > most:
        say(f"... and {len(errors) - most} more; all are in {evaluation.path / 'cases.csv'}")


def show_comparison(comparison: Comparison, most: int = 24) -> None:
    """A table per pair; over all classes first, each class of Dice after."""
    from rich.text import Text

    from aleaseg.evaluation.words import difference_form, form_of, sentence, title_of
    from aleaseg.pages.numbers import ABSENT, interval, number, p_value

    for pair in comparison.pairs:
        rows: list[Any] = pair.rows.to_dict("records")
        every = {row["metric"]: row for row in rows if row["class"] == "all"}
        wanted = [
            every[name] for name in ("dice", "iou", "hd95_mm", "assd_mm", "nsd", "ece") if name in every
        ]
        if len(comparison.classes) > 1:
            of_dice = [row for row in rows if row["metric"] == "dice" and row["class"] != "all"]
            wanted = [*wanted[:1], *of_dice[:most], *wanted[1:]]
        found = "".join(f", {row['cases']} cases in {row['groups']} groups" for row in wanted[:1])
        heads, title = (
            shortened((pair.first, pair.second), _WIDEST_NAME),
            f"{pair.second} compared with {pair.first}",
        )
        if max(map(len, heads)) > _WIDEST_NAME:
            heads, title = ["first", "second"], f"{pair.second} (second) compared with {pair.first} (first)"
        table = _table(f"{title}{found}")
        table.add_column("", overflow="fold")
        for name in heads:
            table.add_column(Text(name), justify="right", overflow="fold")
        for name in ("differs by", "95% interval", "p", "verdict"):
            table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
        for row in wanted:
            form = form_of(row["metric"])
            name = _short(title_of(row["metric"])) if row["class"] == "all" else f"  {row['class']}"
            table.add_row(
                Text(name),
                number(row["first_mean"], form),
                number(row["second_mean"], form),
                number(row["difference"], difference_form(row)),
                interval(row["low"], row["high"], difference_form(row)) or ABSENT,
                p_value(row["p"]),
                row["verdict"],
            )
        _print(table)
        for row in wanted[:1]:
            say(sentence(row), wrap=True)
        for metric, row in every.items():
            if metric.startswith("aurc/"):
                spread = interval(row["low"], row["high"], difference_form(row))
                said = (
                    f"{number(row['difference'], difference_form(row))}{f' ({spread})' if spread else ''}"
                )
                say(f"- {title_of(metric)} (low = good) differs by {said}: {row['verdict']}", wrap=True)
        for note in pair.notes:
            say(f"- {note}", wrap=True)
