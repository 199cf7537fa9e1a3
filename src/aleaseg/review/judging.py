"""What a review says of each case for a cut: goes, stays, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from aleaseg.errors import UsageError
from aleaseg.review.decisions import Decision, Decisions
from aleaseg.review.event import VERDICTS, label_words
from aleaseg.review.session import DECISIONS, data_set_of
from aleaseg.review.stamps import same_label
from aleaseg.run import Run

__all__ = ["Judged", "judged"]


@dataclass(frozen=True)
class Judged:
    """What a review decided.

    Attributes:
        drop: ids of which all who decided say that they go.
        keep: ids of which all say that they stay.
        mend: id -> what all say is to be done first.
        disputed: ids on which two say different things.
        unsure: ids of which nobody is sure.
        stale: ids that were decided about only with a mask that has changed since.
        notes: what else is to be known.
    """

    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    mend: tuple[tuple[str, str], ...] = ()
    disputed: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def described(self) -> list[str]:
        """In lines, to show before a cut is made."""
        lines = [f"review: {len(self.drop)} dropped and {len(self.keep)} kept, whatever the score"]
        ways = Counter(verdict for _, verdict in self.mend)
        left = [f"{ways[verdict]} to {label_words(verdict)}" for verdict in VERDICTS if ways[verdict]]
        left += [f"{len(self.disputed)} on which raters disagree"] if self.disputed else []
        left += [f"{len(self.unsure)} unsure"] if self.unsure else []
        if left:
            lines.append(f"review: left to the score: {', '.join(left)}")
        if self.stale:
            lines.append(
                f"review: {len(self.stale)} not used, since their masks have changed: {_few(self.stale)}"
            )
        return [*lines, *(f"review: {note}" for note in self.notes)]

    def not_mended(self) -> list[str]:
        """In lines, which cases are not corrected though somebody may have asked for it."""
        left = {
            "raters disagree": self.disputed,
            "the mask has changed since it was decided about": self.stale,
            "to scan again": tuple(case for case, verdict in self.mend if verdict == "re-scan"),
        }
        return [f"Not among them, {why}: {len(ids)} ({_few(ids)})" for why, ids in left.items() if ids]


def _few(ids: tuple[str, ...]) -> str:
    return f"{', '.join(ids[:5])}{', ...' if ids[5:] else ''}"


def judged(run: Run) -> Judged:
    """What the review of a run decided about whole cases.

    A verdict holds for a cut where all raters who were not unsure say the same, of the mask as it is now.

    Raises:
        UsageError: the run has not been reviewed.
    """
    path = run.path / DECISIONS
    if not path.exists():
        raise UsageError(
            f"{path} does not exist; expected decisions of a review; run `aleaseg review {run.path}` first"
        )
    decisions = Decisions(path, read_only=True)
    try:
        held = decisions.holding()
    finally:
        decisions.close()
    fresh, notes = _fresh(run, held)
    return _joined(held, fresh, notes)


def _fresh(run: Run, held: Iterable[Decision]) -> tuple[set[int], tuple[str, ...]]:
    """The numbers of the decisions whose mask is as it was."""
    try:
        cases = {case.id: case for case in data_set_of(run).cases}
    except UsageError:
        return {one.seq for one in held}, ("the data set is gone: masks may have changed since",)
    return {
        one.seq for one in held if one.case not in cases or same_label(cases[one.case], one.label_stamp)
    }, ()


def _joined(held: Iterable[Decision], fresh: set[int], notes: tuple[str, ...]) -> Judged:
    said: dict[str, set[str]] = {}
    stale: set[str] = set()
    for one in held:
        if one.class_name:
            continue
        if one.seq in fresh:
            said.setdefault(one.case, set()).add(one.verdict)
        else:
            stale.add(one.case)
    sure = {case: verdicts - {"unsure"} for case, verdicts in said.items()}
    alone = {case: next(iter(verdicts)) for case, verdicts in sure.items() if len(verdicts) == 1}
    return Judged(
        drop=tuple(sorted(case for case, verdict in alone.items() if verdict == "drop")),
        keep=tuple(sorted(case for case, verdict in alone.items() if verdict == "keep")),
        mend=tuple(sorted((c, verdict) for c, verdict in alone.items() if verdict not in ("keep", "drop"))),
        disputed=tuple(sorted(case for case, verdicts in sure.items() if len(verdicts) > 1)),
        unsure=tuple(sorted(case for case, verdicts in sure.items() if not verdicts)),
        stale=tuple(sorted(stale - set(said))),
        notes=notes,
    )
