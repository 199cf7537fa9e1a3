"""The page of one evaluation: one file that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.evaluation.columns import METRICS, OF_THE_CASE, SOFT
from aleaseg.evaluation.curves import reliability_svg, scatter_svg
from aleaseg.evaluation.evaluation import PAGE, Evaluation
from aleaseg.evaluation.following import correlation_in_words, cue_table
from aleaseg.evaluation.maps import draw_cases, worth_a_look
from aleaseg.evaluation.predicted import Found
from aleaseg.evaluation.reference import Reference
from aleaseg.evaluation.reliability import Reliability, reliability_of
from aleaseg.evaluation.summary import ALL
from aleaseg.evaluation.tables import references_table, risk_table, soft_table, summary_table
from aleaseg.evaluation.words import form_of, title_of, tolerances_in_words
from aleaseg.metrics.correlation import spearman
from aleaseg.pages.files import asset
from aleaseg.pages.numbers import interval, number
from aleaseg.pages.overlay import scale_bar
from aleaseg.pages.tables import records
from aleaseg.pages.templates import flat, write_html
from aleaseg.work import Progress

__all__ = ["write_evaluation_page"]

_PACKAGE = "aleaseg.evaluation"
_HEAD = ("dice", "hd95_mm", "nsd", "ece", "ueo")


def write_evaluation_page(
    evaluation: Evaluation, reference: Reference, found: Found, progress: Progress
) -> Path:
    """Write index.html, whose path is returned.

    Args:
        evaluation: finished.
        reference: what was measured against.
        found: the predictions.
        progress: told `report`, done, total.
    """
    from markupsafe import Markup

    measured = evaluation.cases[evaluation.cases["status"] != "failed"]
    lowest, unsure = worth_a_look(measured)
    reliability = reliability_of(
        evaluation.reliability, dict(zip(measured["case"], measured["group"], strict=True))
    )
    most = _most(reliability)
    drawn = draw_cases([*lowest, *unsure], measured, reference, found, most, progress)
    about = evaluation.manifest["dataset"]
    page = write_html(
        evaluation.path / PAGE,
        _PACKAGE,
        template="evaluation.html.j2",
        # Our own style sheets, not to be escaped.
        style=Markup(
            asset("page.css")
            + asset("drawings.css")
            + asset("compare.css", _PACKAGE)
            + asset("evaluation.css", _PACKAGE)
        ),
        name=Path(evaluation.settings.predictions).name,
        about=about,
        measured=len(measured),
        classes=list(evaluation.classes),
        tolerances=tolerances_in_words(evaluation.manifest["tolerances_mm"]),
        numbers=_numbers(evaluation.summary),
        means=_means(evaluation.summary),
        at=_at(evaluation),
        risk=risk_table(evaluation.risk) if len(evaluation.risk) else None,
        errors=list(evaluation.errors.values()),
        notes=list(evaluation.manifest["notes"]),
        unsure=_unsure(evaluation, measured, reliability),
        galleries=[
            ("Lowest Dice", [drawn[case] for case in lowest]),
            ("Most uncertain of the others", [drawn[case] for case in unsure]),
        ],
        mapped=about["pictured"] and reliability is not None,
        bar=scale_bar(most, "uncertainty"),
        made=_made(evaluation),
    )
    progress("report", len(drawn) + 1, len(drawn) + 1)
    return page


def _most(found: Reliability | None) -> float:
    """The end of the scale of uncertainty: of the bins that hold a voxel the last one's."""
    if found is None:
        return 1.0
    return float((np.flatnonzero(found.voxels)[-1] + 1) / len(found.voxels))


def _numbers(summary: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Over all classes, large: title with its direction, mean, interval."""
    rows = {row["metric"]: row for row in records(summary) if row["class"] == ALL}
    return [
        (
            title_of(name),
            f"{'high' if METRICS[name].higher_is_better else 'low'} = good",
            number(rows[name]["mean"], form_of(name)),
            interval(rows[name]["low"], rows[name]["high"], form_of(name)),
        )
        for name in _HEAD
        if name in rows
    ]


def _means(summary: pd.DataFrame) -> Any:
    """The table of the means; what is of cases alone has a place of its own, and a class says nothing twice."""
    return summary_table(summary[~summary["metric"].isin(OF_THE_CASE)])


def _at(evaluation: Evaluation) -> dict[str, Any]:
    """What `--at` asked for: against every reference, and against the confidences themselves; else empty."""
    references = evaluation.manifest.get("references")
    if not references:
        return {}
    return {
        "references": references_table(evaluation.summary, references),
        "soft": soft_table(evaluation.summary),
    }


def _unsure(evaluation: Evaluation, measured: pd.DataFrame, found: Reliability | None) -> dict[str, Any]:
    """Uncertainty beside errors and Dice; empty where none is known."""
    if found is None:
        return {}
    there = measured.dropna(subset=["dice", "boundary_uncertainty"])
    columns = [there[name].to_numpy(float) for name in ("boundary_uncertainty", "dice")]
    group = there["group"].astype(str).to_numpy()
    ueo = next((row for row in records(evaluation.summary) if row["metric"] == "ueo"), None)
    return {
        "cases": found.cases,
        "reliability": reliability_svg(found),
        "read": _rise(found),
        "scatter": scatter_svg(list(there["case"]), *map(list, columns)) if len(there) else "",
        "rho": correlation_in_words(spearman(columns[0], columns[1], group), len(set(group))),
        "ueo": ueo,
        "cues": cue_table(evaluation.summary, measured),
        "asked": list(evaluation.settings.cues),
    }


def _rise(found: Reliability) -> str:
    """The shares of the least and of the most uncertain voxels, in words."""
    held = np.flatnonzero(found.voxels)
    width = 1 / len(found.voxels)
    ends: Sequence[int] = [held[0], held[-1]]
    said = [
        f"{number(found.wrong[place], '.2%')} of the {found.voxels[place]:,} voxels with u from "
        f"{place * width:.2f} to {(place + 1) * width:.2f}"
        for place in dict.fromkeys(ends)
    ]
    return f"Wrong are {', and '.join(said)}."


def _made(evaluation: Evaluation) -> list[tuple[str, str]]:
    there = set(evaluation.summary["metric"])
    manifest = evaluation.manifest
    return [
        *(
            (metric.title, f"{metric.text} ({metric.direction})")
            for name, metric in {**METRICS, **SOFT}.items()
            if name in there
        ),
        *flat(
            {name: value for name, value in manifest["settings"].items() if value not in (None, [], False)}
        ),
        ("made", manifest["created"]),
        *flat({"versions": [{"aleaseg": manifest["aleaseg"], **manifest["versions"]}]}),
    ]
