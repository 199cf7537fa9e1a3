"""The last line of a check: what was found, what was guessed, what was passed over; and all of it as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aleaseg.case import Account, Finding

if TYPE_CHECKING:
    from aleaseg.checks.result import CheckResult

__all__ = ["as_json", "closing", "finding_row"]

_MOST_NAMES = 3
_MOST_CLASSES = 6


def closing(result: CheckResult) -> str:
    """One line: `200 cases, 2 classes from dataset.json (a, b); 401 files: 400 used, 1 text; none passed over`.

    Args:
        result: from `check`.
    """
    account = result.account
    parts = [f"{_count(result.n_cases, 'case')}, {_classes(result)}", _files(account)]
    parts += [f"taken to be so: {'; '.join(account.guesses)}"] if account.guesses else []
    return "; ".join(parts)


def as_json(result: CheckResult) -> dict[str, Any]:
    """All that a check found, as check.json has it.

    Args:
        result: from `check`.
    """
    account = result.account
    return {
        "cases": result.n_cases,
        "classes": {name: list(values) for name, values in result.classes.items()},
        "classes_from": account.classes_from,
        "guesses": list(account.guesses),
        "files": {
            "used": account.used,
            "known": dict(account.known),
            "passed_over": [{"path": path, "why": why} for path, why in account.passed_over],
        },
        "closing": closing(result),
        "findings": [finding_row(finding) for finding in result.findings],
    }


def finding_row(finding: Finding) -> dict[str, Any]:
    """A finding as a row of the tables."""
    return {
        "case": finding.case,
        "severity": finding.severity,
        "check": finding.check,
        "expected": finding.expected,
        "found": finding.found,
        "advice": finding.advice,
        "files": [str(path) for path in finding.files],
    }


def _classes(result: CheckResult) -> str:
    names, source = list(result.classes), result.account.classes_from
    if not names:
        return "no classes"
    told = f" ({', '.join(names)})" if len(names) <= _MOST_CLASSES else ""
    guessed = "guessed " if source.startswith("the values") else ""
    what = "class" if len(names) == 1 else "classes"
    return f"{len(names)} {what}" + (f" {guessed}from {source}" if source else "") + told


def _files(account: Account) -> str:
    known = sum(account.known.values())
    passed = [path for path, _ in account.passed_over]
    kinds = [_count(count, kind) for kind, count in account.known.items()]
    told = f"{_count(account.used + known + len(passed), 'file')}: {', '.join([f'{account.used} used', *kinds])}"
    if not passed:
        return f"{told}, none passed over"
    more = f" and {len(passed) - _MOST_NAMES} more" if len(passed) > _MOST_NAMES else ""
    return f"{told}; {_count(len(passed), 'file')} passed over: {', '.join(_folded(passed)[:_MOST_NAMES])}{more}"


def _folded(paths: Sequence[str]) -> list[str]:
    """The first path of each folder first, so that many of one folder do not hide the others."""
    first = {path.rpartition("/")[0]: path for path in reversed(paths)}
    firsts = set(first.values())
    return [path for path in paths if path in firsts] + [path for path in paths if path not in firsts]


def _count(number: int, what: str) -> str:
    """`1 case`, `2 files of a test part`: what is counted is the word before `of`, `that` or `not`, else the last."""
    if number != 1:
        what = re.sub(r"^(.*?)(?= of | that | not |$)", r"\1s", what, count=1)
    return f"{number} {what}"
