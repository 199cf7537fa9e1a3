"""The verb `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.terminal import progress_bars, say, show_outcome

__all__ = ["merge"]


def merge(
    run: Annotated[Path, typer.Argument(help="A folder that `audit --part` filled.", metavar="RUN")],
    page: Annotated[bool, typer.Option("--page/--no-page", help="With the page, or without.")] = True,
) -> None:
    """Put the parts of an audit together: compare the cases, write the tables and the page."""
    with progress_bars() as progress:
        from aleaseg.auditing.merging import merge_parts

        outcome = merge_parts(
            run, progress=progress, announce=lambda text: say(text, wrap=True, stderr=True), page=page
        )
    show_outcome(outcome)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)
