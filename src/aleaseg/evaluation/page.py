"""A comparison as one page that opens from disk, as Markdown, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.evaluation.columns import metrics_in
from aleaseg.evaluation.comparing import Comparison, Pair
from aleaseg.evaluation.drawing import strip_svg
from aleaseg.evaluation.pictures import draw_pictures, largest_differences
from aleaseg.evaluation.summary import ALL
from aleaseg.evaluation.tables import differences_table
from aleaseg.evaluation.words import (
    READ,
    difference_form,
    overview,
    sentence,
    tolerances_in_words,
)
from aleaseg.pages.axes import reach
from aleaseg.pages.files import copy_assets
from aleaseg.pages.numbers import number
from aleaseg.pages.tables import Table, records
from aleaseg.pages.templates import flat, write_html

__all__ = ["write_comparison_page"]

# More classes than these stand folded.
_MANY_CLASSES = 8


def write_comparison_page(comparison: Comparison, out: Path, command: str = "") -> Path:
    """Write index.html, whose path is returned, and its style."""
    copy_assets(out, "aleaseg.evaluation", "compare.css", shared=("drawings.css",))
    named = _context(comparison, command)
    return write_html(out / "index.html", "aleaseg.evaluation", template="compare.html.j2", **named)


def _context(comparison: Comparison, command: str) -> dict[str, Any]:
    first = comparison.evaluations[0]
    about = first.manifest["dataset"]
    return {
        "styles": ["drawings.css", "compare.css"],
        "about": about,
        "first": comparison.names[0],
        "read": READ,
        "classes": list(comparison.classes),
        "tolerances": tolerances_in_words(first.manifest["tolerances_mm"]),
        "pairs": [
            _pair(place, pair, comparison, second)
            for place, (pair, second) in enumerate(
                zip(comparison.pairs, comparison.evaluations[1:], strict=True), start=1
            )
        ],
        "evaluations": [
            _evaluation(name, each)
            for name, each in zip(comparison.names, comparison.evaluations, strict=True)
        ],
        "made": [
            *(
                (metric.title, f"{metric.text} ({metric.direction})")
                for metric in metrics_in(comparison.rows["metric"]).values()
            ),
            *([("command", command)] if command else []),
            ("made", first.manifest["created"]),
            *flat({"versions": [{"aleaseg": first.manifest["aleaseg"], **first.manifest["versions"]}]}),
        ],
    }


def _evaluation(name: str, evaluation: Any) -> dict[str, Any]:
    errors = evaluation.errors
    return {
        "name": name,
        "cases": len(evaluation.cases) - len(errors),
        "errors": list(errors.values()),
        "notes": list(evaluation.manifest["notes"]),
    }


def _pair(place: int, pair: Pair, comparison: Comparison, second: Any) -> dict[str, Any]:
    rows = records(pair.rows)
    of_dice = next((row for row in rows if row["metric"] == "dice" and row["class"] == ALL), None)
    return {
        "id": f"pair{place}",
        "first": pair.first,
        "second": pair.second,
        "dice": of_dice,
        "sentence": "" if of_dice is None else sentence(of_dice),
        "form": "" if of_dice is None else difference_form(of_dice),
        "overview": overview(rows),
        "tables": _tables(pair, rows, comparison.classes),
        "strip": _strip(pair),
        "notes": list(pair.notes),
        **_pictures(comparison.evaluations[0], second, pair),
    }


def _tables(pair: Pair, rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> list[Table]:
    """One, and of many classes a second with each of them, which stands folded."""
    over = [row for row in rows if row["class"] == ALL]
    # Of a single class its own rows would say everything twice.
    names = pair.first, pair.second
    if len(classes) == 1:
        return [differences_table(*names, over, "Differences", classes[0])]
    every = differences_table(*names, rows, "Differences of each class", "all classes")
    if len(classes) <= _MANY_CLASSES:
        return [every]
    return [differences_table(*names, over, "Differences", "all classes"), every]


def _strip(pair: Pair) -> dict[str, Any]:
    gaps = pair.cases["difference"].to_numpy(dtype=np.float64)
    far = reach(list(gaps))
    known = gaps[~np.isnan(gaps)]
    return {
        "svg": strip_svg(list(pair.cases["case"]), list(gaps), far),
        "up": int((known > 0).sum()),
        "down": int((known < 0).sum()),
        "same": int((known == 0).sum()),
        "far": number(far, ".2g"),
    }


def _pictures(first: Any, second: Any, pair: Pair) -> dict[str, Any]:
    gains, losses = largest_differences(pair.cases)
    wanted = pair.cases[pair.cases["case"].isin([*gains, *losses])]
    pictures, trouble = draw_pictures(first, second, wanted) if len(wanted) else ({}, "")
    return {
        "gains": [pictures[case] for case in gains if case in pictures],
        "losses": [pictures[case] for case in losses if case in pictures],
        "no_pictures": trouble,
    }
