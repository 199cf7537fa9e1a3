"""The cases that a selection leaves out of a training, for every fold there is.

nnU-Net reads train lists from splits_final.json, but not for fold `all`, nor for folds beyond
the file. There the manifest of the selection says which cases go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aleaseg.errors import UsageError
from aleaseg.readers.splits import SPLITS, read_selection
from aleaseg.run import sha256_of
from aleaseg.selection.nnunet import installed

__all__ = ["Excluded", "check_cases", "excluded"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Excluded:
    """Cases to leave out of the training.

    Attributes:
        cases: their ids.
        source: the manifest that names them; None where no selection is in force.
    """

    cases: frozenset[str] = frozenset()
    source: Path | None = None


def excluded(
    preprocessed: str | Path,
    asked: str = "",
    *,
    in_splits: bool = False,
    variable: str,
) -> Excluded:
    """The cases that the selection in force leaves out.

    Args:
        preprocessed: nnUNet_preprocessed/DatasetXXX_NAME.
        asked: a run, its folder `selection`, or that folder's manifest; `none`: no selection; empty:
            the one that `aleaseg select --apply` installed there, if any.
        in_splits: the fold is one of splits_final.json, whose train lists already lack the cases of
            the installed selection: its manifest need not be there any more.
        variable: the environment variable that asks, for the messages.

    Raises:
        UsageError: there is no manifest where one should be, or it is not the installed selection's.
    """
    folder = Path(preprocessed)
    if asked == "none":
        return Excluded()
    if asked:
        return _named_in(_manifest_at(Path(asked), variable))
    state = None if in_splits else installed(folder)
    if state is None:
        return Excluded()
    selection = Path(state["selection"])
    advice = (
        f"apply the selection again, or name its folder (or `none`) in {variable}; "
        f"folds of {SPLITS} need neither"
    )
    if not (selection / _MANIFEST).is_file():
        raise UsageError(
            f"{folder / SPLITS} is a selection's, but {selection / _MANIFEST}, which names the cases that it "
            f"leaves out, is gone; {advice}"
        )
    if sha256_of(selection / SPLITS) != state["installed"][-1]:
        raise UsageError(f"{selection} was written again since it was applied to {folder}; {advice}")
    return _named_in(selection / _MANIFEST)


def check_cases(named: Collection[str], there: Collection[str], source: str) -> None:
    """Whether every case that a fold of `source` names has been preprocessed.

    Raises:
        UsageError: with the first id that is missing.
    """
    missing = sorted(set(named) - set(there))
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UsageError(
            f"{source} names the case {missing[0]!r}{more}, which is not among the {len(there)} preprocessed "
            "cases; expected ids of this data set; preprocess it again, or correct the splits"
        )


def _manifest_at(path: Path, variable: str) -> Path:
    # A run has a manifest of its own, so its selection's is looked for first.
    for place in (path, path / "selection" / _MANIFEST, path / _MANIFEST):
        if place.is_file():
            return place
    raise UsageError(
        f"{variable} is {path}, and no selection is there; expected a run after `aleaseg select`, "
        "its folder `selection`, or `none`"
    )


def _named_in(manifest: Path) -> Excluded:
    found = read_selection(manifest)
    if isinstance(found, list):
        raise UsageError(
            f"{manifest} names no dropped cases; expected the manifest that `aleaseg select` writes; check "
            "the path"
        )
    return Excluded(found, manifest)
