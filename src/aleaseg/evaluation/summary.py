"""What the cases say together: means with intervals, pooled overlap, risk and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.evaluation.columns import OF_THE_CASE, metrics_in
from aleaseg.metrics.bootstrap import Resamples, interval
from aleaseg.metrics.overlap import Overlap, dice, iou, pooled
from aleaseg.metrics.paired import FEWEST_GROUPS, case_resamples, mean_with_interval
from aleaseg.metrics.risk_coverage import aurc, excess_aurc, normalised_aurc, optimal_aurc

__all__ = ["ALL", "CONFIDENCES", "by_class", "risk_coverage", "summarise"]

ALL = "all"
"""The row over all classes."""
CONFIDENCES: Mapping[str, int] = {
    "max_probability": 1,
    "max_probability_near": 1,
    "boundary_uncertainty": -1,
}
"""Columns of cases.csv that rank cases wherever there are probabilities, and their sign."""
# Of all classes together these are of the predicted label, and no mean over classes.
_OF_THE_WINNER = ("ece", "ace", "ece_image", "ace_image", *OF_THE_CASE)
_POOLED = {"pooled_dice": dice, "pooled_iou": iou}


def by_class(
    metrics: pd.DataFrame, cases: pd.DataFrame, metric: str, classes: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """One metric of metrics.csv over all classes and of each, as rows of classes and columns of `cases`.

    Returns:
        `all` -> (C, N), or (1, N) where it is of the predicted label; then each class -> (1, N), but for what
        is of the case alone. NaN where there is no number.
    """
    if metric in OF_THE_CASE:
        known = cases[metric] if metric in cases else np.full(len(cases), np.nan)
        return {ALL: np.atleast_2d(np.asarray(known, dtype=np.float64))}
    table = (
        metrics.pivot(index="class", columns="case", values=metric)
        .reindex(index=list(classes), columns=cases["case"])
        .to_numpy(dtype=np.float64)
    )
    whole = np.atleast_2d(cases[metric].to_numpy(dtype=np.float64)) if metric in _OF_THE_WINNER else table
    return {ALL: whole, **{name: table[[row]] for row, name in enumerate(classes)}}


def summarise(metrics: pd.DataFrame, cases: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Every metric of every class and of all: mean, interval by group, median, number of cases.

    Of the rows of metrics.csv and cases.csv; failed cases among them do not count.

    Returns:
        Columns metric, class, mean, low, high, median, cases, groups; `all` first.
    """
    cases = cases[cases["status"] != "failed"]
    columns = ["metric", "class", "mean", "low", "high", "median", "cases", "groups"]
    if not len(cases):
        return pd.DataFrame(columns=columns)
    metrics = metrics[metrics["status"] != "failed"]
    group = cases["group"].to_numpy()
    drawn = case_resamples(group)
    rows: list[dict[str, Any]] = []
    for metric in metrics_in([*metrics.columns, *cases.columns]):
        for over, values in by_class(metrics, cases, metric, classes).items():
            if not np.isnan(values).all():
                known = values[~np.isnan(values)]
                found = mean_with_interval(values, group, drawn)
                rows.append(
                    {"metric": metric, "class": over, **found._asdict(), "median": np.median(known)}
                )
    rows += _pooled(metrics, cases, classes, drawn)
    return pd.DataFrame(rows, columns=columns)


def _pooled(
    metrics: pd.DataFrame, cases: pd.DataFrame, classes: Sequence[str], drawn: Resamples
) -> list[dict[str, Any]]:
    """Dice and IoU of the voxels of all cases together."""
    groups = cases["group"].nunique()
    # The data are one more replicate, where every case is there once.
    weights = np.vstack([np.ones(len(cases)), drawn.weights])
    counts = [
        by_class(metrics, cases, f"{what}_voxels", classes) for what in ("both", "reference", "predicted")
    ]
    together = {name: pooled(Overlap(*(count[name][0] for count in counts)), weights) for name in classes}
    rows = []
    for metric, formula in _POOLED.items():
        of_class = {name: formula(overlap) for name, overlap in together.items()}
        every = np.stack(list(of_class.values()))
        counted = (~np.isnan(every)).sum(axis=0)
        over_all = np.divide(
            np.nansum(every, axis=0), counted, out=np.full(every.shape[1], np.nan), where=counted > 0
        )
        for over, found in ((ALL, over_all), *of_class.items()):
            if np.isnan(found[0]):
                continue
            low, high = interval(found[1:]) if groups >= FEWEST_GROUPS else (np.nan, np.nan)
            row = {"metric": metric, "class": over, "mean": found[0], "low": low, "high": high}
            rows.append({**row, "median": np.nan, "cases": len(cases), "groups": groups})
    return rows


def risk_coverage(cases: pd.DataFrame, signs: Mapping[str, int]) -> pd.DataFrame:
    """AURC of every confidence: does it put the cases with a low Dice last?

    Args:
        cases: rows of cases.csv; risk is 1 - the case's mean Dice.
        signs: column -> 1, high = sure, or -1.

    Returns:
        Columns confidence, direction, cases, groups, aurc, low, high, optimal, random, e_aurc, naurc,
        naurc_low, naurc_high, aurc_fd_shifts; no row for a column without numbers.
    """
    rows = []
    for name, sign in signs.items():
        if name not in cases:
            continue
        there = cases[(cases["status"] != "failed") & cases["dice"].notna() & cases[name].notna()]
        if not len(there):
            continue
        risk, sure = 1 - there["dice"].to_numpy(float), sign * there[name].to_numpy(float)
        group = there["group"].to_numpy()
        groups = len(set(group))
        weights = case_resamples(group).weights
        nothing = (np.nan, np.nan)
        few = groups < FEWEST_GROUPS
        low, high = nothing if few else interval(aurc(risk, sure, weights=weights))
        of_n = nothing if few else interval(normalised_aurc(risk, sure, weights=weights))
        rows.append(
            {
                "confidence": name,
                "direction": "high = sure" if sign > 0 else "high = unsure",
                "cases": len(there),
                "groups": groups,
                "aurc": float(aurc(risk, sure)),
                "low": low,
                "high": high,
                "optimal": float(optimal_aurc(risk)),
                "random": float(risk.mean()),
                "e_aurc": float(excess_aurc(risk, sure)),
                "naurc": float(normalised_aurc(risk, sure)),
                "naurc_low": of_n[0],
                "naurc_high": of_n[1],
                "aurc_fd_shifts": float(aurc(risk, sure, form="fd_shifts")),
            }
        )
    columns = (
        "confidence direction cases groups aurc low high optimal random e_aurc naurc naurc_low naurc_high "
        "aurc_fd_shifts"
    )
    return pd.DataFrame(rows, columns=columns.split())
