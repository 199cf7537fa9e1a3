"""What of a bench is shown, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.bench.detection import best_published
from aleaseg.bench.result import BenchResult
from aleaseg.corruption import FAULTS
from aleaseg.pages.tables import records
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.measure import Measure

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NOTABLE",
    "TARGETS",
    "best",
    "clustered",
    "counts",
    "family",
    "faults_of",
    "groups",
    "ranked",
    "rows_by",
    "swapped",
]

TARGETS = ("both", "masks", "images")
"""In the order of their columns."""
NOTABLE = 0.3
"""A correlation with size, either way, from which on it is marked."""

Row = Mapping[str, Any]


def family(measure: Measure) -> str:
    """Where a measure belongs: ours, AUV, label quality, or another way to see uncertainty."""
    return "ours" if measure.ours else measure.family


def rows_by(frame: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Rows of a frame by the texts in some of its columns."""
    return {tuple(str(row[key]) for key in keys): row for row in records(frame)}


def ranked(detection: pd.DataFrame) -> list[str]:
    """Measures by AUROC for both, the highest first; those without one last."""
    rows = detection[detection["target"] == "both"]
    return [str(name) for name in rows.sort_values("auroc", ascending=False, kind="stable")["measure"]]


def groups(names: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """(eye, what is seen) -> the measures; groups, and measures within, in the order of `names`."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        found.setdefault((MEASURES[name].eye, MEASURES[name].sight), []).append(name)
    return found


def clustered(ranks: pd.DataFrame) -> list[str]:
    """Measures in an order that puts those of like ranks side by side; constant ones last."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    there = [name for name in ranks.index if np.isfinite(ranks.loc[name, name])]
    rest = [str(name) for name in ranks.index if name not in there]
    if len(there) < 3:
        return [*map(str, there), *rest]
    rho = np.nan_to_num(ranks.loc[there, there].to_numpy(dtype=np.float64))
    apart = np.clip(1 - (rho + rho.T) / 2, 0, 2)
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    return [*(str(there[index]) for index in leaves_list(tree)), *rest]


def best(detection: pd.DataFrame) -> dict[str, str]:
    """Target -> the best published measure, where there is one."""
    found = {}
    for target in TARGETS:
        try:
            found[target] = best_published(detection, target)
        except ValueError:
            continue
    return found


def counts(cases: pd.DataFrame) -> dict[str, int]:
    """Clean, mask and image cases, and each fault: rows of all draws together."""
    axes = {str(axis): int(count) for axis, count in cases["axis"].value_counts().items()}
    dealt = cases.loc[cases["axis"] != "clean", "fault"].value_counts()
    return {**axes, **{str(fault): int(count) for fault, count in dealt.items()}}


def swapped(result: BenchResult) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(axis, fault, its rows of `swap_in`) of every fault that was swapped in, masks first."""
    for axis in ("mask", "image"):
        for fault in faults_of(result, axis):
            rows = result.swap_in[result.swap_in["fault"] == fault]
            if len(rows):
                yield axis, fault, rows


def faults_of(result: BenchResult, axis: str) -> list[str]:
    """Faults of an axis that were dealt or swapped in, in the order of `FAULTS`."""
    there = {*result.detection["target"], *result.swap_in["fault"]}
    return [name for name, fault in FAULTS.items() if fault.axis == axis and name in there]
