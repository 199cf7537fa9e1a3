"""What the maps of the eye tell of a case: S, or the variance of intensities, class by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any

import numpy as np

from aleaseg.case import Dataset
from aleaseg.extractors import ClassMap, Extractor, NoMap
from aleaseg.measures.variance import intensity_variance
from aleaseg.run import Measured
from aleaseg.scoring.rivals import unfolding
from aleaseg.spectral import semantic_perception_scale, singular_value_energies

__all__ = ["Spectra", "eye_rows"]

Spectra = dict[str, list[float]]
"""Class -> the largest normalised energies of its map."""
_SPECTRUM = 256


def _of_map(one: ClassMap) -> Iterator[tuple[tuple[str, str], float]]:
    """Measure and variant -> the number, of one map."""
    if one.kind == "intensity":
        inside = np.isfinite(one.values)
        variance = intensity_variance(np.where(inside, one.values, 0.0)[None], inside)
        yield ("intensity_variance", ""), variance
        return
    values, unfold = unfolding(one.values)
    for variant, scale in (
        ("", semantic_perception_scale(values, unfold=unfold)),
        ("official", semantic_perception_scale(values, unfold=unfold, definition="official")),
        ("centered", semantic_perception_scale(values, unfold=unfold, center=True)),
    ):
        yield ("perception_scale", variant), float(scale)


def eye_rows(
    maps: Iterable[ClassMap | NoMap], present: Mapping[str, bool], dataset: Dataset, extractor: Extractor
) -> tuple[list[Measured], dict[str, Any], dict[str, list[float]]]:
    """S (or the variance of intensities) of every class map."""
    found: dict[tuple[str, str, str], list[float]] = {}
    about: dict[str, Any] = {}
    spectra: dict[str, list[float]] = {}
    without: dict[str, str] = {}
    for one in maps:
        if isinstance(one, NoMap):
            without[one.name] = one.why
            continue
        if one.name and present and not present.get(one.name, False):
            continue
        about.setdefault(
            one.name,
            {
                "kind": one.kind,
                "grid": list(one.values.shape),
                "z_range": list(one.z_range),
                "prompt": one.prompt,
                "source": extractor.title,
                **({} if one.presence is None else {"presence": [round(p, 3) for p in one.presence]}),
            },
        )
        if one.overlap is not None:
            variant = "" if extractor.settings.normalize == "raw" else extractor.settings.normalize
            measure = "own_dice" if extractor.traits.bundled else "eye_dice"
            found.setdefault((one.name, measure, variant), []).append(one.overlap)
        for key, number in _of_map(one):
            found.setdefault((one.name, *key), []).append(number)
        if one.kind != "intensity":
            values, unfold = unfolding(one.values)
            energies = singular_value_energies(values, unfold=unfold)
            spectra.setdefault(one.name, [float(f"{p:.4g}") for p in energies[:_SPECTRUM]])
    rows = []
    for (name, measure, variant), each in found.items():
        value = median(each)
        # No energy at all is no map: S would be 0 by definition, and most uncertain by accident.
        empty = measure == "perception_scale" and not any(spectra[name])
        rows.append(
            Measured.of(measure, None if empty else value, name, variant, "no_energy" if empty else "ok")
        )
    if extractor.traits.scale:
        otherwise = "whole_image" if "" in about else "no_map"
        rows += [
            Measured.of(
                "perception_scale",
                None,
                name,
                status="absent" if present.get(name) is False else without.get(name, otherwise),
            )
            for name in dataset.classes
            if name not in about
        ]
    return rows, about, spectra
