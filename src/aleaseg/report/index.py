"""What the group page knows: one column per number, one row per case, the most doubtful first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.measures.column import Column
from aleaseg.pages.figures import auv_histograms, spectra
from aleaseg.report.columns import for_page, values
from aleaseg.report.draw import thumbnail_file
from aleaseg.report.standing import confound_table
from aleaseg.run import Run, file_name

__all__ = ["HALF", "in_order", "index_data", "reasons_in_words"]

HALF = 0.5  # doubt above it is a robust z above 3 against the population
_CARDS = 200  # suspects with their reasons in words; the others are in the contact sheet


def in_order(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases by doubt, the highest first; without it by out-of-fold Dice, lowest first; then by id."""
    keys = pd.DataFrame({"case": cases["case"].astype(str)})
    keys["doubt"] = -values(cases, "doubt") if "doubt" in cases else np.nan
    keys["oof_dice"] = values(cases, "oof_dice") if "oof_dice" in cases else np.nan
    order = keys.sort_values(["doubt", "oof_dice", "case"], na_position="last", kind="stable").index
    return cases.loc[order].reset_index(drop=True)


def reasons_in_words(reasons: str) -> list[str]:
    """One sentence for each `code=value`."""
    from aleaseg.measures.reasons import in_words

    return in_words(reasons) if reasons else []


def index_data(
    run: Run, cases: pd.DataFrame, scores: pd.DataFrame, columns: list[Column], report: Path
) -> dict[str, Any]:
    """All that the group page draws, of `in_order(run.cases)`, the scores and `describe(cases, manifest)`.

    The report folder tells which cases have a small picture.
    """
    ids = [str(case) for case in cases["case"]]
    hashes = [file_name(case) for case in ids]
    data: dict[str, Any] = {
        "case": ids,
        "hash": hashes,
        "thumb": [int(thumbnail_file(report, case).exists()) for case in ids],
        "columns": [for_page(column) for column in columns],
        "half": HALF,
    }
    for name in ("status", "group", "site", "reasons", "error", "class_set"):
        data[name] = (
            _coded(values(cases, name)) if name in cases else _coded(np.array([""] * len(ids), object))
        )
    numbers = {column.name: values(cases, column.name) for column in columns}
    data["numbers"] = {name: column for name, column in numbers.items() if column.dtype != object}
    data["words"] = _words(cases)
    measures = [column.name for column in columns if column.role != "confound"]
    confounds = [column.name for column in columns if column.role == "confound"]
    data["confounds"] = confound_table(numbers, measures, confounds)
    data["statistics"] = [column.name for column in columns if column.role == "statistic"]
    data["histograms"] = auv_histograms(cases, scores)
    data["spectra"] = spectra(run, scores)
    return data


def _coded(texts: Any) -> dict[str, list]:
    """Texts that repeat, sent once each."""
    known, codes = np.unique(texts.astype(str), return_inverse=True)
    return {"texts": known.tolist(), "codes": codes.tolist()}


def _words(cases: pd.DataFrame) -> dict[str, list[str]]:
    """Reasons in words for the first rows, by row number."""
    if "reasons" not in cases:
        return {}
    found = {}
    for row, reasons in enumerate(cases["reasons"].head(_CARDS)):
        if isinstance(reasons, str) and reasons:
            found[str(row)] = reasons_in_words(reasons)
    return found
