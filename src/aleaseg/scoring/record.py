"""Map: one case in, one record out. Knows nothing of the other cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Voxels, file_stamps, usable_image, usable_label
from aleaseg.errors import CaseError
from aleaseg.extractors import ClassMap, Extractor, NoMap
from aleaseg.measures.boundary import boundary_contrast, boundary_shape
from aleaseg.measures.boundary_uncertainty import boundary_uncertainty
from aleaseg.measures.image_quality import image_statistics
from aleaseg.measures.label_agreement import dice, near, softmin
from aleaseg.measures.mask_quality import mask_statistics
from aleaseg.measures.variance import intensity_variance
from aleaseg.predictions import Prediction, Predictions
from aleaseg.run import Measured, Record
from aleaseg.scoring.rivals import rival_features, rival_numbers, unfolding
from aleaseg.scoring.second_eye import second_eye_numbers
from aleaseg.scoring.stated import stated_numbers
from aleaseg.spectral import semantic_perception_scale, singular_value_energies

__all__ = ["score_case", "unmeasured"]

Spectra = dict[str, list[float]]
_SPECTRUM = 256


def _number(
    name: str, value: float | None, class_name: str = "", variant: str = "", status: str = "ok"
) -> Measured:
    if value is not None and np.isfinite(value):
        return Measured(name, variant, class_name, float(value), status)
    return Measured(name, variant, class_name, None, "undefined" if status == "ok" else status)


def unmeasured(case: Case, error: str, image_hash: str = "") -> Record:
    """The record of a case of which nothing could be measured, and why."""
    return replace(_begun(case, image_hash), status="failed", error=error)


def _begun(case: Case, image_hash: str) -> Record:
    return Record(
        case.id,
        group=case.group,
        site=case.site,
        files=file_stamps(case),
        image_files=tuple(map(str, case.image_files)),
        label_files=tuple(map(str, case.label_files)),
        image_hash=image_hash,
    )


def score_case(
    case: Case,
    dataset: Dataset,
    predictions: Predictions | None,
    extractor: Extractor | None,
    image_hash: str = "",
) -> tuple[Record, Spectra]:
    """Measure everything that one case tells by itself.

    Args:
        case: read here, once.
        dataset: for classes, ignore label and channels.
        predictions: for the label axis; None without.
        extractor: for S; None without.
        image_hash: of the voxels, as the check found it.

    Returns:
        The record, and the normalised energies of each class's map.
    """
    record = _begun(case, image_hash)
    try:
        image = usable_image(case)
    except CaseError as error:
        return unmeasured(case, str(error), image_hash), {}
    geometry = image.geometry
    record = replace(record, shape=geometry.shape, spacing_mm=geometry.spacing_mm)
    rows = _image_rows(image.array, geometry)
    present: dict[str, bool] = {}
    about: dict[str, Any] = {}
    spectra: Spectra = {}
    troubles: list[str] = []
    label, found = None, list[Prediction]()
    try:
        label = usable_label(case, geometry.shape)
        if label is not None:
            mask_rows, present = _mask_rows(label, geometry, dataset)
            rows += [*mask_rows, *_boundary_rows(label, image.array, dataset)]
            volumes = {row.class_name: row.value for row in mask_rows if row.measure == "volume_mm3"}
            record = replace(record, present=present, volume_mm3=volumes)
        if predictions is not None:
            found = predictions.read(case)
            if label is not None:
                rows += _agreement_rows(label, geometry, found, dataset)
    except CaseError as error:
        troubles.append(str(error))
    if not troubles and len(found) == 1:
        rows += _rival_rows(case, image, label, found[0], dataset)
    if not troubles and len(found) == 1 and found[0].inside:
        record = replace(record, model=found[0].model, features=rival_features(found[0], dataset))
    if extractor is not None and not troubles:
        try:
            eye_rows, about, spectra = _eye_rows(extractor.class_maps(case), present, dataset, extractor)
            # Where the prediction is that eye's outline already, the same network gives no second opinion.
            asked = predictions is not None and predictions.source == "eye"
            rows += [row for row in eye_rows if not (asked and row.measure == "own_dice")]
        except CaseError as error:
            troubles.append(str(error))
    rows += _stated_rows(case, geometry, troubles)
    record = replace(record, class_maps=about, measures=tuple(rows))
    return replace(record, status="partly", error=troubles[0]) if troubles else record, spectra


def _stated_rows(case: Case, geometry: Geometry, troubles: list[str]) -> list[Measured]:
    """What annotators state; what cannot be read is one of the troubles."""
    try:
        return [_number(name, value) for name, value in stated_numbers(case, geometry.shape)]
    except CaseError as error:
        troubles.append(str(error))
        return []


def _along_the_boundary(prediction: Prediction, geometry: Geometry) -> float | None:
    """How unsure the model is along the boundary that it draws, on the model's own grid."""
    grid = prediction.maps.shape[1:]
    own = replace(prediction, shape=grid)
    unsure = own.uncertainty()
    spacing = [mm * n / m for mm, n, m in zip(geometry.spacing_mm, geometry.shape, grid, strict=True)]
    return None if unsure is None else boundary_uncertainty(unsure, own.labels(), spacing)


def _rival_rows(
    case: Case, image: Voxels, label: NDArray | None, prediction: Prediction, dataset: Dataset
) -> Iterator[Measured]:
    """The measures that need a network's inside, or what it states of its uncertainty."""
    if prediction.inside or prediction.stated is not None:
        yield _number("boundary_uncertainty", _along_the_boundary(prediction, image.geometry))
    if not prediction.inside:
        return
    for measure, variant, name, value in rival_numbers(prediction, image.array, label, dataset):
        yield _number(measure, value, name, variant)
    if label is not None:
        for measure, variant, name, value in second_eye_numbers(case, dataset):
            yield _number(measure, value, name, variant)


def _image_rows(image: NDArray, geometry: Geometry) -> list[Measured]:
    rows = []
    for number, channel in enumerate(image):
        suffix = f"_{number}" if len(image) > 1 else ""
        found = image_statistics(channel, geometry.spacing_mm)
        rows += [_number(f"img_{name}{suffix}", value) for name, value in found.items()]
    return rows


def _mask_rows(
    label: NDArray, geometry: Geometry, dataset: Dataset
) -> tuple[list[Measured], dict[str, bool]]:
    rows, present = [], {}
    for name, values in dataset.classes.items():
        found = mask_statistics(np.isin(label, values), geometry.spacing_mm)
        present[name] = found["volume_mm3"] > 0
        rows += [
            _number(
                measure, value, name, status="ok" if present[name] or measure == "volume_mm3" else "absent"
            )
            for measure, value in found.items()
        ]
    return rows, present


def _boundary_rows(label: NDArray, image: NDArray, dataset: Dataset) -> Iterator[Measured]:
    """How borders are drawn, and what each channel shows along them."""
    valid = None if dataset.ignore is None else label != dataset.ignore
    for name, values in dataset.classes.items():
        mask = np.isin(label, values)
        status = "ok" if mask.any() else "absent"
        for measure, value in boundary_shape(mask).items():
            yield _number(measure, value, name, status=status)
        for number, channel in enumerate(image):
            variant = str(number) if len(image) > 1 else ""
            for measure, value in boundary_contrast(mask, channel, valid).items():
                yield _number(measure, value, name, variant, status)


def _agreement_rows(
    label: NDArray, geometry: Geometry, predictions: Sequence[Prediction], dataset: Dataset
) -> list[Measured]:
    """Agreement of the mask with each prediction; the median over predictions counts."""
    if not predictions:
        names = [*((name, "oof_dice") for name in dataset.classes), ("", "softmin")]
        return [_number(measure, None, name, status="no_prediction") for name, measure in names]
    valid = label != dataset.ignore if dataset.ignore is not None else np.ones(label.shape, dtype=bool)
    overlaps: dict[tuple[str, str], list[float]] = {}
    for prediction in predictions:
        foreground = (label != 0) & valid
        predicted = np.zeros(label.shape, dtype=bool)
        for name, values in dataset.classes.items():
            mask, other = np.isin(label, values) & valid, prediction.mask(name) & valid
            predicted |= other
            overlaps.setdefault((name, "oof_dice"), []).append(dice(mask, other))
            if not mask.any():
                volume = float(np.count_nonzero(other)) * geometry.voxel_mm3
                overlaps.setdefault((name, "false_positive_mm3"), []).append(volume)
        given = prediction.given(label)
        if given is not None:
            given[~valid] = np.nan
            overlaps.setdefault(("", "softmin"), []).append(softmin(given))
            close = near(foreground, predicted)
            overlaps.setdefault(("", "softmin_near"), []).append(softmin(given[close]))
    rows = []
    for (name, measure), values_found in overlaps.items():
        known = [value for value in values_found if np.isfinite(value)]
        measure, variant = ("softmin", "near") if measure == "softmin_near" else (measure, "")
        value = median(known) if known else None
        rows.append(_number(measure, value, name, variant, "ok" if known else "both_empty"))
    return rows


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


def _eye_rows(
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
            _number(measure, None if empty else value, name, variant, "no_energy" if empty else "ok")
        )
    if extractor.traits.scale:
        otherwise = "whole_image" if "" in about else "no_map"
        rows += [
            _number(
                "perception_scale",
                None,
                name,
                status="absent" if present.get(name) is False else without.get(name, otherwise),
            )
            for name in dataset.classes
            if name not in about
        ]
    return rows, about, spectra
