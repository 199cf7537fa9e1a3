"""What the group page knows: one column per number, one row per case, the most doubtful first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.measures.reasons import Z_MEANS
from aleaseg.pages.figures import auv_histograms, spectra
from aleaseg.pages.thumbnails import line_colours
from aleaseg.report.columns import for_page, values
from aleaseg.report.draw import Drawn, drawn, mosaic_file, pictures_file
from aleaseg.report.facts import CaseFacts
from aleaseg.report.next_step import HALF
from aleaseg.report.standing import confound_table
from aleaseg.run import file_name

__all__ = ["case_table", "index_data"]


def index_data(facts: CaseFacts, report: Path) -> dict[str, Any]:
    """All that the group page draws.

    The report folder tells which cases have a small picture, and what it shows.
    """
    cases, columns = facts.cases, facts.columns
    measures = [column.name for column in columns if column.role != "confound"]
    confounds = [column.name for column in columns if column.role == "confound"]
    numbers = {column.name: values(cases, column.name) for column in columns}
    return {
        **case_table(facts, report),
        "confounds": confound_table(numbers, measures, confounds),
        "statistics": [column.name for column in columns if column.role == "statistic"],
        "histograms": auv_histograms(cases, facts.scores),
        "spectra": spectra(facts.run, facts.scores),
    }


def case_table(facts: CaseFacts, report: Path) -> dict[str, Any]:
    """The cases and their numbers, as `table` of page.js takes them: what every view of a run's cases begins with.

    Args:
        facts: of the run.
        report: the report folder: it tells which cases have a small picture, and what it shows.
    """
    cases, columns = facts.cases, facts.columns
    ids = cases["case"].astype(str).tolist()
    pictures = [drawn(report, case) for case in ids]
    colours = line_colours(len(facts.classes))
    data: dict[str, Any] = {
        # What a browser keeps of the reader's flags is kept by this name.
        "key": hashlib.sha256(f"{facts.run.path.resolve()}".encode("utf-8", "replace")).hexdigest()[:16],
        "prediction": facts.prediction,
        "case": ids,
        "hash": [file_name(case) for case in ids],
        "thumb": [int(one is not None) for one in pictures],
        "pictures": [int(pictures_file(report, case).exists()) for case in ids],
        "mosaic": [int(mosaic_file(report, case).exists()) for case in ids],
        "plane": _coded(np.array([_caption(one) for one in pictures], dtype=object)),
        "columns": [for_page(column) for column in columns],
        "classes": [
            {"name": name, "mask": mask, "oof": predicted}
            for name, (mask, predicted) in zip(facts.classes, colours, strict=True)
        ],
        "half": HALF,
        "z": Z_MEANS,
        "reasons": _reasons(facts, ids, pictures),
    }
    for name in ("status", "group", "site", "error", "class_set"):
        data[name] = (
            _coded(values(cases, name)) if name in cases else _coded(np.array([""] * len(ids), object))
        )
    numbers = {column.name: values(cases, column.name) for column in columns}
    data["numbers"] = {name: column for name, column in numbers.items() if column.dtype != object}
    return data


def _coded(texts: Any) -> dict[str, list]:
    """Texts that repeat, sent once each."""
    known, codes = np.unique(texts.astype(str), return_inverse=True)
    return {"texts": known.tolist(), "codes": codes.tolist()}


def _caption(one: Drawn | None) -> str:
    """What a small picture shows: `coronal, slice 12 of 35; no mask in it`."""
    if one is None:
        return ""
    missing = f"no {' and no '.join(one.empty)} in it" if one.empty else ""
    return "; ".join(filter(None, (one.plane, missing)))


def _reasons(facts: CaseFacts, ids: list[str], pictures: Sequence[Drawn | None]) -> dict[str, list]:
    """The reasons of each case: axis, sentence and robust z, those that repeat sent once each."""
    known: dict[tuple[str, str, str], int] = {}
    rows = [
        [
            known.setdefault((one.axis, one.sentence, one.detail), len(known))
            for one in facts.reasons(case, None if picture is None else picture.ways)
        ]
        for case, picture in zip(ids, pictures, strict=True)
    ]
    return {"texts": [list(text) for text in known], "rows": rows}
