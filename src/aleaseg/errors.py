"""Every error a user can meet.

    AleasegError
    ├── UsageError            the arguments cannot work (exit status 2)
    │   ├── NotADataset       the folder has no layout that is known
    │   ├── SettingsDiffer    the run folder was made with other settings
    │   ├── NewerVersion      a file was written by a newer aleaseg
    │   ├── SelectionRefused  a cut would harm a class; force overrides
    │   └── WeightsRefused    weights are missing, unsafe, or not those of the model
    ├── CaseError             one case is bad; the others go on (exit status 1)
    │   ├── Unreadable        a file cannot be read as what it says it is
    │   ├── ShapeMismatch     image and label (or prediction) do not fit
    │   ├── BadVoxels         NaN, infinite, constant or non-integer voxels
    │   └── WorkerKilled      whatever worked on the case was killed, twice
    └── MissingExtra          an optional package is not installed

A case error always says four things: the case, what came, what was expected,
and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AleasegError",
    "BadVoxels",
    "CaseError",
    "MissingExtra",
    "NewerVersion",
    "NotADataset",
    "SelectionRefused",
    "SettingsDiffer",
    "ShapeMismatch",
    "Unreadable",
    "UsageError",
    "WeightsRefused",
    "WorkerKilled",
    "one_line",
    "one_of",
]


class AleasegError(Exception):
    """The root: `except AleasegError` catches whatever the package raises on purpose."""


class UsageError(AleasegError):
    """The arguments cannot work as given; nothing was done."""


class NotADataset(UsageError):
    """The path holds none of the layouts that are known."""


class SettingsDiffer(UsageError):
    """The run folder exists and was made with other settings."""


class NewerVersion(UsageError):
    """A file of a run was written by a newer version, which this one cannot read."""


class SelectionRefused(UsageError):
    """The cut would leave a class with too few cases.

    Args:
        message: which, and what to do.
        described: the cut that was refused, in lines, as `aleaseg.selection.describe` has them.
    """

    def __init__(self, message: str, described: Sequence[str] = ()) -> None:
        self.described = tuple(described)
        super().__init__(message)


class WeightsRefused(UsageError):
    """A file of weights is missing, would run code, or does not belong to the model."""


class MissingExtra(AleasegError, ImportError):
    """An optional package is needed and is not installed."""


class CaseError(AleasegError):
    """One case is bad.

    Args:
        case: the id of the case.
        found: what came.
        expected: what was expected.
        advice: what to do.

    >>> str(CaseError("ct_01", "a file of 0 bytes", "a NIfTI image", "copy it again"))
    'ct_01: found a file of 0 bytes; expected a NIfTI image; copy it again'
    """

    def __init__(self, case: str, found: str, expected: str, advice: str) -> None:
        self.case = case
        self.found = found
        self.expected = expected
        self.advice = advice
        super().__init__(f"{case}: found {found}; expected {expected}; {advice}")

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str, str, str]]:
        # Exceptions cross process borders in the worker pools.
        return type(self), (self.case, self.found, self.expected, self.advice)


class Unreadable(CaseError):
    """A file is missing, truncated, or not what its name says."""


class ShapeMismatch(CaseError):
    """Two arrays that belong to one case do not lie on one grid."""


class BadVoxels(CaseError):
    """The file could be read, but its values cannot be used."""


class WorkerKilled(CaseError):
    """The process that worked on the case was killed, and so was the next one."""


def one_line(case_id: str, error: Exception) -> str:
    """What went wrong with a case, whatever it was.

    >>> one_line("ct_01", ValueError("too  long"))
    'ct_01: ValueError: too long'
    """
    if isinstance(error, CaseError):
        return str(error)
    return f"{case_id}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def one_of(name: str, value: object, valid: Sequence[object]) -> None:
    """Raise ValueError, with the valid values, unless the value is one of them.

    >>> one_of("how", "sum", ("mean", "median"))
    Traceback (most recent call last):
    ValueError: how is 'sum'; expected one of 'mean', 'median'
    """
    if value not in valid:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, valid))}")
