"""The verb `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aleaseg.cli.terminal import progress_bars, say, show_outcome

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to put it.", metavar="FOLDER")] = Path(
        "demo"
    ),
    cases: Annotated[int, typer.Option(min=20, help="How many cases to make.", metavar="N")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.", metavar="N")] = 0,
) -> None:
    """Make a synthetic CT data set with known faults, audit it, and leave the worst out."""
    say(f"Making {cases} synthetic CT cases in {out / 'data'} ...")
    with progress_bars() as progress:
        from aleaseg import selection
        from aleaseg.auditing.running import run_audit
        from aleaseg.auditing.settings import AuditSettings
        from aleaseg.bench.phantom import make_dataset
        from aleaseg.run import Run

        faults = make_dataset(out / "data", cases=cases, seed=seed)
        settings = AuditSettings(out / "data", sites=r"(site[A-Z])_", device="cpu", seed=seed, steps=200)
        outcome = run_audit(settings, Run(out / "run"), progress=progress)
    show_outcome(outcome)
    # A fifth of the cases was spoilt on purpose: more may leave than a careful cut allows.
    cut = selection.plan(outcome.run, floor=0.6)
    written = selection.write(cut)
    found = sum(case in faults for case in cut.dropped)
    say(
        f"{len(faults)} cases were spoilt on purpose. The {len(cut.dropped)} with a doubt above 0.5 are left out of "
        f"the splits; {found} of them were spoilt:",
        wrap=True,
    )
    for case in cut.dropped:
        say(f"  {case:<12} {faults.get(case, 'not spoilt')}")
    for case in sorted(set(faults) - set(cut.dropped)):
        say(f"  {case:<12} {faults[case]}, not found")
    say(f"Splits: {written}")
    raise typer.Exit(1 if outcome.findings or outcome.troubles else 0)
