"""What a reader of `bench confidence` is told in words: how to read it, and the answers, made from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aleaseg.bench.confidence_result import ELSEWHERE, ConfidenceResult
from aleaseg.bench.confidence_tables import heading
from aleaseg.pages.numbers import in_words, interval, number
from aleaseg.pages.tables import records

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CAPTIONS", "READ", "answers", "head", "lead"]

READ = (
    "A row is a way to learn from the confidences, a column what the model is compared with: the voxels with q ≥ r, or "
    "q itself. All rows see the same cases, folds, seeds, steps and networks; every case is predicted by the model "
    "that held its group out.",
    "A threshold is expected to win at its own reference, since it learnt that mask. The masks of multi are each "
    "scored at their own threshold, so its whole row is such a diagonal. More telling are the rest of a row, "
    "“Dice elsewhere” (the references that neither of two rows learnt), and soft Dice, which has no threshold.",
    "Where no voxel of a case reaches a reference, the case counts in no row of that column.",
)
CAPTIONS: Mapping[str, str] = {
    "matrix": (
        "Means over seeds, cases and classes. Dice and soft Dice: high = good; Brier, ECE and GED: low = good. Bold: "
        "differs from {baseline} by more than chance, in the sense below."
    ),
    "colour": (
        "Blue: better than {baseline}, red: worse; the deeper, the further, all Dice on one scale. Framed: the "
        "threshold that the row learnt. Hover over a cell for the difference and its interval."
    ),
    "differences": (
        "Each row minus {baseline}, on the same cases and seeds: the mean, its 95% interval over cases (resampled by "
        "group), and the sign in each seed. Bold: claimed, that is all of several seeds agree, the interval excludes "
        "0, and the signed-rank test over groups has p below 0.05 after Holm’s correction for all {count} "
        "differences of the table. The interval itself is not corrected, and does not reflect other folds or seeds."
    ),
    "winners": (
        "Of the trainings on one threshold the best at each column minus the second best. Both were picked with the "
        "result at hand. Corrected by Holm for the {count} columns."
    ),
    "beyond": (
        "Every other way minus the best threshold of that column, which was picked on the same cases: that favours the "
        "threshold. Claimed differences only; {claimed} of {count}, corrected by Holm for all of them."
    ),
    "parts": (
        "The lower half of the cases by size (the sum of q, class by class), and the upper half. Small structures "
        "lose more Dice by the same error, so compare down a column, not between the halves."
    ),
}


def lead(result: ConfidenceResult) -> str:
    """The bench in one line."""
    about, design = result.about, result.design
    groups, classes = len(set(design.groups.values())), in_words(about["dataset"]["classes"])
    return (
        f"{len(design.groups)} cases of {groups} groups · {classes} · {len(result.rows)} ways · {len(design.folds)} "
        f"folds · seeds {in_words(about['seeds'])} · {_trained(about)}"
    )


def _trained(about: Mapping[str, Any]) -> str:
    patch = " × ".join(map(str, about["patch"]))
    return f"{about['steps']} steps of {about['batch']} patches of {patch}"


def answers(result: ConfidenceResult) -> list[tuple[str, list[str]]]:
    """Question -> sentences."""
    alone = ["With one seed nothing is claimed: trainings scatter, and one agrees with itself."]
    return [
        *([("What can be said?", alone)] if len(result.about["seeds"]) == 1 else []),
        ("Which training threshold wins at which reference?", _winners(result)),
        ("Is 60% above 50%?", _sixty(result)),
        ("Do other ways beat the best threshold?", _beyond(result)),
        ("Does it hold for small structures?", _small(result)),
    ]


def _said(result: ConfidenceResult, gap: Mapping[str, Any]) -> str:
    name = gap["column"]
    form = "+.3f" if name == ELSEWHERE else f"+{result.columns[name].form}"
    ends = interval(gap["low"], gap["high"], form)
    inside = ", ".join(
        filter(None, (ends and f"95% interval {ends}", gap["signs"] and f"signs {gap['signs']}"))
    )
    return f"{number(gap['difference'], form)} ({inside or 'too few groups for an interval'})"


def _chance(gap: Mapping[str, Any]) -> str:
    return "more than chance" if gap["says"] != "no claim" else "no claim"


def _winners(result: ConfidenceResult, part: str = "all") -> list[str]:
    if len(result.thresholds) < 2:
        return ["One threshold was trained alone."]
    said = [
        f"{heading(result, gap['column'])}: {result.design.title(gap['row'])}, ahead of "
        f"{result.design.title(gap['baseline'])} by {_said(result, gap)}: {_chance(gap)}."
        for gap in records(result.winners[part])
        if "@" in gap["column"] or gap["column"] == "soft_dice"
    ]
    own = [gap for gap in records(result.winners[part]) if "@" in gap["column"]]
    on = [gap for gap in own if f"dice@{result.thresholds[gap['row']]:g}" == gap["column"]]
    said.append(
        f"At {len(on)} of {len(own)} references the threshold wins that learnt this very mask, as is expected."
    )
    return said


def _sixty(result: ConfidenceResult) -> list[str]:
    design = result.design
    if design.paper is None or design.paper not in result.rows:
        return ["No row learnt q ≥ 0.6, so the question was not asked."]
    if design.paper == design.baseline:
        return [
            f"Here q ≥ 0.6 and q ≥ 0.5 are one mask ({design.title(design.baseline)}), and one training: this data "
            "cannot tell."
        ]
    said = []
    title = design.title(design.paper)
    if title != design.paper:
        said.append(
            f"The training of q ≥ 0.6 is {title}: with so few raters it is also that of every threshold which asks for "
            "as many of them. So what is compared is one rater more, not ten points of confidence."
        )
    gaps = _of_row(result.to_baseline["all"], design.paper)
    for verdict, words in (("better", "better than 50%"), ("worse", "worse than 50%")):
        found = [gap for gap in gaps if gap["says"] == verdict]
        if found:
            listed = "; ".join(f"{heading(result, gap['column'])} {_said(result, gap)}" for gap in found)
            said.append(f"By more than chance {words} in: {listed}.")
    if all(gap["says"] == "no claim" for gap in gaps):
        said.append("It is nowhere different from 50% by more than chance.")
    elif not any(gap["says"] == "better" for gap in gaps):
        said.append("It is nowhere better than 50% by more than chance.")
    own = f"dice@{result.thresholds[design.paper]:g}"
    if any(gap["says"] == "better" and gap["column"] == own for gap in gaps):
        said.append(f"{heading(result, own)} is its own reference, where it is expected to win.")
    return said + [
        f"{heading(result, gap['column'])}: {_said(result, gap)}, {_chance(gap)}."
        for gap in gaps
        if gap["column"] in (ELSEWHERE, "soft_dice") and np.isfinite(gap["difference"])
    ]


def _of_row(frame: pd.DataFrame, row: str) -> list[dict[str, Any]]:
    return [gap for gap in records(frame) if gap["row"] == row]


def _beyond(result: ConfidenceResult, part: str = "all") -> list[str]:
    gaps = records(result.beyond[part])
    if not gaps:
        return ["No other way was trained."]
    said = []
    for way in dict.fromkeys(gap["row"] for gap in gaps):
        of_way = [gap for gap in gaps if gap["row"] == way]
        parts = []
        for verdict in ("better", "worse"):
            columns = [heading(result, gap["column"]) for gap in of_way if gap["says"] == verdict]
            parts += [f"{verdict} in {', '.join(columns)}"] if columns else []
        said.append(f"{way}: {'; '.join(parts) or 'no claim anywhere'}.")
    soft = [gap for gap in gaps if gap["column"] == "soft_dice"]
    if soft:
        first = max(soft, key=lambda gap: gap["difference"])
        said.append(
            f"By soft Dice the best of them is {first['row']}: {_said(result, first)} to "
            f"{result.design.title(first['baseline'])}, the best threshold there, {_chance(first)}."
        )
    return said


def _small(result: ConfidenceResult) -> list[str]:
    said = []
    whole, small = (
        {gap["column"]: gap for gap in records(result.winners[part])} for part in ("all", "small")
    )
    moved = [name for name, gap in small.items() if name in whole and gap["row"] != whole[name]["row"]]
    if whole:
        kept = len(small) - len(moved)
        said.append(
            f"In the half with the smaller structures the same threshold is best in {kept} of {len(small)} columns"
            + (
                "; in the others: "
                + "; ".join(
                    f"{heading(result, name)}, {result.design.title(small[name]['row'])} ({_chance(small[name])})"
                    for name in moved
                )
                if moved
                else ""
            )
            + "."
        )
    for title, every in (("baseline", result.to_baseline), ("best threshold", result.beyond)):
        said += _turned(result, every, title)
    paper = result.design.paper
    if paper in result.rows and paper != result.design.baseline:
        gaps = {gap["column"]: gap for gap in _of_row(result.to_baseline["small"], paper)}
        for name in ("soft_dice", ELSEWHERE):
            gap = gaps.get(name)
            if gap and np.isfinite(gap["difference"]):
                said.append(
                    f"60% minus 50% there, {heading(result, name)}: {_said(result, gap)}, {_chance(gap)}."
                )
    return said


def _turned(result: ConfidenceResult, every: Mapping[str, pd.DataFrame], title: str) -> list[str]:
    """What is claimed of all cases, and what becomes of it in the half with the smaller structures."""
    claimed = (
        [gap for gap in records(every["all"]) if gap["says"] != "no claim"] if len(every["all"]) else []
    )
    if not claimed:
        return []
    small = {(gap["row"], gap["column"]): gap for gap in records(every["small"])}
    held, turned = _count(claimed, small)
    said = (
        f"Of the {len(claimed)} differences to the {title} that are claimed of all cases, {held} are claimed of the "
        f"smaller half alone as well, and {len(turned)} have the other sign there"
    )
    names = ", ".join(f"{row} in {heading(result, name)}" for row, name in turned[:6])
    return [f"{said}{f' ({names})' if names else ''}."]


def _count(
    claimed: Sequence[Mapping[str, Any]], small: Mapping[tuple[str, str], Mapping[str, Any]]
) -> tuple[int, list[tuple[str, str]]]:
    held, turned = 0, []
    for gap in claimed:
        there = small[gap["row"], gap["column"]]
        held += there["says"] == gap["says"]
        if there["difference"] * gap["difference"] < 0:
            turned.append((gap["row"], gap["column"]))
    return held, turned


def _not_measured(result: ConfidenceResult) -> str:
    """Of which models a case has no numbers: its differences are over the other cases."""
    failed = result.cases[result.cases["status"] == "failed"]
    if failed.empty:
        return ""
    models = len(failed.drop_duplicates(["row", "seed", "case"]))
    first = failed.iloc[0]
    return (
        f"{models} prediction(s) of {failed['case'].nunique()} case(s), which count in no number of their model; the "
        f"first, of {first['row']} and seed {first['seed']}: {first['error']}"
    )


def head(result: ConfidenceResult) -> list[tuple[str, str]]:
    """How it was made: a title and a text each."""
    about, design = result.about, result.design
    rows: Iterable[tuple[str, Any]] = (
        ("data set", about["dataset"]["name"]),
        ("cases", f"{len(design.groups)} of {len(set(design.groups.values()))} groups"),
        ("classes", in_words(about["dataset"]["classes"])),
        ("folds", f"{len(design.folds)}, by group"),
        ("seeds", in_words(about["seeds"])),
        ("trained", _trained(about)),
        ("network", f"{about['settings']['network']}, {about['settings']['size']}"),
        (
            "cells",
            f"{about['cells']} of {about['wanted']} done; {number(about['seconds'] / 60, '.0f')} minutes of one core "
            "for those shown",
        ),
        ("not measured", _not_measured(result) or "none"),
        ("left out", "; ".join(f"{case} ({why})" for case, why in design.left_out.items()) or "none"),
        (
            "ways that could not be learnt",
            "; ".join(f"{row}: {why}" for row, why in about["failed"].items()) or "none",
        ),
        ("notes", " ".join(design.notes)),
        ("command", about.get("command", "")),
        ("machine", about.get("machine", "")),
        ("date", about["created"][:10]),
        ("versions", in_words({"aleaseg": about["aleaseg"], **about["versions"]})),
    )
    return [(title, str(text)) for title, text in rows if text]
