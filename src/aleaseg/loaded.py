"""A case whose voxels are in memory: an image as its files hold it, a label map, each read once and held once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Stored, Voxels, refuse_unusable, stored_image

__all__ = ["loaded", "usable_stored"]


@dataclass(frozen=True)
class _Image:
    """Reads an image that is in memory."""

    held: Stored

    def __call__(self) -> Voxels:
        return self.held.values()

    def stored(self) -> Stored:
        return self.held


def loaded(case: Case, image: Stored, label: NDArray | None) -> Case:
    """The same case with its voxels at hand: whoever reads it opens no file.

    Args:
        case: whose they are.
        image: as it was read; its values are a copy for each who asks.
        label: as it was read, (*spatial), not to be changed by whoever asks; None: there is none.
    """
    voxels = None if label is None else Voxels(label, image.geometry)
    return replace(
        case,
        read_image=_Image(image),
        read_label=None if voxels is None else lambda: voxels,
        read_geometry=lambda: image.geometry,
    )


def usable_stored(case: Case) -> Stored:
    """Read an image that something can be measured on, as its files hold it: `usable_image` in less memory.

    Raises:
        BadVoxels: it has NaN or infinite voxels, or one value everywhere.
        CaseError: it cannot be read.
    """
    image = stored_image(case)
    bad, first, differs = 0, None, False
    for number, channel in enumerate(image.channels):
        for k in range(len(channel)):
            values = image.part(number, k)
            bad += values.size - int(np.count_nonzero(np.isfinite(values)))
            if first is None and values.size:
                first = values.flat[0]
            differs = differs or bool((values != first).any())
    refuse_unusable(case, bad, None if differs or first is None else float(first))
    return image
