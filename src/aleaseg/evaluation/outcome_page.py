"""What an outcome says, as Markdown that can be committed as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.numbers import p_value
from aleaseg.pages.tables import Cell, Column, Row, Table, quantity, records

__all__ = ["TITLES", "outcome_markdown", "outcome_table"]

TITLES = {"r2": "R²", "mae": "MAE", "pearson": "Pearson", "auroc": "AUROC", "ap": "AP"}


def outcome_table(rows: pd.DataFrame) -> Table:
    """A row for each set of features."""
    there = [name for name in TITLES if name in rows]
    columns = [Column("features"), Column("numbers", True)]
    columns += [Column(TITLES[name], True) for name in there] + [Column("p", True)]
    found = []
    for row in records(rows):
        cells = [Cell(str(row["features"])), quantity(row["count"], ".0f")]
        cells += [
            quantity(row[name], ".3g" if name == "mae" else ".3f", row[f"{name}_low"], row[f"{name}_high"])
            for name in there
        ]
        p = row.get("p")
        found.append(Row([*cells, Cell(p_value(p) if p is not None and p == p else "")]))
    return Table("What predicts the target", columns, found)


def outcome_markdown(rows: pd.DataFrame, manifest: Mapping[str, Any]) -> str:
    """The page."""
    settings, about = manifest["settings"], manifest["dataset"]
    kind = (
        "a number"
        if manifest["task"] == "regression"
        else f"one of {', '.join(manifest['target_classes'])}"
    )
    lines = [
        f"# {markdown_text(Path(settings['target']).name)} from masks of {markdown_text(about['name'])}",
        "",
        f"{manifest['patients']} patients, {about['cases']} images; the target is {markdown_text(kind)}. "
        f"{settings['folds']} folds by patient, {settings['repeats']} times; in brackets the 95% interval, patients "
        "resampled. The masks were frozen before: nothing here was learnt for them.",
        "",
        *table_markdown(outcome_table(rows)),
        "",
        "p: how often masks predict targets that were shuffled among the patients as well as the true ones. A target "
        "that was computed from a mask is foretold best by that mask: such a result says nothing.",
    ]
    notes = [f"- {markdown_text(note)}" for note in manifest["notes"]]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"
