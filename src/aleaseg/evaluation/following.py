"""Whether uncertainty is of what is wrong, and whether it follows its cues: as a table, and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aleaseg.metrics.correlation import Correlation
from aleaseg.metrics.paired import FEWEST_GROUPS
from aleaseg.pages.numbers import interval, number
from aleaseg.pages.tables import Cell, Column, Row, Table, quantity, records

__all__ = ["correlation_in_words", "cue_table", "follows"]

_WANTED = {
    "gradient": ("falls with the gradient, along boundaries", "−1"),
    "distance": ("what noise adds falls with the distance from a boundary", "−1"),
    "noise": ("rises with noise, near boundaries", "+1"),
}


def follows(low: float, high: float) -> str:
    """What the interval of a mean UR lets one say.

    >>> follows(0.6, 0.7), follows(0.45, 0.55), follows(0.1, 0.4), follows(float("nan"), float("nan"))
    ('as wanted', 'no claim', 'the wrong way', 'too few')
    """
    if np.isnan(low) or np.isnan(high):
        return "too few"
    if low > 0.5:
        return "as wanted"
    return "the wrong way" if high < 0.5 else "no claim"


def cue_table(summary: pd.DataFrame, cases: pd.DataFrame) -> Table | None:
    """UR and UCC of every cue that was asked for, and how many cases had a score; None without any.

    Args:
        summary: rows of summary.csv.
        cases: those that were measured, with what cues.csv says of them.
    """
    means: dict[str, Any] = {str(row["metric"]): row for row in records(summary) if row["class"] == "all"}
    columns = [
        Column("cue"),
        Column("uncertainty"),
        Column("UR", True, hint="share of pairs in order: 1 = all, 0.5 = chance"),
        Column("UCC", True, hint="rank correlation"),
        Column("wanted UCC", True, kind="muted"),
        Column("cases with UR / UCC", True, hint="the others have no boundary, or too few voxels"),
        Column("voxels a case", True, hint="that were compared, median"),
        Column("follows"),
    ]
    rows = []
    for cue, (wanted, sign) in _WANTED.items():
        if f"points_{cue}" not in cases or not cases[f"points_{cue}"].notna().any():
            continue
        ur, ucc = (means.get(f"{which}_{cue}", {}) for which in ("ur", "ucc"))
        held = " / ".join(str(int(each.get("cases", 0))) for each in (ur, ucc))
        said = follows(ur.get("low", np.nan), ur.get("high", np.nan))
        cells = [
            Cell(cue),
            Cell(wanted),
            *(quantity(each.get("mean"), ".3f", each.get("low"), each.get("high")) for each in (ur, ucc)),
            Cell(sign),
            Cell(f"{held} of {len(cases)}"),
            quantity(float(cases[f"points_{cue}"].median()), ",.0f"),
            Cell(said),
        ]
        rows.append(Row(cells, said.replace(" ", "-")))
    return Table("Whether uncertainty follows its cues", columns, rows, "cues") if rows else None


def correlation_in_words(found: Correlation, groups: int) -> str:
    """What the rank correlation of uncertainty with Dice lets one say; wanted is −1.

    >>> correlation_in_words(Correlation(-0.62, 0.001, 40, -0.8, -0.35), 40)
    'Spearman’s ρ −0.62 (95% interval −0.80 to −0.35), 40 cases: the more uncertain, the lower the Dice, as wanted.'
    >>> correlation_in_words(Correlation(-0.2, 0.3, 40, -0.5, 0.1), 40)
    'Spearman’s ρ −0.20 (95% interval −0.50 to 0.10), 40 cases: no claim, the interval includes 0.'
    """
    if np.isnan(found.r):
        return f"No rank correlation: {found.n} cases with both numbers are too few, or one of them is constant."
    rho = f"Spearman’s ρ {number(found.r)}"
    spread = interval(found.low, found.high) if groups >= FEWEST_GROUPS else ""
    if not spread:
        return f"{rho}, {found.n} cases: no claim, {groups} groups of cases are too few for an interval."
    rho += f" (95% interval {spread}), {found.n} cases"
    if found.low <= 0 <= found.high:
        return f"{rho}: no claim, the interval includes 0."
    if found.r < 0:
        return f"{rho}: the more uncertain, the lower the Dice, as wanted."
    return f"{rho}: the more uncertain, the higher the Dice, which is the wrong way round."
