"""The command line: one verb per stage. Imports nothing heavy until a verb runs."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aleaseg.evaluation_verbs import compare, evaluate
from aleaseg.nnunet_verbs import nnunet
from aleaseg.reproduce_verbs import reproduce
from aleaseg.terminal import (
    STOPPED,
    Device,
    guarded,
    progress_bars,
    say,
    show_findings,
    show_outcome,
    show_table,
)
from aleaseg.training_verbs import predict, train
from aleaseg.weights_verbs import weights

if TYPE_CHECKING:
    from aleaseg.run import Run

__all__ = ["app", "main"]

app = typer.Typer(
    name="aleaseg",
    help="Find the doubtful scans and masks of a medical segmentation data set, say why, and leave them out.\n\n"
    "AUV and doubt lie in [0, 1], high = bad. Exit status: 0 done; 1 done, but some case could not be used; "
    "2 the arguments cannot work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


app.add_typer(nnunet, name="nnunet")
app.add_typer(weights, name="weights")


class Measures(StrEnum):
    """Which measures are taken."""

    default = "default"
    all = "all"


class Form(StrEnum):
    """What a selection is written as."""

    splits = "splits"
    dataset = "dataset"
    csv = "csv"


DatasetPath = Annotated[Path, typer.Argument(help="The data set's folder.", metavar="DATASET")]
RunOut = Annotated[Path, typer.Option("--out", "-o", help="The run's folder.", metavar="RUN")]
RunPath = Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")]
Predictions = Annotated[
    str, typer.Option(help="crossfit, or a folder of out-of-fold predictions.", metavar="crossfit|FOLDER")
]
Fast = Annotated[
    bool, typer.Option("--fast", help="No training: the package's own prompted network looks at each mask.")
]
ExtractorName = Annotated[
    str,
    typer.Option(
        help="What S and AUV come from: auto, own, task, variance, medsam2, segvol, universal, nnunet.",
        metavar="NAME",
    ),
]
Prompt = Annotated[
    str, typer.Option(help="What tells the extractor where to look; default: its own.", metavar="PROMPT")
]
Normalize = Annotated[
    str, typer.Option(help="raw, or foreground: by each case's own mask.", metavar="raw|foreground")
]
Scenario = Annotated[
    str | None,
    typer.Option(help="The paper's: a, b raw; c, d foreground. b, d: one class.", metavar="a|b|c|d"),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The extractor's weights, a file or folder; random: untrained.", metavar="PATH|random"
    ),
]
Window = Annotated[
    str | None, typer.Option(help="Grey range of the raw image, such as -160,240.", metavar="LOW,HIGH")
]
Channel = Annotated[
    str | None, typer.Option(help="The channel a model of one channel sees.", metavar="NAME|NUMBER")
]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.", metavar="NAME")]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="You accept the licence of restricted weights.")
]
Cache = Annotated[Path | None, typer.Option(help="Keep class maps here.", metavar="FOLDER")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Training steps of each fold; default: a rule on the data.")
]
Budget = Annotated[
    float | None, typer.Option(min=0.1, help="Cap in minutes: training stops early.", metavar="MINUTES")
]
Groups = Annotated[
    str | None, typer.Option(help="Cases that share a fold: a regex on ids, or a CSV.", metavar="REGEX|CSV")
]
Sites = Annotated[
    str | None, typer.Option(help="Device scans come from: a regex or a CSV.", metavar="REGEX|CSV")
]
Classes = Annotated[
    str | None, typer.Option(help="Classes to keep, or name=value where none are declared.", metavar="A,B")
]
MeasuresAsked = Annotated[
    Measures, typer.Option(help="all: every other measure beside, in every_measure.csv; takes longer.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Reference = Annotated[Path | None, typer.Option(help="A run to compare these cases with.", metavar="RUN")]
DeviceName = Annotated[Device, typer.Option(help="Device networks run.")]


@app.command()
def audit(
    dataset: DatasetPath,
    out: RunOut,
    fast: Fast = False,
    predictions: Predictions = "crossfit",
    extractor: ExtractorName = "auto",
    prompt: Prompt = "",
    normalize: Normalize = "",
    scenario: Scenario = None,
    weights: Weights = None,
    window: Window = None,
    channel: Channel = None,
    precision: Precision = "auto",
    accept_licence: AcceptLicence = False,
    cache: Cache = None,
    steps: Steps = None,
    budget: Budget = None,
    groups: Groups = None,
    sites: Sites = None,
    classes: Classes = None,
    device: DeviceName = Device.auto,
    seed: Seed = 0,
    reference: Reference = None,
    measures: MeasuresAsked = Measures.default,
) -> None:
    """Find the doubtful cases of a data set: check, score, compare, and a page that shows them."""
    _audit(locals(), page=True)


@app.command()
def score(
    dataset: DatasetPath,
    out: RunOut,
    fast: Fast = False,
    predictions: Predictions = "crossfit",
    extractor: ExtractorName = "auto",
    prompt: Prompt = "",
    normalize: Normalize = "",
    scenario: Scenario = None,
    weights: Weights = None,
    window: Window = None,
    channel: Channel = None,
    precision: Precision = "auto",
    accept_licence: AcceptLicence = False,
    cache: Cache = None,
    steps: Steps = None,
    budget: Budget = None,
    groups: Groups = None,
    sites: Sites = None,
    classes: Classes = None,
    device: DeviceName = Device.auto,
    seed: Seed = 0,
    reference: Reference = None,
    measures: MeasuresAsked = Measures.default,
) -> None:
    """Score a data set as audit does, without the page."""
    _audit(locals(), page=False)


def _audit(given: dict[str, Any], page: bool) -> None:
    from aleaseg.auditing import Settings, run_audit
    from aleaseg.errors import UsageError
    from aleaseg.eye import given_predictions, given_weights
    from aleaseg.run import Run

    if given["fast"] and given["predictions"] != "crossfit":
        raise UsageError("--fast takes predictions of its own; leave --fast or --predictions away")
    settings = Settings(
        dataset=str(given["dataset"].resolve()),
        predictions="eye" if given["fast"] else given_predictions(given["predictions"]),
        extractor=given["extractor"],
        prompt=given["prompt"],
        normalize=given["normalize"],
        scenario=given["scenario"],
        weights=given_weights(given["weights"]),
        window=_two_numbers(given["window"]),
        channel=given["channel"],
        precision=given["precision"],
        steps=given["steps"],
        budget_minutes=given["budget"],
        groups=given["groups"],
        sites=given["sites"],
        classes=given["classes"],
        device=str(given["device"]),
        seed=given["seed"],
        reference=None if given["reference"] is None else str(given["reference"].resolve()),
        measures=str(given["measures"]),
    )
    with progress_bars() as progress:
        outcome = run_audit(
            settings,
            Run(given["out"]),
            progress=progress,
            announce=lambda text: say(text, wrap=True, stderr=True),
            page=page,
            accept_licence=given["accept_licence"],
            cache=given["cache"],
        )
    show_outcome(outcome)
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


def _two_numbers(text: str | None) -> tuple[float, float] | None:
    from aleaseg.errors import UsageError

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--window {text}: expected two numbers, LOW,HIGH, such as -160,240") from error
    return low, high


@app.command()
def check(
    dataset: DatasetPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder for check.csv and check.json.", metavar="FOLDER"),
    ] = None,
    classes: Classes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Look at every file of a data set: what is broken, missing, or odd."""
    from aleaseg.checks import as_json as all_found
    from aleaseg.checks import check as check_dataset
    from aleaseg.checks import closing, summary, write_check
    from aleaseg.readers import open_dataset

    opened = open_dataset(dataset, classes=classes)
    with progress_bars() as progress:
        result = check_dataset(opened, progress=lambda done, total: progress("check", done, total))
    if out is not None:
        write_check(out, result)
    if as_json:
        import json

        typer.echo(json.dumps(all_found(result), indent=1))
    else:
        show_findings(result.findings)
        say(summary(result), wrap=True)
        say(closing(result), wrap=True)
    raise typer.Exit(1 if result.errors else 0)


@app.command()
def report(run: RunPath) -> None:
    """Write the page of a run again, for example after its folder was moved."""
    from aleaseg.errors import AleasegError
    from aleaseg.readers import open_dataset
    from aleaseg.report import write_report
    from aleaseg.run import Run

    opened = Run(run)
    settings = opened.manifest["settings"]
    try:
        dataset = open_dataset(
            settings["dataset"], **{name: settings[name] for name in ("classes", "groups", "sites")}
        )
    except AleasegError:
        dataset = None
        say("The data set is gone: the page has no pictures.", stderr=True)
    with progress_bars() as progress:
        index = write_report(opened, dataset, progress=lambda done, total: progress("report", done, total))
    say(f"Page: {index}")


@app.command()
def select(
    run: RunPath,
    by: Annotated[
        str | None,
        typer.Option(help="The score to cut by; default: doubt (with --class: auv).", metavar="COLUMN"),
    ] = None,
    quantile: Annotated[float | None, typer.Option(help="Keep up to this quantile, such as 0.95.")] = None,
    worst: Annotated[int | None, typer.Option(help="Leave so many cases out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Leave out what is beyond this.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="By this class's AUV.", metavar="NAME")
    ] = None,
    form: Annotated[Form, typer.Option("--as", help="What to write.")] = Form.splits,
    grouped: Annotated[
        bool, typer.Option("--grouped", help="New folds keep groups together; nnU-Net's own do not.")
    ] = False,
    apply: Annotated[
        Path | None,
        typer.Option(help="Install the splits into nnU-Net's preprocessed folder.", metavar="FOLDER"),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put everything back that --apply changed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Cut even where a class loses too many cases.")
    ] = False,
) -> None:
    """Leave the most doubtful cases out: splits, a data set, or a list, and the reasons."""
    from aleaseg import selection
    from aleaseg.errors import SelectionRefused
    from aleaseg.run import Run

    opened = Run(run)
    if undo:
        folders = selection.applied_to(opened.path / "selection")
        if not folders:
            say("Nothing of this run is applied anywhere.")
        for folder in folders:
            say("\n".join(selection.undo(folder, force=force)))
        return
    cut = {"by": by, "quantile": quantile, "worst": worst, "threshold": threshold, "class_name": class_name}
    planned = selection.plan(opened, **cut, force=True)  # type: ignore[arg-type]
    lines = selection.describe(planned)
    say("\n".join(line for line in lines if force or not line.startswith("forced:")))
    try:
        planned = selection.plan(opened, **cut, force=force)  # type: ignore[arg-type]
    except SelectionRefused:
        say("Nothing was written.")
        raise
    if apply is None:
        written = selection.write(planned, form.value, grouped=grouped)
        say("\n".join([*_notes_of_selection(opened), f"Written: {written}"]))
        return
    if form is not Form.splits:
        raise typer.BadParameter("--apply installs splits; leave --as away")
    selection.write(planned, splits=selection.existing_splits(apply), grouped=grouped)
    say("\n".join([*_notes_of_selection(opened), *selection.apply(opened.path / "selection", apply)]))


def _notes_of_selection(run: Run) -> list[str]:
    """What is to be known of the folds, as the selection's manifest has it."""
    from aleaseg.run import read_json

    return [f"- {note}" for note in read_json(run.path / "selection" / "manifest.json")["notes"]]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Device to put it.", metavar="FOLDER")] = Path(
        "demo"
    ),
    cases: Annotated[int, typer.Option(min=20, help="How many cases to make.")] = 40,
    seed: Seed = 0,
) -> None:
    """Make a synthetic CT data set with known faults, audit it, and leave the worst out."""
    from aleaseg import selection
    from aleaseg.auditing import Settings, run_audit
    from aleaseg.demo import make_dataset
    from aleaseg.run import Run

    say(f"Making {cases} synthetic CT cases in {out / 'data'} ...")
    faults = make_dataset(out / "data", cases=cases, seed=seed)
    settings = Settings(
        dataset=str((out / "data").resolve()), sites=r"(site[A-Z])_", device="cpu", seed=seed, steps=120
    )
    with progress_bars() as progress:
        outcome = run_audit(settings, Run(out / "run"), progress=progress)
    show_outcome(outcome)
    # A fifth of the cases was spoilt on purpose: more may leave than a careful cut allows.
    cut = selection.plan(outcome.run, floor=0.6)
    written = selection.write(cut)
    found = sum(case in faults for case in cut.dropped)
    say(
        f"{len(faults)} cases were spoilt on purpose. The {len(cut.dropped)} with a doubt above 0.5 are left out of "
        f"the splits; {found} of them are spoilt ones:",
        wrap=True,
    )
    for case in cut.dropped:
        say(f"  {case:<12} {faults.get(case, 'not spoilt')}")
    for case in sorted(set(faults) - set(cut.dropped)):
        say(f"  {case:<12} {faults[case]}, not found")
    say(f"Splits: {written}")
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)


@app.command()
def bench(
    dataset: DatasetPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bench's folder.", metavar="FOLDER")],
    draws: Annotated[int, typer.Option(min=1, help="How often faults are dealt anew.")] = 3,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first draw; the others follow.")] = 0,
    share: Annotated[
        float | None, typer.Option(help="Share of faulty cases; default 0.2 (downstream: 0.4).")
    ] = None,
    swap_in: Annotated[
        bool, typer.Option("--swap-in/--no-swap-in", help="Also every fault at every strength.")
    ] = True,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Instead: does leaving the doubtful out help?")
    ] = False,
    raters: Annotated[
        bool, typer.Option("--raters", help="Instead: do measures follow the raters' disagreement?")
    ] = False,
    folds: Annotated[int, typer.Option(min=2, help="Folds of cross-fitting.")] = 3,
    steps: Steps = None,
    groups: Groups = None,
    classes: Classes = None,
    device: DeviceName = Device.auto,
) -> None:
    """Put known faults into the data, in memory, and see which measure finds which."""
    from aleaseg.bench.settings import BenchSettings, typed
    from aleaseg.errors import UsageError
    from aleaseg.eye import choose_device
    from aleaseg.run import Run

    if downstream and raters:
        raise UsageError("--downstream and --raters are two benches; give one of them")
    command = typed(sys.argv[1:])
    given: dict[str, Any] = {
        "dataset": str(dataset.resolve()),
        "first": first,
        "folds": folds,
        "steps": steps,
        "groups": groups,
        "classes": classes,
        "device": choose_device(str(device)),
        **({} if share is None else {"share": share}),
    }
    with progress_bars() as progress:
        if downstream:
            from aleaseg.bench.downstream import DownstreamSettings, run_downstream, write_downstream

            kept = run_downstream(DownstreamSettings(**given), Run(out), progress, command=command)
            write_downstream(kept, Run(out))
            page = out / "downstream.md"
            seeds = [name for name in kept.choices.columns if str(name).startswith("seed_")]
            title = "Mean Dice on clean held-out cases, each training seed"
            names = ["choice", "faulty_left", *seeds]
            rows = kept.choices[names].astype({"faulty_left": int}).astype(object).to_numpy().tolist()
        elif raters:
            from aleaseg.bench.raters import run_raters, write_raters

            followed = run_raters(BenchSettings(draws=1, **given), Run(out), progress, command=command)
            write_raters(followed, out)
            page = out / "raters.md"
            title = "Spearman with the raters' disagreement (high = follows it)"
            names = ["measure", "sees", "raw", "adjusted"]
            rows = followed.measures.sort_values("raw", ascending=False)[names].to_numpy().tolist()
        else:
            from aleaseg.bench.benching import run_bench
            from aleaseg.bench.write import summary_rows

            result, page = run_bench(
                BenchSettings(draws=draws, **given),
                Run(out),
                swapped=swap_in,
                command=command,
                progress=progress,
            )
            title, names = "AUROC (0.5 is chance, 1 finds all)", ["measure", "masks", "images", "both"]
            rows = [list(row) for row in summary_rows(result)]
    show_table(title, names, rows)
    say(f"Page: {page}")


app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(reproduce)


def main() -> None:
    """The entry point `aleaseg`."""
    status = 0

    def call() -> None:
        nonlocal status
        try:
            app(standalone_mode=True)
        except SystemExit as ended:
            status = int(ended.code or 0)
            if status == STOPPED:  # typer takes Ctrl-C for itself
                raise KeyboardInterrupt from ended

    for stream in (sys.stdout, sys.stderr):
        # A case's file name may hold bytes that this terminal has no sign for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    failed = guarded(call)
    sys.exit(failed or status)
