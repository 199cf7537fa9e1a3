"""What a bench found, as Markdown that can be committed as it is."""

from __future__ import annotations

from collections.abc import Sequence

from aleaseg.bench.result import BenchResult
from aleaseg.bench.tables import bench_tables, dice_tables
from aleaseg.bench.words import CAPTIONS, MEASURED, READ, eyes, head
from aleaseg.pages.markdown import markdown_text, table_markdown
from aleaseg.pages.tables import Table

__all__ = ["bench_markdown"]


def bench_markdown(result: BenchResult, figures: bool = False) -> str:
    """The whole document; with `figures`, auroc.svg and swap_in.svg lie beside it."""
    lines = [f"# The bench: known faults in {markdown_text(str(result.about.get('dataset', '')))}", ""]
    lines += [MEASURED, "", READ, ""]
    lines += [f"- {title}: {markdown_text(text)}" for title, text in head(result)]

    def section(title: str, caption: str, tables: Sequence[Table], *more: str) -> None:
        if any(table.rows for table in tables):
            lines.extend(["", f"## {title}"])
            lines.extend(line for text in (caption, *more) if text for line in ("", text))
            lines.extend(line for table in tables for line in ("", *table_markdown(table)))

    tables = bench_tables(result)
    auroc = "![AUROC of every measure](auroc.svg)" * figures
    drawn = "![AUROC against the strength of every fault](swap_in.svg)" * figures
    section("Which measure finds the faulty cases", CAPTIONS["measures"], [tables["measures"]], auroc)
    section("Doubt against the best published measure", CAPTIONS["best"], [tables["best"]])
    section("Fault by fault", CAPTIONS["faults"], [tables["faults"]])
    section("By strength", CAPTIONS["swap_in"], [tables["swap_in"]], markdown_text(eyes()), drawn)
    section("Which measures say the same", CAPTIONS["ranks"], [tables["ranks"]])
    section("With the Dice of the prediction", CAPTIONS["dice"], list(dice_tables(result).values()))
    section("With size", CAPTIONS["confounds"], [tables["confounds"]])
    section("The measures", "", [tables["definitions"]])
    section("The faults", "", [tables["fault_definitions"]])
    return "\n".join(lines) + "\n"
