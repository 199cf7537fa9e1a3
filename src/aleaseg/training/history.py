"""What a training came to, epoch by epoch: training.csv, and of a training with DUO duo_classes.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aleaseg.run import read_table, write_table
from aleaseg.training.loop import Epoch
from aleaseg.training.validation import Validated

__all__ = ["CLASSES", "COLUMNS", "DICE", "TABLE", "History"]

TABLE, CLASSES = "training.csv", "duo_classes.csv"
DICE = "pseudo_dice"
COLUMNS = {
    "epoch": ("none", "1, 2, ..."),
    "step": ("none", "steps done"),
    "learning_rate": ("none", "of the epoch's last step"),
    "loss": ("low = good", "what the training makes small, mean over the epoch's steps"),
    "validation_loss": ("low = good", "soft Dice + cross-entropy, of patches of the cases held out"),
    DICE: ("high = good", "mean of the classes' pseudo-Dice, of patches of the cases held out"),
    "seconds": ("none", "that the epoch took"),
    "class": ("none", "of the loss: a label value"),
    "weight": ("none", "1 / (1 + alpha S), mean over the epoch's steps"),
    "scale": ("high = certain", "S of the network's own logits, mean over the epoch's steps"),
}
"""Direction and meaning of the columns of both tables."""

Row = dict[str, Any]


class History:
    """The tables of a training; written anew at the end of every epoch.

    Args:
        folder: the training's.
        classes: names, for pseudo-Dice.
        channels: names of the label values, for weights and scales.
    """

    def __init__(self, folder: Path, classes: Sequence[str], channels: Sequence[str]) -> None:
        self.folder = folder
        self.dice = {name: f"{DICE}/{name}" for name in classes}
        self.channels = channels

    def add(self, epoch: Epoch, validated: Validated) -> Row:
        """Put an epoch in, in place of what there is of it and of later ones: they are trained again.

        Returns:
            Its row.
        """
        before = [row for row in self.rows() if row["epoch"] < epoch.number]
        known = [value for value in validated.dice.values() if not math.isnan(value)]
        row = {
            "epoch": epoch.number,
            "step": epoch.step,
            "learning_rate": epoch.learning_rate,
            "loss": epoch.loss,
            "validation_loss": validated.loss,
            DICE: sum(known) / len(known) if known else math.nan,
            **{self.dice[name]: value for name, value in validated.dice.items()},
            "seconds": round(epoch.seconds - sum(row["seconds"] for row in before), 2),
        }
        columns = [name for name in COLUMNS if name not in ("class", "weight", "scale")]
        columns[-1:-1] = self.dice.values()
        write_table(self.folder / TABLE, columns, [*before, row])
        if epoch.seen is not None:
            others = [old for old in self.of_classes() if old["epoch"] < epoch.number]
            mine = [
                {"epoch": epoch.number, "step": epoch.step, "class": name, "weight": weight, "scale": scale}
                for name, weight, scale in zip(self.channels, *epoch.seen, strict=True)
            ]
            write_table(self.folder / CLASSES, list(mine[0]), [*others, *mine])
        return row

    def rows(self) -> list[Row]:
        """Of training.csv."""
        return _rows(self.folder / TABLE)

    def of_classes(self) -> list[Row]:
        """Of duo_classes.csv; empty where there is none."""
        return _rows(self.folder / CLASSES)


def _rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [
        {str(name): value for name, value in row.items()} for row in read_table(path).to_dict("records")
    ]
