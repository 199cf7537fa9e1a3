"""What a bench found, as one page that opens from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aleaseg.bench.drawing import SERIES, axis_svg, panel_svg, row_svg, series_svg
from aleaseg.bench.result import CONFOUNDS, BenchResult
from aleaseg.bench.shown import (
    ABSENT,
    NOTABLE,
    TARGETS,
    best,
    clustered,
    counts,
    family,
    faults_of,
    groups,
    interval,
    number,
    p_value,
    ranked,
    records,
    sight,
    table,
)
from aleaseg.bench.words import (
    CAPTIONS,
    CONFOUND_TITLES,
    MEASURED,
    ON_THE_PAGE,
    READ,
    fault_rows,
    head,
)
from aleaseg.report.javascript import write_if_changed
from aleaseg.report.pages import copy_assets, templates
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.index import measure_rows

__all__ = ["write_page"]


def write_page(result: BenchResult, out: Path) -> Path:
    """Write index.html and its assets; returns the path of the first."""
    environment = templates("aleaseg.bench")
    environment.filters |= {"number": number, "p_value": p_value}
    copy_assets(out, "aleaseg.bench", "bench.css", "figures.css", "bench.js")
    page = environment.get_template("bench.html.j2").render(_context(result))
    write_if_changed(out / "index.html", page)
    return out / "index.html"


def _context(result: BenchResult) -> dict[str, Any]:
    from markupsafe import Markup

    names = ranked(result.detection)
    detection = table(result.detection, "measure", "target")
    top = best(result.detection)
    return {
        "name": str(result.about.get("dataset", "")),
        "head": dict(head(result)),
        "captions": {
            name: f"{text} {ON_THE_PAGE.get(name, '')}".strip() for name, text in CAPTIONS.items()
        },
        "measured": MEASURED,
        "read": READ,
        "numbers": _numbers(result, detection, top),
        "axis": Markup(axis_svg()),
        "measures": [_measure(name, result, detection, top) for name in names],
        "best": _best(result, detection, top),
        "faults": _faults(result, names, detection),
        "swap_in": _swap_in(result),
        "ranks": _ranks(result),
        "dice": _dice(result),
        "confounds": _confounds(result, names),
        "definitions": measure_rows(names),
        "fault_definitions": fault_rows(result),
    }


def _numbers(
    result: BenchResult, detection: Mapping[tuple[str, ...], dict[str, Any]], top: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "found": counts(result.cases),
        "doubt": {
            target: (row.get("auroc"), _spread(row, "auroc"))
            for target in TARGETS
            if (row := detection.get(("doubt", target)))
        },
        "best": top.get("both"),
        "best_row": detection.get((top.get("both", ""), "both"), {}),
    }


def _spread(row: Mapping[str, Any], name: str, form: str = ".3f") -> str:
    return interval(row.get(f"{name}_low"), row.get(f"{name}_high"), form)


def _measure(
    name: str,
    result: BenchResult,
    detection: Mapping[tuple[str, ...], dict[str, Any]],
    top: Mapping[str, str],
) -> dict[str, Any]:
    from markupsafe import Markup

    measure = MEASURES[name]
    rows = {target: detection.get((name, target), {}) for target in TARGETS}
    return {
        "name": name,
        "text": measure.text,
        "family": family(measure),
        "ours": measure.ours,
        "best": [target for target in TARGETS if top.get(target) == name],
        "sees": sight(measure),
        "eye": measure.eye,
        "missing": (result.about.get("missing") or {}).get(name, 0),
        "picture": Markup(row_svg(rows)),
        "auroc": {target: (row.get("auroc"), _spread(row, "auroc", ".2f")) for target, row in rows.items()},
        "both": rows["both"],
        "ap_spread": _spread(rows["both"], "ap"),
    }


def _best(
    result: BenchResult, detection: Mapping[tuple[str, ...], dict[str, Any]], top: Mapping[str, str]
) -> list[dict[str, Any]]:
    gaps = table(result.differences, "measure", "baseline", "target")
    return [
        {
            "target": target,
            "name": name,
            "its": detection[name, target]["auroc"],
            "ours": detection.get(("doubt", target), {}).get("auroc"),
            "gap": gaps.get(("doubt", name, target), {}).get("difference"),
            "spread": _ends(gaps.get(("doubt", name, target), {})),
        }
        for target, name in top.items()
    ]


def _ends(row: Mapping[str, Any]) -> str:
    return interval(row.get("low"), row.get("high"), "+.3f")


def _heat(value: Any, middle: float, text: str, title: str) -> dict[str, Any]:
    """A cell: its colour by its side of the middle, and how far from it."""
    if number(value) == ABSENT:
        return {"side": "", "strength": "0", "text": ABSENT, "title": title, "strong": False}
    strength = min(1.0, abs(value - middle) / (1 - middle))
    return {
        "side": "above" if value > middle else "below",
        "strength": f"{strength:.2f}",
        "text": text,
        "title": title,
        "strong": abs(value) >= NOTABLE,
    }


def _faults(
    result: BenchResult, names: list[str], detection: Mapping[tuple[str, ...], dict[str, Any]]
) -> dict[str, Any]:
    found = counts(result.cases)
    axes = {axis: [name for name in faults_of(result, axis) if name in found] for axis in ("mask", "image")}
    dealt = [name for those in axes.values() for name in those]

    def cell(measure: str, fault: str) -> dict[str, Any]:
        row = detection.get((measure, fault), {})
        spread = _spread(row, "auroc", ".2f")
        said = f"{number(row.get('auroc'))}{f' ({spread})' if spread else ''}"
        title = f"{measure}, {fault}: {said}, n = {found[fault]}"
        return _heat(row.get("auroc"), 0.5, number(row.get("auroc")), title)

    return {
        "axes": axes,
        "names": dealt,
        "n": [found[name] for name in dealt],
        "groups": [
            {
                "eye": group.eye,
                "sees": group.sees,
                "rows": [
                    {
                        "name": name,
                        "ours": MEASURES[name].ours,
                        "cells": [cell(name, fault) for fault in dealt],
                    }
                    for name in group.measures
                ],
            }
            for group in groups(names)
        ],
    }


def _swap_in(result: BenchResult) -> dict[str, Any]:
    from markupsafe import Markup

    panels: dict[str, list[dict[str, Any]]] = {}
    for axis in ("mask", "image"):
        for fault in faults_of(result, axis):
            rows = result.swap_in[result.swap_in["fault"] == fault]
            if len(rows):
                svg = panel_svg(fault, table(rows, "measure", "level"))
                panels.setdefault(axis, []).append(
                    {"fault": fault, "picture": Markup(svg), "n": _range(rows["n"])}
                )
    key = [
        {"name": name, "eye": MEASURES[name].eye, "picture": Markup(series_svg(name))} for name in SERIES
    ]
    return {"panels": panels, "key": key}


def _range(counted: Any) -> str:
    low, high = int(counted.min()), int(counted.max())
    return str(low) if low == high else f"{low} to {high}"


def _ranks(result: BenchResult) -> dict[str, Any]:
    order = clustered(result.ranks)
    rho_of = {
        (str(one), str(other)): rho for other, column in result.ranks.items() for one, rho in column.items()
    }

    def cell(one: str, other: str) -> dict[str, Any]:
        rho = float(rho_of[one, other])
        title = f"{one}, {other}: {number(rho)}"
        return _heat(rho, 0.0, number(100 * rho, ".0f"), title)

    return {
        "names": order,
        "rows": [
            {"name": one, "ours": MEASURES[one].ours, "cells": [cell(one, other) for other in order]}
            for one in order
        ],
    }


def _dice(result: BenchResult) -> dict[str, list[dict[str, Any]]]:
    """Level -> rows, the strongest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in records(result.dice.sort_values("spearman", kind="stable")):
        for kind in ("pearson", "spearman"):
            row[f"{kind}_spread"] = _spread(row, kind, ".2f")
        row["ours"] = MEASURES[row["measure"]].ours
        found.setdefault(str(row["level"]), []).append(row)
    return found


def _confounds(result: BenchResult, names: list[str]) -> dict[str, Any]:
    rows = table(result.confounds, "measure", "confound")

    def cell(measure: str, confound: str) -> dict[str, Any]:
        row = rows.get((measure, confound), {})
        rho = row.get("spearman")
        title = (
            f"{measure}, {CONFOUND_TITLES[confound]}: {number(rho)}, "
            f"p {p_value(row.get('p'))}, n = {row.get('n', 0)}"
        )
        return {**_heat(rho, 0.0, number(rho), title), "value": rho}

    return {
        "names": [CONFOUND_TITLES[confound] for confound in CONFOUNDS],
        "rows": [
            {
                "name": name,
                "ours": MEASURES[name].ours,
                "cells": [cell(name, confound) for confound in CONFOUNDS],
            }
            for name in names
        ],
    }
