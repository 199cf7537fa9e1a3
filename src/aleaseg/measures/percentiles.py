"""Percentiles of a volume without sorting it: the numbers that `numpy.percentile` gives, to the last digit.

Small whole numbers are counted. Of anything else a sample says between which two values a percentile lies, and only
what lies there is sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.regions import slabs

__all__ = ["percentiles", "percentiles_of_parts"]

_SAMPLE = 2**16
# So far from the place of a percentile in the sample lie the values that it is looked for between, in parts of all:
# six times the standard deviation of a fair sample's, and something for one that is not.
_DEVIATIONS, _UNFAIR = 6.0, 0.002


def percentiles(values: NDArray, q: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles of an array, interpolated linearly.

    Args:
        values: any shape, real numbers, finite; at least one.
        q: which, 0 to 100.

    >>> percentiles(np.array([1, 2, 4], np.int16), [50, 75]).tolist()
    [2.0, 3.0]
    """
    flat = values.reshape(-1)
    if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2:
        return _of_counted(flat, q)
    if flat.size <= 2 * _SAMPLE:
        return np.asarray(np.percentile(flat, q), np.float64)

    def parts() -> Iterable[NDArray]:
        return (flat[part] for part in slabs(flat.shape))

    return percentiles_of_parts(parts, flat[:: flat.size // _SAMPLE], q)


def percentiles_of_parts(
    parts: Callable[[], Iterable[NDArray]], sample: NDArray, q: Sequence[float]
) -> NDArray[np.float64]:
    """The same of values that are at hand a part at a time; NaN of none.

    Args:
        parts: gives all of them, flat, in parts; called again where the sample misleads.
        sample: some of them.
        q: which, 0 to 100.
    """
    known = np.sort(sample, axis=None)
    share = np.true_divide(q, 100)
    away = _DEVIATIONS * np.sqrt(share * (1 - share) / max(1, len(known))) + _UNFAIR
    # The sample knows nothing of what lies beyond its ends.
    low = np.where(share <= away, -np.inf, _at(known, share - away))
    high = np.where(share >= 1 - away, np.inf, _at(known, share + away))
    size, below, between = 0, np.zeros(len(share), np.intp), [list[NDArray]() for _ in share]
    for part in parts():
        size += len(part)
        for k, (first, last) in enumerate(zip(low, high, strict=True)):
            under = part < first
            below[k] += np.count_nonzero(under)
            between[k].append(part[~under & (part <= last)])
    if not size:
        return np.full(len(share), np.nan)
    found = []
    for at, before, several in zip((size - 1) * share, below, between, strict=True):
        near, place = np.concatenate(several), int(at) - int(before)
        beside = min(int(at) + 1, size - 1) - int(before)
        if place < 0 or beside >= len(near):
            return np.asarray(np.percentile(np.concatenate([*parts()]), q), np.float64)
        near.partition((place, beside))
        found.append(np.quantile(near[[place, beside]], at - int(at)))
    return np.asarray(found, np.float64)


def _at(known: NDArray, share: NDArray[np.float64]) -> NDArray:
    """The values at some parts of the way through a sample that is in order; NaN of an empty one."""
    if not len(known):
        return np.full(len(share), np.nan)
    places = np.clip(share * (len(known) - 1), 0, len(known) - 1).astype(np.intp)
    return known[places]


def _of_counted(flat: NDArray, q: Sequence[float]) -> NDArray[np.float64]:
    """Of whole numbers that have few values."""
    least = int(flat.min())
    counts = np.zeros(int(flat.max()) - least + 1, np.intp)
    for part in slabs(flat.shape):
        counts += np.bincount(flat[part].astype(np.intp) - least, minlength=len(counts))
    up_to, found = np.cumsum(counts), []
    for at in (flat.size - 1) * np.true_divide(q, 100):
        places = [int(at), min(int(at) + 1, flat.size - 1)]
        pair = least + np.searchsorted(up_to, places, side="right")
        found.append(np.quantile(pair.astype(np.float32), at - int(at)))
    return np.asarray(found, np.float64)
