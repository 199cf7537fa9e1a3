"""`aleaseg nnunet path | export-plain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.options import Group, Verb
from aleaseg.cli.terminal import say

__all__ = ["nnunet"]

nnunet = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="DUO and SURE inside nnU-Net 2.8: where the trainers are, and checkpoints for stock nnU-Net.",
)


@nnunet.command("path", cls=Verb)
def path() -> None:
    """Print the folder of the trainers, for `export nnUNet_extTrainer="$(aleaseg nnunet path)"`."""
    from aleaseg.plugins.nnunet import TRAINER_FOLDER

    say(str(TRAINER_FOLDER))


@nnunet.command("export-plain", cls=Verb)
def export_plain_checkpoint(
    model: Annotated[
        Path,
        typer.Argument(help="A checkpoint, or the folder of a model.", metavar="CHECKPOINT|MODEL_FOLDER"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where to put it; default: next to it, `_plain` appended to its name.",
            metavar="OUT",
        ),
    ] = None,
) -> None:
    """Copy a model of our trainers so that stock nnU-Net can predict with it; nothing is overwritten."""
    from aleaseg.plugins.nnunet.checkpoint import export_plain

    written = export_plain(model, out)
    say("\n".join(map(str, written)))
