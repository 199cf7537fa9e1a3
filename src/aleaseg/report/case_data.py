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


def case_data(run: Run, cases: pd.DataFrame, columns: list[Column]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of each case and what its page shows.

    Args:
        run: the run.
        cases: `in_order(run.cases)`.
        columns: `describe(cases, manifest)`.

    Yields:
        The id, and: `reasons` in words; `statistics`, each with value, median
        and standing (share of the cases below it, in [0, 1]); `classes`, the
        same per class; `files`; `facts`; `error`.
    """
    numbers = {column.name: values(cases, column.name) for column in columns if column.role != "confound"}
    standings = {name: percentiles(column) for name, column in numbers.items()}
    medians = {name: float(np.nanmedian(column)) for name, column in numbers.items()}
    by_class = _by_class(run)
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
                "classes": by_class.get(case, []),
                **_facts(run, case),
            },
        )


def _by_class(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Per case its classes, each number with where it stands among the cases that have the class."""
    if not (run.path / "scores.csv").exists():
        return {}
    scores = run.scores
    names = [name for name in _CLASS_COLUMNS if name in scores]
    for name in names:
        scores[name] = pd.to_numeric(scores[name], errors="coerce")
        standing = scores.groupby("class", sort=False)[name].transform(
            lambda part: percentiles(part.to_numpy())
        )
        scores[f"{name}|standing"] = standing
    result: dict[str, list[dict[str, Any]]] = {}
    for row in scores.to_dict("records"):
        present = str(row.get("present")).lower()
        result.setdefault(str(row["case"]), []).append(
            {
                "class": row["class"],
                "present": {"true": True, "false": False}.get(present),
                "status": row.get("status") or "",
                "values": {name: row[name] for name in names},
                "standing": {name: row[f"{name}|standing"] for name in names},
            }
        )
    return result


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
