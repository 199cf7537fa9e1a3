"""Names that fit into a table: what all of them share is left out, and no name is broken."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["shortened"]


def shortened(names: Sequence[str], most: int) -> list[str]:
    """The names, where one is longer than `most` without the beginning and the end that all of them share.

    What is left out is whole words, and an ellipsis stands for it. Names stay different from one another.

    >>> shortened(["nnUNetTrainer__nnUNetPlans__3d_fullres", "nnUNetTrainerDUO__nnUNetPlans__3d_fullres"], 24)
    ['nnUNetTrainer…', 'nnUNetTrainerDUO…']
    >>> shortened(["Centre-A_patient001_frame01", "Centre-A_patient002_frame12"], 24)
    ['…patient001_frame01', '…patient002_frame12']
    >>> shortened(["liver_001", "liver_002"], 24)
    ['liver_001', 'liver_002']
    """
    if len(set(names)) < 2 or max(map(len, names)) <= most:
        return list(names)
    before = re.match(r".*[\W_]|", _beginning(names))
    head = len(before[0]) if before else 0
    rest = [name[head:] for name in names]
    shared = _beginning([name[::-1] for name in rest])[::-1]
    after = re.search(r"[\W_]+[^\W_].*|$", shared)
    tail = len(after[0]) if after else 0
    return [f"{'…' * (head > 0)}{name[: len(name) - tail]}{'…' * (tail > 0)}" for name in rest]


def _beginning(names: Sequence[str]) -> str:
    """The letters with which all of the names begin."""
    first, last = min(names), max(names)
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first if same is None else first[:same]
