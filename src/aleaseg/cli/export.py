"""The verb `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.terminal import progress_bars, say, show_failed

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="A new folder, with a folder in it for each case.", metavar="FOLDER"
        ),
    ],
    cases: Annotated[
        list[str] | None,
        typer.Option(help="These cases instead of those with a doubt above 0.5.", metavar="ID,ID"),
    ] = None,
) -> None:
    """Write where the doubt is, the prediction and where it differs, on the grid of each suspect's mask."""
    from aleaseg.run import Run

    opened = Run(run)
    with progress_bars() as progress:
        from aleaseg.review.session import data_set_of
        from aleaseg.selection.hand import known_ids
        from aleaseg.where.files import export_cases

        named = known_ids(cases or (), set(opened.cases["case"].astype(str)), "cases") if cases else ()
        dataset = data_set_of(opened)
        troubles = export_cases(
            opened, dataset, out, named, lambda done, total: progress("copy", done, total)
        )
    show_failed(troubles, "not written")
    say(
        f"In {out}: doubt (0 to 1, high = doubtful), prediction, disagreement (1 mask alone, 2 prediction alone, "
        "3 two classes)"
    )
    raise typer.Exit(1 if troubles else 0)
