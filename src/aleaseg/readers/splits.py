"""Who is trained on: the folds of nnU-Net's splits_final.json, and what a selection leaves out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.run import read_table

__all__ = ["SPLITS", "Fold", "read_selection", "read_splits", "to_bytes"]

SPLITS = "splits_final.json"

Fold = dict[str, list[str]]
"""{"train": [ids], "val": [ids]}"""


def read_splits(path: str | Path) -> list[Fold]:
    """The folds of a splits_final.json.

    Raises:
        UsageError: it is missing, damaged, or no list of train and val lists.
    """
    return _folds(_json(Path(path), f"a {SPLITS} of nnU-Net"), Path(path))


def to_bytes(folds: Sequence[Fold]) -> bytes:
    """As nnU-Net writes it: indented by four, keys sorted."""
    return json.dumps(folds, indent=4, sort_keys=True).encode("ascii")


def read_selection(path: str | Path) -> frozenset[str] | list[Fold]:
    """What leaves cases out: the ids; or, from a splits_final.json, its folds.

    Args:
        path: a run with a selection, its folder `selection`, the manifest.json or selection.csv in it,
            or a splits_final.json.

    Raises:
        UsageError: it is none of these.
    """
    path = Path(path)
    if path.is_dir():
        # A run has a manifest of its own, so its selection's is looked for first.
        inside = (path / "selection" / "manifest.json", path / "manifest.json")
        path = next((file for file in inside if file.is_file()), path / "selection")
    if path.suffix.lower() == ".csv":
        return _left_out_of_table(path)
    made = _json(path, "a selection, as `aleaseg select` writes it")
    if isinstance(made, list):
        return _folds(made, path)
    rows = made.get("dropped") if isinstance(made, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "case" in row for row in rows):
        raise UsageError(
            f"{path} is not a selection, it names no dropped cases; expected a run in which `aleaseg select` was "
            f"called, its folder `selection`, or a {SPLITS}"
        )
    return frozenset(str(row["case"]) for row in rows)


def _left_out_of_table(path: Path) -> frozenset[str]:
    try:
        table = read_table(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a table ({' '.join(str(error).split())[:120]})") from error
    if not {"case", "kept"} <= set(table.columns):
        raise UsageError(
            f"{path} has the columns {', '.join(map(str, table.columns))}; expected case and kept among them"
        )
    kept = table["kept"].astype(str).str.lower().isin(("true", "1"))
    return frozenset(str(case) for case in table["case"][~kept])


def _json(path: Path, expected: str) -> Any:
    try:
        # Windows' editors write a mark before UTF-8.
        return json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; expected {expected}; check the path") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); expected {expected}") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged ({error}); expected {expected}; copy or write it again"
        ) from error


def _folds(value: Any, path: Path) -> list[Fold]:
    if not (isinstance(value, list) and value and all(_is_fold(fold) for fold in value)):
        raise UsageError(
            f'{path} is not a {SPLITS}; expected a list of {{"train": [ids], "val": [ids]}}; '
            "give the file that nnU-Net wrote and trained with"
        )
    return value


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, dict) and all(
        isinstance(fold.get(side), list) and all(isinstance(case, str) for case in fold[side])
        for side in ("train", "val")
    )
