"""How sure somebody is of each case: a run of `aleaseg audit`, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aleaseg.errors import UsageError
from aleaseg.run import read_table

__all__ = ["Ranking", "read_rankings"]

_OF_A_RUN = ("doubt", "image_doubt", "label_doubt", "auv")
_OF_A_TABLE = {"confidence": 1, "uncertainty": -1}


@dataclass(frozen=True)
class Ranking:
    """A column that ranks cases.

    Attributes:
        name: of the column.
        values: case -> number; cases without one are not among them.
        sign: 1, high = sure; -1, high = unsure, so that minus the number ranks.
    """

    name: str
    values: Mapping[str, float]
    sign: int


def read_rankings(path: str | Path | None, cases: Sequence[str]) -> list[Ranking]:
    """The columns of a run (`doubt`, `image_doubt`, `label_doubt`, `auv`), or those of a table that are known.

    Args:
        path: a folder made by `aleaseg audit`, or a CSV with the column `case` and `confidence` (high =
            sure) or `uncertainty` (high = unsure), or columns named as those of a run; None: nobody is.
        cases: ids that are evaluated.

    Raises:
        UsageError: there is no such column, or no number for any of the cases.
    """
    if path is None:
        return []
    source = Path(path)
    file = source / "cases.csv" if source.is_dir() else source
    if not file.is_file():
        raise UsageError(f"--confidence: {source} is neither a run (no cases.csv in it) nor a CSV")
    try:
        frame = read_table(file)
    except (ValueError, pd.errors.ParserError) as error:
        raise UsageError(f"--confidence: {file} is not valid CSV ({error})") from error
    signs = {**{name: _sign(name) for name in _OF_A_RUN}, **_OF_A_TABLE}
    known = [name for name in frame.columns if name in signs]
    if "case" not in frame or not known:
        raise UsageError(
            f"--confidence: {file} has the columns {', '.join(map(str, frame.columns))}; expected case, and "
            f"{' or '.join(_OF_A_TABLE)}, or some of {', '.join(_OF_A_RUN)}"
        )
    wanted = set(cases)
    found = []
    for name in known:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        values = {
            str(case): float(number)
            for case, number in zip(frame["case"], numbers, strict=True)
            if str(case) in wanted and number == number
        }
        if values:
            found.append(Ranking(str(name), values, signs[name]))
    if not found:
        raise UsageError(
            f"--confidence: {file} has no number for any of the {len(cases)} cases"
            f"{f', such as {cases[0]!r}' if cases else ''}"
        )
    return found


def _sign(name: str) -> int:
    from aleaseg.scoring.columns import COLUMNS  # brings torch, which a comparison does without

    return -COLUMNS[name].direction.sign
