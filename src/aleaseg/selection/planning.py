"""What a cut keeps and drops, what it costs each class and site, and whether it may be made.

A cut reads the tables of a run and writes nothing. A case is dropped only for its score, or by somebody who
names it: a case without a score (it failed, or the score does not exist for it) is kept otherwise, and listed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aleaseg.errors import SelectionRefused, UsageError
from aleaseg.measures.column import Column
from aleaseg.run import UNMEASURED, Run
from aleaseg.selection.cutting import Cut, Verdict, judge
from aleaseg.selection.hand import known_ids, read_ids
from aleaseg.selection.harm import Harm, count, present, refusals
from aleaseg.selection.settings import CutSettings
from aleaseg.settings import called_with

__all__ = ["Selection", "Why", "describe", "plan", "planned"]

Row = dict[str, Any]
_Hand = Literal["", "dropped", "kept"]

_DOUBTS = ("doubt", "label_doubt", "image_doubt")
_DOUBT_THRESHOLD = 0.5
_QUANTILE = 0.95
_NAMED = 30  # cases that a refusal names


@dataclass(frozen=True)
class Why:
    """What decided about one case.

    Attributes:
        score: of the case; None where it has none (then it is kept).
        threshold: the worst score that may stay. None without score, or where none may stay.
        reasons: of its doubt, `code=value` joined by `; `, as in cases.csv.
        class_name: the class whose score it is; empty for a score of the whole case.
        by_hand: `dropped` or `kept` where somebody decided about this case; empty: the score did.
    """

    score: float | None
    threshold: float | None
    reasons: str = ""
    class_name: str = ""
    by_hand: _Hand = ""


@dataclass(frozen=True)
class Selection:
    """What is kept, what is dropped, and why.

    Attributes:
        run: the run folder.
        kept: ids, sorted.
        dropped: ids, worst first.
        unscored: the kept ids that have no score.
        why: for every case.
        settings: what was asked, every default filled in, and the score's direction.
        harm: counts before and after, for all cases, per class and per site.
        forced: what would have been refused without force; empty where nothing was.
    """

    run: Path
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    unscored: tuple[str, ...]
    why: Mapping[str, Why]
    settings: Mapping[str, Any]
    harm: tuple[Harm, ...]
    forced: tuple[str, ...] = ()


@called_with(CutSettings)
def plan(asked: CutSettings) -> Selection:
    """Plan a cut; nothing is written.

    At most one of `quantile`, `worst`, `threshold` and `listed` is given; without any, a doubt is cut at
    0.5 and any other score at its 0.95 quantile. `drop` and `keep` have the last word.

    Returns:
        The selection.

    Raises:
        SelectionRefused: a class would be left with too few cases (never with `force`).
        UsageError: an unknown name, a number outside its range, or a score that no case has.
    """
    return planned(asked)


def planned(asked: CutSettings) -> Selection:
    """What `plan` does, of settings that were made already."""
    run = asked.run if isinstance(asked.run, Run) else Run(asked.run)
    cases, scores = _rows(run.cases), _rows(run.scores)
    by_hand = _by_hand(asked, {row["case"] for row in cases})
    found = _scored(asked, run, cases, scores)
    dropped = [case for case in found.dropped if by_hand.get(case) != "kept"]
    dropped += [case for case, what in by_hand.items() if what == "dropped" and case not in found.dropped]
    harm = count(cases, scores, set(dropped))
    refused = refusals(harm, asked.floor, asked.minimum)
    why = {row["case"]: _why(row, found, by_hand) for row in cases}
    selection = Selection(
        run=run.path,
        kept=tuple(sorted(set(why) - set(dropped))),
        dropped=tuple(dropped),
        unscored=tuple(sorted(case for case in set(why) - set(dropped) if why[case].score is None)),
        why=why,
        settings={
            **found.settings,
            "listed": _name_of_list(asked),
            "drop": list(asked.drop),
            "keep": list(asked.keep),
            **{name: getattr(asked, name) for name in ("floor", "minimum", "force")},
        },
        harm=harm,
        forced=tuple(refused) if asked.force else (),
    )
    if refused and not asked.force:
        raise SelectionRefused(
            f"{'; '.join(refused)}; nothing was written; choose a gentler cut, or make it anyway with force "
            "(`--force` on the command line)",
            [
                *describe(selection),
                f"it would be: {', '.join(dropped[:_NAMED])}{', ...' if dropped[_NAMED:] else ''}",
            ],
        )
    return selection


def describe(selection: Selection) -> list[str]:
    """What the cut removes, per class and per site, one line each: to show before anything is written."""
    settings = selection.settings
    lines = [f"{len(selection.dropped)} of {len(selection.why)} cases dropped: {_rule(settings)}"]
    for what in ("dropped", "kept"):
        named = [case for case, why in selection.why.items() if why.by_hand == what]
        if named and not (settings["listed"] and what == "dropped"):
            some = f"{', '.join(named[:5])}{', ...' if len(named) > 5 else ''}"
            lines.append(f"{what} by hand: {some}")
    width = max(len(harm.name) for harm in selection.harm)
    for harm in selection.harm:
        kind = "" if harm.kind == "all" else harm.kind
        share = f"{harm.after / harm.before:.0%} kept" if harm.before else ""
        lines.append(f"  {kind:5} {harm.name:{width}}  {harm.before:5} -> {harm.after:5}  {share}".rstrip())
    if selection.unscored:
        lines.append(f"{len(selection.unscored)} cases have no such score and are kept")
    lines += [f"forced: {line}" for line in selection.forced]
    return lines


def _rule(settings: Mapping[str, Any]) -> str:
    """What the cases are dropped by."""
    if settings["listed"]:
        return f"those that {settings['listed']} lists"
    names = ("quantile", "worst", "threshold")
    rule = next(f"{name} {settings[name]:g}" for name in names if settings[name] is not None)
    target = f" of {settings['class']}" if settings["class"] else ""
    return f"{settings['by']}{target} ({settings['direction']}), {rule}"


# -- what the score decides ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """What a score drops, worst first; the verdict on each case; and the rule, every default filled in."""

    dropped: list[str]
    verdicts: Mapping[str, Verdict]
    sign: int
    settings: Mapping[str, Any]


def _scored(asked: CutSettings, run: Run, cases: Sequence[Row], scores: Sequence[Row]) -> _Scored:
    only = asked.class_name
    per_class = only is not None or asked.reading != "class"
    by = asked.by or ("auv" if per_class else "doubt")
    quantile, threshold, worst = asked.quantile, asked.threshold, asked.worst
    if asked.listed is not None:
        # The score decides nothing; it is told all the same.
        sign, badness = 1, {"": _by_case(cases, by, 1) if by in cases[0] else {}}
        dropped, verdicts = judge(badness, Cut(None, 0, None), "class")
    else:
        sign = _direction(by, run.manifest["columns"], scores if per_class else cases, per_class)
        if only is not None:
            _check_class(only, scores, asked.reading)
        if quantile is None and worst is None and threshold is None:
            threshold, quantile = (_DOUBT_THRESHOLD, None) if by in _DOUBTS else (None, _QUANTILE)
        badness = _by_class(scores, by, sign, only) if per_class else {"": _by_case(cases, by, sign)}
        if not any(badness.values()):
            raise UsageError(_nothing_to_cut(by, only, len(cases)))
        cut = Cut(quantile, worst, None if threshold is None else sign * threshold)
        dropped, verdicts = judge(badness, cut, asked.reading)
    rule = {
        "by": by,
        "direction": "high = bad" if sign > 0 else "low = bad",
        "quantile": quantile,
        "worst": worst,
        "threshold": threshold,
        "class": only,
        "reading": asked.reading if per_class else None,
    }
    return _Scored(dropped, verdicts, sign, rule)


def _why(row: Row, found: _Scored, by_hand: Mapping[str, _Hand]) -> Why:
    case, reasons = row["case"], row.get("reasons", "")
    verdict = found.verdicts.get(case)
    hand: _Hand = by_hand.get(case, "")
    if verdict is None:
        return Why(None, None, reasons, by_hand=hand)
    # Of a list there is no limit: nothing of it is cut by the score.
    limited = math.isfinite(verdict.limit) and any(
        found.settings[name] is not None for name in ("quantile", "worst", "threshold")
    )
    limit = found.sign * verdict.limit if limited else None
    return Why(found.sign * verdict.badness, limit, reasons, verdict.class_name, hand)


# -- what somebody decided ----------------------------------------------------------------------------


def _by_hand(asked: CutSettings, ids: Collection[str]) -> dict[str, _Hand]:
    """For each case that is named: whether it goes or stays.

    Raises:
        UsageError: an id that the run does not have, or one that shall both go and stay.
    """
    listed: tuple[str, ...] = ()
    if asked.listed is not None:
        from_file = isinstance(asked.listed, str | Path)
        named = read_ids(asked.listed) if isinstance(asked.listed, str | Path) else asked.listed
        listed = known_ids(named, ids, str(asked.listed) if from_file else "the list")
    drop, keep = (known_ids(getattr(asked, name), ids, name) for name in ("drop", "keep"))
    if both := sorted(set(drop) & set(keep)):
        raise UsageError(
            f"{both[0]!r} is both to be dropped and to be kept; expected one of them; remove it from drop or keep"
        )
    goes: dict[str, _Hand] = dict.fromkeys((*listed, *drop), "dropped")
    return goes | dict.fromkeys(keep, "kept")


def _name_of_list(asked: CutSettings) -> str | None:
    if asked.listed is None:
        return None
    return Path(asked.listed).name if isinstance(asked.listed, str | Path) else "the list"


# -- the tables -----------------------------------------------------------------------------------


def _by_class(scores: Sequence[Row], by: str, sign: int, only: str | None) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in present(scores):
        value = _number(row[by])
        if value is not None and only in (None, row["class"]):
            found.setdefault(row["class"], {})[row["case"]] = sign * value
    return found


def _by_case(rows: Sequence[Row], column: str, sign: int) -> dict[str, float]:
    values = {row["case"]: _number(row[column]) for row in rows if row.get("status") not in UNMEASURED}
    return {case: sign * value for case, value in values.items() if value is not None}


# -- the door -------------------------------------------------------------------------------------


def _check_class(class_name: str, scores: Sequence[Row], reading: str) -> None:
    names = sorted({row["class"] for row in scores if row["class"]})
    if class_name not in names:
        raise UsageError(
            f"unknown class {class_name!r}; expected one of: {', '.join(names) or '(no classes)'}"
        )
    if reading != "class":
        raise UsageError(f"reading {reading} looks at every class; leave out the class, or the reading")


def _direction(by: str, columns: Mapping[str, Any], rows: Sequence[Row], per_class: bool) -> int:
    """+1 where high is bad, -1 where low is bad."""
    there = set(rows[0]) if rows else set()
    signs = {name: Column.read(name, about).direction.sign for name, about in columns.items()}
    directions = {name: sign for name, sign in signs.items() if name in there and sign}
    if by not in directions:
        table = "scores.csv" if per_class else "cases.csv"
        valid = ", ".join(sorted(directions)) or "(none)"
        raise UsageError(
            f"cannot select by {by!r}; expected a score of {table} that has a bad side: {valid}"
        )
    return directions[by]


def _nothing_to_cut(by: str, class_name: str | None, cases: int) -> str:
    of = f" for class {class_name!r}" if class_name else ""
    advice = (
        "fewer than 20 cases have no population to be compared with"
        if cases < 20
        else "choose another score"
    )
    return f"no case has a {by}{of}; expected at least one; {advice}"


def _rows(frame: Any) -> list[Row]:
    rows: list[Row] = frame.to_dict("records")
    return rows


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None
