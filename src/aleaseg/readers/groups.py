"""Which cases belong together, and where each comes from: by a regular expression, or by a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from aleaseg.errors import UsageError

__all__ = ["assign"]


def assign(ids: Sequence[str], rule: str | None, column: str) -> dict[str, str]:
    """The group (or site) of each case.

    Args:
        ids: of the cases.
        rule: a regular expression, searched in the id: its first group, else the
            whole match, is the value; or the path of a CSV with the columns
            `case` and `group` (or `site`).
        column: `group` or `site`, for the table and for messages.

    Returns:
        id -> value, only for the ids to which the rule says something.

    Raises:
        UsageError: the expression or the table cannot be read, or says nothing about any case.
    """
    if rule is None:
        return {}
    path = Path(rule)
    if rule.lower().endswith(".csv") or _is_file(path):
        found = {case: value for case, value in _table(path, column).items() if case in set(ids)}
        source = f"{path} names"
    else:
        found = _searched(ids, rule, column)
        source = f"the expression {rule!r} matches"
    if ids and not found:
        raise UsageError(f"--{column}s: {source} none of the {len(ids)} cases, such as {ids[0]!r}")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # an expression may be too long, or hold what no path can
        return False


def _searched(ids: Sequence[str], rule: str, column: str) -> dict[str, str]:
    try:
        expression = re.compile(rule)
    except re.error as error:
        raise UsageError(f"--{column}s: {rule!r} is not a regular expression ({error})") from error
    found = {}
    for case in ids:
        match = expression.search(case)
        if match:
            # A group that took no part in the match says None.
            found[case] = (match[1] if expression.groups else None) or match[0]
    return found


def _table(path: Path, column: str) -> Mapping[str, str]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            names = list(rows.fieldnames or ())
            if "case" not in names or column not in names:
                have = ", ".join(names) or "none"
                raise UsageError(f"--{column}s: {path} has the columns {have}; expected case,{column}")
            return {row["case"]: row[column] or "" for row in rows if row["case"]}
    except OSError as error:
        raise UsageError(f"--{column}s: {path} cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise UsageError(f"--{column}s: {path} is not valid CSV ({error})") from error
