"""What a selection leaves behind in RUN/selection: splits, a data set, or a table, and the reasons.

Nothing outside that folder is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from aleaseg.errors import UsageError
from aleaseg.readers.splits import SPLITS, Fold, read_splits, to_bytes
from aleaseg.run import Run, sha256_of, write_aside, write_json, write_table
from aleaseg.selection.dataset import dataset_json
from aleaseg.selection.folds import grouped_folds, leave_out, nnunet_folds
from aleaseg.selection.planning import Selection

__all__ = ["write"]

_SIDES = ("train", "val")
_COLUMNS = ("case", "kept", "score", "threshold", "class", "reasons", "by_hand")


def write(
    selection: Selection,
    form: Literal["splits", "dataset", "csv"] = "splits",
    *,
    splits: str | Path | None = None,
    grouped: bool = False,
) -> Path:
    """Write a selection into RUN/selection, with the reasons in `manifest.json` beside it.

    RUN/selection holds one selection at a time: what an earlier one left there is replaced.

    Args:
        selection: from `plan`.
        form: `splits`: splits_final.json, dropped cases missing from the train lists, validation
            lists untouched. `dataset`: a folder `dataset` with a dataset.json that refers to the
            kept files by absolute path, and the same folds translated to it. `csv`: selection.csv,
            one row per case.
        splits: an existing splits_final.json to filter. Without it: nnU-Net's own five folds.
        grouped: draw folds that keep groups together instead of nnU-Net's own.

    Returns:
        The file that was asked for.

    Raises:
        UsageError: no fold has a case left to train on, fewer than five cases for folds, or the data
            set cannot be described to nnU-Net (`dataset`).
    """
    if form not in ("splits", "dataset", "csv"):
        raise UsageError(f"form is {form!r}; expected one of splits, dataset, csv")
    if grouped and splits is not None:
        raise UsageError(
            "found splits and grouped; expected one: existing folds are not drawn again; leave one"
        )
    run = Run(selection.run)
    folder = selection.run / "selection"
    if form == "csv":
        kept = set(selection.kept)
        rows = [{**_row(selection, case), "kept": case in kept} for case in sorted(selection.why)]
        _clear(folder)
        write_table(folder / "selection.csv", _COLUMNS, rows)
        _write_manifest(folder, selection, ["selection.csv"], None, [])
        return folder / "selection.csv"
    folds, origin, notes = _folds(run, selection, splits, grouped)
    if form == "splits":
        folds = leave_out(folds, selection.dropped)
        _clear(folder)
        write_aside(folder / SPLITS, to_bytes(folds))
        _write_manifest(folder, selection, [SPLITS], {**origin, **_sizes(folds)}, notes)
        return folder / SPLITS
    about, more = dataset_json(run, selection.kept)
    gone = {case for fold in folds for side in _SIDES for case in fold[side]} - set(about["dataset"])
    folds = leave_out(folds, gone, _SIDES)
    _clear(folder)
    write_json(folder / "dataset" / "dataset.json", about)
    write_aside(folder / "dataset" / SPLITS, to_bytes(folds))
    written = ["dataset/dataset.json", "dataset/splits_final.json"]
    _write_manifest(folder, selection, written, {**origin, **_sizes(folds)}, [*notes, *more])
    return folder / "dataset" / "dataset.json"


# -- folds ----------------------------------------------------------------------------------------


def _folds(
    run: Run, selection: Selection, splits: str | Path | None, grouped: bool
) -> tuple[list[Fold], dict[str, Any], list[str]]:
    """The folds to filter, where they come from, and what to know about them."""
    if splits is not None:
        folds = read_splits(splits)
        named = {case for fold in folds for side in _SIDES for case in fold[side]}
        strange = len(named - set(selection.why))
        notes = (
            [f"{strange} cases of the given splits are not in the run; they stay as they are"]
            if strange
            else []
        )
        return (
            folds,
            {"origin": "given", "path": str(Path(splits).resolve()), "sha256": sha256_of(Path(splits))},
            notes,
        )
    group_of = {row["case"]: str(row["group"]) for row in run.cases.to_dict("records")}
    if grouped:
        return grouped_folds(group_of), {"origin": "grouped"}, []
    notes = []
    if run.manifest.get("settings", {}).get("groups"):
        notes.append(
            "these are nnU-Net's own folds, which ignore groups: cases of one group may be on both "
            "sides; --grouped (in Python `grouped=True`) keeps them together"
        )
    return nnunet_folds(selection.why), {"origin": "nnU-Net's own five"}, notes


def _sizes(folds: Sequence[Fold]) -> dict[str, Any]:
    return {"train": [len(fold["train"]) for fold in folds], "val": [len(fold["val"]) for fold in folds]}


# -- the table and the manifest of reasons ----------------------------------------------------------


def _row(selection: Selection, case: str) -> dict[str, Any]:
    why = selection.why[case]
    return {
        "case": case,
        "score": why.score,
        "threshold": why.threshold,
        "class": why.class_name,
        "reasons": why.reasons,
        "by_hand": why.by_hand,
    }


def _write_manifest(
    folder: Path,
    selection: Selection,
    written: Sequence[str],
    folds: Mapping[str, Any] | None,
    notes: Sequence[str],
) -> None:
    tables = {name: sha256_of(selection.run / name) for name in ("cases.csv", "scores.csv")}
    counts = {
        "cases": len(selection.why),
        "kept": len(selection.kept),
        "dropped": len(selection.dropped),
        "unscored": len(selection.unscored),
    }
    dropped = [_row(selection, case) for case in selection.dropped]
    manifest = {
        "aleaseg": version("aleaseg"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(selection.run.resolve()),
        "settings": dict(selection.settings),
        "counts": counts,
        "dropped": dropped,
        "unscored": list(selection.unscored),
        "harm": [asdict(row) for row in selection.harm],
        "forced": list(selection.forced),
        "folds": folds,
        "written": list(written),
        "tables_sha256": tables,
        "notes": list(notes),
    }
    write_json(folder / "manifest.json", manifest)


def _clear(folder: Path) -> None:
    """One selection at a time: what is there and does not belong together would mislead.

    The manifest goes first, so that after a kill no manifest speaks of files that are not its own.
    """
    for name in ("manifest.json", "splits_final.json", "selection.csv"):
        (folder / name).unlink(missing_ok=True)
    for name in ("dataset.json", "splits_final.json"):
        (folder / "dataset" / name).unlink(missing_ok=True)
    if (folder / "dataset").is_dir() and not any((folder / "dataset").iterdir()):
        (folder / "dataset").rmdir()
