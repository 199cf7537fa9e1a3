"""The map of one case: read, predicted, compared with the population."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, usable_label
from aleaseg.errors import UsageError
from aleaseg.loaded import usable_stored
from aleaseg.measures.boundary import BOUNDARY_SHAPE
from aleaseg.measures.doubt import LabelReference
from aleaseg.measures.doubt_map import MARGIN, UsualBorder, belief, border_doubt, both
from aleaseg.measures.regions import Regions, slabs
from aleaseg.predictions import Prediction, Predictions

__all__ = ["make_map", "usual_borders"]

_CONTRAST = "rim_contrast"


def usual_borders(population: Mapping[str, Any]) -> dict[str, UsualBorder]:
    """How the border of each class is usually drawn, and which contrast the images usually show along it.

    Args:
        population: of population.json.

    Returns:
        By class; contrast alone where no border at all would be far from the usual, else NaN. Empty where nothing is
        known of masks, as in a population of an older version.
    """
    try:
        reference = LabelReference.from_dict(population["label"] or {})
    except (KeyError, ValueError):
        return {}
    shapes, contrasts = (
        np.reshape([scale.center for scale in reference.scales[name]], (len(reference.classes), -1))
        for name in ("shape", "contrast")
    )
    # By the number of the channel, which none but the first of one has.
    named = [name.partition("@")[::2] for name in reference.statistics]
    channels = {int(channel or 0): k for k, (name, channel) in enumerate(named) if name == _CONTRAST}
    heard = np.full((len(reference.classes), max(channels, default=-1) + 1), np.nan)
    for channel, k in channels.items():
        heard[:, channel] = np.where(reference.toward[:, k] != 0, contrasts[:, k], np.nan)
    usual = {}
    for c, name in enumerate(reference.classes):
        if np.isfinite(reference.volume[c]):  # some case of the population has it
            of = dict(zip(BOUNDARY_SHAPE, shapes[c].tolist(), strict=True))
            usual[name] = UsualBorder(
                of["roughness"], math.exp(of["step"]), math.exp(of["step_across"]), tuple(heard[c].tolist())
            )
    return usual


def make_map(
    case: Case, dataset: Dataset, predictions: Predictions | None, usual: Mapping[str, UsualBorder]
) -> NDArray[np.float32]:
    """Where the mask of a case is doubtful.

    Args:
        case: with a mask.
        dataset: its classes, and its label value of what nobody annotated; without its cases.
        predictions: of the run; None: the border alone is looked at.
        usual: by class, of `usual_borders`.

    Returns:
        (*spatial) in [0, 1], high = doubtful; 0 where nobody annotated.

    Raises:
        UsageError: the case has no mask.
        CaseError: image, mask or prediction cannot be read, or they do not lie on one grid.
    """
    geometry = case.read_geometry()
    label = usable_label(case, geometry.shape)
    if label is None:
        raise UsageError(f"{case.id}: found no mask in the data set; expected one")
    valid = np.ones(label.shape, dtype=bool) if dataset.ignore is None else label != dataset.ignore
    # Nothing else holds what is read of the predictions: it is gone before the border is looked at.
    against = _against(
        label, [] if predictions is None else predictions.read(case), dataset, geometry.spacing_mm
    )
    told = any(np.isfinite(one.contrast).any() for one in usual.values())
    image = usable_stored(case) if told else None
    border = np.zeros(label.shape, np.float32)
    regions = Regions.of(label, dataset.values)
    for name, values in dataset.classes.items():
        if name in usual:
            window = regions.window(values, MARGIN)
            mask = regions.mask(values, window) & valid[window]
            seen = None if image is None else [image.part(n, window) for n in range(len(image.channels))]
            here = border_doubt(mask, usual[name], seen, valid[window])
            np.maximum(border[window], here, out=border[window])
    for part in slabs(label.shape):  # a few slices at a time, in the memory that is there
        against[part] = np.where(valid[part], both(against[part], border[part]), np.float32(0))
    return against


def _against(
    label: NDArray, found: Sequence[Prediction], dataset: Dataset, spacing_mm: Sequence[float]
) -> NDArray[np.float32]:
    """How much of what is predicted speaks against the labels, the mean over the predictions; 0 without any."""
    if not found:
        return np.zeros(label.shape, np.float32)
    # A value that is not declared counts as background; the check has named it.
    known = np.where(np.isin(label, dataset.values), label, 0)
    against: NDArray[np.float32] | None = None
    for one in found:
        given = one.given(known)
        doubted = belief(known, one.labels(), spacing_mm) if given is None else given
        np.subtract(1, doubted, out=doubted)
        against = doubted if against is None else np.add(against, doubted, out=against)
    assert against is not None
    against /= np.float32(len(found))
    return against
