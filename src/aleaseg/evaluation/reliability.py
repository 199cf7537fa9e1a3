"""Voxels and wrong voxels of every case by uncertainty: reliability.csv, and the curve of all cases together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.metrics.reliability import BINS, shares_wrong

__all__ = ["COLUMNS", "Reliability", "reliability_of", "reliability_table"]

COLUMNS = ("case", "low", "high", "voxels", "wrong")


@dataclass(frozen=True)
class Reliability:
    """How many voxels are wrong where a model is so unsure, in B bins of equal width over [0, 1].

    Attributes:
        voxels: (B,) of all cases together.
        wrong: (B,) the share that is wrong; NaN without voxels.
        low, high: (B,) 95% interval over groups of cases; NaN where fewer than five have a voxel.
        cases: that have a number.
    """

    voxels: NDArray[np.int64]
    wrong: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cases: int


def reliability_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of reliability.csv: one per case and bin that holds a voxel.

    Args:
        rows: of cases; `reliability` is (2, B) voxels and wrong voxels, where uncertainty is known.
    """
    found = []
    for row in rows:
        if "reliability" in row:
            counts = row["reliability"]
            edges = np.linspace(0, 1, counts.shape[1] + 1).round(6)
            found += [
                (row["case"], *edges[place : place + 2], *counts[:, place])
                for place in np.flatnonzero(counts[0])
            ]
    return pd.DataFrame(found, columns=[*COLUMNS])


def reliability_of(table: pd.DataFrame, groups: Mapping[str, str], bins: int = BINS) -> Reliability | None:
    """The curve of all cases together; None without a voxel.

    Args:
        table: rows of reliability.csv.
        groups: case -> its group.
        bins: B, of the table.
    """
    if not len(table):
        return None
    place = (table["low"] * bins).round().astype(int)
    voxels, wrong = (
        table.assign(place=place)
        .pivot(index="case", columns="place", values=name)
        .reindex(columns=range(bins))
        .fillna(0)
        for name in ("voxels", "wrong")
    )
    group = [groups[case] for case in voxels.index]
    of_bins, low, high = shares_wrong(voxels.to_numpy(), wrong.to_numpy(), group)
    return Reliability(voxels.to_numpy().sum(axis=0).astype(np.int64), of_bins, low, high, len(voxels))
