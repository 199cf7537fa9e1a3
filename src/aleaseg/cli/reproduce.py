"""The verb `reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aleaseg.cli.options import verb
from aleaseg.cli.sharing import Scheduler, shared_out
from aleaseg.cli.terminal import as_typed, progress_bars, say, show_table
from aleaseg.reproduce.settings import ReproduceSettings

if TYPE_CHECKING:
    from aleaseg.reproduce import Reproduced

__all__ = ["reproduce"]


@verb
def reproduce(
    what: Annotated[
        list[str],
        typer.Argument(help="table1 ... table6, figures, sweep, or all.", metavar="WHAT"),
    ],
    settings: ReproduceSettings,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The folder of the runs; all tables share it.", metavar="OUT"),
    ] = Path("reproduced"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show runs, hours and disk; compute nothing.")
    ] = False,
    part: Annotated[int, typer.Option(min=1, help="This machine's share of the cells.", metavar="N")] = 1,
    parts: Annotated[int, typer.Option(min=1, help="How many shares there are.", metavar="N")] = 1,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the licence of restricted weights.")
    ] = False,
    scheduler: Scheduler = None,
) -> None:
    """Run the paper's experiments, each to a table with the paper's numbers next to yours; resumes."""
    if dry_run:
        _show_costs(what, settings, out)
        return
    with progress_bars() as progress, shared_out(scheduler, [settings.data], out):
        from aleaseg.reproduce import reproduce as run_cells

        found = run_cells(
            what,
            settings,
            out,
            part=part,
            parts=parts,
            accept_licence=accept_licence,
            command=as_typed(sys.argv[1:]),
            progress=progress,
            announce=lambda text: say(text, stderr=True),
        )
    _show(found)
    raise typer.Exit(1 if found.failed else 0)


def _show_costs(what: list[str], settings: ReproduceSettings, out: Path) -> None:
    """Runs, hours and disk of each table, and what is missing; the folder is left as it was."""
    from tempfile import TemporaryDirectory

    from aleaseg.reproduce import costs, plan

    with TemporaryDirectory() as aside:
        # What is finished in the folder counts; where there is none yet, none is made.
        made = plan(what, settings, out.resolve() if (out / "manifest.json").is_file() else Path(aside))
        rows = costs(made, settings)
    for data in made.datasets.values():
        say(
            f"{data.title}: {data.train} cases to train on, {data.test} to test on, {len(data.classes)} classes",
            wrap=True,
        )
    for text in made.missing.values() if any(d.of_paper for d in made.datasets.values()) else ():
        say(f"- missing: {text}", wrap=True)
    show_table(
        "Estimated cost from here on",
        ["", "trainings", "scores", "done", "hours", "GB", "GB more at its peak"],
        [
            (
                name,
                str(one.runs.get("training", 0)),
                str(one.runs.get("scores", 0) + one.runs.get("maps", 0)),
                str(one.done),
                _hours(one.hours),
                f"{one.gigabytes:.1f}",
                f"{one.peak_gigabytes:.1f}",
            )
            for name, one in rows
        ],
    )
    if rows[-1][1].without:
        one = rows[-1][1]
        say(
            f"Not counted: {one.blocked} cells use {', '.join(one.without)}, whose weights are not here; they "
            f"fail until `aleaseg weights fetch` has downloaded them, and then take about "
            f"{_hours(one.blocked_hours)} hours.",
            wrap=True,
        )
    say(f"Hours are of one device, by {rows[-1][1].basis}. Several devices may share the work.", wrap=True)


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours < 10 else f"{hours:.0f}"


def _show(found: Reproduced) -> None:
    for name, why in found.failed.items():
        say(f"failed: {name}: {why}")
    if found.open:
        say(f"{found.open} cells are not done yet: they belong to other parts")
    for page in found.pages:
        say(f"Page: {page}")
