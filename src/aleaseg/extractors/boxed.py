"""What extractors share that are told by a mask where to look: whose mask, and what is seen around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, usable_label
from aleaseg.errors import BadVoxels, CaseError
from aleaseg.extractors.normalize import foreground_range, percentile_range, standardized, unit
from aleaseg.extractors.released import Released
from aleaseg.measures.regions import Regions, Window

__all__ = ["CT_WINDOW", "Boxed"]

CT_WINDOW = (-160.0, 240.0)
"""Soft tissue, in Hounsfield units: level 40, width 400."""


class Boxed(Released):
    """An extractor through one network that is prompted about a mask: the label's, or a prediction's."""

    @property
    def window(self) -> tuple[float, float] | None:
        """Of the raw image: what is asked, or soft tissue for CT; None: percentiles of each image."""
        if self.settings.window or self.settings.normalize != "raw":
            return self.settings.window
        channels = self.dataset.channels
        named = channels[self.channel].upper() if channels else ""
        return CT_WINDOW if named == "CT" else None

    @property
    def why_none(self) -> str:
        """A label that lacks a class says that the case does; a prediction that lacks it says nothing of the case."""
        return "no_box" if self.settings.prompt == "pseudo" else "absent"

    def stack(self, case: Case) -> tuple[NDArray, NDArray | None, bool]:
        """The image as slices, (D, H, W), the label on them where it is looked at, and whether it is one picture.

        Raises:
            CaseError: one of them cannot be used, or there is no label where one is looked at.
        """
        grey, _ = self.grey(case)
        picture = grey.ndim == 2
        volume = grey[None] if picture else grey
        if not self.needs_labels:
            return volume, None, picture
        label = usable_label(case, grey.shape)
        if label is None:
            raise CaseError(
                case.id,
                "no label",
                f"one, for --prompt {self.settings.prompt} --normalize {self.settings.normalize}",
                "leave the case out, or use `--prompt pseudo --normalize raw`",
            )
        return volume, label.reshape(volume.shape), picture

    def masks(
        self, case: Case, volume: NDArray, label: NDArray | None
    ) -> Iterator[tuple[str, NDArray[np.bool_] | None]]:
        """Class -> the mask (D, H, W) that it is prompted about; None where there is none, or an empty one."""
        for name, found in self.cut_masks(case, volume, label):
            if found is None:
                yield name, None
                continue
            window, small = found
            mask = np.zeros(volume.shape, dtype=bool)
            mask[window] = small
            yield name, mask

    def cut_masks(
        self, case: Case, volume: NDArray, label: NDArray | None
    ) -> Iterator[tuple[str, tuple[Window, NDArray[np.bool_]] | None]]:
        """The same masks cut out: class -> the box of the volume that holds all of it, and the mask there."""
        if self.settings.prompt != "pseudo":
            assert label is not None
            regions = Regions.of(label, self.dataset.values)
            for name, values in self.classes.items():
                window = regions.window(values)
                small = regions.mask(values, window)
                yield name, (window, small) if small.any() else None
            return
        assert self.predictions is not None  # refused before anything runs
        found = self.predictions.read(case)
        for name in self.classes:
            each = [one.mask(name).reshape(volume.shape) for one in found]
            # Several networks predicted a new case: what most of them say.
            most = 2 * np.sum(each, axis=0) > len(each) if each else None
            window = tuple(slice(0, size) for size in volume.shape)
            yield name, (window, most) if most is not None and most.any() else None

    def normalized(self, case: Case, volume: NDArray, label: NDArray | None) -> NDArray[np.float32]:
        """(D, H, W) in [0, 1].

        Raises:
            CaseError: nothing differs in what is seen then, or nothing is annotated to normalise by.
        """
        seen = self.levels(case, volume, label)
        found = np.empty(volume.shape, np.float32)
        for into, flat in zip(found, volume, strict=True):
            into[...] = seen(flat)
        return found

    def levels(
        self, case: Case, volume: NDArray, label: NDArray | None
    ) -> Callable[[NDArray], NDArray[np.float32]]:
        """What makes grey values of any part of the volume those that `normalized` gives.

        Raises:
            CaseError: as `normalized` does.
        """
        # Neither step ever falls where grey values rise: the ends of what is seen are those of the volume.
        ends = np.stack([volume.min(), volume.max()])
        before: Callable[[NDArray], NDArray] = np.asarray
        if self.settings.normalize == "foreground":
            before = partial(
                standardized, by=foreground_range(volume[self.foreground(case, volume, label)])
            )
            low, high = map(float, before(ends))
        else:
            low, high = self.window or percentile_range(volume)

        def seen(part: NDArray) -> NDArray[np.float32]:
            return unit(before(part), low, high)

        black, white = seen(ends)
        if black == white:
            raise BadVoxels(
                case.id,
                f"an image with one grey level between {low:g} and {high:g}",
                "grey levels that differ there",
                "give another --window, look at the image, or leave the case out",
            )
        return seen
