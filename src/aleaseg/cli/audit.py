"""The verbs `audit` and `score`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from aleaseg.auditing.settings import AuditOfFolder
from aleaseg.cli.options import verb
from aleaseg.cli.sharing import Scheduler, Share, share, shared_out
from aleaseg.cli.terminal import progress_bars, say, show_outcome
from aleaseg.errors import UsageError

__all__ = ["audit", "score"]

Fast = Annotated[
    bool, typer.Option("--fast", help="No training: the package's own prompted network outlines each mask.")
]


@verb
def audit(
    settings: AuditOfFolder, fast: Fast = False, scheduler: Scheduler = None, part: Share = None
) -> None:
    """Find the doubtful cases of a data set: check, score, compare, and a page that shows them."""
    _audit(settings, fast, scheduler, part, page=True)


@verb
def score(
    settings: AuditOfFolder, fast: Fast = False, scheduler: Scheduler = None, part: Share = None
) -> None:
    """Score a data set as audit does, without the page."""
    _audit(settings, fast, scheduler, part, page=False)


def _audit(
    settings: AuditOfFolder, fast: bool, scheduler: str | None, part: str | None, page: bool
) -> None:
    if fast:
        settings = _without_training(settings)
    reads = [settings.dataset, settings.reference, _folder(settings.predictions), _folder(settings.weights)]
    then = f"aleaseg merge {settings.out}"
    with (
        share(part, scheduler, settings.out, "_score", then),
        progress_bars() as progress,
        shared_out(scheduler, reads, settings.out),
    ):
        from aleaseg.auditing.running import run_audit
        from aleaseg.run import Run, SharedRun

        outcome = run_audit(
            settings,
            Run(settings.out) if part is None else SharedRun(settings.out),
            progress=progress,
            announce=lambda text: say(text, wrap=True, stderr=True),
            page=page,
            tables=part is None,
        )
    if part is not None:
        say(f"Part {part} has nothing left to do. When all parts are done: {then}", wrap=True)
        raise typer.Exit(0)
    show_outcome(outcome)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


def _folder(named: str | Path | None) -> Path | None:
    """What a setting names, where it is a path and no word."""
    return Path(named) if named and Path(named).is_absolute() else None


def _without_training(settings: AuditOfFolder) -> AuditOfFolder:
    if settings.predictions != "crossfit":
        raise UsageError("--fast takes predictions of its own; leave --fast or --predictions out")
    for name in ("folds", "steps", "budget"):
        if getattr(settings, name) is not None:
            raise UsageError(
                f"--fast trains nothing, and --{name} is about training; leave one of them out"
            )
    return replace(settings, predictions="own")
