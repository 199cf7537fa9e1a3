"""The verb `corrections`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aleaseg.cli.terminal import progress_bars, say, show_failed, show_list

if TYPE_CHECKING:
    from aleaseg.review.returning import Returned
    from aleaseg.run import Run

__all__ = ["corrections"]

_COMPARED = ("doubt", "label_doubt", "oof_dice")


def corrections(
    run: Annotated[Path, typer.Argument(help="A folder made by audit or score.", metavar="RUN")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="A new folder: for the cases or, with --take, a data set.", metavar="FOLDER"
        ),
    ],
    cases: Annotated[
        list[str] | None,
        typer.Option(help="These cases instead of those that the review asks for.", metavar="ID,ID"),
    ] = None,
    take: Annotated[
        Path | None,
        typer.Option(
            help="Read corrected masks back from this folder, into a new data set.", metavar="FOLDER"
        ),
    ] = None,
    no_score: Annotated[
        bool, typer.Option("--no-score", help="With --take: do not score the corrected cases again.")
    ] = False,
) -> None:
    """Hand cases out to be corrected in 3D Slicer or ITK-SNAP, and take the masks back; the data set stays as it is."""
    from aleaseg.run import Run

    opened = Run(run)
    if take is not None:
        _take(opened, take, out, no_score)
        return
    with progress_bars() as progress:
        from aleaseg.review.handing import hand_out
        from aleaseg.review.judging import judged
        from aleaseg.selection.hand import known_ids

        named = known_ids(cases or (), set(opened.cases["case"].astype(str)), "cases") if cases else ()
        troubles = hand_out(opened, out, named, lambda done, total: progress("copy", done, total))
        left = () if named else judged(opened).not_mended()
    show_failed(troubles, "not written")
    say("\n".join([*left, f"To read: {out / 'reading_list.csv'}"]))
    back = f"aleaseg corrections {shlex.quote(str(run))} --take {shlex.quote(str(out))} -o DATASET"
    say(f"Correct corrected.nii.gz in each folder, then: {back}")
    raise typer.Exit(1 if troubles else 0)


def _take(run: Run, folder: Path, out: Path, no_score: bool) -> None:
    from aleaseg.review.returning import take_back

    back = take_back(run, folder, out)
    show_failed(back.refused, "refused")
    say(f"{len(back.corrected)} corrected, {len(back.unchanged)} unchanged, {len(back.refused)} refused")
    if back.corrected:
        say(f"Data set: {out / 'whole'}")
        if back.left_out:
            say(f"Not in it, since an image or a mask is missing: {', '.join(back.left_out)}")
        if not no_score:
            _score_again(run, back)
    raise typer.Exit(1 if back.refused or not back.corrected else 0)


def _score_again(run: Run, back: Returned) -> None:
    """The corrected cases against the frozen population of the run: before and after."""
    if not (run.path / "population.json").exists():
        say("Not scored again: the run has no population (fewer than 20 cases).")
        return
    with progress_bars() as progress:
        from aleaseg.auditing.running import run_audit
        from aleaseg.auditing.settings import AuditSettings
        from aleaseg.run import Run as OfRun

        asked = run.manifest["settings"]
        same = ("extractor", "prompt", "normalize", "scenario", "weights", "window", "channel", "precision")
        settings = AuditSettings(
            back.path / "corrected",
            predictions=asked["predictions"],
            reference=run.path,
            **{name: asked[name] for name in same if asked.get(name) not in (None, "")},
        )
        after = run_audit(settings, OfRun(back.path / "run"), progress=progress, page=False).run
    _compare(run, after, back)


def _compare(before: Run, after: Run, back: Returned) -> None:
    old, new = (frame.set_index("case") for frame in (before.cases, after.cases))
    shown = [name for name in _COMPARED if name in old and name in new]

    def both(case: str) -> list[str]:
        return [f"{_number(old.loc[case, name])} -> {_number(new.loc[case, name])}" for name in shown]

    rows = [
        (case, str(changed), *both(case)) for case, changed in back.corrected.items() if case in new.index
    ]
    show_list(
        "Before and after (doubt: high = bad; Dice: low = bad)", ("case", "voxels changed", *shown), rows
    )


def _number(value: Any) -> str:
    return "–" if value != value or value == "" else f"{float(value):.2f}"
