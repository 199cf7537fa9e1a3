r"""The verb `compare`: evaluations side by side, each against the first, case by case.

    comparison.csv   a row per pair, metric and class: both means, their difference, interval, p
    comparison.md    the same, to commit
    index.html       the page

A difference is second less first over the cases (and classes) that both have a number for,
its interval a bootstrap over groups of cases, its p from Wilcoxon's signed-rank test. Where
the interval holds 0 nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aleaseg.errors import UsageError
from aleaseg.evaluation.columns import metrics_in
from aleaseg.evaluation.evaluation import Evaluation
from aleaseg.evaluation.summary import ALL, by_class
from aleaseg.metrics.bootstrap import Replicated, difference
from aleaseg.metrics.paired import FEWEST_GROUPS, Paired, case_resamples, paired_difference
from aleaseg.metrics.risk_coverage import aurc
from aleaseg.readers.groups import assign

__all__ = ["COLUMNS", "Comparison", "Pair", "compare_evaluations", "distinct_names", "verdict"]

# Below so many groups a percentile interval is narrower than its 95% say.
_FEW_GROUPS = 20

COLUMNS = (
    "first",
    "second",
    "metric",
    "class",
    "first_mean",
    "second_mean",
    "difference",
    "low",
    "high",
    "p",
    "cases",
    "groups",
    "verdict",
)


@dataclass(frozen=True)
class Pair:
    """A second evaluation against the first.

    Attributes:
        first, second: names.
        rows: of comparison.csv, `all` classes before the single ones.
        cases: a row per common case: case, group, first, second (mean Dice of each), difference.
        notes: what is to be known of the cases that were left out.
    """

    first: str
    second: str
    rows: pd.DataFrame
    cases: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Every evaluation against the first.

    Attributes:
        names: of the evaluations, in order.
        evaluations: the same order.
        pairs: of each but the first.
        classes: names.
    """

    names: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    pairs: tuple[Pair, ...]
    classes: tuple[str, ...]

    @property
    def rows(self) -> pd.DataFrame:
        """All rows of comparison.csv."""
        return pd.concat([pair.rows for pair in self.pairs], ignore_index=True)


def verdict(low: float, high: float, difference: float, higher_is_better: bool) -> str:
    """What may be claimed of the second: `better` or `worse` where the interval leaves out 0.

    >>> verdict(0.01, 0.03, 0.02, True), verdict(0.01, 0.03, 0.02, False), verdict(-0.01, 0.03, 0.01, True)
    ('better', 'worse', 'no claim')
    >>> verdict(float("nan"), float("nan"), 0.1, True), verdict(0, 0, 0, True)
    ('too few', 'same')
    """
    if np.isnan(low) or np.isnan(high):
        return "too few"
    if low == high == difference == 0:
        return "same"
    if low <= 0 <= high:
        return "no claim"
    return "better" if (low > 0) == higher_is_better else "worse"


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Names that tell folders apart: each folder's own, or the first of those above it that differs.

    Raises:
        UsageError: a folder is given twice.

    >>> distinct_names([Path("a/fold_0/validation"), Path("b/fold_0/validation")])
    ['a', 'b']
    """
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        below = {each[-depth + 1 :] if depth > 1 else () for each in parts}
        kept = [
            each[-depth] if len(below) == 1 else "/".join(each[-depth:])
            for each in parts
            if len(each) >= depth
        ]
        if len(set(kept)) == len(parts):
            return kept
    raise UsageError(f"{paths[0]} is given twice; give different folders")


def compare_evaluations(
    evaluations: Sequence[Evaluation], names: Sequence[str], groups: str | None = None
) -> Comparison:
    """Compare each evaluation with the first.

    Args:
        evaluations: two or more, against the same reference.
        names: of each.
        groups: as `open_dataset` takes them; None: those of the first evaluation.

    Raises:
        UsageError: they are not comparable: other classes, tolerances or conventions, another
            reference, or no common case.
    """
    if len(evaluations) < 2:
        raise UsageError("compare takes two evaluations or more")
    first, *others = evaluations
    pairs = []
    for name, other in zip(names[1:], others, strict=True):
        _comparable(first, other, names[0], name)
        pairs.append(_pair(first, other, names[0], name, groups))
    return Comparison(tuple(names), tuple(evaluations), tuple(pairs), first.classes)


def _comparable(first: Evaluation, second: Evaluation, one: str, other: str) -> None:
    about = (
        ("classes", first.manifest["dataset"]["classes"], second.manifest["dataset"]["classes"]),
        ("NSD tolerances", first.manifest["tolerances_mm"], second.manifest["tolerances_mm"]),
        ("--both-empty", first.settings.both_empty, second.settings.both_empty),
        *(
            (f"--{name}", getattr(first.settings, name), getattr(second.settings, name))
            for name in ("scale", "fuse")
            if first.settings.at and second.settings.at
        ),
    )
    for what, a, b in about:
        if a != b:
            raise UsageError(
                f"{one} and {other} cannot be compared, {what} differ: {a} and {b}; evaluate both alike"
            )
    keys = ["case", "class"]
    sizes = [
        one.metrics[one.metrics["status"] != "failed"].set_index(keys)["reference_voxels"]
        for one in (first, second)
    ]
    both = sizes[0].index.intersection(sizes[1].index)
    if not len(both):
        raise UsageError(f"{one} and {other} have no case in common that both could measure")
    apart = both[(sizes[0].loc[both] != sizes[1].loc[both]).to_numpy()]
    if len(apart):
        case, name = apart[0]
        raise UsageError(
            f"{one} and {other} were measured against different references: {case} has "
            f"{sizes[0].loc[apart[0]]:.0f} voxels of {name} in one and {sizes[1].loc[apart[0]]:.0f} in the other; "
            "evaluate both against the same reference"
        )


def _pair(first: Evaluation, second: Evaluation, one: str, other: str, groups: str | None) -> Pair:
    tables = [each.cases[each.cases["status"] != "failed"].set_index("case") for each in (first, second)]
    ids = sorted(set(tables[0].index) & set(tables[1].index))
    cases = [table.loc[ids].reset_index() for table in tables]
    group = cases[0]["group"].to_numpy()
    if groups is not None:
        assigned = assign(ids, groups, "group")
        group = np.array([assigned.get(case) or case for case in ids])
    drawn = case_resamples(group)
    metrics = [
        each.metrics[(each.metrics["status"] != "failed") & each.metrics["case"].isin(ids)]
        for each in (first, second)
    ]
    rows: list[dict[str, Any]] = []
    known = [{*table.columns, *those.columns} for table, those in zip(metrics, cases, strict=True)]
    for metric, about in metrics_in(known[0] & known[1]).items():
        x, y = (
            by_class(table, those, metric, first.classes)
            for table, those in zip(metrics, cases, strict=True)
        )
        for over in x:
            found = paired_difference(x[over], y[over], group, drawn)
            if found.cases:
                rows.append(_row(metric, over, found, about.higher_is_better))
    signs = {name: sign for name, sign in first.signs.items() if second.signs.get(name) == sign}
    for name, sign in signs.items():
        if risk := _risk(name, sign, cases, group):
            rows.append(_row(f"aurc/{name}", ALL, risk, higher_is_better=False))
    named = ({"first": one, "second": other, **row} for row in rows)
    dice = [table["dice"].to_numpy(dtype=np.float64) for table in cases]
    by_case = pd.DataFrame(
        {"case": ids, "group": group, "first": dice[0], "second": dice[1], "difference": dice[1] - dice[0]}
    )
    notes = [
        *_few(len(set(group))),
        *_left_out({one: first, other: second}, len(ids)),
        *_empty(metrics, skipped=first.settings.both_empty == "skip"),
    ]
    return Pair(one, other, pd.DataFrame(named, columns=[*COLUMNS]), by_case, tuple(notes))


def _row(metric: str, over: str, found: Paired, higher_is_better: bool) -> dict[str, Any]:
    """Of comparison.csv, without the names of the two."""
    numbers = found._asdict()
    means = {f"{which}_mean": numbers.pop(which) for which in ("first", "second")}
    said = verdict(found.low, found.high, found.difference, higher_is_better)
    return {"metric": metric, "class": over, **means, **numbers, "verdict": said}


def _risk(name: str, sign: int, cases: Sequence[pd.DataFrame], group: np.ndarray) -> Paired | None:
    """AURC of a confidence, on the cases where both have a Dice and a confidence; None without any."""
    if any(name not in table for table in cases):
        return None
    known = np.logical_and.reduce(
        [table[column].notna().to_numpy() for table in cases for column in ("dice", name)]
    )
    if not known.any():
        return None
    weights = case_resamples(group[known]).weights
    areas = []
    for table in cases:
        risk = 1 - table["dice"].to_numpy(dtype=np.float64)[known]
        sure = sign * table[name].to_numpy(dtype=np.float64)[known]
        areas.append(Replicated(float(aurc(risk, sure)), aurc(risk, sure, weights=weights)))
    first, second = areas
    found = difference(second, first)
    groups = len(set(group[known]))
    low, high = (found.low, found.high) if groups >= FEWEST_GROUPS else (np.nan, np.nan)
    return Paired(first.point, second.point, found.point, low, high, np.nan, int(known.sum()), groups)


def _few(groups: int) -> Iterator[str]:
    if FEWEST_GROUPS <= groups < _FEW_GROUPS:
        yield (
            f"{groups} groups of cases are few: intervals from so few are somewhat too narrow (with ten groups they "
            "contain the truth 90 times out of 100, not 95). Read p as well."
        )


def _left_out(evaluations: Mapping[str, Evaluation], common: int) -> Iterator[str]:
    for name, each in evaluations.items():
        failed = len(each.errors)
        if failed:
            yield f"{failed} case(s) of {name} could not be measured and are in no difference."
        alone = len(each.cases) - failed - common
        if alone:
            yield f"{alone} case(s) of {name} have no counterpart and are in no difference."


def _empty(metrics: Sequence[pd.DataFrame], *, skipped: bool) -> Iterator[str]:
    """What masks without a voxel do to the differences; `skipped`: where both have none, nothing is counted."""
    first, second = (table.set_index(["case", "class"])["status"] for table in metrics)
    second = second.reindex(first.index)
    empty = [status == "both_empty" for status in (first, second)]
    mixed = int((empty[0] != empty[1]).sum())
    if mixed and skipped:
        yield (
            f"{_times(mixed)} the reference lacks a class that one of the two rightly leaves out and the other "
            "predicts: such a class has no Dice for the one, and is in no difference. --both-empty perfect counts it."
        )
    in_both = ~(empty[0] | empty[1]) if skipped else np.ones(len(first), dtype=bool)
    penalties = sum(
        int((status.isin(("reference_empty", "prediction_empty")) & in_both).sum())
        for status in (first, second)
    )
    if penalties:
        yield (
            f"{_times(penalties)} one of two masks is empty: HD95 and ASSD are then the image's diagonal, which can "
            "rule their means. Look at Dice and NSD first."
        )


def _times(count: int) -> str:
    return "Once" if count == 1 else f"{count} times"
