"""Plan a cut and write it: the verb, in one call."""

from __future__ import annotations

from aleaseg.selection.planning import Selection, planned
from aleaseg.selection.settings import SelectSettings
from aleaseg.selection.writing import write
from aleaseg.settings import called_with

__all__ = ["select"]


@called_with(SelectSettings)
def select(asked: SelectSettings) -> Selection:
    """Decide which cases to keep and, where asked, write that into RUN/selection.

    Returns:
        What is kept, what is dropped, and why.

    Raises:
        SelectionRefused: a class would be left with too few cases.
        UsageError: the arguments cannot work as given.
    """
    selection = planned(asked)
    if asked.write is not None:
        write(selection, asked.write, splits=asked.splits, grouped=asked.grouped)
    return selection
