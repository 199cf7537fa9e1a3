"""Doubt: two axes, image and label, each a robust distance from the population.

A case is doubtful where it lies far out among cases of its own data set. The
image axis asks the scan alone (how far its statistics lie, in a shrunk, robust
Mahalanobis metric, from the centre of the population, and from the scans that are
most like it); the label axis asks the mask (against an out-of-fold prediction, and by its own size, pieces and place).
`doubt` is the larger of the two: a bad scan with a good mask is as doubtful as a
good scan with a bad mask, and the gap between the axes says where to send the case.

All doubts are in (0, 1), high = bad, 0.5 at a robust z of 3, and rise strictly
with the z behind them. A population is fitted once and frozen; a new case is
compared with it and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from aleaseg.measures.robust import RobustScale

__all__ = ["SMALLEST_POPULATION", "ImageReference", "LabelReference", "LabelSignals", "doubt_from_z"]

# Below this a median and a scale say more about chance than about the data.
SMALLEST_POPULATION = 20
# The least standard deviations that mean anything, per kind of statistic.
_FLOORS = {"sharp": 0.05, "ghost": 0.02, "fov": 0.1, "noise": 0.15, "border": 0.02, "uneven": 0.1}
# A scan is compared with so many that are most like it: a population may hold several kinds of scans.
_NEIGHBOURS = 5
# More than these do not make a distance to the nearest ones truer.
_BANK = 1000
_BLOCK = 4096
# So many numbers for pairs of classes are held at a time.
_CELLS = 2**21
# The bank is kept to four digits, so that a point's distance from itself is not quite 0.
_SAME = 2e-3
_CLIP = 12.0
# Statistics of one image are much alike; a case that breaks a tight bond by a hair is no bad scan, so
# the covariance is shrunk a little further than Ledoit and Wolf do for many cases.
_SHRINK = 0.3


def doubt_from_z(z: ArrayLike) -> NDArray[np.float64]:
    """Doubt in (0, 1), high = bad: strictly rising in z, 0.5 at a robust z of 3.

    >>> doubt_from_z([0.0, 3.0, 6.0]).round(2).tolist()
    [0.05, 0.5, 0.95]
    """
    return 1 / (1 + np.exp(-(np.clip(np.asarray(z, dtype=float), -30, 30) - 3.0)))


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
        return replace(bare, whole=RobustScale.fit(bare._larger(points), 0.3))

    def _larger(self, points: NDArray) -> NDArray[np.float64]:
        """Far from the centre finds what many share; far from the nearest what is odd among several kinds."""
        far, alone = self.far.z(_from_centre(points)), self.alone.z(_from_nearest(points, self.bank))
        return np.maximum(far, alone)

    @staticmethod
    def _z_of(scales: Sequence[RobustScale], statistics: NDArray) -> NDArray[np.float64]:
        columns = [scale.z(column) for scale, column in zip(scales, np.asarray(statistics).T, strict=True)]
        # A statistic that does not apply lies at the median; one that is absurd counts as very far.
        return np.clip(np.nan_to_num(np.stack(columns, axis=1), nan=0.0), -_CLIP, _CLIP)

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


@dataclass(frozen=True)
class LabelSignals:
    """What is known of the masks of N cases with C classes; NaN where it does not apply.

    Attributes:
        classes: names.
        volume: (N, C) mm^3, 0 for an empty mask.
        dice: (N, C) out-of-fold Dice; 0 where only one of the two is empty.
        false_positive: (N, C) mm^3 predicted where the mask is empty.
        extra_components: (N, C) share outside the largest piece.
        border: (N, C) share on the border of the image.
        centroid: (N, C, dims) mm.
        softmin: (N,) of the case.
        second: (N, C) Dice of the mask and a second opinion's outline; None: nobody gave one.
    """

    classes: tuple[str, ...]
    volume: NDArray[np.float64]
    dice: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    extra_components: NDArray[np.float64]
    border: NDArray[np.float64]
    centroid: NDArray[np.float64]
    softmin: NDArray[np.float64]
    second: NDArray[np.float64] | None = None

    def take(self, rows: NDArray | slice) -> LabelSignals:
        """Some of the cases."""
        parts = {
            name: value[rows]
            for name, value in vars(self).items()
            if name != "classes" and value is not None
        }
        return LabelSignals(self.classes, **parts)

    def parts(self) -> Iterator[LabelSignals]:
        """The cases in parts, small enough to hold a number for each pair of classes."""
        rows = max(1, _CELLS // (len(self.classes) ** 2 + 1))
        for start in range(0, len(self.volume), rows):
            yield self.take(slice(start, start + rows))


def _logit(p: NDArray, edge: float = 0.005) -> NDArray:
    clipped = np.clip(p, edge, 1 - edge)
    return np.log(clipped / (1 - clipped))


@dataclass(frozen=True)
class LabelReference:
    """How masks of a population vary.

    Attributes:
        classes: names.
        cases: how many the population has.
        prevalence: share of the cases that have the class.
        volume: median mm^3 of the class where it is there.
        scales: signal -> one location and scale per class (or pair of classes, or one).
        order: (C, C, dims) median vector from one class's centroid to another's.
        heard: (C,) whether the second opinion of the class counts: where it usually agrees better with
            the masks than the out-of-fold prediction does.
        peak: location and scale of the largest z of a case.
        whole: location and scale of what the axis is joined to.
    """

    classes: tuple[str, ...]
    cases: int
    prevalence: NDArray[np.float64]
    volume: NDArray[np.float64]
    scales: Mapping[str, tuple[RobustScale, ...]]
    order: NDArray[np.float64]
    heard: NDArray[np.bool_]
    peak: RobustScale = field(default_factory=lambda: RobustScale(0.0, 1.0, 1.0))
    whole: RobustScale = field(default_factory=lambda: RobustScale(0.0, 1.0, 1.0))

    @classmethod
    def fit(cls, signals: LabelSignals) -> LabelReference:
        """Fit to a population (at least `SMALLEST_POPULATION` cases)."""
        there = signals.volume > 0
        known = np.isfinite(signals.volume)
        volume = np.array(
            [np.median(v[t]) if t.any() else np.nan for v, t in zip(signals.volume.T, there.T, strict=True)]
        )
        prevalence = there.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        classes = len(signals.classes)
        order = np.zeros((classes, classes, signals.centroid.shape[-1]))
        with np.errstate(all="ignore"):
            for a, b in combinations(range(classes), 2):
                order[a, b] = _median_vector(signals.centroid[:, b] - signals.centroid[:, a])
                order[b, a] = -order[a, b]
        heard = _heard(signals)
        bare = cls(signals.classes, len(there), prevalence, volume, {}, order, heard)
        floors = {
            "disagreement": 0.02,
            "second": 0.02,
            "false_positive": 0.3,
            "volume": 0.1,
            "components": 0.3,
            "border": 0.3,
        }
        scales: dict[str, tuple[RobustScale, ...]] = {
            name: tuple(RobustScale.fit(column, floors.get(name, 0.1)) for column in raw.T)
            for name, raw in bare._raw(signals).items()
        }
        scales["order"] = tuple(
            RobustScale.fit(column, 0.1)
            for a in range(classes)
            for column in bare._along(signals.centroid, a).T
        )
        fitted = replace(bare, scales=scales)
        peaks = np.concatenate([fitted._peak(fitted.signal_z(part)) for part in signals.parts()])
        fitted = replace(fitted, peak=RobustScale.fit(peaks, 0.3))
        joined = np.concatenate([fitted._joined(part) for part in signals.parts()])
        return replace(fitted, whole=RobustScale.fit(joined, 0.3))

    def _raw(self, signals: LabelSignals) -> dict[str, NDArray]:
        """The signals on scales on which clean cases are about Gaussian, but for the order of classes."""
        there = signals.volume > 0
        with np.errstate(all="ignore"):
            share = signals.false_positive / (signals.false_positive + self.volume)
            log_volume = np.log(np.where(there, signals.volume, np.nan) / self.volume)
        # An empty mask has no Dice to compare. Where many are empty, they are compared with one
        # another by what is predicted there; where few are, that volume stands in for the overlap.
        rare = (1 - self.prevalence) * self.cases < SMALLEST_POPULATION
        overlap = np.where(there, signals.dice, np.where(rare, 1 - share, np.nan))
        return {
            # Not its logit: where the predictor is weak, overlaps spread over [0, 1] and none lies far
            # out, which is right: the disagreement of a weak predictor is weak evidence.
            "disagreement": 1 - overlap,
            "false_positive": np.where(there | rare, np.nan, _logit(share)),
            "volume": log_volume,
            "components": np.where(there, np.log(0.01 + signals.extra_components), np.nan),
            "border": np.where(there, np.log(0.02 + signals.border), np.nan),
            "softmin": -_logit(signals.softmin, 1e-4)[:, None],
            "second": np.where(there & self.heard, 1 - _second(signals), np.nan),
        }

    def _along(self, centroid: NDArray, a: int) -> NDArray:
        """How far each class lies from class a in the usual direction: 1 as usual, -1 swapped; (N, C)."""
        vectors, usual = centroid - centroid[:, [a]], np.nan_to_num(self.order[a])
        length = (usual**2).sum(axis=-1)
        # Only pairs that lie apart have an order; one half of the pairs is enough.
        apart = (length > 1.0) & (np.arange(len(length)) > a)
        along = np.einsum("nbd,bd->nb", vectors, usual)
        return np.where(apart, along / np.where(length > 0, length, 1), np.nan)

    def signal_z(self, signals: LabelSignals) -> dict[str, NDArray]:
        """Robust z of every signal, high = doubtful: (N, C), order (N, C, C), softmin (N, 1)."""
        raw = self._raw(signals)
        z: dict[str, NDArray] = {}
        for name, values in raw.items():
            columns = values.reshape(len(values), -1).T
            z[name] = np.stack(
                [scale.z(column) for scale, column in zip(self.scales[name], columns, strict=True)], axis=1
            ).reshape(values.shape)
        z["volume"] = np.abs(z["volume"])
        along = [self._along(signals.centroid, a) for a in range(len(self.classes))]
        z["order"] = -_side_by_side(self.scales["order"]).z(np.stack(along, axis=1))
        z["absent"] = self._absent(signals)
        return {name: np.clip(values, -_CLIP, _CLIP) for name, values in z.items()}

    def _absent(self, signals: LabelSignals) -> NDArray:
        """An empty mask is as surprising as the class is common: a z of 4 where 95% of the cases have it.

        It is stronger than the same chance in a measured number, since it is a known slip: somebody
        forgot. A class that more than a tenth of the cases lack is not missed at all.
        """
        chance = np.clip(1 - self.prevalence, 1e-6, 0.5)
        surprise = np.where(self.prevalence > 0.9, 4 * norm.isf(chance) / norm.isf(0.05), np.nan)
        empty = np.isfinite(signals.volume) & (signals.volume == 0)
        return np.where(empty, np.broadcast_to(surprise, empty.shape), np.nan)

    def _peak(self, z: Mapping[str, NDArray]) -> NDArray:
        """The largest of the measured signals: among many, one is always large, so it has its own scale."""
        measured = [name for name in z if name not in ("absent", "second")]
        flat = [z[name].reshape(len(z[name]), -1) for name in measured]
        every = np.concatenate(flat, axis=1)
        return np.max(np.nan_to_num(every, nan=0.0), axis=1, initial=0.0)

    def _joined(self, signals: LabelSignals) -> NDArray:
        z = self.signal_z(signals)
        mean, second = _mean(z["disagreement"], 0.0), _mean(z["second"], -_CLIP)
        softmin = np.nan_to_num(z["softmin"][:, 0], nan=-_CLIP)
        absent = np.max(np.nan_to_num(z["absent"], nan=0.0), axis=1, initial=0.0)
        return np.max(np.stack([mean, second, softmin, self.peak.z(self._peak(z)), absent]), axis=0)

    def z(self, signals: LabelSignals) -> NDArray[np.float64]:
        """Robust z of the label axis, (N,); high = doubtful; NaN for a case without any mask information."""
        unknown = ~np.isfinite(signals.volume).any(axis=1)
        joined = [self._joined(part) for part in signals.parts()]
        return np.where(unknown, np.nan, self.whole.z(np.concatenate(joined) if joined else np.zeros(0)))

    def to_dict(self) -> dict[str, Any]:
        """For population.json."""
        return {
            "classes": list(self.classes),
            "cases": self.cases,
            "prevalence": self.prevalence.tolist(),
            "volume": self.volume.tolist(),
            "scales": {name: [scale.to_dict() for scale in scales] for name, scales in self.scales.items()},
            "order": self.order.tolist(),
            "heard": self.heard.tolist(),
            "peak": self.peak.to_dict(),
            "whole": self.whole.to_dict(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> LabelReference:
        """Back from `to_dict`."""
        return cls(
            tuple(entries["classes"]),
            int(entries["cases"]),
            np.asarray(entries["prevalence"], dtype=float),
            np.asarray(entries["volume"], dtype=float),
            {
                name: tuple(RobustScale.from_dict(scale) for scale in scales)
                for name, scales in entries["scales"].items()
            },
            np.asarray(entries["order"], dtype=float),
            np.asarray(entries["heard"], dtype=bool),
            RobustScale.from_dict(entries["peak"]),
            RobustScale.from_dict(entries["whole"]),
        )


def _side_by_side(scales: Sequence[RobustScale]) -> RobustScale:
    """C * C scales as one of arrays (C, C)."""
    square = 2 * (math.isqrt(len(scales)),)
    center, below, above = (
        np.reshape([getattr(scale, name) for scale in scales], square)
        for name in ("center", "below", "above")
    )
    return RobustScale(center, below, above)  # type: ignore[arg-type]


def _second(signals: LabelSignals) -> NDArray[np.float64]:
    return np.full(signals.dice.shape, np.nan) if signals.second is None else signals.second


def _heard(signals: LabelSignals) -> NDArray[np.bool_]:
    """(C,) where the second opinion is usually the better one, among the cases that have both."""
    known = (signals.volume > 0) & np.isfinite(_second(signals)) & np.isfinite(signals.dice)
    better = [
        np.median(two[k]) > np.median(one[k]) if k.any() else False
        for one, two, k in zip(signals.dice.T, _second(signals).T, known.T, strict=True)
    ]
    return np.array(better, dtype=bool)


def _mean(z: NDArray, without: float) -> NDArray[np.float64]:
    """(N,) mean over the classes that have one, (N, C); `without` for a case that has none."""
    count = np.isfinite(z).sum(axis=1)
    return np.where(count > 0, np.nansum(z, axis=1) / np.maximum(count, 1), without)


def _median_vector(vectors: NDArray) -> NDArray:
    known = vectors[np.isfinite(vectors).all(axis=1)]
    # Three cases are no rule.
    return np.median(known, axis=0) if len(known) >= 5 else np.zeros(vectors.shape[1])
