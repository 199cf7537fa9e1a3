"""The verb `evaluate`."""

from __future__ import annotations

import sys

import typer

from aleaseg.cli.evaluated import Out, show_comparison, show_evaluation
from aleaseg.cli.options import verb
from aleaseg.cli.sharing import Scheduler, shared_out
from aleaseg.cli.terminal import as_typed, progress_bars, say
from aleaseg.evaluation.settings import EvaluationSettings

__all__ = ["evaluate"]


@verb
def evaluate(
    settings: EvaluationSettings,
    out: Out,
    scheduler: Scheduler = None,
) -> None:
    """Measure predictions against a reference: Dice, IoU, HD95, ASSD, NSD, ECE, AURC, with intervals."""
    reads = [settings.reference, settings.predictions, settings.against, *settings.noisy]
    with progress_bars() as progress, shared_out(scheduler, reads, out):
        from aleaseg.evaluation import evaluate as measure
        from aleaseg.evaluation import evaluate_against

        if settings.against is None:
            found, comparison = measure(settings, out, progress=progress), None
        else:
            found, comparison, _ = evaluate_against(
                settings, out, command=as_typed(sys.argv[1:]), progress=progress
            )
    show_evaluation(found)
    if comparison is not None:
        show_comparison(comparison)
    say(f"Page: {found.page}")
    troubled = [found] if comparison is None else [*comparison.evaluations]
    raise typer.Exit(1 if any(each.errors for each in troubled) else 0)
