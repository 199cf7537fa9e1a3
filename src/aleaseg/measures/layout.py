"""How classes lie to each other: usual vectors between their centroids, for each class to those nearest to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.kinds import FEWEST
from aleaseg.measures.regions import slabs

__all__ = ["NEIGHBOURS", "Layout"]

# A class is compared with so many others; with all of them where there are no more.
NEIGHBOURS = 16
# Two classes whose centroids lie closer have no order, mm.
_APART = 1.0


@dataclass(frozen=True)
class Layout:
    """Which pairs of C classes are compared, and how each pair usually lies.

    Each class is compared with the `NEIGHBOURS` nearest to it, so P grows with C and not with its square.

    Attributes:
        pairs: (P, 2) indices of classes, the lower one first, in order.
        usual: (P, dims) median vector from the first one's centroid to the other's, mm.
    """

    pairs: NDArray[np.intp]
    usual: NDArray[np.float64]

    @classmethod
    def fit(cls, centroid: NDArray[np.float64]) -> Layout:
        """Of a population.

        Args:
            centroid: (N, C, dims) mm; NaN where a case does not have the class.
        """
        pairs = _near(centroid)
        usual = np.array([_median(centroid[:, b] - centroid[:, a]) for a, b in pairs])
        usual = usual.reshape(len(pairs), centroid.shape[-1])
        apart = (usual**2).sum(axis=-1) > _APART**2
        return cls(pairs[apart], usual[apart])

    @classmethod
    def of_every_pair(cls, usual: NDArray[np.float64]) -> Layout:
        """Of usual vectors (C, C, dims) from each class to each other one; 0 where nobody knows."""
        pairs = np.argwhere(np.triu((usual**2).sum(axis=-1) > _APART**2, 1))
        return cls(pairs, usual[tuple(pairs.T)])

    def along(self, centroid: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, P) how far the second of a pair lies from the first in the usual direction: 1 as usual, -1 swapped."""
        first, second = self.pairs.T
        vectors = centroid[:, second] - centroid[:, first]
        return np.einsum("npd,pd->np", vectors, self.usual) / (self.usual**2).sum(axis=-1)

    def columns(self, centroid: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """The same, one pair (N,) after the other, so that few are held at a time."""
        for part in slabs((len(self.pairs), len(centroid))) if len(self.pairs) else ():
            yield from Layout(self.pairs[part], self.usual[part]).along(centroid).T

    def to_dict(self) -> dict[str, Any]:
        """For population.json."""
        # Turned, so that what has no pairs keeps its axes.
        return {"pairs": self.pairs.T.tolist(), "usual": self.usual.T.tolist()}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Layout:
        """Back from `to_dict`."""
        return cls(
            np.ascontiguousarray(np.asarray(entries["pairs"], dtype=np.intp).T),
            np.ascontiguousarray(np.asarray(entries["usual"], dtype=float).T),
        )


def _near(centroid: NDArray[np.float64]) -> NDArray[np.intp]:
    """(P, 2) the pairs of which one is among the nearest of the other, by the mean of their squared distance.

    Products of matrices give it for all pairs at once. Pairs that fewer than `FEWEST` cases have are none, nor are
    those that lie at one place.
    """
    known = np.isfinite(centroid.sum(axis=-1))
    place = np.where(known[..., None], centroid, 0.0)
    there, squares = known.astype(float), (place**2).sum(axis=-1)
    cases = there.T @ there
    cross = squares.T @ there
    between = cross + cross.T - 2 * np.einsum("nad,nbd->ab", place, place, optimize=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(cases >= FEWEST, between / cases, np.inf)
    # Half of the numbers lie beyond their median: its square is at most twice their mean square.
    distance[distance <= _APART**2 / 2] = np.inf
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    near = np.zeros(distance.shape, dtype=bool)
    np.put_along_axis(near, nearest, True, axis=1)
    near &= np.isfinite(distance)
    return np.argwhere(np.triu(near | near.T))


def _median(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(vectors[np.isfinite(vectors).all(axis=1)], axis=0))
