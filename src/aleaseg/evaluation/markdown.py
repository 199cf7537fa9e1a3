"""What was found, as Markdown that can be committed as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.evaluation.columns import METRICS
from aleaseg.evaluation.words import READ, difference_form, form_of, overview, sentence, title_of
from aleaseg.report.markdown import markdown_text, table_lines, write_frame_markdown
from aleaseg.report.numbers import interval, number, p_value

if TYPE_CHECKING:
    from aleaseg.evaluation.comparing import Comparison
    from aleaseg.evaluation.evaluating import Evaluation

__all__ = ["comparison_markdown", "summary_markdown", "with_interval"]


def with_interval(row: Mapping[str, Any], name: str, form: str) -> str:
    """A number and its interval, such as `0.87 (0.85–0.89)`."""
    spread = interval(row.get("low"), row.get("high"), form)
    return f"{number(row.get(name), form)}{f' ({spread})' if spread else ''}"


def summary_markdown(evaluation: Evaluation) -> str:
    """The tables of one evaluation."""
    about, summary = evaluation.manifest["dataset"], evaluation.summary
    failed = len(evaluation.errors)
    rows: dict[tuple[str, str], Mapping[str, Any]] = {
        (str(row["metric"]), str(row["class"])): {str(name): cell for name, cell in row.items()}
        for row in summary.to_dict("records")
    }
    shown = [
        name for name in (*METRICS, "pooled_dice", "pooled_iou") if any(key[0] == name for key in rows)
    ]
    titles = {
        **{name: metric.title for name, metric in METRICS.items()},
        "pooled_dice": "pooled Dice",
        "pooled_iou": "pooled IoU",
    }
    forms = {name: METRICS[name].form if name in METRICS else ".3f" for name in shown}
    cells = [
        [
            markdown_text(over),
            number(rows.get(("dice", over), {}).get("cases"), ".0f"),
            *(with_interval(rows.get((name, over), {}), "mean", forms[name]) for name in shown),
        ]
        for over in dict.fromkeys(summary["class"])
    ]
    lines = [
        f"# {markdown_text(Path(evaluation.settings.predictions).name)} against {markdown_text(about['name'])}",
        "",
        f"{about['cases'] - failed} cases{f', {failed} more could not be measured' if failed else ''}. "
        "Means over cases, then classes, with 95% intervals by a bootstrap over groups of cases. "
        f"Tolerance of NSD in mm: {_tolerances(evaluation.manifest['tolerances_mm'])}.",
        "",
        *table_lines(
            ["class", "cases", *(titles[name] for name in shown)],
            cells,
            [False] + [True] * (1 + len(shown)),
        ),
    ]
    if len(evaluation.risk):
        columns = {
            "confidence": "confidence",
            "direction": "direction",
            "cases": "cases",
            "aurc": "AURC",
            "low": "from",
            "high": "to",
            "random": "of a random order",
            "optimal": "of the best order",
            "e_aurc": "E-AURC",
            "naurc": "nAURC",
        }
        lines += ["", "## Does it know which cases are bad?", "", "Risk is 1 - Dice; AURC low = good.", ""]
        lines += write_frame_markdown(evaluation.risk, columns)
    if evaluation.manifest["notes"]:
        lines += ["", *(f"- {markdown_text(note)}" for note in evaluation.manifest["notes"])]
    return "\n".join(lines) + "\n"


def _tolerances(by_class: Mapping[str, float]) -> str:
    values = set(by_class.values())
    if len(values) == 1:
        return f"{values.pop():g}"
    return ", ".join(f"{markdown_text(name)} {mm:g}" for name, mm in by_class.items())


def comparison_markdown(comparison: Comparison, command: str = "") -> str:
    """The tables of a comparison."""
    about = comparison.evaluations[0].manifest["dataset"]
    lines = [f"# {markdown_text(about['name'])}: against {markdown_text(comparison.names[0])}", "", READ]
    for pair in comparison.pairs:
        rows = [{str(name): cell for name, cell in row.items()} for row in pair.rows.to_dict("records")]
        lines += ["", f"## {markdown_text(pair.second)} less {markdown_text(pair.first)}", ""]
        of_dice = [row for row in rows if row["metric"] == "dice" and row["class"] == "all"]
        lines += [markdown_text(f"{sentence(row)} {overview(rows)}") for row in of_dice]
        cells = [
            [
                title_of(row["metric"]),
                markdown_text(row["class"]),
                *(number(row[f"{which}_mean"], form_of(row["metric"])) for which in ("first", "second")),
                with_interval(row, "difference", difference_form(row)),
                markdown_text(p_value(row["p"])),
                f"{row['cases']} / {row['groups']}",
                row["verdict"],
            ]
            for row in rows
        ]
        headings = [
            *("metric", "class", pair.first, pair.second, "difference", "p", "cases / groups"),
            f"{pair.second} is",
        ]
        lines += ["", *table_lines(headings, cells, [False, False, *[True] * 5, False])]
        if pair.notes:
            lines += ["", *(f"- {markdown_text(note)}" for note in pair.notes)]
    if command:
        lines += ["", f"`{command}`"]
    return "\n".join(lines) + "\n"
