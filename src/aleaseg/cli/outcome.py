"""The verb `outcome`."""

from __future__ import annotations

import typer

from aleaseg.cli.evaluated import Out
from aleaseg.cli.options import verb
from aleaseg.cli.terminal import progress_bars, say, show_failed, show_table
from aleaseg.evaluation.settings import OutcomeSettings

__all__ = ["outcome"]


@verb
def outcome(settings: OutcomeSettings, out: Out) -> None:
    """See what masks are good for: predict an outcome of patients from finished masks."""
    with progress_bars() as progress:
        from aleaseg.evaluation import outcome as foretell
        from aleaseg.evaluation.outcome_page import TITLES
        from aleaseg.pages.numbers import number, p_value, with_interval

        found = foretell(settings, out, progress=progress)
    metrics = [name for name in TITLES if name in found.rows]
    rows = []
    for row in found.rows.to_dict("records"):
        cells = [str(row["features"])]
        for name in metrics:
            form = ".3g" if name == "mae" else ".3f"
            known = row[name] == row[name]
            cells.append(
                with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], form) if known else ""
            )
        p = row.get("p", float("nan"))
        rows.append([*cells, p_value(p) if p == p else ""])
    patients = number(found.manifest["patients"], ".0f")
    show_table(
        f"{patients} patients, out of fold", ["features", *(TITLES[name] for name in metrics), "p"], rows
    )
    show_failed(found.failed, "not used")
    for note in found.notes:
        say(f"- {note}", wrap=True)
    say(f"Page: {found.path / 'outcome.md'}")
    raise typer.Exit(1 if found.failed else 0)
