"""Which cases of a data set get which fault; the faults are put in when a case is read, never into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Voxels
from aleaseg.corruption import FAULTS, Corrupted, ImpossibleFault, Level

__all__ = ["Dealt", "deal", "put_in", "spoil", "with_faults"]

# A fault that so many cases in a row cannot have is none for this data set.
_TRIES = 12
_LEVEL: Level = "medium"


@dataclass(frozen=True)
class Dealt:
    """One case's fault.

    Attributes:
        fault: of `aleaseg.corruption.FAULTS`.
        axis: `mask` or `image`.
        level: `weak`, `medium` or `strong`.
        seed: of everything random in it.
        changed: what the fault says it did.
        donor: the case whose mask it took, where it did.
    """

    fault: str
    axis: str
    level: Level
    seed: tuple[int, ...]
    changed: Mapping[str, float | str]
    donor: str = ""

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Dealt:
        """Back from `asdict`, by way of a file."""
        return cls(**{**entries, "seed": tuple(entries["seed"])})


def _rng(seed: Sequence[int]) -> Generator:
    return np.random.default_rng(list(seed))


def _seed(draw: int, case_id: str, fault: str) -> tuple[int, ...]:
    return draw, crc32(case_id.encode("utf-8", "surrogatepass")), crc32(fault.encode())


def _label(case: Case) -> NDArray:
    if case.read_label is None:
        raise ImpossibleFault(f"{case.id} has no label")
    return case.read_label().array


def put_in(
    array: NDArray, fault: str, level: Level, seed: Sequence[int], donor: NDArray | None
) -> Corrupted:
    """Put a fault into a label map, or an image, that was read."""
    return FAULTS[fault].apply(array, _rng(seed), level, donor=donor)


def spoil(dataset: Dataset, case: Case, fault: str, level: Level, draw: int) -> tuple[Dealt, Corrupted]:
    """Try a fault on a case.

    Raises:
        ImpossibleFault: the case cannot have it.
    """
    corruption = FAULTS[fault]
    seed = _seed(draw, case.id, fault)
    donor = _donor(dataset, case, seed) if corruption.needs_donor else None
    array = _label(case) if corruption.axis == "mask" else case.read_image().array
    done = put_in(array, fault, level, seed, None if donor is None else _label(donor))
    return Dealt(fault, corruption.axis, level, seed, done.changed, donor.id if donor else ""), done


def _donor(dataset: Dataset, case: Case, seed: Sequence[int]) -> Case:
    """Another case of another group, with a label that is not empty."""
    rng = _rng((*seed, 1))
    others = [
        c for c in dataset.cases if c.has_label and c.id != case.id and c.group != (case.group or "?")
    ]
    for index in rng.permutation(len(others))[:_TRIES]:
        if _label(others[index]).any():
            return others[index]
    raise ImpossibleFault(f"{case.id}: no other case has a mask that could be used")


def deal(dataset: Dataset, draw: int, *, share: float = 0.2) -> tuple[dict[str, Dealt], list[str]]:
    """Deal faults of medium strength to a share of labelled cases, every kind in turn; `draw` is the seed.

    Returns:
        case -> its fault, and the faults that are not possible on this data.
    """
    rng = np.random.default_rng(draw)
    waiting = [dataset.cases[index] for index in rng.permutation(len(dataset.cases))]
    wanted = round(share * len(waiting))
    kinds = [
        name
        for name in (list(FAULTS)[index] for index in rng.permutation(len(FAULTS)))
        if _LEVEL in FAULTS[name].strengths
    ]
    dealt: dict[str, Dealt] = {}
    impossible: list[str] = []
    while len(dealt) < wanted and kinds:
        fault = kinds.pop(0)
        for case in waiting[:_TRIES]:
            try:
                dealt[case.id], _ = spoil(dataset, case, fault, _LEVEL, draw)
            except ImpossibleFault:
                continue
            waiting.remove(case)
            kinds.append(fault)
            break
        else:
            # What was dealt in an earlier round is possible; there are only no more cases for it.
            if all(one.fault != fault for one in dealt.values()):
                impossible.append(fault)
    return dealt, sorted(impossible, key=list(FAULTS).index)


def with_faults(dataset: Dataset, truth: Mapping[str, Dealt]) -> Dataset:
    """The data set as somebody would have got it: its cases read with their faults."""
    by_id = {case.id: case for case in dataset.cases}
    return dataset.with_cases(
        [_spoilt(case, truth[case.id], by_id) if case.id in truth else case for case in dataset.cases]
    )


def _spoilt(case: Case, dealt: Dealt, by_id: Mapping[str, Case]) -> Case:
    donor = by_id[dealt.donor] if dealt.donor else None

    def change(voxels: Voxels) -> Voxels:
        lent = None if donor is None else _label(donor)
        return replace(voxels, array=put_in(voxels.array, dealt.fault, dealt.level, dealt.seed, lent).array)

    if dealt.axis == "image":
        return replace(case, read_image=lambda: change(case.read_image()))
    read_label = case.read_label
    assert read_label is not None
    return replace(case, read_label=lambda: change(read_label()))
