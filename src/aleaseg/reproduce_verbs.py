"""The verb `reproduce`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aleaseg.terminal import Device, progress_bars, say, show_table

if TYPE_CHECKING:
    from aleaseg.reproduce import Reproduced, ReproduceSettings

__all__ = ["reproduce"]


class PresetName(StrEnum):
    """How every run is made."""

    paper = "paper"
    tiny = "tiny"


def reproduce(
    what: Annotated[
        list[str],
        typer.Argument(help="table1 ... table6, figures, sweep, or all.", metavar="WHAT ..."),
    ],
    data: Annotated[
        Path, typer.Option(help="A folder with the data sets, or one of them.", metavar="FOLDER")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of the runs; tables share it.", metavar="OUT")
    ] = Path("reproduced"),
    preset: Annotated[
        PresetName, typer.Option(help="paper: its protocol, for a GPU; tiny: a trial on two cores.")
    ] = PresetName.paper,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show runs, hours and disk; compute nothing.")
    ] = False,
    datasets: Annotated[
        str, typer.Option(help="Some of those in the folder: lits,word,...", metavar="A,B")
    ] = "",
    eye: Annotated[
        str, typer.Option(help="Whose AUV cuts; default: medsam2, with tiny own.", metavar="NAME")
    ] = "",
    target: Annotated[
        str, typer.Option(help="The class of class-specific rows; default: the tumour.", metavar="CLASS")
    ] = "",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of every training; default: the preset's.")
    ] = None,
    crossfit_steps: Annotated[
        int | None, typer.Option(min=1, help="Of each fold of the task network.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of every row.")] = None,
    randoms: Annotated[int | None, typer.Option(min=0, help="Cuts by lot beside each cut.")] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Cases kept on one side: a regex on ids, or a CSV.", metavar="REGEX|CSV"),
    ] = None,
    part: Annotated[int, typer.Option(min=1, help="This machine's share of the cells.")] = 1,
    parts: Annotated[int, typer.Option(min=1, help="How many shares there are.")] = 1,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the licence of restricted weights.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.auto,
) -> None:
    """Run the paper's experiments as grids that resume, each to its table beside the paper's numbers."""
    from aleaseg.bench.settings import typed
    from aleaseg.reproduce import ReproduceSettings
    from aleaseg.reproduce import reproduce as do

    settings = ReproduceSettings(
        data=str(data.resolve()),
        preset=preset.value,
        datasets=tuple(name.strip() for name in datasets.split(",") if name.strip()),
        eye=eye,
        target=target,
        steps=steps,
        crossfit_steps=crossfit_steps,
        seeds=seeds,
        randoms=randoms,
        groups=str(Path(groups).resolve()) if groups and groups.lower().endswith(".csv") else groups,
        device=device.value,
    )
    if dry_run:
        _show_costs(what, settings, out)
        return
    with progress_bars() as progress:
        found = do(
            what,
            settings,
            out,
            part=part,
            parts=parts,
            accept_licence=accept_licence,
            command=typed(sys.argv[1:]),
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
        say(f"- not there: {text}", wrap=True)
    show_table(
        "What it would take from here on, estimated",
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
            f"Not counted: {one.blocked} cells look through {', '.join(one.without)}, whose weights are not here; they "
            f"fail until `aleaseg weights fetch` has brought them, and then take about "
            f"{_hours(one.blocked_hours)} hours.",
            wrap=True,
        )
    say(f"Hours are of one device, by {rows[-1][1].basis}. Several may share the work.", wrap=True)


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours < 10 else f"{hours:.0f}"


def _show(found: Reproduced) -> None:
    for name, why in found.failed.items():
        say(f"failed: {name}: {why}")
    if found.open:
        say(f"{found.open} cells are not done yet: they are other parts'")
    for page in found.pages:
        say(f"Page: {page}")
