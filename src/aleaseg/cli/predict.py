"""The verb `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.options import verb
from aleaseg.cli.sharing import Scheduler, Share, share, shared_out
from aleaseg.cli.terminal import progress_bars, say, show_failed
from aleaseg.training.settings import PredictSettings

__all__ = ["predict"]


@verb
def predict(
    settings: PredictSettings,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the masks.", metavar="OUT")],
    scheduler: Scheduler = None,
    part: Share = None,
) -> None:
    """Predict a mask for every image with a trained model; nothing is overwritten."""
    reads = [settings.model, settings.images, *settings.members]
    with (
        share(
            part, scheduler, out, "_predict_case", "the same command without --part says what was left out"
        ),
        progress_bars() as progress,
        shared_out(scheduler, reads, out),
    ):
        from aleaseg.training import predict as predict_masks

        done = predict_masks(settings, out, progress=progress)
    show_failed(done.failed, "not predicted")
    for note in done.notes:
        say(f"- {note}", wrap=True)
    say(f"Masks: {len(done.masks)} in {done.path}")
    raise typer.Exit(1 if done.failed else 0)
