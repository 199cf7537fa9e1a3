"""A comparison as one page that opens from disk, as Markdown, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.evaluation.columns import METRICS
from aleaseg.evaluation.comparing import Comparison, Pair
from aleaseg.evaluation.drawing import axis_svg, reach, row_svg, strip_svg
from aleaseg.evaluation.pictures import Picture, draw_pictures, largest_differences
from aleaseg.evaluation.summary import ALL
from aleaseg.evaluation.words import READ, difference_form, form_of, overview, sentence, title_of
from aleaseg.report.javascript import write_if_changed
from aleaseg.report.numbers import interval, number, p_value
from aleaseg.report.pages import copy_assets, templates

__all__ = ["write_comparison_page"]

# More classes than these stand folded.
_MANY_CLASSES = 8


def write_comparison_page(comparison: Comparison, out: Path, command: str = "") -> Path:
    """Write index.html and its style.

    Args:
        comparison: what was found.
        out: the folder.
        command: as it was typed.

    Returns:
        The path of index.html.
    """
    environment = templates("aleaseg.evaluation")
    environment.filters |= {"number": number}
    copy_assets(out, "aleaseg.evaluation", "compare.css")
    page = environment.get_template("compare.html.j2").render(_context(comparison, command))
    write_if_changed(out / "index.html", page)
    return out / "index.html"


def _context(comparison: Comparison, command: str) -> dict[str, Any]:
    first = comparison.evaluations[0]
    about = first.manifest["dataset"]
    return {
        "about": about,
        "first": comparison.names[0],
        "read": READ,
        "classes": list(comparison.classes),
        "tolerances": _tolerances(first.manifest["tolerances_mm"]),
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
        "metrics": [
            (metric.title, metric.direction, metric.text)
            for name, metric in METRICS.items()
            if (comparison.rows["metric"] == name).any()
        ],
        "command": command,
        "versions": {"aleaseg": first.manifest["aleaseg"], **first.manifest["versions"]},
        "created": first.manifest["created"],
    }


def _tolerances(by_class: Mapping[str, float]) -> str:
    if len(set(by_class.values())) == 1:
        return f"{next(iter(by_class.values())):g} mm"
    return ", ".join(f"{name} {mm:g} mm" for name, mm in by_class.items())


def _evaluation(name: str, evaluation: Any) -> dict[str, Any]:
    errors = evaluation.errors
    return {
        "name": name,
        "cases": len(evaluation.cases) - len(errors),
        "errors": list(errors.values()),
        "notes": list(evaluation.manifest["notes"]),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _pair(place: int, pair: Pair, comparison: Comparison, second: Any) -> dict[str, Any]:
    rows = _records(pair.rows)
    of_dice = next((row for row in rows if row["metric"] == "dice" and row["class"] == ALL), None)
    return {
        "id": f"pair{place}",
        "first": pair.first,
        "second": pair.second,
        "dice": None if of_dice is None else _row(of_dice, 1.0),
        "sentence": "" if of_dice is None else sentence(of_dice),
        "overview": overview(rows),
        # Of a single class its own rows would say everything twice.
        "metrics": _by_metric(
            rows if len(comparison.classes) > 1 else [row for row in rows if row["class"] == ALL]
        ),
        "all": "all classes" if len(comparison.classes) > 1 else comparison.classes[0],
        "many": len(comparison.classes) > _MANY_CLASSES,
        "strip": _strip(pair),
        "notes": list(pair.notes),
        **_pictures(comparison.evaluations[0], second, pair),
    }


def _by_metric(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows grouped by metric, on one axis each."""
    from markupsafe import Markup

    found = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        of_metric = [row for row in rows if row["metric"] == metric]
        far = reach([row[end] for row in of_metric for end in ("low", "high", "difference")])
        better = metric in METRICS and METRICS[metric].higher_is_better
        found.append(
            {
                "metric": metric,
                "title": title_of(metric),
                "better": better,
                "axis": Markup(axis_svg(far)),
                "rows": [_row(row, far) for row in of_metric],
            }
        )
    return found


def _row(row: Mapping[str, Any], far: float) -> dict[str, Any]:
    from markupsafe import Markup

    form = form_of(row["metric"])
    return {
        "class": row["class"],
        "all": row["class"] == ALL,
        "picture": Markup(row_svg(row, far)),
        "difference": number(row["difference"], difference_form(row)),
        "spread": interval(row["low"], row["high"], difference_form(row)),
        "first": number(row["first_mean"], form),
        "second": number(row["second_mean"], form),
        "p": p_value(row["p"]),
        "cases": row["cases"],
        "groups": row["groups"],
        "verdict": row["verdict"],
    }


def _strip(pair: Pair) -> dict[str, Any]:
    from markupsafe import Markup

    gaps = pair.cases["difference"].to_numpy(dtype=np.float64)
    far = reach(list(gaps))
    known = gaps[~np.isnan(gaps)]
    return {
        "svg": Markup(strip_svg(list(pair.cases["case"]), list(gaps), far)),
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
        "gains": [_shown(pictures[case]) for case in gains if case in pictures],
        "losses": [_shown(pictures[case]) for case in losses if case in pictures],
        "no_pictures": trouble,
    }


def _shown(picture: Picture) -> dict[str, Any]:
    from markupsafe import Markup

    return {
        "case": picture.case,
        "where": picture.where,
        "first": number(picture.first, ".3f"),
        "second": number(picture.second, ".3f"),
        "difference": number(picture.difference, "+.3f"),
        "svg": Markup(picture.svg),
        "trouble": picture.trouble,
    }
