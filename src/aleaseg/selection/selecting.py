"""Plan a cut and write it: the verb, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from aleaseg.run import Run
from aleaseg.selection.cutting import Reading
from aleaseg.selection.planning import Selection, plan
from aleaseg.selection.writing import write as write_selection

__all__ = ["select"]


def select(
    run: Run | str | Path,
    *,
    by: str | None = None,
    quantile: float | None = None,
    worst: int | None = None,
    threshold: float | None = None,
    class_name: str | None = None,
    reading: Reading = "class",
    force: bool = False,
    floor: float = 0.8,
    minimum: int = 5,
    write: Literal["splits", "dataset", "csv"] | None = None,
    splits: str | Path | None = None,
    grouped: bool = False,
) -> Selection:
    """Decide which cases to keep and, where asked, write that into RUN/selection.

    Args:
        run: a run folder.
        by: as all down to `minimum`: see `plan`.
        quantile: share to keep.
        worst: number to drop.
        threshold: drop what lies beyond.
        class_name: cut by one class.
        reading: of Eq. 9 over classes.
        force: even if a class is harmed.
        floor: share of its cases that every class keeps.
        minimum: number of cases that every class keeps.
        write: what to write, see `write`; None writes nothing.
        splits: an existing splits_final.json to filter.
        grouped: draw folds that keep groups together.

    Returns:
        What is kept, what is dropped, and why.

    Raises:
        SelectionRefused: a class would be left with too few cases.
        UsageError: the arguments cannot work as given.
    """
    selection = plan(
        run,
        by=by,
        quantile=quantile,
        worst=worst,
        threshold=threshold,
        class_name=class_name,
        reading=reading,
        force=force,
        floor=floor,
        minimum=minimum,
    )
    if write is not None:
        write_selection(selection, write, splits=splits, grouped=grouped)
    return selection
