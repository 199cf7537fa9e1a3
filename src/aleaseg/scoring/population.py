"""Reduce: from the records of all cases to AUV, doubts and reasons, and the frozen population."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.auv import COLLAPSED_BELOW, AuvReference, aggregate, aleatoric_uncertainty_value
from aleaseg.measures.doubt import SMALLEST_POPULATION, ImageReference, LabelReference, LabelSignals
from aleaseg.measures.log_minmax import EqualValuesWarning, log_minmax, log_range
from aleaseg.measures.reasons import LEAST_STRENGTH, Reason, image_codes, joined
from aleaseg.measures.robust import doubt_from_z

__all__ = ["Scored", "fit_population", "score_population"]

Record = Mapping[str, Any]
_CENTROID = ("centroid_d", "centroid_h", "centroid_w")


@dataclass(frozen=True)
class Scored:
    """What the population step adds, in the order of the records; NaN where it does not apply.

    Attributes:
        auv, image_doubt, label_doubt, doubt: (N,).
        class_auv: (N, C).
        scale: (N,) S of the case, mean over the present classes.
        reasons: one cell per case.
    """

    auv: NDArray[np.float64]
    class_auv: NDArray[np.float64]
    scale: NDArray[np.float64]
    image_doubt: NDArray[np.float64]
    label_doubt: NDArray[np.float64]
    doubt: NDArray[np.float64]
    reasons: list[str]


class _Table:
    """The default measures of all records, looked up by name."""

    def __init__(self, records: Sequence[Record], classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.size = len(records)
        self._values: dict[tuple[str, str], NDArray] = {}
        for index, record in enumerate(records):
            for row in record["measures"]:
                if row["variant"] == "" and row["value"] is not None:
                    key = (row["measure"], row["class"])
                    self._values.setdefault(key, np.full(len(records), np.nan))[index] = row["value"]

    def case(self, measure: str) -> NDArray[np.float64]:
        """(N,)"""
        return self._values.get((measure, ""), np.full(self.size, np.nan))

    def by_class(self, measure: str) -> NDArray[np.float64]:
        """(N, C)"""
        missing = np.full(self.size, np.nan)
        columns = [self._values.get((measure, name), missing) for name in self.classes]
        return np.stack(columns, axis=1) if columns else np.zeros((self.size, 0))

    @property
    def image_names(self) -> list[str]:
        """Statistics of the image that any case has."""
        return sorted(
            {measure for measure, name in self._values if not name and measure.startswith("img_")}
        )

    def images(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(N, F)"""
        return np.stack([self.case(name) for name in names], axis=1)

    def signals(self) -> LabelSignals:
        """The label axis."""
        # A 2D mask has no place across slices: it lies at 0 there, as all others do.
        place = np.stack([self.by_class(name) for name in _CENTROID], axis=-1)
        return LabelSignals(
            self.classes,
            self.by_class("volume_mm3"),
            self.by_class("oof_dice"),
            self.by_class("false_positive_mm3"),
            self.by_class("extra_components"),
            self.by_class("border"),
            np.where(np.isfinite(place).any(axis=-1, keepdims=True), np.nan_to_num(place), np.nan),
            self.case("softmin"),
        )


def _scales(records: Sequence[Record], table: _Table, kind: str) -> NDArray[np.float64]:
    """(N, C) S (or variance); NaN for class maps of another kind than the population's."""
    measure = "intensity_variance" if kind == "intensity" else "perception_scale"
    found = table.by_class(measure)
    if not table.classes:
        found = table.case(measure)[:, None]
    for index, record in enumerate(records):
        for column, name in enumerate(table.classes):
            about = record["class_maps"].get(name)
            if about is not None and about["kind"] != kind:
                found[index, column] = np.nan
    return found


def _kind(records: Sequence[Record]) -> str:
    kinds = Counter(about["kind"] for record in records for about in record["class_maps"].values())
    return kinds.most_common(1)[0][0] if kinds else "logit"


def _auv_reference(values: NDArray, kind: str) -> dict[str, Any] | None:
    usable = values[np.isfinite(values)]
    if not usable.size:
        return None
    if kind == "intensity":
        low, high, n = log_range(usable)
        return {"low": low, "high": high, "n": n}
    return AuvReference.fit(usable).to_dict() if (usable >= COLLAPSED_BELOW).any() else None


def _auv(values: NDArray, reference: Mapping[str, Any] | None, kind: str) -> NDArray[np.float64]:
    """High = uncertain: from S by Eq. 6, from a variance by the same log and min-max, not turned round."""
    if reference is None:
        return np.full(values.shape, np.nan)
    with warnings.catch_warnings():
        # A class that one case has: its AUV is 0.5 by definition, and nobody at a terminal can help it.
        warnings.simplefilter("ignore", EqualValuesWarning)
        if kind == "intensity":
            return log_minmax(values, low=reference["low"], high=reference["high"])
        return aleatoric_uncertainty_value(values, AuvReference.from_dict(reference))


def fit_population(records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any] | None:
    """Freeze a population: what new cases can be compared with.

    Args:
        records: finished cases.
        classes: names, in order.

    Returns:
        For population.json; None for fewer than `SMALLEST_POPULATION` cases that could be measured.
    """
    measured = [record for record in records if record["status"] != "failed"]
    if len(measured) < SMALLEST_POPULATION:
        return None
    table = _Table(measured, classes)
    kind = _kind(measured)
    scales = _scales(measured, table, kind)
    names = table.image_names
    signals = table.signals()
    labelled: NDArray[np.bool_] = np.asarray(np.isfinite(signals.volume).any(axis=1))
    label = None
    if labelled.sum() >= SMALLEST_POPULATION:
        label = LabelReference.fit(_take(signals, labelled)).to_dict()
    columns = {
        name: _auv_reference(column, kind) for name, column in zip(classes or [""], scales.T, strict=True)
    }
    return {
        "cases": len(measured),
        "classes": list(classes),
        "kind": kind,
        "auv": {"case": _auv_reference(aggregate(scales), kind), "classes": columns},
        "image": ImageReference.fit(names, table.images(names)).to_dict(),
        "label": label,
    }


def _take(signals: LabelSignals, rows: NDArray) -> LabelSignals:
    parts = {name: getattr(signals, name)[rows] for name in vars(signals) if name != "classes"}
    return LabelSignals(signals.classes, **parts)


def score_population(
    records: Sequence[Record], classes: Sequence[str], population: Mapping[str, Any] | None
) -> Scored:
    """Compare cases with a population (their own, or a frozen one).

    Args:
        records: finished cases; failed ones get no number.
        classes: names, in order.
        population: of `fit_population`; None: only S is filled.
    """
    table = _Table(records, classes)
    kind = population["kind"] if population else _kind(records)
    scales = _scales(records, table, kind)
    scale = aggregate(scales) if kind != "intensity" else np.full(len(records), np.nan)
    nothing = np.full(len(records), np.nan)
    if population is None:
        return Scored(
            nothing, np.full(scales.shape, np.nan), scale, nothing, nothing, nothing, [""] * len(records)
        )
    auv = _auv(aggregate(scales), population["auv"]["case"], kind)
    by_class = [population["auv"]["classes"].get(name) for name in (classes or [""])]
    class_auv = np.stack([_auv(c, r, kind) for c, r in zip(scales.T, by_class, strict=True)], axis=1)
    failed = np.array([record["status"] == "failed" for record in records])
    image = ImageReference.from_dict(population["image"])
    statistics = table.images(image.names)
    image_z = np.where(failed, np.nan, image.z(statistics))
    reasons: list[list[Reason]] = [
        [*image_codes(image.names, dict(zip(image.names, z, strict=True))), ("image", top, top)]
        for z, top in zip(image.feature_z(statistics), np.nan_to_num(image_z), strict=True)
    ]
    label_z = nothing
    if population["label"] is not None:
        reference = LabelReference.from_dict(population["label"])
        # The population's classes, not the records': new cases without labels have none.
        signals = _Table(records, reference.classes).signals()
        label_z = np.where(failed, np.nan, reference.z(signals))
        for found, extra in zip(reasons, _label_reasons(reference, signals), strict=True):
            found += extra
    image_doubt, label_doubt = doubt_from_z(image_z), doubt_from_z(label_z)
    doubt = np.fmax(image_doubt, label_doubt)
    cells = [
        "" if bad else joined(_without_echo(found)) for bad, found in zip(failed, reasons, strict=True)
    ]
    return Scored(auv, class_auv, scale, image_doubt, label_doubt, doubt, cells)


def _without_echo(reasons: list[Reason]) -> list[Reason]:
    """The whole image's distance is a reason only where no single statistic says why."""
    single = [reason for reason in reasons if reason[0] != "image"]
    return single if any(strength >= 3 for _, strength, _ in single) else reasons


def _label_reasons(reference: LabelReference, signals: LabelSignals) -> list[list[Reason]]:
    z = reference.signal_z(signals)
    found: list[list[Reason]] = []
    for i in range(len(signals.volume)):
        here: list[Reason] = [("softmin", _number(z["softmin"][i, 0]), signals.softmin[i])]
        for c, name in enumerate(reference.classes):
            empty = signals.volume[i, c] == 0
            size = signals.volume[i, c] / reference.volume[c]
            here += [
                (
                    f"oof_dice:{name}",
                    0.0 if empty else _number(z["disagreement"][i, c]),
                    signals.dice[i, c],
                ),
                (f"absent:{name}", _number(z["absent"][i, c]), reference.prevalence[c]),
                (
                    f"false_positive:{name}",
                    # Where few masks are empty, what is predicted there counts as disagreement.
                    _number(
                        z[
                            "disagreement"
                            if empty and np.isnan(z["false_positive"][i, c])
                            else "false_positive"
                        ][i, c]
                    ),
                    signals.false_positive[i, c] / reference.volume[c],
                ),
                (f"volume_{'high' if size > 1 else 'low'}:{name}", _number(z["volume"][i, c]), size),
                (f"components:{name}", _number(z["components"][i, c]), signals.extra_components[i, c]),
                (f"border:{name}", _number(z["border"][i, c]), signals.border[i, c]),
            ]
        for c, d in np.argwhere(z["order"][i] >= LEAST_STRENGTH):
            strength = float(z["order"][i, c, d])
            here.append((f"order:{reference.classes[c]} and {reference.classes[d]}", strength, strength))
        found.append([r for r in here if r[1] >= LEAST_STRENGTH and np.isfinite(r[2])])
    return found


def _number(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0
