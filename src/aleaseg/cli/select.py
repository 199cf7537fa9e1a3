"""The verb `select`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aleaseg.cli.terminal import say, show_list

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aleaseg.run import Run
    from aleaseg.selection import Selection

__all__ = ["select"]

Form = Literal["splits", "dataset", "csv"]

# -- what is typed ------------------------------------------------------------------------------------

_Run = Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")]
_By = Annotated[
    str | None,
    typer.Option(help="The score to cut by; default: doubt (with --class: auv).", metavar="COLUMN"),
]
_Quantile = Annotated[
    float | None, typer.Option(help="Keep up to this quantile, such as 0.95.", metavar="X")
]
_Worst = Annotated[int | None, typer.Option(help="Leave out this many cases.", metavar="N")]
_Threshold = Annotated[float | None, typer.Option(help="Leave out what is beyond this.", metavar="X")]
_Class = Annotated[
    str | None, typer.Option("--class", help="Cut by the AUV of this class.", metavar="NAME")
]
_Listed = Annotated[
    Path | None,
    typer.Option(
        "--list", help="Leave out exactly those that a file lists, one id per line.", metavar="FILE"
    ),
]
_Drop = Annotated[
    list[str] | None, typer.Option(help="Leave these out too; may be repeated.", metavar="ID,ID")
]
_Keep = Annotated[
    list[str] | None,
    typer.Option(help="Keep these, whatever the rest says; may be repeated.", metavar="ID,ID"),
]
_UseReview = Annotated[
    bool, typer.Option("--use-review", help="Follow the verdicts of `aleaseg review`, whatever the score.")
]
_As = Annotated[Form, typer.Option("--as", help="What to write.", metavar="splits|dataset|csv")]
_Grouped = Annotated[
    bool, typer.Option("--grouped", help="New folds keep groups together; nnU-Net's own do not.")
]
_Apply = Annotated[
    Path | None,
    typer.Option(help="Install the splits into nnU-Net's preprocessed folder.", metavar="FOLDER"),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say which cases would go and why; write nothing.")
]
_Undo = Annotated[bool, typer.Option("--undo", help="Restore everything that --apply changed.")]
_Force = Annotated[bool, typer.Option("--force", help="Cut even if a class loses too many cases.")]


def select(
    run: _Run,
    by: _By = None,
    quantile: _Quantile = None,
    worst: _Worst = None,
    threshold: _Threshold = None,
    class_name: _Class = None,
    listed: _Listed = None,
    drop: _Drop = None,
    keep: _Keep = None,
    use_review: _UseReview = False,
    form: _As = "splits",
    grouped: _Grouped = False,
    apply: _Apply = None,
    dry_run: _DryRun = False,
    undo: _Undo = False,
    force: _Force = False,
) -> None:
    """Leave the most doubtful cases out: as splits, a data set, or a list, with the reasons."""
    from aleaseg.run import Run

    opened = Run(run)
    if undo:
        _undo(opened, force)
        return
    goes, stays = tuple(drop or ()), tuple(keep or ())
    if use_review:
        goes, stays = _reviewed(opened, goes, stays)
    score = {"by": by, "class_name": class_name}
    where = {"quantile": quantile, "worst": worst, "threshold": threshold, "listed": listed}
    planned = _planned(opened, drop=goes, keep=stays, force=force, **score, **where)
    _show_dropped(planned, opened)
    if apply is not None and form != "splits":
        raise typer.BadParameter("--apply installs splits; leave --as out")
    if dry_run:
        say("Nothing was written (--dry-run).")
        return
    say("\n".join(_write(opened, planned, form, grouped, apply)))


# -- what is done -------------------------------------------------------------------------------------


def _planned(run: Run, **asked: Any) -> Selection:
    """The cut, with what it removes said; where it is refused too."""
    from aleaseg import selection
    from aleaseg.errors import SelectionRefused

    try:
        planned = selection.plan(run, **asked)
    except SelectionRefused as refused:
        say("\n".join([*refused.described, "Nothing was written."]))
        raise
    say("\n".join(selection.describe(planned)))
    return planned


def _reviewed(
    run: Run, drop: tuple[str, ...], keep: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What goes and what stays, that of the review among it; what is typed has the last word."""
    from aleaseg.review.judging import judged
    from aleaseg.selection.hand import known_ids

    said = judged(run)
    say("\n".join(said.described()))
    there = set(run.cases["case"].astype(str))
    typed = {*known_ids(drop, there, "drop"), *known_ids(keep, there, "keep")}
    return (
        (*drop, *(case for case in said.drop if case in there - typed)),
        (*keep, *(case for case in said.keep if case in there - typed)),
    )


def _show_dropped(planned: Selection, run: Run, most: int = 50) -> None:
    """Which cases go, and why."""
    from aleaseg.measures.reasons import in_words

    if not planned.dropped:
        return
    one_class = len((run.manifest.get("dataset") or {}).get("classes") or ()) == 1
    rows = []
    for case in planned.dropped[:most]:
        why = planned.why[case]
        words = ["by hand"] if why.by_hand else []
        words += in_words(why.reasons, one_class=one_class)[:3] or (
            [] if why.by_hand else ["no single measure stands out"]
        )
        score = "" if why.score is None else f"{why.score:.2f}"
        rows.append((case, score, "\n".join([f"({why.class_name})", *words] if why.class_name else words)))
    show_list("Dropped cases", ("case", planned.settings["by"], "why"), rows)
    if len(planned.dropped) > most:
        say(
            f"... and {len(planned.dropped) - most} more; selection/manifest.json has all of them once it is written"
        )


def _write(run: Run, planned: Selection, form: Form, grouped: bool, apply: Path | None) -> Iterator[str]:
    """Write, and install where that is asked for; what was done, line by line."""
    from aleaseg import selection
    from aleaseg.run import read_json

    splits = None if apply is None else selection.existing_splits(apply)
    written = selection.write(planned, form, splits=splits, grouped=grouped)
    # What is to be known of the folds.
    yield from (f"- {note}" for note in read_json(run.path / "selection" / "manifest.json")["notes"])
    if apply is None:
        yield f"Written: {written}"
    else:
        yield from selection.apply(run.path / "selection", apply)
        yield f"To undo: aleaseg select {shlex.quote(str(run.path))} --undo"


def _undo(run: Run, force: bool) -> None:
    from aleaseg import selection

    folders = selection.applied_to(run.path / "selection")
    if not folders:
        say("No selection of this run is applied anywhere.")
    for folder in folders:
        say("\n".join(selection.undo(folder, force=force)))
