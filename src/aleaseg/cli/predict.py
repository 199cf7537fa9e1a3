"""The verb `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.terminal import Device, progress_bars, say, show_failed

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(help="A folder made by train.", metavar="MODEL")],
    images: Annotated[
        Path, typer.Argument(help="A data set, a folder of images, or one image.", metavar="IMAGES")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the masks.", metavar="OUT")],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also CASE.npz with the classes' probabilities.")
    ] = False,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only the cases that the training held out.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.auto,
) -> None:
    """Predict a mask for every image with a trained model; nothing is overwritten."""
    from aleaseg.training import PredictSettings
    from aleaseg.training import predict as predict_masks

    settings = PredictSettings(
        str(model.resolve()), str(images.resolve()), probabilities, held_out, device.value
    )
    with progress_bars() as progress:
        done = predict_masks(settings, out, progress=progress)
    show_failed(done.failed, "not predicted")
    say(f"Masks: {len(done.masks)} in {done.path}")
    raise typer.Exit(1 if done.failed else 0)
