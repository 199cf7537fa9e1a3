"""The table of a target: which patient, or which case, has which number or class; other columns are covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aleaseg.case import Case
from aleaseg.errors import UsageError
from aleaseg.run import read_table

__all__ = ["TargetTable", "read_targets"]

_FEW_VALUES = 10
_FORM = "expected the columns patient (or case) and target, and covariates if there are any"


@dataclass(frozen=True)
class TargetTable:
    """A target and what is known beside it.

    Attributes:
        key: `patient` or `case`.
        ids: of the rows, those of the data set alone.
        y: (N,) numbers; of classes their places.
        names: of the classes; empty for a regression.
        covariates: (N, F) numbers, NaN where there is none; a column of words is one column for each word.
        covariate_names: of them.
        notes: rows that belong to nobody, patients without a row.
    """

    key: Literal["patient", "case"]
    ids: tuple[str, ...]
    y: NDArray[np.float64]
    names: tuple[str, ...]
    covariates: NDArray[np.float64]
    covariate_names: tuple[str, ...]
    notes: tuple[str, ...]


def read_targets(path: str | Path, cases: Sequence[Case], task: str | None) -> TargetTable:
    """Read a CSV.

    Args:
        path: with the columns `case` or `patient` (the group of cases), `target`, and covariates.
        cases: of the data set, with their groups.
        task: `regression` or `classification`; None: classes where the target holds words or at most ten values.

    Raises:
        UsageError: columns are missing, a row stands there twice, or nothing of it belongs to the data set.
    """
    if not Path(path).is_file():
        raise UsageError(f"--target: {path} cannot be read, there is no such file; {_FORM}")
    try:
        frame = read_table(Path(path))
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UsageError(f"--target: {path} cannot be read as CSV ({error}); {_FORM}") from error
    key: Literal["patient", "case"] = "case" if "case" in frame else "patient"
    if key not in frame or "target" not in frame:
        raise UsageError(f"--target: {path} has the columns {', '.join(map(str, frame.columns))}; {_FORM}")
    frame = frame.assign(**{key: frame[key].astype(str)})
    twice = frame[key][frame[key].duplicated()]
    if len(twice):
        raise UsageError(f"--target: {path} has {key} {twice.iloc[0]!r} twice; expected one row each")
    known = (
        {case.id: case.id for case in cases}
        if key == "case"
        else {case.group: case.group for case in cases}
    )
    there = frame[frame[key].isin(list(known)) & frame["target"].notna()]
    if not len(there):
        raise UsageError(
            f"--target: none of the {len(frame)} rows of {path} has a target and is a {key} of the data set, such as "
            f"{next(iter(known), '')!r}; "
            + ("--groups says who a case's patient is" if key == "patient" else "look at the ids")
        )
    notes = []
    if len(there) < len(frame):
        notes.append(
            f"{len(frame) - len(there)} rows have no target, or belong to no {key} of the data set."
        )
    without = len(known) - len(there)
    if without:
        notes.append(f"{without} {key}s of the data set have no row and are left out.")
    y, names = _target(there["target"], task, path)
    rest = there.drop(columns=[name for name in ("case", "patient", "target") if name in there])
    covariates, covariate_names = _numbers(rest)
    return TargetTable(key, tuple(there[key]), y, names, covariates, covariate_names, tuple(notes))


def _target(
    column: pd.Series, task: str | None, path: str | Path
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    numbers = pd.to_numeric(column, errors="coerce")
    words = bool(numbers.isna().any())
    few = column.nunique() <= _FEW_VALUES
    if task is None:
        task = "classification" if words or few else "regression"
    if column.nunique() < 2:
        raise UsageError(
            f"--target: every target of {path} is {column.iloc[0]!r}; there is nothing to predict"
        )
    if task == "regression":
        if words:
            word = column[numbers.isna()].iloc[0]
            raise UsageError(f"--target: {word!r} is not a number; take --task classification")
        return numbers.to_numpy(np.float64), ()
    names, places = np.unique(column.astype(str), return_inverse=True)
    if len(names) > _FEW_VALUES:
        raise UsageError(
            f"--target: {len(names)} classes are too many (at most {_FEW_VALUES}); take --task regression"
        )
    return places.astype(np.float64), tuple(names.tolist())


def _numbers(frame: pd.DataFrame) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    columns: Mapping[str, NDArray[np.float64]] = {}
    for name in frame:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.notna().sum() == frame[name].notna().sum():
            columns = {**columns, str(name): numbers.to_numpy(np.float64)}
        else:
            words = sorted(frame[name].dropna().astype(str).unique())
            of_word = {
                f"{name}={word}": (frame[name].astype(str) == word).to_numpy(np.float64) for word in words
            }
            columns = {**columns, **of_word}
    values = np.column_stack(list(columns.values())) if columns else np.zeros((len(frame), 0))
    return values, tuple(columns)
