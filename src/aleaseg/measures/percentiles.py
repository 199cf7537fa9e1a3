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
        return _between(_counted(flat), flat.size, q, np.dtype(np.float32))
    if flat.size <= 2 * _SAMPLE:
        return np.asarray(np.percentile(flat, q), np.float64)

    def parts() -> Iterable[NDArray]:
        return (flat[part] for part in slabs(flat.shape))

    return percentiles_of_parts(parts, flat.size, flat[:: flat.size // _SAMPLE], q)


def percentiles_of_parts(
    parts: Callable[[], Iterable[NDArray]], size: int, sample: NDArray, q: Sequence[float]
) -> NDArray[np.float64]:
    """The same of values that are at hand a part at a time.

    Args:
        parts: gives all of them, flat, in parts; called again where the sample misleads.
        size: how many there are, one at least.
        sample: some of them, one at least.
        q: which, 0 to 100.
    """
    ranks = _ranks(size, q)
    known = np.sort(sample, axis=None)
    share = ranks / max(1, size - 1)
    away = _DEVIATIONS * np.sqrt(share * (1 - share) / len(known)) + _UNFAIR
    low, high = (
        known[np.clip((share + sign * away) * (len(known) - 1), 0, len(known) - 1).astype(np.intp)]
        for sign in (-1, 1)
    )
    # The sample knows nothing of what lies beyond its ends.
    low = np.where(share <= away, -np.inf, low)
    high = np.where(share >= 1 - away, np.inf, high)
    below, between = np.zeros(len(ranks), np.intp), [list[NDArray]() for _ in ranks]
    for part in parts():
        for k, (first, last) in enumerate(zip(low, high, strict=True)):
            under = part < first
            below[k] += np.count_nonzero(under)
            between[k].append(part[~under & (part <= last)])
    found = {}
    for rank, before, several in zip(ranks, below, between, strict=True):
        near = np.concatenate(several)
        if not before <= rank < before + len(near):
            return np.asarray(np.percentile(np.concatenate([*parts()]), q), np.float64)
        found[int(rank)] = np.partition(near, rank - before)[rank - before]
    return _between(found.__getitem__, size, q, known.dtype)


def _ranks(size: int, q: Sequence[float]) -> NDArray[np.intp]:
    """The places in order, from 0, that percentiles lie between."""
    at = (size - 1) * np.true_divide(q, 100)
    return np.unique(np.clip([np.floor(at), np.floor(at) + 1], 0, size - 1).astype(np.intp))


def _between(
    value: Callable[[int], float], size: int, q: Sequence[float], kind: np.dtype
) -> NDArray[np.float64]:
    """Percentiles from the values at places in order."""
    found = []
    for at in (size - 1) * np.true_divide(q, 100):
        low = int(np.floor(at))
        pair = np.array([value(low), value(min(low + 1, size - 1))], kind)
        found.append(np.quantile(pair, at - low))
    return np.asarray(found, np.float64)


def _counted(flat: NDArray) -> Callable[[int], float]:
    """The value at any place in order, of whole numbers of few values."""
    least = int(flat.min())
    counts = np.zeros(int(flat.max()) - least + 1, np.intp)
    for part in slabs(flat.shape):
        counts += np.bincount(flat[part].astype(np.intp) - least, minlength=len(counts))
    up_to = np.cumsum(counts)
    return lambda place: float(least + int(np.searchsorted(up_to, place, side="right")))
