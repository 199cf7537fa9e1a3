"""The columns of `cases.csv` as the page shows them: the manifest says what each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.measures.column import Column, Role

__all__ = ["describe", "for_page", "values"]

# In the order of the page. A number of a case that is no fact and no statistic is a score.
_ROLES: Mapping[str, Role] = {
    "score": "score",
    "measure": "score",
    "confound": "confound",
    "statistic": "statistic",
}
_NOT_NUMBERS = ("case", "status", "group", "site", "reasons", "why", "class_set", "error")


def describe(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> list[Column]:
    """The columns of cases.csv that have any value: scores first, then confounds, then statistics of the image.

    The manifest's `columns` say title, direction, unit and role; within a role their order counts.
    """
    declared: Mapping[str, Any] = manifest.get("columns") or {}
    flat = "depth" not in frame or not np.isfinite(values(frame, "depth")).any()
    found = []
    for name in sorted(frame.columns, key=[*declared, *frame.columns].index):
        column = Column.read(name, declared.get(name) or {})
        there = values(frame, name)
        known = there != "" if there.dtype == object else np.isfinite(there)
        plain_text = there.dtype == object and column.role != "confound"
        if plain_text or column.role not in _ROLES or not known.any():
            continue
        column = replace(column, role=_ROLES[column.role])
        if flat and column.unit == "mm³":
            title = "Area" if name == "volume_mm3" else column.title
            column = replace(column, title=title, short="", unit="mm²")
        found.append(column)
    return sorted(found, key=lambda column: list(_ROLES).index(column.role))


def for_page(column: Column) -> dict[str, Any]:
    """What the page's scripts know of a column: as in the manifest, and which end of it is bad."""
    about = column.described()
    return {
        "name": column.name,
        **about,
        "sign": column.direction.sign,
        "unit_range": column.limits == (0, 1),
    }


def values(frame: pd.DataFrame, name: str) -> NDArray:
    """A column: float64 with NaN for missing, or texts (dtype object)."""
    if name in _NOT_NUMBERS:
        return np.array([text if isinstance(text, str) else "" for text in frame[name]], dtype=object)
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
