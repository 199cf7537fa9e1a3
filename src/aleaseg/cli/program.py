"""The program: its verbs, and how it ends. Imports nothing heavy until a verb runs."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from aleaseg import __version__
from aleaseg.cli.audit import audit, score
from aleaseg.cli.bench import bench
from aleaseg.cli.check import check
from aleaseg.cli.compare import compare
from aleaseg.cli.confidence import confidence
from aleaseg.cli.corrections import corrections
from aleaseg.cli.demo import demo
from aleaseg.cli.evaluate import evaluate
from aleaseg.cli.export import export
from aleaseg.cli.info import info
from aleaseg.cli.merge import merge
from aleaseg.cli.nnunet import nnunet
from aleaseg.cli.options import Group, Verb
from aleaseg.cli.outcome import outcome
from aleaseg.cli.predict import predict
from aleaseg.cli.report import report
from aleaseg.cli.reproduce import reproduce
from aleaseg.cli.review import review
from aleaseg.cli.select import select
from aleaseg.cli.terminal import STOPPED, guarded, say
from aleaseg.cli.train import train
from aleaseg.cli.weights import weights
from aleaseg.extras import spare_monai
from aleaseg.measures.reasons import Z_MEANS

__all__ = ["app", "main"]

app = typer.Typer(
    name="aleaseg",
    cls=Group,
    help="Find the doubtful scans and masks of a medical segmentation data set, say why, and leave them out.\n\n"
    f"AUV and doubt lie in [0, 1], high = bad. A doubt of 0.5 is a z of 3 ({Z_MEANS}). "
    "Exit status: 0 done; 1 done, but some case could not be used; "
    "2 the arguments are invalid.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)

for each in (audit, score, merge, check, report, review, export, corrections, select, demo):
    app.command(cls=Verb)(each)
app.add_typer(bench, name="bench")
for each in (confidence, train, predict, evaluate, compare, outcome, reproduce):
    app.command(cls=Verb)(each)
app.add_typer(nnunet, name="nnunet")
app.add_typer(weights, name="weights")
app.command(cls=Verb)(info)


def _tell_version(asked: bool) -> None:
    if asked:
        say(f"aleaseg {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """What is asked of no verb."""


def main() -> None:
    """The entry point `aleaseg`."""
    status = 0

    def call() -> None:
        nonlocal status
        try:
            app(standalone_mode=True, prog_name="aleaseg")
        except SystemExit as ended:
            status = int(ended.code or 0)
            if status == STOPPED:  # typer takes Ctrl-C for itself
                raise KeyboardInterrupt from ended

    for stream in (sys.stdout, sys.stderr):
        # A case's file name may hold bytes that this terminal has no sign for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    spare_monai()
    failed = guarded(call)
    sys.exit(failed or status)
