"""What the loss did, epoch by epoch: means over the epoch, and the table they are kept in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from aleaseg.run import read_table, write_table

__all__ = ["COLUMNS", "ClassMeans", "write_epoch", "write_rows"]

COLUMNS = ("epoch", "class", "weight", "scale", "noise")


class ClassMeans:
    """Means of numbers, per class or one alone, over the batches of an epoch; NaN does not count.

    Sums stay on the device of the numbers, so that adding waits for nothing.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Add a batch.

        Args:
            name: of the number, such as `weight`.
            values: (B, C_fg); (1, 1) of a number alone.
        """
        values = values.detach().to(torch.float32)
        here = torch.stack((values.nansum(0), (~values.isnan()).sum(0).to(values.dtype)))
        self._sums[name] = self._sums[name] + here if name in self._sums else here

    def take(self, *, everywhere: bool = False) -> dict[str, list[float]]:
        """The mean of each class since the last time, (C_fg,) each, or (1,); NaN where nothing was added.

        Args:
            everywhere: over all processes of a DDP training, each of which must call this.
        """
        means = {}
        for name in sorted(self._sums):
            sums = self._sums[name]
            if everywhere:
                distributed.all_reduce(sums)
            total, count = sums.cpu()
            means[name] = [float(t / c) if c else math.nan for t, c in zip(total, count, strict=True)]
        self._sums = {}
        return means


def write_epoch(
    path: Path, epoch: int, classes: Sequence[str], means: Mapping[str, Sequence[float]]
) -> None:
    """Put an epoch's means into the table; rows of this epoch and of later ones are replaced.

    Epochs count from 0, as nnU-Net does; of `weight`, `scale` and `noise`, (C_fg,) each in the order of the
    loss, what is missing stays empty.
    """
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(classes):
        values = {column: float(numbers[number]) for column, numbers in means.items()}
        rows.append({"epoch": epoch, "class": name, **values})
    write_rows(path, COLUMNS, epoch, rows)


def write_rows(path: Path, columns: Sequence[str], epoch: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put an epoch's rows into a table of `columns`; those of this epoch and of later ones are replaced."""
    before = read_table(path).to_dict("records") if path.is_file() and epoch else []
    kept = [{str(key): value for key, value in row.items()} for row in before if int(row["epoch"]) < epoch]
    write_table(path, columns, [*kept, *map(dict, rows)])
