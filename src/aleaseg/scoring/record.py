"""Map: one case in, one record out. Knows nothing of the other cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Geometry, Stored, file_stamps, usable_label
from aleaseg.errors import CaseError
from aleaseg.extractors import Extractor
from aleaseg.loaded import as_stored, loaded, usable_stored
from aleaseg.measures.boundary_uncertainty import boundary_uncertainty
from aleaseg.measures.image_quality import image_statistics
from aleaseg.predictions import Prediction, Predictions
from aleaseg.run import Measured, Record
from aleaseg.scoring.agreement import agreement_rows
from aleaseg.scoring.maps import Spectra, eye_rows
from aleaseg.scoring.masks import mask_rows
from aleaseg.scoring.rivals import rival_features, rival_numbers
from aleaseg.scoring.second_eye import second_eye_numbers
from aleaseg.scoring.stated import stated_numbers

__all__ = ["score_case", "unmeasured"]


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
        image = usable_stored(case)
    except CaseError as error:
        return unmeasured(case, str(error), image_hash), {}
    geometry = image.geometry
    record = replace(record, shape=geometry.shape, spacing_mm=geometry.spacing_mm)
    rows = _image_rows(image)
    present: dict[str, bool] = {}
    about: dict[str, Any] = {}
    spectra: Spectra = {}
    troubles: list[str] = []
    label, found = None, list[Prediction]()
    try:
        label = usable_label(case, geometry.shape)
        # Whoever looks at the case from here on finds its voxels in memory, and opens no file of it.
        case = loaded(case, image, label)
        if label is not None:
            found_rows, present, volumes = mask_rows(label, image, dataset)
            rows += found_rows
            record = replace(record, present=present, volume_mm3=volumes)
        if predictions is not None:
            found = predictions.read(case)
            if label is not None:
                rows += agreement_rows(label, geometry, found, dataset)
    except CaseError as error:
        troubles.append(str(error))
    if not troubles and len(found) == 1:
        rows += _rival_rows(case, label, found[0], dataset)
    if not troubles and len(found) == 1 and found[0].inside:
        record = replace(record, model=found[0].model, features=rival_features(found[0], dataset))
    if extractor is not None and not troubles:
        try:
            eye, about, spectra = eye_rows(extractor.class_maps(case), present, dataset, extractor)
            # Where the prediction is that eye's outline already, the same network gives no second opinion.
            asked = predictions is not None and predictions.source == "own"
            rows += [row for row in eye if not (asked and row.measure == "own_dice")]
        except CaseError as error:
            troubles.append(str(error))
    rows += _stated_rows(case, geometry, troubles)
    record = replace(record, class_maps=about, measures=tuple(rows))
    return replace(record, status="partly", error=troubles[0]) if troubles else record, spectra


def _image_rows(image: Stored) -> list[Measured]:
    rows = []
    for number in range(len(image.channels)):
        suffix = f"_{number}" if len(image.channels) > 1 else ""
        values = as_stored(image, number)
        found = image_statistics(values, image.geometry.spacing_mm, overwrite_input=True)
        rows += [Measured.of(f"img_{name}{suffix}", value) for name, value in found.items()]
    return rows


def _stated_rows(case: Case, geometry: Geometry, troubles: list[str]) -> list[Measured]:
    """What annotators state; what cannot be read is one of the troubles."""
    try:
        return [Measured.of(name, value) for name, value in stated_numbers(case, geometry.shape)]
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
    case: Case, label: NDArray | None, prediction: Prediction, dataset: Dataset
) -> Iterator[Measured]:
    """The measures that need a network's inside, or what it states of its uncertainty."""
    if prediction.inside or prediction.stated is not None:
        yield Measured.of("boundary_uncertainty", _along_the_boundary(prediction, case.read_geometry()))
    if not prediction.inside:
        return
    for measure, variant, name, value in rival_numbers(prediction, case.read_image().array, label, dataset):
        yield Measured.of(measure, value, name, variant)
    if label is not None:
        for measure, variant, name, value in second_eye_numbers(case, dataset):
            yield Measured.of(measure, value, name, variant)
