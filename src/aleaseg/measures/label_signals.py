"""What is known of the masks of many cases: what the label axis of doubt is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.boundary import NO_BORDER
from aleaseg.measures.layout import NEIGHBOURS

__all__ = ["LabelSignals"]

# No more numbers of pairs of classes are held at a time.
_CELLS = 2**19


@dataclass(frozen=True)
class LabelSignals:
    """What is known of the masks of N cases with C classes; NaN where it does not apply.

    Attributes:
        classes: names.
        volume: (N, C) mm^3, 0 for an empty mask.
        dice: (N, C) out-of-fold Dice; 0 where only one of the two is empty.
        false_positive: (N, C) mm^3 predicted where the mask is empty.
        extra_components: (N, C) share outside the largest piece.
        border: (N, C) share on the border of the image.
        centroid: (N, C, dims) mm.
        softmin: (N,) of the case.
        second: (N, C) Dice of the mask and a second opinion's outline; None: nobody gave one.
        shape: (N, C, S) how the border is drawn, of `boundary_shape`; None: not measured.
        contrast: (N, C, K) what the image shows along it, of `boundary_contrast`, channel by channel; None:
            not measured.
        statistics: (K,) names of these, `edge_alignment`, and with `@` and the channel where there are several.
    """

    classes: tuple[str, ...]
    volume: NDArray[np.float64]
    dice: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    extra_components: NDArray[np.float64]
    border: NDArray[np.float64]
    centroid: NDArray[np.float64]
    softmin: NDArray[np.float64]
    second: NDArray[np.float64] | None = None
    shape: NDArray[np.float64] | None = None
    contrast: NDArray[np.float64] | None = None
    statistics: tuple[str, ...] = ()

    def take(self, rows: NDArray | slice) -> LabelSignals:
        """Some of the cases."""
        parts = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **parts)  # type: ignore[arg-type]

    def parts(self) -> Iterator[LabelSignals]:
        """The cases in parts, small enough to hold a number for each pair of classes that is compared."""
        rows = max(1, _CELLS // (len(self.classes) * NEIGHBOURS + 1))
        for start in range(0, len(self.volume), rows):
            yield self.take(slice(start, start + rows))

    @property
    def no_border(self) -> list[float]:
        """(K,) what each statistic of contrast is where the image shows no border."""
        return [NO_BORDER[name.partition("@")[0]] for name in self.statistics]
