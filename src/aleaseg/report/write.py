"""One folder that opens from disk: `report/index.html` and all it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.case import Dataset
from aleaseg.measures.column import Column
from aleaseg.measures.reasons import Z_MEANS
from aleaseg.pages.files import copy_assets, write_if_changed
from aleaseg.pages.javascript import as_script
from aleaseg.pages.templates import flat, write_html
from aleaseg.predictions import Predictions, open_predictions
from aleaseg.report.columns import values
from aleaseg.report.draw import Wanted, draw_cases, drawn
from aleaseg.report.drift import ruler_svg, shown_drift
from aleaseg.report.facts import CaseFacts
from aleaseg.report.index import index_data
from aleaseg.report.next_step import HALF, next_step
from aleaseg.run import UNMEASURED, Run, file_name, read_json

__all__ = ["write_report"]

_SHOWN_FINDINGS = 500
_WITH_SLICES = 400  # cases of which all slices are drawn, the most doubtful
_WITHOUT_SCRIPTS = 50  # cases that a browser without scripts shows
_SCRIPTS = (
    "page.js",
    "queue.js",
    "flags.js",
    "axes.js",
    "plots.js",
    "cards.js",
    "distributions.js",
    "controls.js",
    "sheet.js",
    "figures.js",
    "group.js",
    "viewer.js",
    "case.js",
)


def write_report(
    run: Run,
    dataset: Dataset | None,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    predictions: Predictions | None = None,
) -> Path:
    """Write the page of a run; what is up to date is left as it is.

    Args:
        run: a finished run.
        dataset: what it was made from; None (its files have moved away): a page without pictures.
        progress: called with (done, total) while pictures are made.
        workers: processes that make pictures; None: one per core.
        predictions: out-of-fold label maps; None: those that the run names.

    Returns:
        The path of `report/index.html`.

    Raises:
        UsageError: the folder holds no run, or a damaged one.
    """
    report = run.path / "report"
    facts = CaseFacts(run)
    manifest, cases = facts.manifest, facts.cases
    notes = [str(note) for note in manifest.get("notes") or []]
    troubles: dict[str, str] = {}
    if dataset is None:
        where = (manifest.get("dataset") or {}).get("path") or "its folder"
        notes.append(f"The images were not at {where} when this page was written: it has no new pictures.")
    else:
        if predictions is None:
            # Without the cases: it goes to worker processes again and again.
            predictions = open_predictions(Run(run.path.resolve()), dataset.with_cases(()))
        scored = cases["case"].astype(str)[~np.isin(values(cases, "status"), UNMEASURED)]
        doubtful = set(cases["case"].astype(str)[_doubtful(cases)].head(_WITH_SLICES))
        wanted = {case: Wanted(facts.sought(case), case in doubtful) for case in scored}
        troubles = draw_cases(run, dataset, wanted, report, predictions, progress, workers)
    if troubles:
        notes.append(f"{len(troubles)} case(s) could not be drawn; their pages say why.")
    _forget_others(report, {file_name(str(case)) for case in cases["case"]})
    _write_assets(report)
    for case in cases["case"].astype(str):
        name, picture = file_name(case), drawn(report, case)
        data = facts.of(case, None if picture is None else picture.ways)
        write_if_changed(report / "cases" / f"{name}.js", as_script("case", name, data))
    write_if_changed(report / "data" / "index.js", as_script("index", "", index_data(facts, report)))
    context = _context(facts, notes)
    write_html(report / "case.html", "aleaseg.report", **context)
    return write_html(report / "index.html", "aleaseg.report", **context)


def _doubtful(cases: pd.DataFrame) -> NDArray[np.bool_]:
    if "doubt" not in cases:
        return np.zeros(len(cases), dtype=bool)
    above: NDArray[np.bool_] = values(cases, "doubt") > HALF
    return above


def _write_assets(report: Path) -> None:
    copy_assets(report, "aleaseg.report", "report.css", *_SCRIPTS)
    for path in (report / "assets").glob("*.js"):  # of an earlier version
        if path.name not in _SCRIPTS:
            path.unlink()


def _forget_others(report: Path, names: set[str]) -> None:
    """Delete what belongs to cases that the run no longer has."""
    for folder in ("cases", "pictures", "thumbs", "mosaics"):
        for path in (report / folder).glob("*"):
            # Small pictures were once drawings.
            if path.name.partition(".")[0] not in names or path.suffix == ".svg":
                path.unlink()


def _directions(columns: list[Column]) -> list[tuple[str, list[str]]]:
    """Each direction that a score has, and the titles of those scores."""
    scores = [column for column in columns if column.role == "score" and column.direction.sign]
    return [
        (said.value, [column.title for column in scores if column.direction is said])
        for said in dict.fromkeys(column.direction for column in scores)
    ]


def _context(facts: CaseFacts, notes: list[str]) -> dict[str, Any]:
    """What the templates name."""
    run, manifest, cases, columns = facts.run, facts.manifest, facts.cases, facts.columns
    about = {"channels": [], "path": "", **(manifest.get("dataset") or {})}
    population = manifest.get("population") or {}
    status = values(cases, "status") if "status" in cases else np.array([], dtype=object)
    checked = read_json(run.path / "check.json") if (run.path / "check.json").exists() else []
    # Runs of version 0.1 have the findings alone.
    findings = checked["findings"] if isinstance(checked, dict) else checked
    findings = sorted(findings, key=lambda finding: (finding["severity"] != "error", finding["case"]))
    has = {column.name for column in columns}
    drift, alarms = shown_drift(run)
    return {
        "styles": ["report.css"],
        "name": about.get("name") or run.path.name,
        "about": about,
        "classes": list(about.get("classes") or {}),
        "cases": len(cases),
        "failed": int(np.isin(status, UNMEASURED).sum()),
        "above_half": {"label_doubt": None, "image_doubt": None, **(population.get("above_half") or {})},
        "next": next_step(run.path.resolve(), cases),
        "drift": drift,
        "drift_alarms": alarms,
        "drift_tests": (manifest.get("drift") or {}).get("tests", 0),
        "drift_alpha": (manifest.get("drift") or {}).get("alpha", 0.0),
        "ruler": ruler_svg(),
        "first": [(case, facts.reasons(case)) for case in cases["case"].astype(str).head(_WITHOUT_SCRIPTS)],
        "prediction": facts.prediction,
        "z_means": Z_MEANS,
        "has": has,
        "notes": notes,
        "columns": columns,
        "directions": _directions(columns),
        "findings": findings[:_SHOWN_FINDINGS],
        "findings_left_out": max(0, len(findings) - _SHOWN_FINDINGS),
        "errors": sum(finding["severity"] == "error" for finding in findings),
        "extractor": {"name": "", "title": "", "why": "", **(manifest.get("extractor") or {})},
        "settings": flat(manifest.get("settings")),
        "crossfit": flat(manifest.get("crossfit")),
        "source": flat(manifest.get("predictions")),
        "versions": flat({"aleaseg": manifest.get("aleaseg", ""), **(manifest.get("versions") or {})}),
        "created": str(manifest.get("created") or ""),
        "run": str(run.path),
    }
