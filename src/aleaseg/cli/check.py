"""The verb `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.options import verb
from aleaseg.cli.terminal import progress_bars, say, show_findings
from aleaseg.settings import DatasetSettings

__all__ = ["check"]


@verb
def check(
    settings: DatasetSettings,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder for check.csv and check.json.", metavar="FOLDER"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check every file of a data set: what is broken, missing, or odd."""
    with progress_bars() as progress:
        from aleaseg.checks import as_json as all_found
        from aleaseg.checks import check as check_dataset
        from aleaseg.checks import closing, summary, write_check
        from aleaseg.readers import open_dataset

        opened = open_dataset(settings.dataset, **settings.reading)
        result = check_dataset(opened, progress=lambda done, total: progress("check", done, total))
    if out is not None:
        write_check(out, result)
    if as_json:
        import json

        typer.echo(json.dumps(all_found(result), indent=1))
    else:
        show_findings(result.findings, None if out is None else out / "check.csv")
        say(summary(result), wrap=True)
        say(closing(result), wrap=True)
    if out is not None:
        say(f"Written: {out / 'check.csv'}, {out / 'check.json'}", stderr=as_json)
    raise typer.Exit(1 if result.errors else 0)
