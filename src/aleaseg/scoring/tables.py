"""The tables of a run, derived from its records and its population."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple

import numpy as np

from aleaseg.measures.reasons import WAYS, WAYS_OF_A_PICTURE, in_words
from aleaseg.run import Record, Run, open_table, write_json, write_table
from aleaseg.run.tables import TableWriter, cell
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.columns import CASE_COLUMNS, MEASURE_COLUMNS, SCORE_COLUMNS, describe_columns
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import Scored, fit_population, score_population
from aleaseg.scoring.stated import STATED

__all__ = ["write_tables"]

_AXES = ("d", "h", "w")
_SIZES = ("depth", "height", "width")
_OF_THE_CASE = ("case", "status", "group", "site", "oof_dice", "volume_mm3", "class_set", "error")
_SCORED = ("doubt", "image_doubt", "label_doubt", "auv", "auv_for_size")


def write_tables(
    run: Run,
    classes: Sequence[str],
    reference: Mapping[str, Any] | None = None,
    *,
    batches: Mapping[str, int] | None = None,
    every: bool = False,
) -> Scored:
    """Compare all finished cases and write measures.csv, scores.csv, cases.csv and population.json.

    Args:
        run: with finished cases.
        classes: names, in order.
        reference: a frozen population; None: the cases are their own.
        batches: case -> the arrival that it came with, from 1, where a data set has grown since its population
            was frozen.
        every: also every_measure.csv, a column for each of `MEASURES`.

    Returns:
        The scores, in the order of the records.
    """
    facts: list[_Facts] = []
    measured: set[str] = set()
    with open_table(run.path / "measures.csv", MEASURE_COLUMNS) as table:
        numbers = Numbers.of(_noted(run.records(), table, classes, facts, measured), classes)
    population = fit_population(numbers) if reference is None else reference
    if population is not None:
        write_json(run.path / "population.json", population)
    scored = score_population(numbers, population)
    # Behind the columns that every run has: what annotators stated, where they did, and the image's statistics.
    behind = [
        *(["batch"] if batches else []),
        *(name for name in STATED if name in measured),
        *sorted(name for name in measured if name.startswith("img_")),
    ]
    write_table(run.path / "scores.csv", SCORE_COLUMNS, _scores(numbers, facts, scored))
    write_table(
        run.path / "cases.csv",
        [*CASE_COLUMNS, *behind, "error"],
        _cases(numbers, facts, scored, behind, batches or {}),
    )
    columns_of_all = _write_every(run, numbers) if every and population is not None else []
    run.update_manifest(
        columns=describe_columns(
            [
                *CASE_COLUMNS,
                *SCORE_COLUMNS,
                *MEASURE_COLUMNS,
                *sorted(measured),
                *behind,
                *columns_of_all,
                "error",
            ]
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


class _Facts(NamedTuple):
    """What the tables say of a case beside its numbers."""

    case: str
    status: str
    group: str
    site: str
    error: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    present: tuple[bool | None, ...]  # of each class
    scale_status: tuple[str, ...]  # of each class's S
    class_set: str
    volume_mm3: float | None
    oof_dice: float | None


def _noted(
    records: Iterable[Record],
    table: TableWriter,
    classes: Sequence[str],
    facts: list[_Facts],
    measured: set[str],
) -> Iterator[Record]:
    """The records as they pass, one at a time: their rows written, their facts and measures noted."""
    for record in records:
        case = cell(record.case)
        table.texts(
            (case, cell(of), cell(name), cell(variant), "" if value is None else f"{value:.9g}", how)
            for name, variant, of, value, how in record.measures
        )
        measured.update(row.measure for row in record.measures)
        facts.append(_facts(record, classes))
        yield record


def _facts(record: Record, classes: Sequence[str]) -> _Facts:
    dice, scales = {}, {}
    for row in record.measures:
        if row.variant == "" and row.measure == "oof_dice" and row.value is not None:
            dice[row.class_name] = row.value
        elif row.variant == "" and row.measure == "perception_scale":
            scales[row.class_name] = row.status
    volumes = [volume for volume in record.volume_mm3.values() if volume is not None]
    return _Facts(
        record.case,
        record.status,
        record.group,
        record.site,
        record.error or "",
        record.shape,
        record.spacing_mm,
        tuple(record.present.get(name) for name in classes),
        tuple(intern(scales.get(name, record.status)) for name in classes),
        intern("+".join(name for name, there in record.present.items() if there)),
        float(np.sum(volumes)) if volumes else None,
        float(np.mean(list(dice.values()))) if dice else None,
    )


def _scores(numbers: Numbers, facts: Sequence[_Facts], scored: Scored) -> Iterator[dict[str, Any]]:
    """Rows of scores.csv, a case and class each."""
    scale, volume = numbers.by_class("perception_scale"), numbers.by_class("volume_mm3")
    dice, softmin = numbers.by_class("oof_dice"), numbers.case("softmin")
    for index, about in enumerate(facts):
        for column, name in enumerate(numbers.classes):
            present = about.present[column]
            yield {
                "case": about.case,
                "class": name,
                "present": present,
                "perception_scale": scale[index, column],
                "auv": scored.class_auv[index, column] if present is not False else None,
                "volume_mm3": volume[index, column],
                "oof_dice": dice[index, column],
                "softmin": softmin[index],
                "status": about.scale_status[column],
            }


def _cases(
    numbers: Numbers,
    facts: Sequence[_Facts],
    scored: Scored,
    behind: Sequence[str],
    batches: Mapping[str, int],
) -> Iterator[dict[str, Any]]:
    """Rows of cases.csv, a case each."""
    softmin = numbers.case("softmin")
    columns = {name: numbers.case(name) for name in behind}
    columns["batch"] = np.array([batches.get(case, 0) for case in numbers.cases])
    for index, about in enumerate(facts):
        dims = len(about.shape)
        sizes = dict(zip(_SIZES[-dims:], about.shape, strict=True)) if dims else {}
        spacings = zip(_AXES[-dims:], about.spacing_mm, strict=True) if dims else ()
        yield {
            **{name: getattr(about, name) for name in _OF_THE_CASE},
            **{name: getattr(scored, name)[index] for name in _SCORED},
            "perception_scale": scored.scale[index],
            "softmin": softmin[index],
            "reasons": scored.reasons[index],
            "why": "; ".join(
                in_words(
                    scored.reasons[index],
                    WAYS if dims == 3 else WAYS_OF_A_PICTURE,
                    one_class=len(numbers.classes) == 1,
                )
            ),
            "fov_mm3": float(np.prod(about.shape) * np.prod(about.spacing_mm)) if dims else None,
            **sizes,
            **{f"spacing_{axis}_mm": mm for axis, mm in spacings},
            **{name: column[index] for name, column in columns.items()},
        }
