"""The verb `compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.evaluated import Out, show_comparison, show_errors
from aleaseg.cli.options import verb
from aleaseg.cli.terminal import as_typed, progress_bars, say
from aleaseg.evaluation.settings import CompareSettings

__all__ = ["compare"]


@verb
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Evaluations, or predictions with --reference; the first is the baseline.",
            metavar="FOLDER",
        ),
    ],
    settings: CompareSettings,
    out: Out,
) -> None:
    """Compare evaluations with the first one, case by case: one table, one page."""
    with progress_bars() as progress:
        from aleaseg.evaluation import compare as compare_folders

        found, page = compare_folders(
            folders,
            out,
            settings=settings.evaluation,
            groups=settings.groups,
            command=as_typed(sys.argv[1:]),
            progress=progress,
        )
    show_comparison(found)
    for name, evaluation in zip(found.names, found.evaluations, strict=True):
        for note in evaluation.manifest["notes"]:
            say(f"- {name}: {note}", wrap=True)
        show_errors(evaluation)
    say(f"Page: {page}")
    raise typer.Exit(1 if any(each.errors for each in found.evaluations) else 0)
