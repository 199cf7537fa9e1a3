"""The mixed protocol: a share of the cases faulty, all kinds, the networks fitted to the faulty data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.bench.draw import Draw, fit_draw, mean_dice, open_draw
from aleaseg.bench.settings import DetectSettings
from aleaseg.case import Dataset
from aleaseg.run import Record, Run
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.numbers import Numbers
from aleaseg.work import Progress

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["class_means", "draws", "suspicions"]


def draws(out: Run, dataset: Dataset, settings: DetectSettings, progress: Progress) -> Iterator[Draw]:
    """Every draw, fitted and measured; a finished one is not done again."""
    for number in settings.numbers:
        run = Run(out.path / "draws" / str(number))
        draw = open_draw(run, dataset, number, share=settings.share)
        fit_draw(draw, settings.crossfit(number), progress)
        yield draw


def suspicions(every: Sequence[Draw]) -> pd.DataFrame:
    """One row per draw and case: what was wrong with it, and what each measure says.

    Returns:
        `CASE_FIELDS` (axis is `clean`, `mask` or `image`; clean_dice is that of the out-of-fold
        prediction and the clean mask), `CONFOUNDS`, and one column per measure, high = bad, NaN where
        it does not apply.
    """
    import pandas as pd

    tables = []
    for draw in every:
        groups = {case.id: case.group or case.id for case in draw.dataset.cases}
        rows: list[dict[str, Any]] = []
        numbers = Numbers.of(_noted(draw, groups, rows), list(draw.dataset.classes))
        columns = {
            name: measure.suspicion(numbers, measure.fit(numbers)) for name, measure in MEASURES.items()
        }
        tables.append(pd.concat([pd.DataFrame(rows), pd.DataFrame(columns)], axis=1))
    return pd.concat(tables, ignore_index=True)


def class_means(every: Sequence[Draw]) -> pd.DataFrame:
    """Means of the classes over all cases and draws, for the paper's Table 4.

    Returns:
        class, clean_dice (as in `suspicions`), and a column for each measure that has a number for
        every class, high = bad.
    """
    import pandas as pd

    tables = []
    for draw in every:
        numbers = Numbers.of(draw.run.records(), list(draw.dataset.classes))
        dice = np.array(
            [
                [draw.clean_dice[case].get(name, np.nan) for name in numbers.classes]
                for case in numbers.cases
            ]
        )
        columns = {name: measure.by_class(numbers) for name, measure in MEASURES.items()}
        found = {name: column for name, column in columns.items() if column is not None}
        tables += [
            pd.DataFrame(
                {
                    "class": name,
                    "clean_dice": dice[:, index],
                    **{measure: column[:, index] for measure, column in found.items()},
                }
            )
            for index, name in enumerate(numbers.classes)
        ]
    return pd.concat(tables).groupby("class", sort=False).mean().reset_index()


def _noted(draw: Draw, groups: Mapping[str, str], rows: list[dict[str, Any]]) -> Iterator[Record]:
    """The records as they pass, what the table says of each noted."""
    for record in draw.run.records():
        rows.append(_row(draw, record, groups[record.case]))
        yield record


def _row(draw: Draw, record: Record, group: str) -> dict[str, Any]:
    dealt = draw.truth.get(record.case)
    volumes = [volume for volume in record.volume_mm3.values() if volume]
    return {
        "draw": draw.number,
        "case": record.case,
        "group": group,
        "axis": dealt.axis if dealt else "clean",
        "fault": dealt.fault if dealt else "",
        "fault_dice": dealt.changed.get("dice") if dealt else None,
        "clean_dice": mean_dice(draw.clean_dice[record.case]),
        "volume_mm3": float(sum(volumes)),
        "fov_mm3": math.prod(record.shape) * math.prod(record.spacing_mm),
        "depth": record.shape[0] if len(record.shape) == 3 else 1,
        "spacing_mm": record.spacing_mm[0] if record.spacing_mm else None,
        "n_classes": len(volumes),
    }
