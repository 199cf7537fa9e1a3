"""The verbs `audit` and `score`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from aleaseg.auditing.settings import AuditOfFolder
from aleaseg.cli.options import verb
from aleaseg.cli.terminal import progress_bars, say, show_outcome
from aleaseg.errors import UsageError

__all__ = ["audit", "score"]

Fast = Annotated[
    bool, typer.Option("--fast", help="No training: the package's own prompted network looks at each mask.")
]


@verb
def audit(settings: AuditOfFolder, fast: Fast = False) -> None:
    """Find the doubtful cases of a data set: check, score, compare, and a page that shows them."""
    _audit(settings, fast, page=True)


@verb
def score(settings: AuditOfFolder, fast: Fast = False) -> None:
    """Score a data set as audit does, without the page."""
    _audit(settings, fast, page=False)


def _audit(settings: AuditOfFolder, fast: bool, page: bool) -> None:
    if fast:
        settings = _without_training(settings)
    with progress_bars() as progress:
        from aleaseg.auditing.running import run_audit
        from aleaseg.run import Run

        outcome = run_audit(
            settings,
            Run(settings.out),
            progress=progress,
            announce=lambda text: say(text, wrap=True, stderr=True),
            page=page,
        )
    show_outcome(outcome)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


def _without_training(settings: AuditOfFolder) -> AuditOfFolder:
    if settings.predictions != "crossfit":
        raise UsageError("--fast takes predictions of its own; leave --fast or --predictions away")
    for name in ("steps", "budget"):
        if getattr(settings, name) is not None:
            raise UsageError(
                f"--fast trains nothing, and --{name} is about training; leave one of them away"
            )
    return replace(settings, predictions="eye")
