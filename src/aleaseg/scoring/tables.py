"""The tables of a run, derived from its records and its population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aleaseg.run import Run, write_json, write_table
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.columns import CASE_COLUMNS, MEASURE_COLUMNS, SCORE_COLUMNS, describe_columns
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import Scored, fit_population, score_population

__all__ = ["write_tables"]

Record = Mapping[str, Any]
_AXES = ("d", "h", "w")
_SIZES = ("depth", "height", "width")


def write_tables(
    run: Run, classes: Sequence[str], reference: Mapping[str, Any] | None = None, *, every: bool = False
) -> Scored:
    """Compare all finished cases and write measures.csv, scores.csv, cases.csv and population.json.

    Args:
        run: with finished cases.
        classes: names, in order.
        reference: a frozen population; None: the cases are their own.
        every: also every_measure.csv, a column for each of `MEASURES`.

    Returns:
        The scores, in the order of the records.
    """
    records = list(run.records())
    numbers = Numbers.of(records, classes)
    population = fit_population(numbers) if reference is None else reference
    if population is not None:
        write_json(run.path / "population.json", population)
    scored = score_population(numbers, population)
    _write_measures(run, records)
    _write_scores(run, records, classes, scored)
    statistics = _write_cases(run, records, scored)
    columns_of_all = _write_every(run, numbers) if every and population is not None else []
    measures = sorted({row["measure"] for record in records for row in record["measures"]})
    run.update_manifest(
        columns=describe_columns(
            dict.fromkeys(
                [
                    *CASE_COLUMNS,
                    *SCORE_COLUMNS,
                    *MEASURE_COLUMNS,
                    *measures,
                    *statistics,
                    *columns_of_all,
                    "error",
                ]
            )
        ),
        population=None
        if population is None
        else {
            "cases": population["cases"],
            "frozen": reference is not None,
            "above_half": {
                name: _share(getattr(scored, name)) for name in ("doubt", "image_doubt", "label_doubt")
            },
        },
    )
    return scored


def _write_every(run: Run, numbers: Numbers) -> list[str]:
    """Write every_measure.csv, each measure in its own direction; returns its columns."""
    columns = {name: measure.value(numbers, measure.fit(numbers)) for name, measure in MEASURES.items()}
    rows = (
        {"case": case, **{name: column[index] for name, column in columns.items()}}
        for index, case in enumerate(numbers.cases)
    )
    write_table(run.path / "every_measure.csv", ["case", *columns], rows)
    return list(columns)


def _share(doubt: np.ndarray) -> float | None:
    known = doubt[np.isfinite(doubt)]
    return round(float((known > 0.5).mean()), 4) if known.size else None


def _write_measures(run: Run, records: Sequence[Record]) -> None:
    rows = ({"case": record["case"], **row} for record in records for row in record["measures"])
    write_table(run.path / "measures.csv", MEASURE_COLUMNS, rows)


def _defaults(record: Record) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(row["measure"], row["class"]): row for row in record["measures"] if row["variant"] == ""}


def _write_scores(run: Run, records: Sequence[Record], classes: Sequence[str], scored: Scored) -> None:
    rows = []
    for index, record in enumerate(records):
        defaults = _defaults(record)
        for column, name in enumerate(classes):
            scale = defaults.get(("perception_scale", name), {})
            present = record["present"].get(name)
            rows.append(
                {
                    "case": record["case"],
                    "class": name,
                    "present": present,
                    "perception_scale": scale.get("value"),
                    "auv": scored.class_auv[index, column] if present is not False else None,
                    "volume_mm3": defaults.get(("volume_mm3", name), {}).get("value"),
                    "oof_dice": defaults.get(("oof_dice", name), {}).get("value"),
                    "softmin": defaults.get(("softmin", ""), {}).get("value"),
                    "status": scale.get("status") or record["status"],
                }
            )
    write_table(run.path / "scores.csv", SCORE_COLUMNS, rows)


def _write_cases(run: Run, records: Sequence[Record], scored: Scored) -> list[str]:
    """Write cases.csv; returns the columns of image statistics in it."""
    statistics = sorted(
        {
            row["measure"]
            for record in records
            for row in record["measures"]
            if row["measure"].startswith("img_")
        }
    )
    rows = []
    for index, record in enumerate(records):
        defaults = _defaults(record)
        dice = [
            row["value"]
            for (measure, name), row in defaults.items()
            if measure == "oof_dice" and row["value"] is not None
        ]
        volumes = [volume for volume in record["volume_mm3"].values() if volume is not None]
        row = {
            "case": record["case"],
            "status": record["status"],
            "group": record["group"],
            "site": record["site"],
            "doubt": scored.doubt[index],
            "image_doubt": scored.image_doubt[index],
            "label_doubt": scored.label_doubt[index],
            "auv": scored.auv[index],
            "perception_scale": scored.scale[index],
            "oof_dice": float(np.mean(dice)) if dice else None,
            "softmin": defaults.get(("softmin", ""), {}).get("value"),
            "reasons": scored.reasons[index],
            "volume_mm3": float(np.sum(volumes)) if volumes else None,
            "class_set": "+".join(name for name, there in record["present"].items() if there),
            "error": record["error"] or "",
            **{name: defaults.get((name, ""), {}).get("value") for name in statistics},
        }
        if "shape" in record:
            row["fov_mm3"] = float(np.prod(record["shape"]) * np.prod(record["spacing_mm"]))
            for axis, size, mm in zip(
                _AXES[-len(record["shape"]) :], record["shape"], record["spacing_mm"], strict=True
            ):
                row[_SIZES[_AXES.index(axis)]] = size
                row[f"spacing_{axis}_mm"] = mm
        rows.append(row)
    write_table(run.path / "cases.csv", [*CASE_COLUMNS, *statistics, "error"], rows)
    return statistics
