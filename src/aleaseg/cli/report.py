"""The verb `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.terminal import progress_bars, say
from aleaseg.settings import READING

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")],
) -> None:
    """Write the page of a run again, for example after its folder was moved."""
    with progress_bars() as progress:
        from aleaseg.errors import AleasegError
        from aleaseg.readers import open_dataset
        from aleaseg.report import write_report
        from aleaseg.run import Run
        from aleaseg.where.keeping import keep_maps

        opened = Run(run)
        settings = opened.manifest["settings"]
        try:
            dataset = open_dataset(settings["dataset"], **{name: settings.get(name) for name in READING})
        except AleasegError:
            dataset = None
            say("The data set is gone: the page has no pictures.", stderr=True)
        if dataset is not None:
            keep_maps(opened, dataset, progress=lambda done, total: progress("map", done, total))
        index = write_report(opened, dataset, progress=lambda done, total: progress("report", done, total))
    say(f"Page: {index.resolve().as_uri()}")
