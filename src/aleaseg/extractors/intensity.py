"""The image itself as the extractor: for intensity variance, the paper's simplest rival."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aleaseg.case import Case, usable_image, usable_label
from aleaseg.extractors.base import ClassMap, Cost, Extractor, Traits
from aleaseg.measures.regions import Regions

__all__ = ["Intensity"]


class Intensity(Extractor):
    """Class maps that are the image, in units of its own 1-99% range, inside each class.

    The `Variance` row of Table 1 (arXiv 2604.10963). Without labels there is one map
    for the whole image, with an empty name.
    """

    name = "variance"
    traits = Traits(
        "the image's own intensities: their variance instead of S", classes_by_label=True, scale=False
    )

    def identity(self) -> dict[str, Any]:
        """It has no weights."""
        return {"name": self.name}

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """Next to nothing."""
        return Cost(0.0, 0)

    def class_maps(self, case: Case) -> Iterator[ClassMap]:
        """The first channel inside each class that is there, in the box of the class."""
        image = usable_image(case)
        first = np.asarray(image.array[0], dtype=np.float32)
        low, high = np.percentile(first, [1, 99])
        span = float(high - low) or float(first.max() - first.min())
        scaled = np.empty(first.shape, np.float32)
        for k, flat in enumerate(first):
            scaled[k] = (flat - low) / span
        label = usable_label(case, image.geometry.shape)
        if label is None:
            yield ClassMap("", scaled, "intensity", (0, len(scaled)))
            return
        regions = Regions.of(label, self.dataset.values)
        for name, values in self.classes.items():
            window = regions.window(values)
            inside = regions.mask(values, window)
            if inside.any():
                seen = np.where(inside, scaled[window], np.float32("nan"))
                yield ClassMap(name, seen, "intensity", (window[0].start, window[0].stop), "mask")
