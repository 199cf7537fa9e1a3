"""What a cut costs each class and site, and whether that is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Harm", "count", "present", "refusals"]


@dataclass(frozen=True)
class Harm:
    """How many cases a cut leaves.

    Attributes:
        kind: `all`, `class` (cases in which it is present) or `site`.
        name: of the class or site; `all cases` for `all`.
        before: number of cases before the cut.
        after: number of cases after it.
    """

    kind: Literal["all", "class", "site"]
    name: str
    before: int
    after: int


def present(scores: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of scores.csv that speak of a class that the case has."""
    return [row for row in scores if row["class"] and str(row["present"]).lower() in ("true", "1", "1.0")]


def count(
    cases: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]], dropped: set[str]
) -> tuple[Harm, ...]:
    """Cases before and after, of rows of cases.csv and scores.csv: all, per class that is present, per known site."""
    members: dict[tuple[Literal["all", "class", "site"], str], set[str]] = {
        ("all", "all cases"): {row["case"] for row in cases}
    }
    for row in present(scores):
        members.setdefault(("class", row["class"]), set()).add(row["case"])
    for row in cases:
        if row.get("site"):
            members.setdefault(("site", row["site"]), set()).add(row["case"])
    return tuple(Harm(kind, name, len(ids), len(ids - dropped)) for (kind, name), ids in members.items())


def refusals(harm: Sequence[Harm], floor: float, minimum: int) -> list[str]:
    """One line for each class that the cut would leave with too few cases.

    `floor` is the share that must stay, in [0, 1], `minimum` the number.
    """
    # Without any label there is no class to guard: the data set as a whole is guarded instead.
    guarded = [row for row in harm if row.kind == "class"] or [row for row in harm if row.kind == "all"]
    lines = []
    for row in guarded:
        what = f"class {row.name!r}" if row.kind == "class" else "the data set"
        if row.after < row.before and row.after < floor * row.before - 1e-9:
            lines.append(
                f"{what} would keep {row.after} of {row.before} cases, less than the floor of {floor:.0%}"
            )
        elif row.after < row.before and row.after < minimum:
            lines.append(
                f"{what} would keep {row.after} of {row.before} cases, fewer than the minimum of {minimum}"
            )
    return lines
