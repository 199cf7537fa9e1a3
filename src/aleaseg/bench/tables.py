"""What a bench found, as tables that stand on its page and in its Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aleaseg.bench.charts import SERIES, axis_svg, row_svg
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
    ranked,
    rows_by,
    swapped,
)
from aleaseg.bench.words import CONFOUND_TITLES, definition, fault_words
from aleaseg.corruption import FAULTS, LEVELS
from aleaseg.pages.numbers import number, p_value, with_interval
from aleaseg.pages.tables import Cell, Column, Row, Table, heat, named, quantity, records
from aleaseg.scoring.catalogue import MEASURES

__all__ = ["bench_tables", "dice_tables"]

_OF_BOTH = {"ap": "AP", "precision_at_k": "P@k", "lift_at_k": "lift", "fpr95": "FPR95"}


def _measure(name: str, *notes: str, **more: Any) -> Cell:
    """The name of a measure; bold: ours."""
    return named(name, *notes, strong=MEASURES[name].ours, **more)


def _number(row: Mapping[str, Any], name: str = "auroc", form: str = ".3f", **more: Any) -> Cell:
    """A number of a row and its interval."""
    ends = (row.get(f"{name}_{end}") for end in ("low", "high"))
    return quantity(row.get(name), form, *ends, spread=".2f", **more)


def bench_tables(result: BenchResult) -> dict[str, Table]:
    """Every table but those of Dice, by what it is about; one may be without rows."""
    return {
        "measures": _measures(result),
        "best": _best(result),
        "faults": _faults(result),
        "swap_in": _swap_in(result),
        "ranks": _ranks(result),
        "confounds": _confounds(result),
        "definitions": _definitions(ranked(result.detection)),
        "fault_definitions": _fault_definitions(result),
    }


def _measures(result: BenchResult) -> Table:
    """AUROC of every measure for masks, images and both; more for both."""
    detection, top = rows_by(result.detection, "measure", "target"), best(result.detection)
    missing = result.about.get("missing") or {}
    columns = [
        *(Column("measure"), Column("family"), Column("sees")),
        Column(only="page", kind="axis", picture=axis_svg()),
        Column("both", True, order="descending"),
        *(Column(target, True) for target in TARGETS[1:]),
        *(Column(title, True, kind="brief") for title in _OF_BOTH.values()),
        Column("computed from", kind="eye"),
    ]
    rows = []
    for name in ranked(result.detection):
        measure, share, is_best = MEASURES[name], missing.get(name, 0), top.get("both") == name
        of_name = {target: detection.get((name, target), {}) for target in TARGETS}
        notes = ["best published"] * is_best + [f"{number(100 * share, '.0f')}% without"] * (share > 0.005)
        cells = [
            _measure(name, *notes, hint=measure.text, kind="best" * is_best),
            Cell(family(measure)),
            Cell(measure.sight),
            Cell(picture=row_svg(of_name)),
            *(_number(row, kind="top" * (top.get(target) == name)) for target, row in of_name.items()),
            *(_number(of_name["both"], column, ".2f") for column in _OF_BOTH),
            Cell(measure.eye),
        ]
        rows.append(Row(cells))
    spans = (("", 4, ""), ("AUROC", 3, ""), ("for both", 4, ""), ("", 1, ""))
    return Table("All measures", columns, rows, "sortable bench", spans)


def _best(result: BenchResult) -> Table:
    """AUROC of doubt less that of the best published measure."""
    rows = rows_by(result.detection, "measure", "target")
    gaps = rows_by(result.differences, "measure", "baseline", "target")
    titles = ("its AUROC", "AUROC of doubt", "difference")
    columns = [Column("target"), Column("best published"), *(Column(title, True) for title in titles)]
    found = []
    for target, name in best(result.detection).items():
        gap = gaps.get(("doubt", name, target), {})
        its, ours = (quantity(rows.get((one, target), {}).get("auroc"), ".3f") for one in (name, "doubt"))
        less = quantity(gap.get("difference"), "+.3f", gap.get("low"), gap.get("high"), strong=True)
        found.append(Row([Cell(target), named(name), its, ours, less]))
    return Table("Doubt minus the best published measure", columns, found, "bench")


def _faults(result: BenchResult) -> Table:
    """AUROC of every measure for every fault."""
    rows, found = rows_by(result.detection, "measure", "target"), counts(result.cases)
    axes = {axis: [name for name in faults_of(result, axis) if name in found] for axis in ("mask", "image")}
    dealt = [name for those in axes.values() for name in those]

    def cell(measure: str, fault: str) -> Cell:
        row = rows.get((measure, fault), {})
        said = with_interval(row.get("auroc"), row.get("auroc_low"), row.get("auroc_high"))
        hint = f"{measure}, {fault}: {said}, n = {found[fault]}"
        return heat(row.get("auroc"), 0.5, number(row.get("auroc")), hint)

    beside = [Column("sees", only="markdown"), Column("computed from", only="markdown")]
    columns = [Column("measure"), *beside, *(Column(fault, True, head="upright") for fault in dealt)]
    count = [Cell("n, all draws"), Cell(), Cell(), *(Cell(str(found[fault])) for fault in dealt)]
    drawn = [Row(count, "counts")]
    for (eye, sees), names in groups(ranked(result.detection)).items():
        drawn.append(Row([Cell(f"sees {sees}", (f"computed from: {eye}",))], "group", heads=True))
        for name in names:
            said = [Cell(sees), Cell(eye)]
            drawn.append(Row([_measure(name), *said, *(cell(name, fault) for fault in dealt)]))
    spans = [(f"faults of the {axis}", len(those), f"axis-{axis}") for axis, those in axes.items() if those]
    return Table("AUROC of every measure for every fault", columns, drawn, "heatmap", [("", 1, ""), *spans])


def _swap_in(result: BenchResult) -> Table:
    """AUROC over the strengths of every fault, of the measures that are drawn; the page draws it."""
    rows = rows_by(result.swap_in, "measure", "fault", "level")
    there = [name for name in SERIES if any(key[0] == name for key in rows)]
    titles = ("n", "Dice", "PSNR (dB)", *there)
    columns = [
        Column("fault"),
        Column("of"),
        Column("strength"),
        *(Column(title, True) for title in titles),
    ]
    found = []
    for axis, fault, _ in swapped(result):
        for level in LEVELS:
            of_level = [rows.get((name, fault, level), {}) for name in there]
            first = next((row for row in of_level if row), None)
            if first is not None:
                cells = [Cell(fault), Cell(axis), Cell(level), quantity(first["n"], ".0f")]
                cells += [quantity(first["fault_dice"]), quantity(first["psnr_db"], ".1f")]
                found.append(Row(cells + [quantity(row.get("auroc")) for row in of_level]))
    return Table("AUROC against the strength of every fault", columns, found)


def _ranks(result: BenchResult) -> Table:
    """Spearman's correlation of every two measures, times 100."""
    order = clustered(result.ranks)
    rho_of = {
        (str(one), str(other)): float(rho)
        for other, column in result.ranks.items()
        for one, rho in column.items()
    }

    def cell(one: str, other: str) -> Cell:
        rho = rho_of[one, other]
        return heat(rho, 0.0, number(100 * rho, ".0f"), f"{one}, {other}: {number(rho)}")

    columns = [Column(), *(Column(name, True, head="upright") for name in order)]
    rows = [Row([_measure(one), *(cell(one, other) for other in order)]) for one in order]
    return Table("Rank correlations of the measures", columns, rows, "heatmap tight")


def dice_tables(result: BenchResult) -> dict[str, Table]:
    """Level -> correlation with the Dice of the prediction, the strongest first."""
    columns = [
        *(Column("measure"), Column("n", True), Column("Spearman", True, order="ascending")),
        *(Column("p", True), Column("Pearson", True), Column("p", True)),
    ]
    found: dict[str, list[Row]] = {}
    for row in records(result.dice.sort_values("spearman", kind="stable")):
        cells = [_measure(row["measure"]), quantity(row["n"], ".0f")]
        for kind in ("spearman", "pearson"):
            cells += [
                _number(row, kind),
                Cell(p_value(row[f"{kind}_p"]), key=quantity(row[f"{kind}_p"]).key),
            ]
        found.setdefault(str(row["level"]), []).append(Row(cells))
    return {
        level: Table("Correlation with Dice", columns, rows, "sortable bench")
        for level, rows in found.items()
    }


def _confounds(result: BenchResult) -> Table:
    """Correlation with size; strong ones are marked."""
    rows = rows_by(result.confounds, "measure", "confound")

    def cell(measure: str, confound: str) -> Cell:
        row = rows.get((measure, confound), {})
        rho = row.get("spearman")
        said = f"{number(rho)}, p {p_value(row.get('p'))}, n = {row.get('n', 0)}"
        strong = rho is not None and abs(rho) >= NOTABLE
        return heat(rho, 0.0, number(rho), f"{measure}, {CONFOUND_TITLES[confound]}: {said}", strong)

    columns = [Column("measure"), *(Column(CONFOUND_TITLES[name], True) for name in CONFOUNDS)]
    found = [
        Row([_measure(name), *(cell(name, confound) for confound in CONFOUNDS)])
        for name in ranked(result.detection)
    ]
    return Table("Correlation with size", columns, found, "sortable heatmap confounds")


def _definitions(names: Sequence[str]) -> Table:
    """What each measure is, as `MEASURES` has it."""
    rows = [definition(name) for name, _ in MEASURES.items() if name in names]
    return _texts(
        "Measures",
        ("measure", "what it is", "direction", "sees", "computed from", "source", "docs/measures"),
        rows,
    )


def _fault_definitions(result: BenchResult) -> Table:
    """What each fault is and what its strengths mean, as `FAULTS` has it, and how often it was dealt."""
    rows = [fault_words(name, result) for name in FAULTS]
    return _texts("Faults", ("fault", "of", "what it is", "strengths", "cases"), rows)


def _texts(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    short = ("direction", "sees", "of", "cases")
    columns = [Column(heading, kind="short" * (heading in short)) for heading in headings]
    found = [Row([named(name), *map(Cell, texts)]) for name, *texts in rows]
    return Table(title, columns, found, "bench words")
