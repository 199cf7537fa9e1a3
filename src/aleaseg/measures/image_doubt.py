"""The image axis of doubt: how far the statistics of a scan lie from those of its population.

Far from the centre finds what is odd in itself, far from the scans that are most like it what
is odd among several kinds. Both distances are of Mahalanobis' kind, in a robust, shrunk metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from aleaseg.measures.robust import CLIP, RobustScale

__all__ = ["ImageReference"]

# The least standard deviations that mean anything, per kind of statistic.
_FLOORS = {"sharp": 0.05, "ghost": 0.02, "fov": 0.1, "noise": 0.15, "border": 0.02, "uneven": 0.1}
# A scan is compared with so many that are most like it: a population may hold several kinds of scans.
_NEIGHBOURS = 5
# More than these do not make a distance to the nearest ones truer.
_BANK = 1000
_BLOCK = 4096
# The bank is kept to four digits, so that a point's distance from itself is not quite 0.
_SAME = 2e-3
# Statistics of one image are much alike; a case that breaks a tight bond by a hair is no bad scan, so
# the covariance is shrunk a little further than Ledoit and Wolf do for many cases.
_SHRINK = 0.3


def _floor(name: str) -> float:
    return next((floor for start, floor in _FLOORS.items() if start in name), 0.02)


@dataclass(frozen=True)
class ImageReference:
    """How images of a population vary.

    Attributes:
        names: of the statistics.
        scales: robust location and scale of each.
        whitening: (F, F), z-scores times it have the identity for a covariance.
        bank: (M, F), whitened z-scores of the population, or of an even part of a large one.
        far: location and scale of the distance from the centre: of the cube root of its square per
            statistic, which is near to Gaussian (Wilson and Hilferty 1931).
        alone: location and scale of the mean distance to the nearest in the bank.
        whole: location and scale of the larger z of the two.
    """

    names: tuple[str, ...]
    scales: tuple[RobustScale, ...]
    whitening: NDArray[np.float64]
    bank: NDArray[np.float64]
    far: RobustScale
    alone: RobustScale
    whole: RobustScale = field(default_factory=lambda: RobustScale(0.0, 1.0, 1.0))

    @classmethod
    def fit(cls, names: Sequence[str], statistics: NDArray) -> ImageReference:
        """Fit to (N, F) statistics, NaN where one does not apply.

        The covariance is Ledoit and Wolf's (2004), of the central part of the
        population, found in three rounds from the cases with the smallest z-scores.
        """
        from sklearn.covariance import LedoitWolf

        scales = tuple(
            RobustScale.fit(column, _floor(name)) for name, column in zip(names, statistics.T, strict=True)
        )
        z = cls._z_of(scales, statistics)
        features = z.shape[1]
        distance = (z**2).sum(axis=1)
        precision = np.eye(features)
        keep = distance <= np.quantile(distance, 0.6)
        for _ in range(3):
            shrunk = LedoitWolf(assume_centered=True).fit(z[keep]).covariance_
            variance = max(
                float(np.trace(shrunk)) / features, 1e-6
            )  # all images alike: no direction counts
            precision = np.linalg.inv((1 - _SHRINK) * shrunk + _SHRINK * variance * np.eye(features))
            distance = ((z @ precision) * z).sum(axis=1)
            # The centre of the distances tells their scale: the kept part is tighter than the whole.
            scale = float(np.median(distance)) / chi2.median(features)
            keep = distance <= max(chi2.ppf(0.975, features) * scale, float(np.quantile(distance, 0.5)))
        whitening = np.linalg.cholesky(precision)
        points: NDArray[np.float64] = z @ whitening
        # Evenly from the centre outwards, whatever the order of the cases.
        order = np.argsort(distance, kind="stable")
        bank = points[order[np.linspace(0, len(order) - 1, min(_BANK, len(order))).astype(int)]]
        bank = bank.round(4)  # for population.json
        bare = cls(
            tuple(names),
            scales,
            np.asarray(whitening, dtype=np.float64),
            bank,
            RobustScale.fit(_from_centre(points)),
            RobustScale.fit(_from_nearest(points, bank), 0.1),
        )
        return replace(bare, whole=RobustScale.fit_trimmed(bare._larger(points), 0.3))

    def _larger(self, points: NDArray) -> NDArray[np.float64]:
        """Far from the centre finds what many share; far from the nearest what is odd among several kinds."""
        far, alone = self.far.z(_from_centre(points)), self.alone.z(_from_nearest(points, self.bank))
        return np.maximum(far, alone)

    @staticmethod
    def _z_of(scales: Sequence[RobustScale], statistics: NDArray) -> NDArray[np.float64]:
        columns = [scale.z(column) for scale, column in zip(scales, np.asarray(statistics).T, strict=True)]
        # A statistic that does not apply lies at the median; one that is absurd counts as very far.
        return np.clip(np.nan_to_num(np.stack(columns, axis=1), nan=0.0), -CLIP, CLIP)

    def feature_z(self, statistics: NDArray) -> NDArray[np.float64]:
        """Signed robust z of each statistic, (N, F)."""
        return self._z_of(self.scales, statistics)

    def z(self, statistics: NDArray) -> NDArray[np.float64]:
        """Robust z of the distance of (N, F) statistics, (N,); high = far out; NaN where most are missing."""
        z = self.whole.z(self._larger(self.feature_z(statistics) @ self.whitening))
        # A statistic that is missing counts as usual; where most are, nothing was compared.
        known = np.isfinite(np.asarray(statistics, dtype=float)).mean(axis=1) >= 0.5
        return np.where(known, z, np.nan)

    def to_dict(self) -> dict[str, Any]:
        """For population.json."""
        return {
            "names": list(self.names),
            "scales": [scale.to_dict() for scale in self.scales],
            "whitening": self.whitening.tolist(),
            "bank": self.bank.tolist(),
            "far": self.far.to_dict(),
            "alone": self.alone.to_dict(),
            "whole": self.whole.to_dict(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> ImageReference:
        """Back from `to_dict`."""
        return cls(
            tuple(entries["names"]),
            tuple(RobustScale.from_dict(scale) for scale in entries["scales"]),
            np.asarray(entries["whitening"], dtype=float),
            np.asarray(entries["bank"], dtype=float),
            *(RobustScale.from_dict(entries[name]) for name in ("far", "alone", "whole")),
        )


def _from_centre(points: NDArray) -> NDArray[np.float64]:
    """Cube root of the squared distance per statistic from the centre."""
    root: NDArray[np.float64] = np.cbrt((points**2).mean(axis=1))
    return root


def _from_nearest(points: NDArray, bank: NDArray) -> NDArray[np.float64]:
    """Mean distance of each point to its nearest ones in the bank; one that is the point itself does not count."""
    count = min(_NEIGHBOURS, len(bank) - 1)
    squares = (bank**2).sum(axis=1)
    found = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        distance = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ bank.T
        nearest = np.sqrt(np.maximum(np.partition(distance, count, axis=1)[:, : count + 1], 0))
        nearest.sort(axis=1)
        itself = nearest[:, 0] < _SAME
        found[start : start + _BLOCK] = np.where(
            itself, nearest[:, 1:].mean(axis=1), nearest[:, :-1].mean(axis=1)
        )
    return found
