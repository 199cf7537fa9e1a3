"""A case whose voxels are in memory: an image as its files hold it, a label map, each read once and held once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Stored, Voxels, refuse_unusable, stored_image

__all__ = ["as_stored", "loaded", "usable_stored"]


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


def as_stored(image: Stored, channel: int) -> NDArray:
    """A channel for whoever only looks at its values: small whole numbers as the file holds them, else float32."""
    found, scale = image.channels[channel], image.scales[channel]
    if scale is None and found.dtype.kind in "iu" and found.dtype.itemsize <= 2:
        return found
    return replace(image, channels=(found,), scales=(scale,)).values().array[0]


def usable_stored(case: Case) -> Stored:
    """Read an image that something can be measured on, as its files hold it: `usable_image` in less memory.

    Raises:
        BadVoxels: it has NaN or infinite voxels, or one value everywhere.
        CaseError: it cannot be read.
    """
    image = stored_image(case)
    bad, first, differs = 0, None, False
    for number, channel in enumerate(image.channels):
        whole = channel.dtype.kind in "iu" and image.scales[number] is None  # always finite
        for k in range(len(channel)):
            if whole and differs:
                break
            values = image.part(number, k)
            bad += values.size - int(np.count_nonzero(np.isfinite(values)))
            if first is None and values.size:
                first = values.flat[0]
            differs = differs or bool((values != first).any())
    refuse_unusable(case, bad, None if differs or first is None else float(first))
    return image
