"""Reduce: from the records of all cases to AUV, doubts and reasons, and the frozen population."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.auv import COLLAPSED_BELOW, AuvReference, aggregate, aleatoric_uncertainty_value
from aleaseg.measures.doubt import SMALLEST_POPULATION, ImageReference, LabelReference, LabelSignals
from aleaseg.measures.log_minmax import EqualValuesWarning, log_minmax, log_range
from aleaseg.measures.reasons import LEAST_STRENGTH, Reason, image_codes, joined
from aleaseg.measures.robust import doubt_from_z
from aleaseg.scoring.numbers import Numbers

__all__ = ["Scored", "fit_population", "score_population"]


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


def _signals(numbers: Numbers) -> LabelSignals:
    """The label axis."""
    return LabelSignals(
        numbers.classes,
        numbers.by_class("volume_mm3"),
        numbers.by_class("oof_dice"),
        numbers.by_class("false_positive_mm3"),
        numbers.by_class("extra_components"),
        numbers.by_class("border"),
        numbers.centroids,
        numbers.case("softmin"),
    )


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


def fit_population(numbers: Numbers) -> dict[str, Any] | None:
    """Freeze a population: what new cases can be compared with.

    Args:
        numbers: of finished cases.

    Returns:
        For population.json; None for fewer than `SMALLEST_POPULATION` cases that could be measured.
    """
    measured = numbers.take(~numbers.failed)
    if len(measured) < SMALLEST_POPULATION:
        return None
    classes = measured.classes
    kind = measured.kind
    scales = measured.scales(kind)
    names = measured.image_names
    signals = _signals(measured)
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
        "image": ImageReference.fit(names, measured.images(names)).to_dict(),
        "label": label,
    }


def _take(signals: LabelSignals, rows: NDArray) -> LabelSignals:
    parts = {name: getattr(signals, name)[rows] for name in vars(signals) if name != "classes"}
    return LabelSignals(signals.classes, **parts)


def score_population(
    numbers: Numbers, population: Mapping[str, Any] | None, *, reasons: bool = True
) -> Scored:
    """Compare cases with a population (their own, or a frozen one).

    Args:
        numbers: of finished cases; failed ones get no score.
        population: of `fit_population`; None: only S is filled.
        reasons: whether to say why; it takes most of the time.
    """
    kind = population["kind"] if population else numbers.kind
    scales = numbers.scales(kind)
    scale = aggregate(scales) if kind != "intensity" else np.full(len(numbers), np.nan)
    nothing = np.full(len(numbers), np.nan)
    if population is None:
        return Scored(
            nothing, np.full(scales.shape, np.nan), scale, nothing, nothing, nothing, [""] * len(numbers)
        )
    auv = _auv(aggregate(scales), population["auv"]["case"], kind)
    by_class = [population["auv"]["classes"].get(name) for name in (numbers.classes or [""])]
    class_auv = np.stack([_auv(c, r, kind) for c, r in zip(scales.T, by_class, strict=True)], axis=1)
    failed = numbers.failed
    image = ImageReference.from_dict(population["image"])
    image_z = np.where(failed, np.nan, image.z(numbers.images(image.names)))
    label, label_z = None, nothing
    if population["label"] is not None:
        label = LabelReference.from_dict(population["label"])
        # The population's classes, not the cases': new cases without labels have none.
        label_z = np.where(failed, np.nan, label.z(_signals(numbers.with_classes(label.classes))))
    image_doubt, label_doubt = doubt_from_z(image_z), doubt_from_z(label_z)
    doubt = np.fmax(image_doubt, label_doubt)
    cells = _cells(numbers, image, image_z, label) if reasons else [""] * len(numbers)
    return Scored(auv, class_auv, scale, image_doubt, label_doubt, doubt, cells)


def _cells(
    numbers: Numbers, image: ImageReference, image_z: NDArray, label: LabelReference | None
) -> list[str]:
    """What stands out in each case."""
    found: list[list[Reason]] = [
        [*image_codes(image.names, dict(zip(image.names, z, strict=True))), ("image", top, top)]
        for z, top in zip(image.feature_z(numbers.images(image.names)), np.nan_to_num(image_z), strict=True)
    ]
    if label is not None:
        signals = _signals(numbers.with_classes(label.classes))
        for reasons, extra in zip(found, _label_reasons(label, signals), strict=True):
            reasons += extra
    return [
        "" if bad else joined(_without_echo(reasons))
        for bad, reasons in zip(numbers.failed, found, strict=True)
    ]


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
