"""The verb `confidence`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.options import verb
from aleaseg.cli.terminal import progress_bars, say, show_failed, show_table
from aleaseg.labelling.settings import LabellingSettings

__all__ = ["confidence"]


@verb
def confidence(
    settings: LabellingSettings,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A new folder, DatasetNNN_NAME.", metavar="DatasetNNN_NAME")
    ],
) -> None:
    """Turn confidences into labels: a data set that nnU-Net trains on."""
    with progress_bars() as progress:
        from aleaseg.labelling import write_labels

        written = write_labels(settings, out, progress=progress)
    rows = [
        (name, ", ".join(map(str, values)) if isinstance(values, list) else str(values))
        for name, values in written.labels.items()
    ]
    show_table(f"{len(written.cases)} cases, {settings.labels}", ["label", "values"], rows)
    show_failed(written.failed, "not used")
    for note in written.notes:
        say(f"- {note}", wrap=True)
    say(f"Data set: {written.path}")
    raise typer.Exit(1 if written.failed else 0)
