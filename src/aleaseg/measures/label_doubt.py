"""The label axis of doubt: how far a mask lies from a prediction, and from the masks of its population.

Two kinds of cases never share a median. What is measured of a class is compared among the cases
that have it, and what is measured of a case as a whole among cases of its kind: those whose
rarest class is about as common, and, apart from them, those whose mask is empty. So the doubt of
a mask with a lesion does not depend on how many cases have none. Whether a class is there at all
is a signal of its own (`absent`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from aleaseg.measures.auv import aggregate
from aleaseg.measures.kinds import NOTHING, Kind, place_in, sort_kinds, widened
from aleaseg.measures.label_signals import LabelSignals
from aleaseg.measures.layout import Layout
from aleaseg.measures.robust import CLIP, SMALLEST_POPULATION, RobustScale

__all__ = ["LabelReference"]

_FLOORS = {
    "disagreement": 0.02,
    "second": 0.02,
    "false_positive": 0.1,
    "volume": 0.1,
    "components": 0.3,
    "border": 0.3,
    "shape": 0.01,
    "contrast": 0.02,
}
_FLOOR = 0.1
_WHOLE_FLOOR = 0.3
# What the image shows along a border is heard where no border at all would stand out by so much.
_TELLING = 2.0
# Of empty masks most numbers are quite alike, such as how sure a network is of nothing at all: less
# than a factor of e in its odds is no difference, and the axis is not finer than its signals.
_EMPTY_FLOOR = 1.0


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
        layout: how classes usually lie to each other.
        heard: (C,) whether the second opinion of the class counts: where it usually agrees better with
            the masks than the out-of-fold prediction does.
        statistics: (K,) names of the statistics of contrast.
        toward: (C, K) by which sign each points to no border at all; 0: it is not heard, since no border would
            be nothing unusual.
        kinds: by which cases as a whole are measured, the rarest first.
    """

    classes: tuple[str, ...]
    cases: int
    prevalence: NDArray[np.float64]
    volume: NDArray[np.float64]
    scales: Mapping[str, tuple[RobustScale, ...]]
    layout: Layout
    heard: NDArray[np.bool_]
    statistics: tuple[str, ...]
    toward: NDArray[np.float64]
    kinds: tuple[Kind, ...] = ()

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
        layout = Layout.fit(signals.centroid)
        heard = _heard(signals)
        toward = np.zeros((classes, len(signals.statistics)))
        bare = cls(
            signals.classes, len(there), prevalence, volume, {}, layout, heard, signals.statistics, toward
        )
        raw = bare._raw(signals)
        # What stands in for the overlap of an empty mask is measured, and teaches nothing.
        raw["disagreement"] = np.where(there, raw["disagreement"], np.nan)
        scales: dict[str, tuple[RobustScale, ...]] = {
            name: tuple(RobustScale.fit(column, _FLOORS.get(name, _FLOOR)) for column in _columns(values))
            for name, values in raw.items()
        }
        flat = signals.no_border * classes
        away = [float(scale.z(value)) for scale, value in zip(scales["contrast"], flat, strict=True)]
        toward = np.where(np.abs(away) >= _TELLING, np.sign(away), 0.0).reshape(toward.shape)
        scales["order"] = tuple(
            RobustScale.fit(column, _FLOOR) for column in layout.columns(signals.centroid)
        )
        return replace(bare, scales=scales, toward=toward)._with_kinds(signals)

    def _with_kinds(self, signals: LabelSignals) -> LabelReference:
        """Each kind of cases gets its scales, one on top of the other: softmin, parts, whole."""
        found = sort_kinds(self._rarest(signals))
        softmin = _turned_softmin(signals)
        kinds = [
            Kind(above, upto, int(those.sum()), RobustScale.fit(softmin[those], _least(upto, _FLOOR)))
            for above, upto, those in found
        ]
        fitted = replace(self, kinds=tuple(kinds))
        told = np.concatenate([fitted._told(fitted.signal_z(part)) for part in signals.parts()])
        # Of a population that may hold faults: what lies far out teaches nothing.
        kinds = [
            replace(
                kind,
                parts=tuple(
                    RobustScale.fit_trimmed(part, _least(kind.upto, _WHOLE_FLOOR))
                    if np.isfinite(part).any()
                    else None
                    for part in told[those].T
                ),
            )
            for kind, (_, _, those) in zip(kinds, found, strict=True)
        ]
        fitted = replace(self, kinds=tuple(kinds))
        joined = fitted._joined(told, signals)
        kinds = [
            replace(
                kind,
                whole=widened(
                    RobustScale.fit_trimmed(joined[those], _least(kind.upto, _WHOLE_FLOOR)), kind.cases
                ),
            )
            for kind, (_, _, those) in zip(kinds, found, strict=True)
        ]
        return replace(self, kinds=tuple(kinds))

    def _rarest(self, signals: LabelSignals) -> NDArray[np.float64]:
        """(N,) share of the population that has the rarest class of each case; `NOTHING` for an empty mask."""
        return np.min(np.where(signals.volume > 0, self.prevalence, NOTHING), axis=1, initial=NOTHING)

    def _by_kind(
        self, scale_of: Callable[[Kind], RobustScale | None], values: NDArray, signals: LabelSignals
    ) -> NDArray[np.float64]:
        """(N,) robust z of numbers of whole cases, each by its kind; NaN where no kind is like it, or has any."""
        place = place_in(self.kinds, self._rarest(signals))
        found = np.full(len(values), np.nan)
        for index, kind in enumerate(self.kinds):
            scale, rows = scale_of(kind), place == index
            if scale is not None:
                found[rows] = scale.z(values[rows])
        return found

    def _softmin(self, signals: LabelSignals) -> NDArray[np.float64]:
        """(N,) robust z; NaN for the few that have a rarer class than all others: it may be that hard to see."""
        place, rarest = place_in(self.kinds, self._rarest(signals)), self._rarest(signals)
        above = np.array([*(kind.above for kind in self.kinds), np.inf])[place]
        z = self._by_kind(lambda kind: kind.softmin, _turned_softmin(signals), signals)
        return np.where(rarest > above, z, np.nan)

    def _raw(self, signals: LabelSignals) -> dict[str, NDArray]:
        """The signals of classes, (N, C), on scales on which clean cases are about Gaussian."""
        there = signals.volume > 0
        with np.errstate(all="ignore"):
            share = signals.false_positive / (signals.false_positive + self.volume)
            log_volume = np.log(np.where(there, signals.volume, np.nan) / self.volume)
        # An empty mask has no Dice to compare. Where many are empty, they are compared with one
        # another by what is predicted there; where few are, that volume stands in for the overlap.
        rare = (1 - self.prevalence) * self.cases < SMALLEST_POPULATION
        # Of a class that no case of the population has nothing is usual.
        usual = np.isfinite(self.volume)
        overlap = np.where(there, signals.dice, np.where(rare, 1 - share, np.nan))
        return {
            # Not its logit: where the predictor is weak, overlaps spread over [0, 1] and none lies far
            # out, which is right: the disagreement of a weak predictor is weak evidence.
            "disagreement": 1 - overlap,
            "false_positive": np.where(there | rare, np.nan, share),
            "volume": log_volume,
            "components": np.where(there, np.log(0.01 + signals.extra_components), np.nan),
            "border": np.where(there, np.log(0.02 + signals.border), np.nan),
            "second": np.where(there & self.heard, 1 - _second(signals), np.nan),
            "shape": _of_borders(signals.shape, there & usual),
            "contrast": _of_borders(signals.contrast, there & usual),
        }

    def signal_z(self, signals: LabelSignals) -> dict[str, NDArray]:
        """Robust z of every signal, high = doubtful: (N, C), shape (N, C, S), order (N, P), softmin (N, 1).

        That of contrast is the mean over the statistics that are heard.
        """
        raw = self._raw(signals)
        z: dict[str, NDArray] = {}
        for name, values in raw.items():
            columns = [
                scale.z(column) for scale, column in zip(self.scales[name], _columns(values), strict=True)
            ]
            z[name] = np.stack(columns, axis=1).reshape(values.shape) if columns else values
        z["volume"], z["shape"] = np.abs(z["volume"]), np.abs(z["shape"])
        # Pointing to no border is doubtful; a border that is clearer than others is not.
        z["contrast"] = _mean_of_known(np.where(self.toward != 0, self.toward * z["contrast"], np.nan))
        z["softmin"] = self._softmin(signals)[:, None]
        z["order"] = -_side_by_side(self.scales["order"]).z(self.layout.along(signals.centroid))
        z["absent"] = self._absent(signals)
        return {name: np.clip(values, -CLIP, CLIP) for name, values in z.items()}

    def _absent(self, signals: LabelSignals) -> NDArray:
        """An empty mask is as surprising as the class is common: a z of 4 where 95% of the cases have it.

        It is stronger than the same chance in a measured number, since it is a known slip: somebody
        forgot. A class that more than a tenth of the cases lack is not missed at all.
        """
        chance = np.clip(1 - self.prevalence, 1e-6, 0.5)
        surprise = np.where(self.prevalence > 0.9, 4 * norm.isf(chance) / norm.isf(0.05), np.nan)
        empty = np.isfinite(signals.volume) & (signals.volume == 0)
        return np.where(empty, np.broadcast_to(surprise, empty.shape), np.nan)

    def _told(self, z: Mapping[str, NDArray]) -> NDArray:
        """(N, 6) what is told of the mask; NaN where a part does not apply.

        Disagreement with the prediction, with the second opinion, softmin, the largest of all that is
        measured of prediction and mask, the largest of how the border is drawn, and what the image shows
        along it, of the class that shows least.
        """
        apart = ("absent", "second", "shape", "contrast")
        measured = [values for name, values in z.items() if name not in apart]
        largest = [np.nan_to_num(_largest(values), nan=0.0).clip(min=0) for values in measured]
        parts = (
            aggregate(z["disagreement"]),
            aggregate(z["second"]),
            z["softmin"][:, 0],
            np.max(largest, axis=0),
            _largest(z["shape"]),
            _largest(z["contrast"]),
        )
        return np.stack(parts, axis=1)

    def _joined(self, told: NDArray, signals: LabelSignals) -> NDArray:
        """(N,) ln of the mean of exp z over the parts that there are, each on its own scale.

        About the largest: one part that lies far out is enough, and two that do are more than one.
        """
        z = np.stack(
            [
                self._by_kind(lambda kind, part=part: kind.parts[part], values, signals)  # type: ignore[misc]
                for part, values in enumerate(told.T)
            ],
            axis=1,
        )
        known = np.isfinite(z)
        total = np.exp(np.where(known, np.minimum(z, CLIP), -np.inf)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(total / known.sum(axis=1))

    def z(self, signals: LabelSignals) -> NDArray[np.float64]:
        """Robust z of the label axis, (N,); high = doubtful.

        NaN for a case without any mask information, and for one of a kind of which there are too few.
        """
        unknown = ~np.isfinite(signals.volume).any(axis=1)
        found = [np.zeros(0)]
        for part in signals.parts():
            z = self.signal_z(part)
            whole = self._by_kind(lambda kind: kind.whole, self._joined(self._told(z), part), part)
            # A class that nearly all have and that is not there is doubtful whatever the rest says.
            found.append(np.where(np.isnan(whole), np.nan, np.fmax(whole, _largest(z["absent"]))))
        return np.where(unknown, np.nan, np.concatenate(found))

    def to_dict(self) -> dict[str, Any]:
        """For population.json."""
        return {
            "classes": list(self.classes),
            "cases": self.cases,
            "prevalence": self.prevalence.tolist(),
            "volume": self.volume.tolist(),
            "scales": {name: [scale.to_dict() for scale in scales] for name, scales in self.scales.items()},
            "layout": self.layout.to_dict(),
            "heard": self.heard.tolist(),
            "statistics": list(self.statistics),
            "toward": self.toward.tolist(),
            "kinds": [kind.to_dict() for kind in self.kinds],
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> LabelReference:
        """Back from `to_dict`.

        Raises:
            KeyError: it was fitted by a version that measured something else; make it again.
        """
        classes = len(entries["classes"])
        if "layout" not in entries:
            entries = _with_layout(entries)
        return cls(
            tuple(entries["classes"]),
            int(entries["cases"]),
            np.asarray(entries["prevalence"], dtype=float),
            np.asarray(entries["volume"], dtype=float),
            {
                name: tuple(RobustScale.from_dict(scale) for scale in scales)
                for name, scales in entries["scales"].items()
            },
            Layout.from_dict(entries["layout"]),
            np.asarray(entries["heard"], dtype=bool),
            tuple(entries["statistics"]),
            np.asarray(entries["toward"], dtype=float).reshape(classes, -1),
            tuple(Kind.from_dict(kind) for kind in entries["kinds"]),
        )


def _with_layout(entries: Mapping[str, Any]) -> dict[str, Any]:
    """What was fitted when every pair of classes was compared, as a layout of all those that lie apart."""
    order = np.asarray(entries["order"], dtype=float)
    layout = Layout.of_every_pair(order)
    scales = dict(entries["scales"])
    scales["order"] = [scales["order"][len(order) * a + b] for a, b in layout.pairs.tolist()]
    return {**entries, "layout": layout.to_dict(), "scales": scales}


def _side_by_side(scales: Sequence[RobustScale]) -> RobustScale:
    """Scales of many numbers as one of arrays."""
    center, below, above = (
        np.array([getattr(scale, name) for scale in scales]) for name in ("center", "below", "above")
    )
    return RobustScale(center, below, above)  # type: ignore[arg-type]


def _columns(values: NDArray) -> NDArray[np.float64]:
    """(..., N): the numbers of each class, or of each class and statistic."""
    return values.reshape(len(values), math.prod(values.shape[1:])).T


def _largest(z: NDArray) -> NDArray[np.float64]:
    """(N,) the largest that is known; NaN where nothing is."""
    return np.fmax.reduce(z.reshape(len(z), -1), axis=1) if z.size else np.full(len(z), np.nan)


def _mean_of_known(z: NDArray) -> NDArray[np.float64]:
    """Mean along the last axis of what is known there; NaN where nothing is."""
    known = np.isfinite(z)
    with np.errstate(invalid="ignore"):
        return np.where(known, z, 0.0).sum(axis=-1) / known.sum(axis=-1)


def _of_borders(statistics: NDArray | None, there: NDArray) -> NDArray[np.float64]:
    """(N, C, K) where there is a mask; K = 0 where nothing was measured."""
    return np.where(
        there[..., None], np.zeros((*there.shape, 0)) if statistics is None else statistics, np.nan
    )


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


def _least(upto: float, floor: float) -> float:
    return _EMPTY_FLOOR if upto >= NOTHING else floor


def _turned_softmin(signals: LabelSignals) -> NDArray[np.float64]:
    """(N,) as a logit, high = doubtful."""
    return -_logit(signals.softmin, 1e-4)
