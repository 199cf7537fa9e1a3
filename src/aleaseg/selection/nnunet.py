"""Putting splits into nnU-Net's preprocessed data set folder, and taking them out again.

Beside splits_final.json lie, while ours is installed, `splits_final.json.before_aleaseg` (the
original, where there was one) and `splits_final.json.aleaseg.json` (hashes of what was there and
of what was put there). The order of the writes is such that a kill between any two of them loses
nothing: apply or undo again goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.readers.splits import SPLITS, Fold, read_splits
from aleaseg.run import read_json, sha256_of, write_aside, write_json

__all__ = ["applied_to", "apply", "existing_splits", "installed", "undo"]

_BEFORE = f"{SPLITS}.before_aleaseg"
_STATE = f"{SPLITS}.aleaseg.json"
_APPLIED = "applied.json"


def installed(folder: Path) -> dict[str, Any] | None:
    """What nnU-Net's folder knows of a selection that is installed in it; None where there is none.

    `before` and `installed` are SHA-256 of splits, the latter the newest last; `selection` is where it came from.
    """
    state: dict[str, Any] | None = read_json(folder / _STATE) if (folder / _STATE).is_file() else None
    return state


def existing_splits(preprocessed: str | Path) -> Path | None:
    """The splits that nnU-Net's folder had before this package came; None where it had none.

    Raises:
        UsageError: that is no preprocessed data set folder of nnU-Net.
    """
    folder = _preprocessed(preprocessed)
    if (state := installed(folder)) is not None:
        return None if state["before"] is None else _original(folder)
    return folder / SPLITS if (folder / SPLITS).is_file() else None


def apply(selection: str | Path, preprocessed: str | Path) -> list[str]:
    """Install the splits of a selection where nnU-Net looks for them; the original is kept beside.

    Applying another selection later replaces ours and keeps the first original.

    Args:
        selection: RUN/selection, in which `write` has put a splits_final.json.
        preprocessed: nnUNet_preprocessed/DatasetXXX_NAME.

    Returns:
        What was done and what to know, one line each.

    Raises:
        UsageError: the folder is not nnU-Net's, or is of another data set; its splits were changed
            by someone else since; or its validation lists differ from the selection's, which must
            not happen: write the selection again from `existing_splits(preprocessed)`.
    """
    source, folder = Path(selection) / SPLITS, _preprocessed(preprocessed)
    if not source.is_file():
        raise UsageError(
            f"{source} does not exist; expected a selection with splits; run `aleaseg select` first"
        )
    folds, original = read_splits(source), existing_splits(folder)
    if original is not None:
        _same_validation(folds, read_splits(original), original)
    _same_cases(folds, folder, own_folds=original is None)
    state = installed(folder)
    if state is None:
        state = {"before": sha256_of(folder / SPLITS), "installed": []}
        _keep_original(folder)
    elif sha256_of(folder / SPLITS) not in (*state["installed"], state["before"]):
        raise UsageError(_changed(folder))
    folders = {str(path.resolve()) for path in (*applied_to(selection), folder)}
    write_json(Path(selection) / _APPLIED, sorted(folders))
    content = source.read_bytes()
    known = [*state["installed"], hashlib.sha256(content).hexdigest()]
    write_json(folder / _STATE, {**state, "installed": known, "selection": str(Path(selection).resolve())})
    write_aside(folder / SPLITS, content)
    kept = f"the original is {folder / _BEFORE}" if original else "there was none before"
    return [
        f"{folder / SPLITS} is the selection's; {kept}; undo puts everything back",
        f"folds 0 to {len(folds) - 1} leave the cases out of training; validation lists are as they were",
        "fold `all` and folds beyond these ignore the file: nnU-Net then trains on every case it has",
    ]


def applied_to(selection: str | Path) -> list[Path]:
    """The folders of nnU-Net in which a selection of this run is installed now: those to undo."""
    record = Path(selection) / _APPLIED
    folders = [Path(name) for name in read_json(record)] if record.is_file() else []
    return [folder for folder in folders if (folder / _STATE).is_file()]


def undo(preprocessed: str | Path, *, force: bool = False) -> list[str]:
    """Put nnU-Net's folder back as it was before `apply`, byte for byte.

    Args:
        preprocessed: nnUNet_preprocessed/DatasetXXX_NAME.
        force: even where someone else has changed splits_final.json since; that change is lost.

    Returns:
        What was done, one line each.

    Raises:
        UsageError: nothing of ours is installed there, the file was changed since, or the original
            that was kept beside it is missing or changed.
    """
    folder = _preprocessed(preprocessed)
    state = installed(folder)
    if state is None:
        raise UsageError(f"nothing is applied in {folder} (no {_STATE}); nothing to undo")
    now = sha256_of(folder / SPLITS)
    if now not in (*state["installed"], state["before"]) and not force:
        raise UsageError(_changed(folder))
    if state["before"] is None:
        (folder / SPLITS).unlink(missing_ok=True)
        done = f"{folder / SPLITS} is removed: there was none before"
    else:
        # After a kill between the two last steps the original is back already and the copy is gone.
        if now != state["before"] or (folder / _BEFORE).is_file():
            os.replace(_original(folder), folder / SPLITS)
        done = f"{folder / SPLITS} is the original again"
    (folder / _STATE).unlink()
    return [done]


# -- the folder -----------------------------------------------------------------------------------


def _preprocessed(path: str | Path) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder; expected nnUNet_preprocessed/DatasetXXX_NAME; check the path"
        )
    if (folder / "imagesTr").is_dir():
        raise UsageError(
            f"{folder} is a raw data set; nnU-Net reads splits from nnUNet_preprocessed/{folder.name}; "
            "name that folder"
        )
    plans = any(folder.glob("*Plans*.json")) or (folder / "dataset_fingerprint.json").is_file()
    if not (plans or (folder / "gt_segmentations").is_dir()):
        raise UsageError(
            f"{folder} has no plans, no dataset_fingerprint.json and no gt_segmentations; expected "
            "nnUNet_preprocessed/DatasetXXX_NAME, one level below nnUNet_preprocessed; check the path"
        )
    if (folder / SPLITS).is_symlink():
        raise UsageError(f"{folder / SPLITS} is a link; name the folder that holds the file itself")
    return folder


def _keep_original(folder: Path) -> None:
    now, kept = folder / SPLITS, folder / _BEFORE
    if kept.is_file() and sha256_of(kept) != sha256_of(now):
        raise UsageError(
            f"{kept} is there, but not the record of how it came; move it away if it is not needed"
        )
    if now.is_file():
        write_aside(kept, now.read_bytes())
        shutil.copystat(now, kept)


def _original(folder: Path) -> Path:
    """The kept original, checked; or the file in place, where it is the original itself."""
    before = read_json(folder / _STATE)["before"]
    for path in (folder / _BEFORE, folder / SPLITS):
        if sha256_of(path) == before:
            return path
    raise UsageError(
        f"{folder / _BEFORE} is missing or changed; expected the original splits; nothing was done; "
        f"put it back, or delete {_STATE} to keep {SPLITS} as it is"
    )


def _changed(folder: Path) -> str:
    return (
        f"{folder / SPLITS} was changed since it was applied; expected the file as installed; nothing was "
        "done; undo with force loses that change"
    )


def _same_validation(ours: Sequence[Fold], theirs: Sequence[Fold], original: Path) -> None:
    same = len(ours) == len(theirs) and all(
        a["val"] == b["val"] and set(a["train"]) <= set(b["train"])
        for a, b in zip(ours, theirs, strict=True)
    )
    if not same:
        raise UsageError(
            f"the folds of {original} are not those the selection was made from; validation must not "
            "change; run `aleaseg select` again with that file as the splits to filter"
        )


def _same_cases(folds: Sequence[Fold], folder: Path, *, own_folds: bool) -> None:
    """The folds name cases that the folder has; and all of them, where it had no folds of its own."""
    truth, about = folder / "gt_segmentations", folder / "dataset.json"
    if not (truth.is_dir() and about.is_file()):
        return
    ending = str(read_json(about).get("file_ending", ".nii.gz"))
    there = {path.name.removesuffix(ending) for path in truth.iterdir() if path.name.endswith(ending)}
    named = {case for fold in folds for side in ("train", "val") for case in fold[side]}
    if named - there:
        raise UsageError(
            f"{folder} has no case {min(named - there)!r} ({len(named - there)} such); expected the data "
            "set of the run; name its folder"
        )
    if own_folds and there - named:
        raise UsageError(
            f"{folder} has {len(there - named)} cases that the run does not know, such as "
            f"{min(there - named)!r}; nnU-Net's own folds would differ; let nnU-Net write its splits first "
            "and give them to `aleaseg select`"
        )
