"""Reduce: from the records of all cases to AUV, doubts and reasons, and the frozen population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.auv import COLLAPSED_BELOW, AuvReference, aggregate, aleatoric_uncertainty_value
from aleaseg.measures.auv_for_size import SizeAdjustedAuv
from aleaseg.measures.boundary import BOUNDARY_SHAPE, NO_BORDER
from aleaseg.measures.doubt import (
    SMALLEST_POPULATION,
    ImageReference,
    LabelReference,
    LabelSignals,
    doubt_from_z,
)
from aleaseg.measures.layout import NEIGHBOURS
from aleaseg.measures.log_minmax import log_minmax, log_range
from aleaseg.measures.reasons import LEAST_STRENGTH, Reason, joined
from aleaseg.scoring.measure import quietly
from aleaseg.scoring.numbers import Numbers

__all__ = ["Scored", "fit_population", "is_readable", "score_population"]


@dataclass(frozen=True)
class Scored:
    """What the population step adds, in the order of the records; NaN where it does not apply.

    Attributes:
        auv, auv_for_size, image_doubt, label_doubt, doubt: (N,).
        class_auv: (N, C).
        scale: (N,) S of the case, mean over the present classes.
        reasons: one cell per case.
    """

    auv: NDArray[np.float64]
    auv_for_size: NDArray[np.float64]
    class_auv: NDArray[np.float64]
    scale: NDArray[np.float64]
    image_doubt: NDArray[np.float64]
    label_doubt: NDArray[np.float64]
    doubt: NDArray[np.float64]
    reasons: list[str]


def _signals(numbers: Numbers, statistics: Sequence[str] | None = None) -> LabelSignals:
    """The label axis.

    Args:
        numbers: of the cases.
        statistics: of contrast, as the population has them; None: those that any case has.
    """
    if statistics is None:
        statistics = [
            f"{name}@{variant}" if variant else name
            for name in NO_BORDER
            for variant in numbers.variants(name)
        ]
    shapes = [numbers.by_class(name) for name in BOUNDARY_SHAPE]
    contrasts = [numbers.by_class(*name.partition("@")[::2]) for name in statistics]
    return LabelSignals(
        numbers.classes,
        numbers.by_class("volume_mm3"),
        numbers.by_class("oof_dice"),
        numbers.by_class("false_positive_mm3"),
        numbers.by_class("extra_components"),
        numbers.by_class("border"),
        numbers.centroids,
        numbers.case("softmin"),
        _second_opinion(numbers),
        np.stack(shapes, axis=-1),
        np.stack(contrasts, axis=-1) if contrasts else None,
        tuple(statistics),
    )


def _second_opinion(numbers: Numbers) -> NDArray[np.float64]:
    """(N, C) of the package's prompted network, on the mask-normalised image where that was looked at."""
    normalized = numbers.by_class("own_dice", "foreground")
    return normalized if np.isfinite(normalized).any() else numbers.by_class("own_dice")


def _auv_reference(values: NDArray, kind: str) -> dict[str, Any] | None:
    usable = values[np.isfinite(values)]
    if not usable.size:
        return None
    if kind == "intensity":
        low, high, n = log_range(usable)
        return {"low": low, "high": high, "n": n}
    return AuvReference.fit(usable).to_dict() if (usable >= COLLAPSED_BELOW).any() else None


def _for_size(numbers: Numbers, kind: str) -> dict[str, Any] | None:
    """None without masks, and where the maps are grey values: their variance is another measure."""
    if kind == "intensity" or not numbers.classes:
        return None
    found = SizeAdjustedAuv.fit(numbers.scales(kind), numbers.by_class("volume_mm3"))
    return None if found is None else found.to_dict()


def _auv(values: NDArray, reference: Mapping[str, Any] | None, kind: str) -> NDArray[np.float64]:
    """High = uncertain: from S by Eq. 6, from a variance by the same log and min-max, not turned round."""
    if reference is None:
        return np.full(values.shape, np.nan)
    # Quietly: the AUV of a class that one case has is 0.5 by definition.
    if kind == "intensity":
        return quietly(log_minmax, values, low=reference["low"], high=reference["high"])
    return quietly(aleatoric_uncertainty_value, values, AuvReference.from_dict(reference))


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
        label = LabelReference.fit(signals.take(labelled)).to_dict()
    columns = {
        name: _auv_reference(column, kind) for name, column in zip(classes or [""], scales.T, strict=True)
    }
    return {
        "cases": len(measured),
        # Those that could not be measured too: who is not among them came in later.
        "ids": list(numbers.cases),
        "classes": list(classes),
        "kind": kind,
        "auv": {
            "case": _auv_reference(aggregate(scales), kind),
            "classes": columns,
            "for_size": _for_size(measured, kind),
        },
        "image": ImageReference.fit(names, measured.images(names)).to_dict(),
        "label": label,
    }


def is_readable(population: Mapping[str, Any]) -> bool:
    """Whether cases can be compared with a population.json; one of an older version may lack what it takes."""
    try:
        ImageReference.from_dict(population["image"])
        if population["label"] is not None:
            LabelReference.from_dict(population["label"])
    except (KeyError, ValueError):
        return False
    return True


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
            nothing,
            nothing,
            np.full(scales.shape, np.nan),
            scale,
            nothing,
            nothing,
            nothing,
            [""] * len(numbers),
        )
    auv = _auv(aggregate(scales), population["auv"]["case"], kind)
    by_class = [population["auv"]["classes"].get(name) for name in (numbers.classes or [""])]
    class_auv = np.stack([_auv(c, r, kind) for c, r in zip(scales.T, by_class, strict=True)], axis=1)
    for_size = nothing
    if (kept := population["auv"].get("for_size")) is not None:  # older populations have none
        of_classes = numbers.with_classes(population["classes"])
        for_size = SizeAdjustedAuv.from_dict(kept)(
            of_classes.scales(kind), of_classes.by_class("volume_mm3")
        )
    failed = numbers.failed
    image = ImageReference.from_dict(population["image"])
    image_z = np.where(failed, np.nan, image.z(numbers.images(image.names)))
    label, label_z = None, nothing
    if population["label"] is not None:
        label = LabelReference.from_dict(population["label"])
        # The population's classes, not the cases': new cases without labels have none.
        signals = _signals(numbers.with_classes(label.classes), label.statistics)
        label_z = np.where(failed, np.nan, label.z(signals))
    image_doubt, label_doubt = doubt_from_z(image_z), doubt_from_z(label_z)
    doubt = np.fmax(image_doubt, label_doubt)
    cells = [""] * len(numbers)
    if reasons:
        # In parts: each holds a number for every reason that there could be.
        rows = max(1, _CELLS // (len(numbers.classes) * NEIGHBOURS + 1))
        parts = [slice(start, start + rows) for start in range(0, len(numbers), rows)]
        axes = {"image": image_z, "mask": label_z}
        for part in parts:
            of_part = {name: z[part] for name, z in axes.items()}
            cells[part] = _cells(numbers.take(part), of_part, image, label)
    return Scored(auv, for_size, class_auv, scale, image_doubt, label_doubt, doubt, cells)


# The axis that decides is explained first, and the other one is not left out.
_MOST, _OF_OTHER = 5, 2
_CELLS = 2**19


def _cells(
    numbers: Numbers,
    axes: Mapping[str, NDArray[np.float64]],
    image: ImageReference,
    label: LabelReference | None,
) -> list[str]:
    """What stands out in each case: of its more doubtful axis first, of each the strongest first.

    Args:
        numbers: of the cases.
        axes: `image` and `mask`: the robust z of each axis, (N,); NaN where it has none.
        image: what the images are compared with.
        label: what the masks are compared with, or None.
    """
    columns = {"image": _image_columns(image, numbers), "mask": list[_Column]()}
    if label is not None:
        columns["mask"] = _label_columns(
            label, _signals(numbers.with_classes(label.classes), label.statistics)
        )
    found = {name: _standing_out(name, columns[name], z, ~numbers.failed) for name, z in axes.items()}
    mask_first = np.nan_to_num(axes["mask"], nan=-np.inf) >= np.nan_to_num(axes["image"], nan=-np.inf)
    cells = []
    for row, first in enumerate(mask_first):
        ours, others = ("mask", "image") if first else ("image", "mask")
        told = found[others][row][:_OF_OTHER]
        cells.append(joined([*found[ours][row][: _MOST - len(told)], *told]))
    return cells


def _standing_out(
    axis: str, columns: list[_Column], z: NDArray, measured: NDArray[np.bool_]
) -> list[list[Reason]]:
    """The reasons of one axis for each case, strongest first; nothing below a robust z of 3.

    Where no single number says why the axis as a whole lies that far out, the mixture is the reason.
    """
    nothing = np.zeros(len(z))
    single = np.max([nothing, *(np.nan_to_num(strength, nan=0.0) for _, strength, _ in columns)], axis=0)
    columns = [*columns, (axis, np.where(single < LEAST_STRENGTH, z, 0.0), z)]
    strength = np.stack([strength for _, strength, _ in columns], axis=1)
    values = np.stack([value for _, _, value in columns], axis=1)
    telling = (strength >= LEAST_STRENGTH) & np.isfinite(values) & measured[:, None]
    strength = np.where(telling, strength, 0.0)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :_MOST]
    return [
        [
            (columns[k][0], float(strength[row, k]), float(values[row, k]))
            for k in chosen
            if strength[row, k] > 0
        ]
        for row, chosen in enumerate(best)
    ]


_Column = tuple[str, NDArray[np.float64], NDArray[np.float64]]
"""Code, strength (N,) and number shown (N,)."""


def _image_columns(reference: ImageReference, numbers: Numbers) -> list[_Column]:
    statistics = reference.feature_z(numbers.images(reference.names))
    return [
        (name.removeprefix("img_"), np.abs(z), z)
        for name, z in zip(reference.names, statistics.T, strict=True)
    ]


def _label_columns(reference: LabelReference, signals: LabelSignals) -> list[_Column]:
    z = reference.signal_z(signals)
    second = z["second"] if signals.second is None else signals.second
    found: list[_Column] = [("softmin", z["softmin"][:, 0], signals.softmin)]
    for c, name in enumerate(reference.classes):
        empty = signals.volume[:, c] == 0
        size = signals.volume[:, c] / reference.volume[c]
        disagreement, expected = z["disagreement"][:, c], z["false_positive"][:, c]
        # Where few masks are empty, what is predicted there counts as disagreement.
        unexpected = np.where(empty & np.isnan(expected), disagreement, expected)
        found += [
            (f"oof_dice:{name}", np.where(empty, 0.0, disagreement), signals.dice[:, c]),
            (f"own_dice:{name}", z["second"][:, c], second[:, c]),
            (f"absent:{name}", z["absent"][:, c], np.full(len(size), reference.prevalence[c])),
            (f"false_positive:{name}", unexpected, signals.false_positive[:, c] / reference.volume[c]),
            (f"volume_high:{name}", np.where(size > 1, z["volume"][:, c], 0.0), size),
            (f"volume_low:{name}", np.where(size > 1, 0.0, z["volume"][:, c]), size),
            (f"components:{name}", z["components"][:, c], signals.extra_components[:, c]),
            (f"border:{name}", z["border"][:, c], signals.border[:, c]),
        ]
        found += _border_columns(name, reference, signals, z, c)
    for (a, b), strength in zip(reference.layout.pairs, z["order"].T, strict=True):
        found.append((f"order:{reference.classes[a]} and {reference.classes[b]}", strength, strength))
    return found


_BORDER_CODES = {
    "roughness": ("rough", "smooth"),
    "step": ("coarse", "ragged"),
    "step_across": ("coarse_across", "ragged_across"),
}
"""What a statistic above and below its median is called."""


def _border_columns(
    name: str, reference: LabelReference, signals: LabelSignals, z: Mapping[str, NDArray], c: int
) -> list[_Column]:
    """Of one class: how its border is drawn, and what the image shows along it."""
    scales = reference.scales["shape"][c * len(BOUNDARY_SHAPE) : (c + 1) * len(BOUNDARY_SHAPE)]
    found: list[_Column] = []
    for number, (statistic, scale) in enumerate(zip(BOUNDARY_SHAPE, scales, strict=True)):
        assert signals.shape is not None
        value, strength = signals.shape[:, c, number], z["shape"][:, c, number]
        shown = value if statistic == "roughness" else np.exp(value)
        for code, side in zip(
            _BORDER_CODES[statistic], (value > scale.center, value < scale.center), strict=True
        ):
            found.append((f"{code}:{name}", np.where(side, strength, 0.0), shown))
    return [*found, (f"contrast:{name}", z["contrast"][:, c], z["contrast"][:, c])]
