"""What a bench found, as Markdown that can be committed as it is."""

from __future__ import annotations

from collections.abc import Sequence

from aleaseg.bench.result import BenchResult
from aleaseg.bench.shown import ranked
from aleaseg.bench.tables import (
    best_table,
    confounds_table,
    definitions_table,
    dice_tables,
    fault_definitions_table,
    faults_table,
    measures_table,
    ranks_table,
    swap_in_table,
)
from aleaseg.bench.words import CAPTIONS, MEASURED, READ, eyes, head
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.tables import Table

__all__ = ["bench_markdown"]


def bench_markdown(result: BenchResult, figures: bool = False) -> str:
    """The whole document.

    Args:
        result: what was found.
        figures: whether auroc.svg and swap_in.svg lie beside it.
    """
    lines = [f"# The bench: known faults in {markdown_text(str(result.about.get('dataset', '')))}", ""]
    lines += [MEASURED, "", READ, ""]
    lines += [f"- {title}: {markdown_text(text)}" for title, text in head(result)]

    def section(title: str, caption: str, tables: Sequence[Table], *more: str) -> None:
        if any(table.rows for table in tables):
            lines.extend(["", f"## {title}"])
            lines.extend(line for text in (caption, *more) if text for line in ("", text))
            lines.extend(line for table in tables for line in ("", *table_markdown(table)))

    auroc = "![AUROC of every measure](auroc.svg)" * figures
    section("Which measure finds the faulty cases", CAPTIONS["measures"], [measures_table(result)], auroc)
    section("Doubt against the best published measure", CAPTIONS["best"], [best_table(result)])
    section("Fault by fault", CAPTIONS["faults"], [faults_table(result)])
    drawn = "![AUROC against the strength of every fault](swap_in.svg)" * figures
    section("By strength", CAPTIONS["swap_in"], [swap_in_table(result)], markdown_text(eyes()), drawn)
    section("Which measures say the same", CAPTIONS["ranks"], [ranks_table(result)])
    section("With the Dice of the prediction", CAPTIONS["dice"], list(dice_tables(result).values()))
    section("With size", CAPTIONS["confounds"], [confounds_table(result)])
    section("The measures", "", [definitions_table(ranked(result.detection))])
    section("The faults", "", [fault_definitions_table(result)])
    return "\n".join(lines) + "\n"
