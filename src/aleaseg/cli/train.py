"""The verb `train`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aleaseg.cli.terminal import Device, progress_bars, say, show_failed

if TYPE_CHECKING:
    from aleaseg.training import Trained

__all__ = ["train"]


class PresetName(StrEnum):
    """Protocols."""

    small = "small"
    paper = "paper"


def train(
    dataset: Annotated[Path, typer.Argument(help="A data set with labels.", metavar="DATASET")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model's folder.", metavar="MODEL")],
    preset: Annotated[
        PresetName, typer.Option(help="small: minutes on a CPU; paper: the paper's protocol, for a GPU.")
    ] = PresetName.small,
    network: Annotated[
        str, typer.Option(help="small, unet, swin_unetr or umamba; default: the preset's.", metavar="NAME")
    ] = "",
    size: Annotated[
        str, typer.Option(help="Of the network, paper or tiny; default: the preset's.", metavar="NAME")
    ] = "",
    objective: Annotated[
        str,
        typer.Option(help="plain, duo, rw, en, ...; rw:alpha=1 sets what is open.", metavar="NAME"),
    ] = "plain",
    selection: Annotated[
        Path | None,
        typer.Option(
            help="Leave out what this does: a run with a selection, or its files.", metavar="RUN|FILE"
        ),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="A splits_final.json; default: a fifth is held out.", metavar="FILE")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="Which fold of the split.")] = 0,
    held_out: Annotated[float, typer.Option(help="Share held out where no split is given; 0: none.")] = 0.2,
    epochs: Annotated[int | None, typer.Option(min=1, help="How many; default: the preset's.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all; default: the preset's.")] = None,
    patch: Annotated[
        str | None, typer.Option(help="Edges in voxels; default: the preset's.", metavar="D,H,W")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Patches a step; default: the preset's.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At the start; default: the preset's.", metavar="RATE")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Cases kept on one side: a regex on ids, or a CSV.", metavar="REGEX|CSV"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to keep, or name=value where none are declared.", metavar="A,B"),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.auto,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.", metavar="NAME")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches; the split stays.")] = 0,
) -> None:
    """Train a network on a data set, with DUO or without; killed, it resumes."""
    from aleaseg.training import TrainerSettings
    from aleaseg.training import train as train_model

    settings = TrainerSettings(
        dataset=str(dataset.resolve()),
        preset=preset.value,
        network=network,
        size=size,
        objective=objective,
        selection=None if selection is None else str(selection.resolve()),
        split=None if split is None else str(split.resolve()),
        fold=fold,
        held_out=held_out,
        epochs=epochs,
        steps=steps,
        patch=_edges(patch),
        batch=batch,
        learning_rate=learning_rate,
        groups=str(Path(groups).resolve()) if groups and groups.lower().endswith(".csv") else groups,
        classes=classes,
        device=device.value,
        precision=precision,
        seed=seed,
    )
    with progress_bars() as progress:
        trained = train_model(settings, out, progress=progress, announce=_line)
    _show(trained)
    raise typer.Exit(1 if trained.failed else 0)


def _edges(text: str | None) -> tuple[int, ...] | None:
    from aleaseg.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--patch {text}: expected two or three edges in voxels, such as 96,96,96"
        ) from error


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
