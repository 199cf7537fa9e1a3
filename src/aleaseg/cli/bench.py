"""The verbs `bench detect`, `bench raters`, `bench downstream` and `bench confidence`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from aleaseg.bench.settings import ConfidenceSettings, DetectSettings, DownstreamSettings, RatersSettings
from aleaseg.cli.options import Group, Verb, verb
from aleaseg.cli.sharing import Scheduler, shared_out
from aleaseg.cli.terminal import as_typed, progress_bars, say, show_table
from aleaseg.errors import UsageError

__all__ = ["bench"]

Out = Annotated[Path, typer.Option("--out", "-o", help="The bench's folder.", metavar="FOLDER")]


class _Benches(Group):
    """Once this was one verb with flags: who types that is told what to type now."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            asked = next((name for name in ("raters", "downstream") if f"--{name}" in args), "detect")
            rest = [word for word in args if word not in ("--raters", "--downstream")]
            raise UsageError(
                f"`aleaseg bench` takes detect, raters, downstream or confidence first; type: "
                f"{shlex.join(['aleaseg', 'bench', asked, *rest])}"
            )
        return super().parse_args(ctx, args)


bench = typer.Typer(
    cls=_Benches,
    no_args_is_help=True,
    help="See which measure finds which fault in your data, whether leaving cases out helps, and how best to learn "
    "from confidences.",
)


@bench.command(cls=Verb)
@verb
def detect(settings: DetectSettings, out: Out, scheduler: Scheduler = None) -> None:
    """Put known faults into the data, in memory, and see which measure finds which."""
    with progress_bars() as progress, shared_out(scheduler, [settings.dataset], out):
        from aleaseg.bench.benching import run_bench
        from aleaseg.bench.write import faulty_counts, summary_rows, too_few
        from aleaseg.run import Run

        result, page = run_bench(settings, Run(out), command=as_typed(sys.argv[1:]), progress=progress)
    counts = faulty_counts(result)
    show_table(
        "AUROC, 95% interval (0.5 is chance, 1 finds all; n: faulty cases)",
        ["measure", *(f"{target}, n = {count}" for target, count in counts.items())],
        summary_rows(result),
    )
    if warning := too_few(counts):
        say(f"- {warning}", wrap=True)
    say(f"Page: {page}")


@bench.command(cls=Verb)
@verb
def raters(settings: RatersSettings, out: Out, scheduler: Scheduler = None) -> None:
    """See which measures follow the disagreement of several raters."""
    with progress_bars() as progress, shared_out(scheduler, [settings.dataset], out):
        from aleaseg.bench.raters import run_raters, write_raters
        from aleaseg.run import Run

        followed = run_raters(settings, Run(out), progress, command=as_typed(sys.argv[1:]))
        write_raters(followed, out)
    names = ["measure", "sees", "raw", "adjusted"]
    rows = followed.measures.sort_values("raw", ascending=False)[names].to_numpy().tolist()
    show_table("Spearman's correlation with the raters' disagreement (high = follows it)", names, rows)
    say(f"Page: {out / 'raters.md'}")


@bench.command(cls=Verb)
@verb
def downstream(settings: DownstreamSettings, out: Out, scheduler: Scheduler = None) -> None:
    """Train with and without the doubtful cases, and see whether leaving them out helps."""
    with progress_bars() as progress, shared_out(scheduler, [settings.dataset], out):
        from aleaseg.bench.downstream import run_downstream, write_downstream
        from aleaseg.run import Run

        kept = run_downstream(settings, Run(out), progress, command=as_typed(sys.argv[1:]))
        write_downstream(kept, Run(out))
    seeds = [name for name in kept.choices.columns if str(name).startswith("seed_")]
    names = ["choice", "faulty_left", *seeds]
    rows = kept.choices[names].astype({"faulty_left": int}).astype(object).to_numpy().tolist()
    show_table("Mean Dice on clean held-out cases, each training seed", names, rows)
    say(f"Page: {out / 'downstream.md'}")


@bench.command(cls=Verb)
@verb
def confidence(settings: ConfidenceSettings, out: Out, scheduler: Scheduler = None) -> None:
    """Learn from confidences in every way, and compare every model with every reference."""
    with progress_bars() as progress, shared_out(scheduler, [settings.dataset], out):
        from aleaseg.bench.confidence import run_confidence
        from aleaseg.bench.confidence_result import read_confidence_bench
        from aleaseg.bench.confidence_tables import matrix_table
        from aleaseg.bench.confidence_words import answers
        from aleaseg.bench.confidence_write import write_confidence
        from aleaseg.run import Run

        run_confidence(settings, Run(out), progress, command=as_typed(sys.argv[1:]))
        result = read_confidence_bench(Run(out))
        page = write_confidence(result, out)
    table = matrix_table(result)
    dice = sum("@" in name for name in result.columns)
    shown = slice(0, dice + 2)  # every reference, and soft Dice
    show_table(
        "Means over seeds and cases, high = good",
        [column.title for column in table.columns[shown]],
        [[cell.text for cell in row.cells[shown]] for row in table.rows],
    )
    for question, said in answers(result):
        say(question)
        for one in said:
            say(f"- {one}", wrap=True)
    for way, why in result.about["failed"].items():
        say(f"{way} could not be learnt: {why}", wrap=True)
    say(f"Page: {page}")
