"""What to do after an audit: one command, the same on the page, in the terminal and in the README."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.report.columns import values

__all__ = ["HALF", "NextStep", "next_step"]

HALF = 0.5
"""A doubt above it is a robust z above 3 against the population: what `aleaseg select` cuts by default."""

# A cut that leaves a class less than four fifths of its cases is refused.
_GUARDED = 0.2


@dataclass(frozen=True)
class NextStep:
    """What to do now.

    Attributes:
        doubtful: how many cases have a doubt above 0.5.
        command: to type; empty where there is nothing to do.
        words: what it does, or why there is nothing.
        look: to type, to look at the cases and decide about each.
    """

    doubtful: int
    command: str
    words: str
    look: str


def next_step(run: str | Path, cases: Any) -> NextStep:
    """What to do with a run whose cases.csv has these rows.

    Args:
        run: the folder, as the command should name it.
        cases: a frame.
    """
    look = f"aleaseg review {shlex.quote(str(run))}"
    if "doubt" not in cases or not np.isfinite(values(cases, "doubt")).any():
        return NextStep(0, "", "No case has a doubt: a population needs 20 cases.", look)
    doubtful = int(np.sum(values(cases, "doubt") > HALF))
    if not doubtful:
        return NextStep(0, "", "No case has a doubt above 0.5: there is nothing to leave out.", look)
    what = f"the {doubtful} cases" if doubtful > 1 else "the one case"
    more = ""
    if doubtful > _GUARDED * len(cases):
        more = "; that is more than a fifth of the cases, so --force or --worst N is needed"
    words = f"leaves out {what} with a doubt above 0.5 and says why; --dry-run writes nothing{more}"
    return NextStep(doubtful, f"aleaseg select {shlex.quote(str(run))}", words, look)
