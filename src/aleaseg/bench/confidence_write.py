"""Write what `bench confidence` found: tables, Markdown, a page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aleaseg.bench.confidence_result import PARTS, ConfidenceResult, result_rows
from aleaseg.bench.confidence_tables import beyond_table, differences_table, matrix_table, winners_table
from aleaseg.bench.confidence_words import CAPTIONS, READ, answers, head, lead
from aleaseg.pages.files import copy_assets
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.templates import write_html
from aleaseg.run import write_aside, write_frame

__all__ = ["confidence_markdown", "write_confidence"]

_FIRST = ("row", "seed", "fold", "case", "class", "group")


def write_confidence(result: ConfidenceResult, out: Path) -> Path:
    """Write confidence.csv, confidence_cases.csv, confidence.md and index.html, whose path is returned."""
    write_frame(out / "confidence.csv", pd.DataFrame(result_rows(result)))
    cases = result.cases.dropna(axis="columns", how="all")
    beside = [name for name in cases.columns if name not in _FIRST]
    write_frame(out / "confidence_cases.csv", cases[[*_FIRST, *beside]])
    write_aside(out / "confidence.md", confidence_markdown(result).encode("utf-8", "surrogatepass"))
    copy_assets(out, "aleaseg.bench", "bench.css", shared=("drawings.css", "tables.js"))
    return write_html(
        out / "index.html",
        "aleaseg.bench",
        template="confidence.html.j2",
        styles=["drawings.css", "bench.css"],
        name=str(result.about["dataset"]["name"]),
        lead=lead(result),
        read=READ,
        notes=list(result.design.notes),
        failed=dict(result.about["failed"]),
        answers=answers(result),
        captions=_captions(result),
        matrices={part: matrix_table(result, part) for part in PARTS},
        differences=differences_table(result),
        winners=winners_table(result),
        beyond=beyond_table(result),
        head=head(result),
    )


def _captions(result: ConfidenceResult) -> dict[str, str]:
    beyond = result.beyond["all"]
    counts = {
        "differences": len(result.to_baseline["all"]),
        "winners": len(result.winners["all"]),
        "beyond": len(beyond),
    }
    claimed = int((beyond["says"] != "no claim").sum()) if len(beyond) else 0
    return {
        name: text.format(baseline=result.design.baseline, count=counts.get(name, 0), claimed=claimed)
        for name, text in CAPTIONS.items()
    }


def confidence_markdown(result: ConfidenceResult) -> str:
    """The same as Markdown that can be committed as it is."""
    captions = _captions(result)
    lines = [f"# Learning from confidences: {markdown_text(str(result.about['dataset']['name']))}", ""]
    lines += [markdown_text(lead(result)), ""]
    lines += [line for text in READ for line in (markdown_text(text), "")]
    for question, said in answers(result):
        lines += [f"## {question}", "", *(f"- {markdown_text(one)}" for one in said), ""]
    for title, table, caption in (
        ("Every way against every reference", matrix_table(result), "matrix"),
        (f"Less {result.design.baseline}", differences_table(result), "differences"),
        ("The best training threshold", winners_table(result), "winners"),
        ("Other ways minus the best threshold", beyond_table(result), "beyond"),
    ):
        lines += [f"## {title}", "", markdown_text(captions[caption]), ""]
        lines += [*table_markdown(table), ""] if table.rows else ["Nothing is claimed.", ""]
    lines += ["## By size", "", markdown_text(captions["parts"])]
    for part in PARTS[1:]:
        lines += ["", f"The {'smaller' if part == 'small' else 'larger'} half:", ""]
        lines += table_markdown(matrix_table(result, part))
    lines += ["", "## How it was made", ""]
    lines += [f"- {title}: {markdown_text(text)}" for title, text in head(result)]
    return "\n".join(lines) + "\n"
