"""The command line: one verb per stage. Imports nothing heavy until a verb runs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from aleaseg.auditing import Outcome, Progress
    from aleaseg.case import Finding
    from aleaseg.run import Run

__all__ = ["app", "main"]

app = typer.Typer(
    name="aleaseg",
    help="Find the doubtful scans and masks of a medical segmentation data set, say why, and leave them out.\n\n"
    "AUV and doubt lie in [0, 1], high = bad. Exit status: 0 done; 1 done, but some case could not be used; "
    "2 the arguments cannot work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_STOPPED = 130  # what a shell says of a program that Ctrl-C ended
_STAGES = {
    "check": "Checking files",
    "prepare": "Preparing cases",
    "train": "Cross-fitting",
    "score": "Scoring cases",
    "report": "Drawing pages",
}


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Form(StrEnum):
    """What a selection is written as."""

    splits = "splits"
    dataset = "dataset"
    csv = "csv"


DatasetPath = Annotated[Path, typer.Argument(help="The data set's folder.", metavar="DATASET")]
RunOut = Annotated[Path, typer.Option("--out", "-o", help="The run's folder.", metavar="RUN")]
RunPath = Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")]
Predictions = Annotated[
    str, typer.Option(help="crossfit, or a folder of out-of-fold predictions.", metavar="crossfit|FOLDER")
]
ExtractorName = Annotated[
    str, typer.Option(help="What S and AUV come from: auto, task, variance.", metavar="NAME")
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Training steps of each fold; default: a rule on the data.")
]
Budget = Annotated[
    float | None, typer.Option(min=0.1, help="Cap in minutes: training stops early.", metavar="MINUTES")
]
Groups = Annotated[
    str | None, typer.Option(help="Cases that share a fold: a regex on ids, or a CSV.", metavar="REGEX|CSV")
]
Sites = Annotated[
    str | None, typer.Option(help="Where scans come from: a regex or a CSV.", metavar="REGEX|CSV")
]
Classes = Annotated[
    str | None, typer.Option(help="Classes to keep, or name=value where none are declared.", metavar="A,B")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Reference = Annotated[Path | None, typer.Option(help="A run to compare these cases with.", metavar="RUN")]
DeviceName = Annotated[Device, typer.Option(help="Where networks run.")]


@app.command()
def audit(
    dataset: DatasetPath,
    out: RunOut,
    predictions: Predictions = "crossfit",
    extractor: ExtractorName = "auto",
    steps: Steps = None,
    budget: Budget = None,
    groups: Groups = None,
    sites: Sites = None,
    classes: Classes = None,
    device: DeviceName = Device.auto,
    seed: Seed = 0,
    reference: Reference = None,
) -> None:
    """Find the doubtful cases of a data set: check, score, compare, and a page that shows them."""
    _audit(locals(), page=True)


@app.command()
def score(
    dataset: DatasetPath,
    out: RunOut,
    predictions: Predictions = "crossfit",
    extractor: ExtractorName = "auto",
    steps: Steps = None,
    budget: Budget = None,
    groups: Groups = None,
    sites: Sites = None,
    classes: Classes = None,
    device: DeviceName = Device.auto,
    seed: Seed = 0,
    reference: Reference = None,
) -> None:
    """Score a data set as audit does, without the page."""
    _audit(locals(), page=False)


def _audit(given: dict[str, Any], page: bool) -> None:
    from aleaseg.auditing import Settings, run_audit
    from aleaseg.run import Run

    settings = Settings(
        dataset=str(given["dataset"].resolve()),
        predictions=given["predictions"]
        if given["predictions"] == "crossfit"
        else str(Path(given["predictions"]).resolve()),
        extractor=given["extractor"],
        steps=given["steps"],
        budget_minutes=given["budget"],
        groups=given["groups"],
        sites=given["sites"],
        classes=given["classes"],
        device=str(given["device"]),
        seed=given["seed"],
        reference=None if given["reference"] is None else str(given["reference"].resolve()),
    )
    with _progress() as progress:
        outcome = run_audit(settings, Run(given["out"]), progress=progress, page=page)
    _show_outcome(outcome)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


@app.command()
def check(
    dataset: DatasetPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder for check.csv and check.json.", metavar="FOLDER"),
    ] = None,
    classes: Classes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Look at every file of a data set: what is broken, missing, or odd."""
    from aleaseg.checks import check as check_dataset
    from aleaseg.checks import summary, write_check
    from aleaseg.readers import open_dataset

    opened = open_dataset(dataset, classes=classes)
    with _progress() as progress:
        result = check_dataset(opened, progress=lambda done, total: progress("check", done, total))
    if out is not None:
        write_check(out, result)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(finding) for finding in result.findings], indent=1))
    else:
        _show_findings(result.findings)
        _console().print(summary(result), markup=False, highlight=False)
    raise typer.Exit(1 if result.errors else 0)


@app.command()
def report(run: RunPath) -> None:
    """Write the page of a run again, for example after its folder was moved."""
    from aleaseg.errors import AleasegError
    from aleaseg.readers import open_dataset
    from aleaseg.report import write_report
    from aleaseg.run import Run

    opened = Run(run)
    settings = opened.manifest["settings"]
    try:
        dataset = open_dataset(
            settings["dataset"], **{name: settings[name] for name in ("classes", "groups", "sites")}
        )
    except AleasegError:
        dataset = None
        _console(stderr=True).print("The data set is gone: the page has no pictures.", markup=False)
    with _progress() as progress:
        index = write_report(opened, dataset, progress=lambda done, total: progress("report", done, total))
    _console().print(f"Page: {index}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def select(
    run: RunPath,
    by: Annotated[
        str | None,
        typer.Option(help="The score to cut by; default: doubt (with --class: auv).", metavar="COLUMN"),
    ] = None,
    quantile: Annotated[float | None, typer.Option(help="Keep up to this quantile, such as 0.95.")] = None,
    worst: Annotated[int | None, typer.Option(help="Leave so many cases out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Leave out what is beyond this.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="By this class's AUV.", metavar="NAME")
    ] = None,
    form: Annotated[Form, typer.Option("--as", help="What to write.")] = Form.splits,
    grouped: Annotated[
        bool, typer.Option("--grouped", help="New folds keep groups together; nnU-Net's own do not.")
    ] = False,
    apply: Annotated[
        Path | None,
        typer.Option(help="Install the splits into nnU-Net's preprocessed folder.", metavar="FOLDER"),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put everything back that --apply changed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Cut even where a class loses too many cases.")
    ] = False,
) -> None:
    """Leave the most doubtful cases out: splits, a data set, or a list, and the reasons."""
    from aleaseg import selection
    from aleaseg.errors import SelectionRefused
    from aleaseg.run import Run

    opened = Run(run)
    console = _console()

    def say(lines: list[str]) -> None:
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    if undo:
        folders = selection.applied_to(opened.path / "selection")
        if not folders:
            say(["Nothing of this run is applied anywhere."])
        for folder in folders:
            say(selection.undo(folder, force=force))
        return
    cut = {"by": by, "quantile": quantile, "worst": worst, "threshold": threshold, "class_name": class_name}
    planned = selection.plan(opened, **cut, force=True)  # type: ignore[arg-type]
    say(selection.describe(planned))
    try:
        planned = selection.plan(opened, **cut, force=force)  # type: ignore[arg-type]
    except SelectionRefused:
        say(["Nothing was written."])
        raise
    if apply is None:
        written = selection.write(planned, form.value, grouped=grouped)
        say([*_notes_of_selection(opened), f"Written: {written}"])
        return
    if form is not Form.splits:
        raise typer.BadParameter("--apply installs splits; leave --as away")
    selection.write(planned, splits=selection.existing_splits(apply), grouped=grouped)
    say([*_notes_of_selection(opened), *selection.apply(opened.path / "selection", apply)])


def _notes_of_selection(run: Run) -> list[str]:
    """What is to be known of the folds, as the selection's manifest has it."""
    from aleaseg.run import read_json

    return [f"- {note}" for note in read_json(run.path / "selection" / "manifest.json")["notes"]]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to put it.", metavar="FOLDER")] = Path(
        "demo"
    ),
    cases: Annotated[int, typer.Option(min=20, help="How many cases to make.")] = 40,
    seed: Seed = 0,
) -> None:
    """Make a synthetic CT data set with known faults, audit it, and leave the worst out."""
    from aleaseg import selection
    from aleaseg.auditing import Settings, run_audit
    from aleaseg.demo import make_dataset
    from aleaseg.run import Run

    console = _console()
    console.print(f"Making {cases} synthetic CT cases in {out / 'data'} ...", markup=False, highlight=False)
    faults = make_dataset(out / "data", cases=cases, seed=seed)
    settings = Settings(
        dataset=str((out / "data").resolve()), sites=r"(site[A-Z])_", device="cpu", seed=seed, steps=120
    )
    with _progress() as progress:
        outcome = run_audit(settings, Run(out / "run"), progress=progress)
    _show_outcome(outcome)
    cut = selection.plan(outcome.run, worst=len(faults))
    written = selection.write(cut)
    found = sum(case in faults for case in cut.dropped)
    console.print(
        f"{len(faults)} cases were spoilt on purpose; {found} of them are among the {len(cut.dropped)} most "
        "doubtful, which the splits leave out:",
        markup=False,
        highlight=False,
    )
    for case in cut.dropped:
        console.print(f"  {case:<12} {faults.get(case, 'not spoilt')}", markup=False, highlight=False)
    console.print(f"Splits: {written}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


# -- what a person sees ---------------------------------------------------------------------------


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar per stage with the time left, on standard error; a line per stage where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console(stderr=True)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, speed_estimate_period=120
    ) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_STAGES[stage], total=total, completed=done)
                if not console.is_terminal:
                    console.print(f"{_STAGES[stage]} ...", highlight=False)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def _show_outcome(outcome: Outcome) -> None:
    console = _console()
    if outcome.findings:
        _show_findings(outcome.findings)
    for case in sorted(outcome.troubles):
        console.print(f"not used: {outcome.troubles[case]}", markup=False, highlight=False, soft_wrap=True)
    manifest = outcome.run.manifest
    cases = outcome.run.cases
    if cases["doubt"].notna().any():
        _show_suspects(cases)
    for note in manifest["notes"]:
        console.print(f"- {note}", markup=False, highlight=False)
    if outcome.page is not None:
        console.print(f"Page: {outcome.page}", markup=False, highlight=False, soft_wrap=True)


def _show_suspects(cases: pd.DataFrame, most: int = 10) -> None:
    from rich.table import Table
    from rich.text import Text

    from aleaseg.measures.reasons import in_words

    ranked = cases.sort_values(["doubt", "case"], ascending=[False, True]).head(most)
    table = Table(title=f"The {len(ranked)} most doubtful of {len(cases)} cases (doubt: high = bad)")
    table.add_column("case", overflow="fold")
    table.add_column("doubt", justify="right")
    table.add_column("axis")
    table.add_column("why", overflow="fold")
    for row in ranked.to_dict("records"):
        label = row["label_doubt"]
        image_is_worse = label == "" or not label >= row["image_doubt"]
        words = in_words(row["reasons"])
        table.add_row(
            Text(row["case"]),
            f"{row['doubt']:.2f}",
            "image" if image_is_worse else "label",
            Text("\n".join(words[:2]) or "nothing single stands out"),
        )
    _console().print(table)


def _show_findings(findings: tuple[Finding, ...], most: int = 50) -> None:
    from rich.table import Table
    from rich.text import Text

    if not findings:
        return
    table = Table()
    for name in ("case", "severity", "check", "found", "expected", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings[:most]:
        row = (
            finding.case,
            finding.severity,
            finding.check,
            finding.found,
            finding.expected,
            finding.advice,
        )
        table.add_row(*(Text(str(cell)) for cell in row))
    console = _console()
    console.print(table)
    if len(findings) > most:
        console.print(f"... and {len(findings) - most} more; all are in check.csv", highlight=False)


def _run(call: Callable[[], Any]) -> int:
    """Run the command line; every error a user can meet is one line and an exit status."""
    from aleaseg.errors import AleasegError, UsageError

    try:
        call()
    except UsageError as error:
        _say_error(error)
        return 2
    except AleasegError as error:
        _say_error(error)
        return 1
    except OSError as error:
        _say_error(
            f"{error.strerror or error}: {error.filename or ''}; free space or permissions, then run it again"
        )
        return 1
    except Exception as error:
        # A bug of ours: one line for the user, everything for whoever looks for it.
        if os.environ.get("ALEASEG_TRACEBACK"):
            raise
        _say_error(
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; this is a fault of aleaseg: what is "
            "finished is kept; ALEASEG_TRACEBACK=1 shows where it happened"
        )
        return 1
    except KeyboardInterrupt:
        _say_error("stopped; what is finished is kept, and the same command goes on from there")
        return _STOPPED
    return 0


def _say_error(message: object) -> None:
    print(f"aleaseg: {message}", file=sys.stderr)  # noqa: T201


def main() -> None:
    """The entry point `aleaseg`."""
    status = 0

    def call() -> None:
        nonlocal status
        try:
            app(standalone_mode=True)
        except SystemExit as ended:
            status = int(ended.code or 0)
            if status == _STOPPED:  # typer takes Ctrl-C for itself
                raise KeyboardInterrupt from ended

    for stream in (sys.stdout, sys.stderr):
        # A case's file name may hold bytes that this terminal has no sign for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    failed = _run(call)
    sys.exit(failed or status)
