"""What was found, as Markdown that can be committed as it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aleaseg.evaluation.tables import (
    differences_table,
    references_table,
    risk_table,
    soft_table,
    summary_table,
)
from aleaseg.evaluation.words import READ, overview, sentence, tolerances_in_words
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.tables import records

if TYPE_CHECKING:
    from aleaseg.evaluation.comparing import Comparison
    from aleaseg.evaluation.evaluation import Evaluation

__all__ = ["comparison_markdown", "summary_markdown"]


def summary_markdown(evaluation: Evaluation) -> str:
    """The tables of one evaluation."""
    about, failed = evaluation.manifest["dataset"], len(evaluation.errors)
    lines = [
        f"# {markdown_text(Path(evaluation.settings.predictions).name)} against {markdown_text(about['name'])}",
        "",
        f"{about['cases'] - failed} cases{f', {failed} more could not be measured' if failed else ''}. "
        "Means over cases, then classes, with 95% intervals by a bootstrap over groups of cases. "
        f"Tolerance of NSD: {markdown_text(tolerances_in_words(evaluation.manifest['tolerances_mm']))}.",
        "",
        *table_markdown(summary_table(evaluation.summary)),
    ]
    if references := evaluation.manifest.get("references"):
        lines += ["", "## Against every reference", ""]
        lines += ["The predicted mask against the voxels whose confidence reaches a threshold.", ""]
        lines += table_markdown(references_table(evaluation.summary, references))
        lines += ["", "## Against the confidences themselves", ""]
        lines += table_markdown(soft_table(evaluation.summary))
    if len(evaluation.risk):
        lines += ["", "## Does it know which cases are bad?", "", "Risk is 1 - Dice; AURC low = good.", ""]
        lines += table_markdown(risk_table(evaluation.risk))
    return _document([*lines, *_notes(evaluation.manifest["notes"])])


def comparison_markdown(comparison: Comparison, command: str = "") -> str:
    """The tables of a comparison."""
    about = comparison.evaluations[0].manifest["dataset"]
    lines = [f"# {markdown_text(about['name'])}: against {markdown_text(comparison.names[0])}", "", READ]
    for pair in comparison.pairs:
        rows = records(pair.rows)
        lines += ["", f"## {markdown_text(pair.second)} compared with {markdown_text(pair.first)}", ""]
        of_dice = [row for row in rows if row["metric"] == "dice" and row["class"] == "all"]
        lines += [markdown_text(f"{sentence(row)} {overview(rows)}") for row in of_dice]
        lines += [
            "",
            *table_markdown(differences_table(pair.first, pair.second, rows, "Differences", "all")),
        ]
        lines += _notes(pair.notes)
    return _document([*lines, *(["", f"`{command}`"] if command else [])])


def _notes(notes: Iterable[str]) -> list[str]:
    lines = [f"- {markdown_text(note)}" for note in notes]
    return ["", *lines] if lines else []


def _document(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
