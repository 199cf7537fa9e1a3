"""The verb `train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aleaseg.cli.options import verb
from aleaseg.cli.terminal import progress_bars, say, show_failed
from aleaseg.training.settings import TrainerSettings

if TYPE_CHECKING:
    from aleaseg.training import Trained

__all__ = ["train"]


@verb
def train(
    settings: TrainerSettings,
    out: Annotated[Path, typer.Option("--out", "-o", help="The model's folder.", metavar="MODEL")],
) -> None:
    """Train a network on a data set, with or without DUO; resumes if it was killed."""
    with progress_bars() as progress:
        from aleaseg.training import train as train_model

        trained = train_model(settings, out, progress=progress, announce=_line)
    _show(trained)
    raise typer.Exit(1 if trained.failed else 0)


def _line(text: str) -> None:
    """An epoch, for a log; in a terminal the bar tells."""
    if not sys.stderr.isatty():
        say(text, stderr=True)


def _show(trained: Trained) -> None:
    show_failed(trained.failed, "not used")
    for note in trained.notes:
        say(f"- {note}", wrap=True)
    last = trained.rows[-1]
    held_out = (
        f"; of the cases held out: loss {last['validation_loss']:.3f} (low = good), pseudo-Dice "
        f"{last['pseudo_dice']:.3f} (high = good)"
        if trained.model.plan.held_out
        else ""
    )
    say(f"Epoch {last['epoch']}: loss {last['loss']:.3f}{held_out}", wrap=True)
    say(f"Curves: {trained.page}\nModel: {trained.model.path}")
