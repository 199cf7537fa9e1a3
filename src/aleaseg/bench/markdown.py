"""What a bench found, as Markdown that can be committed as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aleaseg.bench.drawing import SERIES
from aleaseg.bench.result import CONFOUNDS, BenchResult
from aleaseg.bench.shown import (
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
    COLUMNS,
    CONFOUND_TITLES,
    MEASURED,
    READ,
    fault_rows,
    head,
)
from aleaseg.corruption import LEVELS
from aleaseg.report.markdown import markdown_text, table_lines, write_frame_markdown
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.index import measure_rows

__all__ = ["bench_markdown", "markdown_text", "write_frame_markdown"]


def _texts(rows: Sequence[Mapping[str, str]]) -> list[str]:
    cells = [[markdown_text(text) for text in row.values()] for row in rows]
    return table_lines(list(rows[0]), cells, [False] * len(rows[0])) if rows else []


def _with_interval(row: Mapping[str, Any], name: str, form: str = ".3f") -> str:
    low, high = (f"{name}_low", f"{name}_high") if f"{name}_low" in row else ("low", "high")
    spread = interval(row.get(low), row.get(high), form)
    return f"{number(row.get(name), form)}{f' ({spread})' if spread else ''}"


def bench_markdown(result: BenchResult, figures: bool = False) -> str:
    """The whole document.

    Args:
        result: what was found.
        figures: whether auroc.svg and swap_in.svg lie beside it.
    """
    names = ranked(result.detection)
    lines = [f"# The bench: known faults in {markdown_text(str(result.about.get('dataset', '')))}", ""]
    lines += [MEASURED, "", READ, ""]
    lines += [f"- {title}: {markdown_text(text)}" for title, text in head(result)]
    for title, body in (
        ("Which measure finds the faulty cases", _measures(result, names, figures)),
        ("Doubt against the best published measure", _best(result)),
        ("Fault by fault", _faults(result, names)),
        ("By strength", _swap_in(result, figures)),
        ("Which measures say the same", _ranks(result)),
        ("With the Dice of the prediction", _dice(result)),
        ("With size", _confounds(result, names)),
        ("The measures", _texts(measure_rows(names))),
        ("The faults", _texts(fault_rows(result))),
    ):
        if body:
            lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _measures(result: BenchResult, names: Sequence[str], figures: bool) -> list[str]:
    rows, top = table(result.detection, "measure", "target"), best(result.detection).get("both")
    cells = []
    for name in names:
        measure, both = MEASURES[name], rows[name, "both"]
        shown = f"**{markdown_text(name)}**" if measure.ours else markdown_text(name)
        cells.append(
            [
                f"{shown} (best published)" if name == top else shown,
                family(measure),
                sight(measure),
                measure.eye,
                *(_with_interval(rows.get((name, target), {}), "auroc") for target in TARGETS),
                _with_interval(both, "ap"),
                *(number(both[column], ".3f") for column in ("precision_at_k", "lift_at_k", "fpr95")),
            ]
        )
    headings = [*list(COLUMNS)[:4], *TARGETS, *list(COLUMNS)[7:]]
    picture = ["", "![AUROC of every measure](auroc.svg)"] if figures else []
    titles = [COLUMNS[name] for name in headings]
    return [
        f"{CAPTIONS['measures']} Bold: ours. AP, precision@k, lift and FPR95 are for both.",
        *picture,
        "",
        *table_lines(titles, cells, [False] * 4 + [True] * 7),
    ]


def _best(result: BenchResult) -> list[str]:
    rows = table(result.detection, "measure", "target")
    gaps = table(result.differences, "measure", "baseline", "target")
    cells = [
        [
            target,
            markdown_text(name),
            number(rows[name, target]["auroc"], ".3f"),
            number(rows.get(("doubt", target), {}).get("auroc"), ".3f"),
            _with_interval(gaps.get(("doubt", name, target), {}), "difference", "+.3f"),
        ]
        for target, name in best(result.detection).items()
    ]
    headings = ["target", "best published", "its AUROC", "AUROC of doubt", "difference"]
    return [CAPTIONS["best"], "", *table_lines(headings, cells, [False, False, True, True, True])]


def _faults(result: BenchResult, names: Sequence[str]) -> list[str]:
    rows, found = table(result.detection, "measure", "target"), counts(result.cases)
    dealt = [name for axis in ("mask", "image") for name in faults_of(result, axis) if name in found]
    cells = [
        [
            markdown_text(name),
            group.sees,
            group.eye,
            *(number(rows.get((name, fault), {}).get("auroc")) for fault in dealt),
        ]
        for group in groups(names)
        for name in group.measures
    ]
    cells.append(["n", "", "", *(str(found[fault]) for fault in dealt)])
    headings = ["measure", "sees", "eye", *dealt]
    return [CAPTIONS["faults"], "", *table_lines(headings, cells, [False] * 3 + [True] * len(dealt))]


def _swap_in(result: BenchResult, figures: bool) -> list[str]:
    rows = table(result.swap_in, "measure", "fault", "level")
    there = [name for name in SERIES if any(key[0] == name for key in rows)]
    cells = []
    for axis in ("mask", "image"):
        for fault in faults_of(result, axis):
            for level in LEVELS:
                of_level = [rows.get((name, fault, level), {}) for name in there]
                first = next((row for row in of_level if row), None)
                if first is None:
                    continue
                cells.append(
                    [
                        *(markdown_text(fault), axis, level, str(first["n"])),
                        *(
                            number(first[how], form)
                            for how, form in (("fault_dice", ".2f"), ("psnr_db", ".1f"))
                        ),
                        *(number(row.get("auroc")) for row in of_level),
                    ]
                )
    if not cells:
        return []
    picture = ["", "![AUROC against the strength of every fault](swap_in.svg)"] if figures else []
    headings = ["fault", "of", "strength", "n", "Dice", "PSNR (dB)", *there]
    eyes = "; ".join(f"{markdown_text(name)}: {MEASURES[name].eye}" for name in there)
    numeric = [False] * 3 + [True] * (len(headings) - 3)
    return [CAPTIONS["swap_in"], "", f"Eyes: {eyes}.", *picture, "", *table_lines(headings, cells, numeric)]


def _ranks(result: BenchResult) -> list[str]:
    order = clustered(result.ranks)
    cells = [
        [markdown_text(name), *(number(result.ranks.loc[name, other]) for other in order)] for name in order
    ]
    return [CAPTIONS["ranks"], "", *table_lines(["", *order], cells, [False] + [True] * len(order))]


def _dice(result: BenchResult) -> list[str]:
    cells = [
        [
            markdown_text(str(row["measure"])),
            str(row["level"]),
            number(row["n"], ".0f"),
            _with_interval(row, "pearson"),
            markdown_text(p_value(row["pearson_p"])),
            _with_interval(row, "spearman"),
            markdown_text(p_value(row["spearman_p"])),
        ]
        for row in records(result.dice.sort_values(["level", "spearman"], kind="stable"))
    ]
    headings = ["measure", "level", "n", "Pearson", "p", "Spearman", "p"]
    return [CAPTIONS["dice"], "", *table_lines(headings, cells, [False] * 2 + [True] * 5)] if cells else []


def _confounds(result: BenchResult, names: Sequence[str]) -> list[str]:
    rows = table(result.confounds, "measure", "confound")

    def cell(row: Mapping[str, Any]) -> str:
        rho = row.get("spearman", math.nan)
        return f"**{number(rho)}**" if abs(rho) >= NOTABLE else number(rho)

    cells = [
        [markdown_text(name), *(cell(rows.get((name, confound), {})) for confound in CONFOUNDS)]
        for name in names
    ]
    headings = ["measure", *(CONFOUND_TITLES[confound] for confound in CONFOUNDS)]
    return [
        f"{CAPTIONS['confounds']} Bold: marked.",
        "",
        *table_lines(headings, cells, [False] + [True] * len(CONFOUNDS)),
    ]
