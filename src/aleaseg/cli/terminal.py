"""What a person meets in a terminal: progress, tables, every error as one line."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.cli.names import shortened
from aleaseg.cli.pace import Pace

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from aleaseg.auditing.running import Outcome
    from aleaseg.case import Finding
    from aleaseg.work import Progress

__all__ = [
    "STOPPED",
    "as_typed",
    "guarded",
    "progress_bars",
    "say",
    "show_failed",
    "show_findings",
    "show_list",
    "show_outcome",
    "show_table",
]

STOPPED = 130  # what a shell says of a program that Ctrl-C ended


_STAGES = {
    "headers": "Reading headers",
    "check": "Checking files",
    "prepare": "Preparing cases",
    "train": "Cross-fitting",
    "look": "Looking at masks",
    "score": "Scoring cases",
    "map": "Mapping the doubt",
    "report": "Drawing pages",
    "draws": "Draws",
    "swap-in": "Swapping in",
    "analyse": "Comparing",
    "copy": "Copying cases",
    "label": "Making labels",
    "compare": "Training",
    "evaluate": "Measuring",
    "features": "Measuring",
    "foretell": "Predicting outcomes",
    "fit": "Training",
    "predict": "Predicting",
}


# Letters of an id. Longer ones are shown without what all of them share.
_LONG_ID = 20

# In a pipe: how long nothing may be said.
_QUIET_SECONDS = 30.0


def as_typed(words: Sequence[str]) -> str:
    """The command as it was typed, folders by their own names: a page may be given away.

    >>> as_typed(["bench", "detect", "data/Dataset004_Hippocampus", "-o", "out/b"])
    'aleaseg bench detect Dataset004_Hippocampus -o b'
    """
    return shlex.join(["aleaseg", *(Path(word).name if os.sep in word else word for word in words)])


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def say(text: str, *, wrap: bool = False, stderr: bool = False) -> None:
    """Print a line as it is: an id in it is never markup, and a path is not broken unless `wrap`."""
    _console(stderr).print(text, markup=False, highlight=False, soft_wrap=not wrap)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """How far a verb is, on standard error: a bar per stage in a terminal, lines elsewhere.

    Something is said at once, since imports alone may take seconds.
    """
    out = _console(stderr=True)
    with _bars(out) if out.is_terminal else _lines(out) as update:
        yield update


def _title(stage: str) -> str:
    return _STAGES.get(stage, stage.capitalize())


@contextmanager
def _bars(out: Console) -> Iterator[Progress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description:<16}"),
        # Narrow: a line as wide as the terminal is drawn twice after Ctrl-C, and after a change of its size.
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=out, speed_estimate_period=120) as bars:
        starting = bars.add_task("Starting", total=None)
        tasks: dict[str, Any] = {}
        pace = Pace()

        def update(stage: str, done: int, total: int) -> None:
            bars.update(starting, visible=False)
            if stage not in tasks:
                tasks[stage] = bars.add_task(_title(stage), total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)
            if told := pace.estimate(stage, done, total):
                bars.console.print(f"{_title(stage)}: {told}", highlight=False, markup=False)

        yield update


@contextmanager
def _lines(out: Console) -> Iterator[Progress]:
    """A line where a stage begins, and one each half minute while it lasts."""
    over, lock = threading.Event(), threading.Lock()
    begun: dict[str, float] = {}
    now = ("Starting", 0, 0)
    said = time.monotonic()
    pace = Pace()

    def tell(text: str) -> None:
        nonlocal said
        out.print(text, highlight=False, markup=False, soft_wrap=True)
        said = time.monotonic()

    def update(stage: str, done: int, total: int) -> None:
        nonlocal now
        with lock:
            title = _title(stage)
            now = (title, done, total)
            if title not in begun:
                begun[title] = time.monotonic()
                tell(f"{title} ...")
            if told := pace.estimate(stage, done, total):
                tell(f"{title}: {told}")

    def pulse() -> None:
        while not over.wait(max(0.1, said + _QUIET_SECONDS - time.monotonic())):
            with lock:
                title, done, total = now
                if time.monotonic() < said + _QUIET_SECONDS:
                    continue
                minutes = (time.monotonic() - begun[title]) / 60
                far = f"{done} of {total}" if done < total else "done, what follows is on its way"
                tell(f"{title}: {far if total else 'on its way'}, {minutes:.1f} min")

    begun["Starting"] = said
    tell("Starting ...")
    # A daemon: nothing waits for it where the program ends at once.
    teller = threading.Thread(target=pulse, daemon=True)
    teller.start()
    try:
        yield update
    finally:
        over.set()
        teller.join()


def show_outcome(outcome: Outcome) -> None:
    """What an audit ends with: errors, the ten most doubtful cases, notes, the page's path."""
    show_findings(outcome.findings, outcome.run.path / "check.csv")
    told = {finding.case for finding in outcome.findings}
    for case in sorted(set(outcome.troubles) - told):
        say(f"not used: {outcome.troubles[case]}")
    manifest = outcome.run.manifest
    cases = outcome.run.cases
    if cases["doubt"].notna().any():
        _show_suspects(cases, one_class=len((manifest.get("dataset") or {}).get("classes") or ()) == 1)
    for note in manifest["notes"]:
        say(f"- {note}", wrap=True)
    if outcome.page is not None:
        say(f"Page: {outcome.page.resolve().as_uri()}")
    _show_next(outcome.run.path, cases)


def _show_next(run: Path, cases: pd.DataFrame) -> None:
    """The one command that goes on, as the page has it."""
    from aleaseg.report.next_step import next_step

    step = next_step(run, cases)
    say(f"Look and decide: {step.look}")
    if step.command:
        say(f"Next: {step.command}")
        say(f"  {step.words}", wrap=True)
    else:
        say(step.words, wrap=True)


def _show_suspects(cases: pd.DataFrame, *, one_class: bool = False, most: int = 10) -> None:
    from rich.table import Table
    from rich.text import Text

    from aleaseg.measures.reasons import in_words

    ranked = cases.sort_values(["doubt", "case"], ascending=[False, True]).head(most)
    table = Table(title=f"The {len(ranked)} most doubtful of {len(cases)} cases (doubt: high = bad)")
    ids = _add_ids(table, ranked["case"].tolist())
    table.add_column("doubt", justify="right")
    table.add_column("axis")
    table.add_column("why", overflow="fold")
    for name, row in zip(ids, ranked.to_dict("records"), strict=True):
        axes = [axis for axis in ("image", "label") if _number(row[f"{axis}_doubt"]) > 0.5]
        if not axes:
            axes = [max(("image", "label"), key=lambda axis: _number(row[f"{axis}_doubt"]))]
        words = in_words(row["reasons"], one_class=one_class)
        table.add_row(
            Text(name),
            f"{row['doubt']:.2f}",
            "\n".join(axes),
            Text("\n".join(words[:2]) or "no single measure stands out"),
        )
    _console().print(table)


def _add_ids(table: Table, ids: Sequence[str], named: str = "case") -> list[str]:
    """A first column of ids, as they go into it: an id is not broken unless it would fill the table."""
    short = shortened(ids, _LONG_ID)
    table.add_column(named, no_wrap=max(map(len, short), default=0) <= 2 * _LONG_ID, overflow="fold")
    if short != list(ids):
        table.caption = "… stands for what all of these ids share; cases.csv has them in full"
    return short


def show_list(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of cases, one number of each, and words: an id is never broken."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    table.add_column(columns[0], no_wrap=True)
    table.add_column(columns[1], justify="right", no_wrap=True)
    for name in columns[2:]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table of names and numbers, the first column names; a dash where there is no number."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    # Narrow: four columns with intervals have to fit into 80 letters.
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_three(cell) if isinstance(cell, float) else str(cell)) for cell in row))
    _console().print(table)


def _three(cell: float) -> str:
    return f"{cell:.3f}" if cell == cell else "–"


def _number(cell: Any) -> float:
    """A cell as a number; empty, as where there are no labels, is less than any."""
    return float(cell) if cell == cell and cell != "" else -1.0


def show_findings(findings: tuple[Finding, ...], written: Path | None, most: int = 50) -> None:
    """A table of what a check found, the first so many rows; and where all of them were written."""
    from rich.table import Table
    from rich.text import Text

    if not findings:
        return
    table = Table(show_lines=True)
    for name in ("case", "check", "found, expected, what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings[:most]:
        what = f"{finding.found}\nexpected: {finding.expected}\n{finding.advice}"
        table.add_row(
            Text(finding.case or "(data set)"), Text(f"{finding.check}\n{finding.severity}"), Text(what)
        )
    _console().print(table)
    if len(findings) > most:
        where = "`-o FOLDER` writes all of them" if written is None else f"all are in {written}"
        say(f"... and {len(findings) - most} more; {where}")


def show_failed(failed: Mapping[str, str], what: str, most: int = 20) -> None:
    """Cases that could not be used, the first so many."""
    for text in list(failed.values())[:most]:
        say(f"{what}: {text}")
    if len(failed) > most:
        say(f"... and {len(failed) - most} more; all are in the folder's manifest.json or plan.json")


def guarded(call: Callable[[], Any]) -> int:
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
        _say_error("stopped; what is finished is kept, and the same command resumes")
        return STOPPED
    return 0


def _say_error(message: object) -> None:
    print(f"aleaseg: {message}", file=sys.stderr)  # noqa: T201
