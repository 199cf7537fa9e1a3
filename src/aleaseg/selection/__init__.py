"""From scores to what is kept and what is dropped, and why."""

from aleaseg.selection.harm import Harm
from aleaseg.selection.nnunet import applied_to, apply, existing_splits, undo
from aleaseg.selection.planning import Selection, Why, describe, plan
from aleaseg.selection.selecting import select
from aleaseg.selection.writing import write

__all__ = [
    "Harm",
    "Selection",
    "Why",
    "applied_to",
    "apply",
    "describe",
    "existing_splits",
    "plan",
    "select",
    "undo",
    "write",
]
