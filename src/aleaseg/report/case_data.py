"""What a case page knows besides its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.measures.column import Column
from aleaseg.report.columns import values
from aleaseg.report.index import reasons_in_words
from aleaseg.report.standing import percentiles
from aleaseg.run import Record, Run

__all__ = ["case_data"]

_CLASS_COLUMNS = ("volume_mm3", "oof_dice", "softmin", "perception_scale", "auv")


def case_data(
    run: Run, cases: pd.DataFrame, scores: pd.DataFrame, columns: list[Column]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of each case, in the order of `cases`, and what its page shows.

    Yields:
        The id, and: `reasons` in words; `statistics`, each with value, median
        and standing (share of the cases below it, in [0, 1]); `classes`, the
        same per class; `files`; `facts`; `error`.
    """
    numbers = {column.name: values(cases, column.name) for column in columns if column.role != "confound"}
    standings = {name: percentiles(column) for name, column in numbers.items()}
    medians = {name: float(np.nanmedian(column)) for name, column in numbers.items()}
    by_class = _ByClass(scores)
    reasons = values(cases, "reasons") if "reasons" in cases else [""] * len(cases)
    for row, case in enumerate(cases["case"].astype(str)):
        statistics = [
            {
                "name": name,
                "value": float(numbers[name][row]),
                "median": medians[name],
                "standing": float(standings[name][row]),
            }
            for name in numbers
        ]
        yield (
            case,
            {
                "case": case,
                "reasons": reasons_in_words(reasons[row]),
                "statistics": statistics,
                "classes": by_class(case),
                **_facts(run, case),
            },
        )


class _ByClass:
    """The classes of each case, each number with where it stands among the cases that have the class."""

    def __init__(self, scores: pd.DataFrame) -> None:
        self._names = [name for name in _CLASS_COLUMNS if name in scores]
        self._rows = scores.groupby("case", sort=False).indices
        self._classes, self._status, self._present = (
            list(scores[name]) if name in scores else [""] * len(scores)
            for name in ("class", "status", "present")
        )
        of_class = list(scores.groupby("class", sort=False).indices.values())
        self._values = np.full((len(scores), len(self._names)), np.nan)
        self._standing = np.full_like(self._values, np.nan)
        for column, name in enumerate(self._names):
            self._values[:, column] = pd.to_numeric(scores[name], errors="coerce")
            for rows in of_class:
                self._standing[rows, column] = percentiles(self._values[rows, column])

    def __call__(self, case: str) -> list[dict[str, Any]]:
        """What its page shows of each class."""
        rows = self._rows.get(case, ())
        return [
            {
                "class": self._classes[row],
                "present": {"true": True, "false": False}.get(str(self._present[row]).lower()),
                "status": self._status[row] or "",
                "values": dict(zip(self._names, self._values[row].tolist(), strict=True)),
                "standing": dict(zip(self._names, self._standing[row].tolist(), strict=True)),
            }
            for row in rows
        ]


def _facts(run: Run, case: str) -> dict[str, Any]:
    record = run.record(case) or Record(case)
    return {
        "status": record.status,
        "error": record.error,
        "group": record.group,
        "site": record.site,
        "files": [*record.image_files, *record.label_files],
        "shape": record.shape,
        "spacing_mm": record.spacing_mm,
        "class_maps": record.class_maps,
    }
