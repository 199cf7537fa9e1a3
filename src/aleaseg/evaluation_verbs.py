"""`aleaseg evaluate` and `aleaseg compare`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aleaseg.terminal import progress_bars, say

if TYPE_CHECKING:
    from rich.table import Table

    from aleaseg.evaluation import Comparison, Evaluation, EvaluationSettings

__all__ = ["compare", "evaluate"]


class BothEmpty(StrEnum):
    """What a class is that neither mask has."""

    skip = "skip"
    perfect = "perfect"


Out = Annotated[Path, typer.Option("--out", "-o", help="A new folder for what is found.", metavar="OUT")]
Groups = Annotated[
    str | None,
    typer.Option(help="Cases resampled together: a regex on ids, or a CSV.", metavar="REGEX|CSV"),
]
Classes = Annotated[
    str | None, typer.Option(help="Classes to keep, or name=value where none are declared.", metavar="A,B")
]
Tolerance = Annotated[
    str, typer.Option(help="Of NSD in mm; by class: 1,tumour=2.", metavar="MM[,CLASS=MM]")
]
Empty = Annotated[
    BothEmpty, typer.Option(help="A class that neither mask has: left out, or a perfect prediction.")
]
OnlyPredicted = Annotated[
    bool,
    typer.Option("--only-predicted", help="Leave cases without a prediction out; else each is an error."),
]
ConfidenceOf = Annotated[
    str | None,
    typer.Option(help="Whether this ranks the bad cases: a run, or a CSV.", metavar="RUN|CSV"),
]


def evaluate(
    reference: Annotated[
        Path, typer.Argument(help="A data set with labels, or a folder of masks.", metavar="REFERENCE")
    ],
    predictions: Annotated[
        Path, typer.Argument(help="A folder of predicted masks, .npz beside them.", metavar="PREDICTIONS")
    ],
    out: Out,
    against: Annotated[
        Path | None,
        typer.Option(help="Other predictions, or their evaluation, to compare with.", metavar="OTHER"),
    ] = None,
    groups: Groups = None,
    classes: Classes = None,
    tolerance: Tolerance = "1",
    both_empty: Empty = BothEmpty.skip,
    only_predicted: OnlyPredicted = False,
    confidence: ConfidenceOf = None,
) -> None:
    """Measure predictions against a reference: Dice, IoU, HD95, ASSD, NSD, ECE, AURC, with intervals."""
    from aleaseg.evaluation import EvaluationSettings, evaluate_against
    from aleaseg.evaluation import evaluate as measure

    settings = EvaluationSettings(
        reference=str(reference.resolve()),
        predictions=str(predictions.resolve()),
        groups=_table_or_regex(groups),
        classes=classes,
        tolerance=tolerance,
        both_empty=both_empty.value,
        only_predicted=only_predicted,
        confidence=None if confidence is None else str(Path(confidence).resolve()),
        against=None if against is None else str(against.resolve()),
    )
    with progress_bars() as progress:
        if against is None:
            found, comparison, page = measure(settings, out, progress=progress), None, None
        else:
            found, comparison, page = evaluate_against(settings, out, command=_typed(), progress=progress)
    _show_evaluation(found)
    if comparison is not None:
        _show_comparison(comparison)
        say(f"Page: {page}")
    troubled = [found] if comparison is None else [*comparison.evaluations]
    raise typer.Exit(1 if any(each.errors for each in troubled) else 0)


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Evaluations, or predictions with --reference; the first is the baseline.",
            metavar="A B ...",
        ),
    ],
    out: Out,
    reference: Annotated[
        Path | None,
        typer.Option(help="What folders of predictions are measured against.", metavar="REFERENCE"),
    ] = None,
    groups: Groups = None,
    classes: Classes = None,
    tolerance: Tolerance = "1",
    both_empty: Empty = BothEmpty.skip,
    only_predicted: OnlyPredicted = False,
    confidence: ConfidenceOf = None,
) -> None:
    """Compare evaluations with the first of them, case by case: one table, one page."""
    from aleaseg.evaluation import EvaluationSettings
    from aleaseg.evaluation import compare as compare_folders

    settings: EvaluationSettings | None = None
    if reference is not None:
        settings = EvaluationSettings(
            reference=str(reference.resolve()),
            predictions="",
            classes=classes,
            tolerance=tolerance,
            both_empty=both_empty.value,
            only_predicted=only_predicted,
            confidence=None if confidence is None else str(Path(confidence).resolve()),
        )
    with progress_bars() as progress:
        found, page = compare_folders(
            folders,
            out,
            settings=settings,
            groups=_table_or_regex(groups),
            command=_typed(),
            progress=progress,
        )
    _show_comparison(found)
    for name, evaluation in zip(found.names, found.evaluations, strict=True):
        for note in evaluation.manifest["notes"]:
            say(f"- {name}: {note}", wrap=True)
        _show_errors(evaluation)
    say(f"Page: {page}")
    raise typer.Exit(1 if any(each.errors for each in found.evaluations) else 0)


def _table_or_regex(groups: str | None) -> str | None:
    """A table's whole path: another folder may be the current one next time."""
    if groups is not None and groups.lower().endswith(".csv"):
        return str(Path(groups).resolve())
    return groups


def _typed() -> str:
    """The command as it was typed, folders by their own names: a page may be given away."""
    from aleaseg.bench.settings import typed

    return typed(sys.argv[1:])


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


def _show_evaluation(evaluation: Evaluation) -> None:
    """A table of the means, by class; then errors and notes."""
    from rich.text import Text

    from aleaseg.evaluation.columns import METRICS
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
    for row in evaluation.risk.to_dict("records"):
        spread = interval(row["low"], row["high"], ".3f")
        say(
            f"- AURC by {row['confidence']}: {number(row['aurc'], '.3f')}{f' ({spread})' if spread else ''}; in random "
            f"order {number(row['random'], '.3f')}, at best {number(row['optimal'], '.3f')} (low = good)",
            wrap=True,
        )
    for note in evaluation.manifest["notes"]:
        say(f"- {note}", wrap=True)
    _show_errors(evaluation)
    say(f"Tables: {evaluation.path}")


def _show_errors(evaluation: Evaluation, most: int = 10) -> None:
    errors = list(evaluation.errors.values())
    for error in errors[:most]:
        say(f"not measured: {error}")
    if len(errors) > most:
        say(f"... and {len(errors) - most} more; all are in {evaluation.path / 'cases.csv'}")


def _show_comparison(comparison: Comparison, most: int = 24) -> None:
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
        found = "".join(f", {row['cases']} cases of {row['groups']} groups" for row in wanted[:1])
        table = _table(f"{pair.second} less {pair.first}{found}")
        table.add_column("", overflow="fold")
        for name in (pair.first, pair.second):
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
