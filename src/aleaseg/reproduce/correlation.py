"""Table 4: whether what is seen with certainty is predicted well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from aleaseg.metrics.correlation import Correlation, pearson, spearman
from aleaseg.reproduce.cells import Cell, Scores, Training
from aleaseg.reproduce.grid import Grid
from aleaseg.run import Run
from aleaseg.scoring.numbers import Numbers

__all__ = ["certainties", "class_correlations"]


def class_correlations(
    measure: str, column: str, scores: Scores, dice: Training | Scores, *, per_case: bool
) -> Callable[[Grid, Cell], float | None]:
    """A reader of one column of Table 4.

    `measure` (`perception_scale`, `fisher` or `mahalanobis`) is in `scores`; `dice` is a training's on the test
    part, or the out-of-fold one of a task network. With `per_case` every case and class is a point; else a class
    is, by its mean.
    """

    def read(grid: Grid, cell: Cell) -> float | None:
        if not (grid.done(scores) and grid.done(dice)):
            return None
        table = certainties(Run(grid.work(scores)), measure)
        if per_case:
            oof = Run(grid.work(dice)).scores[["case", "class", "oof_dice"]]
            joined = table.merge(oof, on=["case", "class"]).dropna()
            # Without the means of the classes: else easy classes alone would make a correlation.
            for name in ("certainty", "oof_dice"):
                joined[name] = joined[name] - joined.groupby("class")[name].transform("mean")
            x, y, group = joined["certainty"], joined["oof_dice"], joined["case"]
        else:
            found = (grid.result(dice) or {}).get("dice") or {}
            means = table.groupby("class", sort=False)["certainty"].mean()
            names = [name for name in means.index if found.get(name) is not None]
            x, y, group = means[names], pd.Series([found[name] for name in names], dtype=float), None
        return _column(column, np.asarray(x, float), np.asarray(y, float), group)

    return read


def _column(column: str, x: np.ndarray, y: np.ndarray, group: pd.Series | None) -> float | None:
    if column in ("classes", "cases x classes"):
        return float(len(x))
    how = pearson if "Pearson" in column else spearman
    found: Correlation = how(x, y, None if group is None else group.to_numpy())
    value = found.p if column.startswith("p of") else found.r
    return None if np.isnan(value) else value


def certainties(run: Run, measure: str) -> pd.DataFrame:
    """Rows case, class, certainty (high = certain) of the classes that a case has.

    Args:
        run: with records.
        measure: `perception_scale`, `fisher`, or `mahalanobis`, then minus ln of the distance.
    """
    if measure == "perception_scale":
        scores = run.scores.rename(columns={"perception_scale": "certainty"})
        return scores[["case", "class", "certainty"]].dropna()
    numbers = Numbers.of(run.records(), list(run.manifest["dataset"]["classes"]))
    classes = numbers.classes
    values = numbers.by_class("fisher") if measure == "fisher" else -np.log(_distances(numbers))
    rows = [
        {"case": case, "class": name, "certainty": float(value)}
        for case, row in zip(numbers.cases, values, strict=True)
        for name, value in zip(classes, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["case", "class", "certainty"]).dropna()


def _distances(numbers: Numbers) -> np.ndarray:
    """(N, C) Mahalanobis distance of each class's features, each case by the model that predicted it."""
    from aleaseg.scoring.catalogue import MEASURES
    from aleaseg.scoring.compared import Mahalanobis

    measure = MEASURES["mahalanobis"]
    assert isinstance(measure, Mahalanobis)
    frozen, features = measure.fit(numbers), numbers.feature(measure.feature)
    found = np.full((len(numbers), len(numbers.classes)), np.nan)
    if features is None:
        return found
    for model, reference in frozen.items():
        rows = numbers.models == model
        if rows.any():
            found[rows] = reference.distance(features[rows])
    return found
