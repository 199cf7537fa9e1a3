"""What a training is left without: the most suspicious cases by a measure, as many by lot, or what is truly faulty."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["choose_cases"]


def choose_cases(
    cases: Sequence[str],
    faulty: Collection[str],
    suspicion: Mapping[str, ArrayLike],
    *,
    randoms: int,
    seed: int,
    count: int | None = None,
) -> dict[str, list[str]]:
    """What each choice trains on: all choices but `all` and `clean` leave out the same number of cases.

    Args:
        cases: N ids.
        faulty: those of them with a fault.
        suspicion: measure -> (N,), high = bad; NaN: the measure does not speak of the case and keeps it.
            Equal ones by lot.
        randoms: choices by lot.
        seed: of the lot.
        count: how many are left out; None: as many as are faulty.

    Returns:
        Choice -> ids, in the order of `cases`; `clean` only where some are faulty. A measure that speaks
        of fewer cases than are to be left out is not among the choices.

    >>> chosen = choose_cases(["a", "b", "c"], {"b"}, {"m": [0.1, 0.2, 0.9]}, randoms=1, seed=0)
    >>> chosen["clean"], chosen["m"], len(chosen["random 1"])
    (['a', 'c'], ['a', 'b'], 2)
    """
    clean = [case for case in cases if case not in faulty]
    count = len(cases) - len(clean) if count is None else count

    def without_worst(name: str, values: NDArray[np.float64]) -> list[str]:
        lot = np.random.default_rng([seed, crc32(name.encode())]).permutation(len(cases))
        worth = np.where(np.isnan(values), -np.inf, values)[lot]
        dropped = set(lot[np.argsort(-worth, kind="stable")[:count]].tolist())
        return [case for index, case in enumerate(cases) if index not in dropped]

    scores = {name: np.asarray(values, dtype=np.float64) for name, values in suspicion.items()}
    return {
        "all": list(cases),
        **({"clean": clean} if len(clean) < len(cases) else {}),
        **{
            name: without_worst(name, values)
            for name, values in scores.items()
            if np.count_nonzero(~np.isnan(values)) >= count
        },
        **{
            name: without_worst(name, np.zeros(len(cases)))
            for name in (f"random {number}" for number in range(1, randoms + 1))
        },
    }
