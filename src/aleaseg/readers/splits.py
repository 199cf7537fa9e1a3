"""The folds of nnU-Net's splits_final.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError

__all__ = ["Fold", "as_folds"]

Fold = dict[str, list[str]]
"""{"train": [ids], "val": [ids]}"""


def as_folds(value: Any, path: Path) -> list[Fold]:
    """What was read from a splits_final.json, made sure to be a list of folds.

    Args:
        value: as JSON has it.
        path: where it was read, for the error.

    Raises:
        UsageError: it is no list of train and val lists of ids.
    """
    if not (isinstance(value, list) and value and all(_is_fold(fold) for fold in value)):
        raise UsageError(
            f'{path} is no splits_final.json; expected a list of {{"train": [ids], "val": [ids]}}; '
            "give the file that nnU-Net wrote and trained with"
        )
    return value


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, dict) and all(
        isinstance(fold.get(side), list) and all(isinstance(case, str) for case in fold[side])
        for side in ("train", "val")
    )
