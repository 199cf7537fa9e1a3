"""What a person meets in a terminal: progress, tables, every error as one line, and choices that verbs share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from aleaseg.auditing import Outcome, Progress
    from aleaseg.case import Finding

__all__ = [
    "STOPPED",
    "Device",
    "guarded",
    "progress_bars",
    "say",
    "show_findings",
    "show_outcome",
    "show_table",
]

STOPPED = 130  # what a shell says of a program that Ctrl-C ended


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


_STAGES = {
    "check": "Checking files",
    "prepare": "Preparing cases",
    "train": "Cross-fitting",
    "look": "Looking at masks",
    "score": "Scoring cases",
    "report": "Drawing pages",
    "draws": "Draws",
    "swap-in": "Swapping in",
    "analyse": "Comparing",
    "copy": "Copying cases",
    "compare": "Training",
    "evaluate": "Measuring",
    "fit": "Training",
    "predict": "Predicting",
}


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def say(text: str, *, wrap: bool = False, stderr: bool = False) -> None:
    """Print a line as it is: an id in it is never markup, and a path is not broken unless `wrap`."""
    _console(stderr).print(text, markup=False, highlight=False, soft_wrap=not wrap)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar per stage with the time left, on standard error; a line per stage where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = _console(stderr=True)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=out, disable=not out.is_terminal, speed_estimate_period=120) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_STAGES[stage], total=total, completed=done)
                if not out.is_terminal:
                    out.print(f"{_STAGES[stage]} ...", highlight=False)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def show_outcome(outcome: Outcome) -> None:
    """What an audit ends with: errors, the ten most doubtful cases, notes, the page's path."""
    if outcome.findings:
        show_findings(outcome.findings)
    for case in sorted(outcome.troubles):
        say(f"not used: {outcome.troubles[case]}")
    manifest = outcome.run.manifest
    cases = outcome.run.cases
    if cases["doubt"].notna().any():
        _show_suspects(cases)
    for note in manifest["notes"]:
        say(f"- {note}", wrap=True)
    if outcome.page is not None:
        say(f"Page: {outcome.page}")


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
        axes = [axis for axis in ("image", "label") if _number(row[f"{axis}_doubt"]) > 0.5]
        if not axes:
            axes = [max(("image", "label"), key=lambda axis: _number(row[f"{axis}_doubt"]))]
        words = in_words(row["reasons"])
        table.add_row(
            Text(row["case"]),
            f"{row['doubt']:.2f}",
            "\n".join(axes),
            Text("\n".join(words[:2]) or "nothing single stands out"),
        )
    _console().print(table)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table of names and numbers, the first column names."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:.3f}" if isinstance(cell, float) else str(cell)) for cell in row))
    _console().print(table)


def _number(cell: Any) -> float:
    """A cell as a number; empty, as where there are no labels, is less than any."""
    return float(cell) if cell == cell and cell != "" else -1.0


def show_findings(findings: tuple[Finding, ...], most: int = 50) -> None:
    """A table of what a check found, the first so many rows."""
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
        say(f"... and {len(findings) - most} more; all are in check.csv")


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
        _say_error("stopped; what is finished is kept, and the same command goes on from there")
        return STOPPED
    return 0


def _say_error(message: object) -> None:
    print(f"aleaseg: {message}", file=sys.stderr)  # noqa: T201
