"""What the mask of each class tells by itself, and what the image shows along its border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Dataset, Stored
from aleaseg.measures.boundary import REACH, boundary_contrast, boundary_shape
from aleaseg.measures.mask_quality import mask_statistics
from aleaseg.measures.regions import Regions, Window
from aleaseg.run import Measured

__all__ = ["mask_rows"]


def mask_rows(
    label: NDArray, image: Stored, dataset: Dataset
) -> tuple[list[Measured], dict[str, bool], dict[str, float | None]]:
    """Every number of the masks, each class in its own box.

    Args:
        label: (*spatial) label values, on the image's grid.
        image: as its files hold it.
        dataset: for classes and the ignore label.

    Returns:
        The numbers, those of the masks alone before those of their borders; class -> whether it is there; class ->
        volume in mm^3 (area in mm^2 in 2D).
    """
    regions = Regions.of(label, dataset.values)
    of_masks: list[Measured] = []
    of_borders: list[Measured] = []
    present: dict[str, bool] = {}
    volumes: dict[str, float | None] = {}
    for name, values in dataset.classes.items():
        window = regions.window(values, REACH)
        mask = regions.mask(values, window)
        found = mask_statistics(mask, image.geometry.spacing_mm, window=window, shape=label.shape)
        present[name], volumes[name] = found["volume_mm3"] > 0, found["volume_mm3"]
        status = "ok" if present[name] else "absent"
        of_masks += [
            Measured.of(measure, value, name, status="ok" if measure == "volume_mm3" else status)
            for measure, value in found.items()
        ]
        of_borders += [
            Measured.of(measure, value, name, status=status)
            for measure, value in boundary_shape(mask).items()
        ]
        valid = None if dataset.ignore is None else label[window] != dataset.ignore
        of_borders += _contrast_rows(name, mask, image, window, valid, status)
    return [*of_masks, *of_borders], present, volumes


def _contrast_rows(
    name: str,
    mask: NDArray[np.bool_],
    image: Stored,
    window: Window,
    valid: NDArray[np.bool_] | None,
    status: str,
) -> list[Measured]:
    """What each channel shows along the border of one class."""
    several = len(image.channels) > 1
    return [
        Measured.of(measure, value, name, str(number) if several else "", status)
        for number in range(len(image.channels))
        for measure, value in boundary_contrast(mask, image.part(number, window), valid).items()
    ]
