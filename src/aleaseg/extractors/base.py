"""What every extractor is: the eye that S and AUV look through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from aleaseg.case import Case

__all__ = ["ClassMap", "Extractor", "Kind"]

Kind = Literal["logit", "probability", "intensity"]


@dataclass(frozen=True)
class ClassMap:
    """The decoded map of one class, on the extractor's own grid.

    Attributes:
        name: of the class.
        values: (D, H, W) or (H, W). Kind `intensity`: the image, NaN outside the class.
        kind: S of logits and of probabilities differ; they are never mixed in a population.
        z_range: slices [first, last) of the map's first axis that were decoded.
        prompt: what told the extractor where to look; `none` for a network that needs no telling.
    """

    name: str
    values: NDArray
    kind: Kind
    z_range: tuple[int, int]
    prompt: str = "none"


class Extractor(Protocol):
    """From a case to one class map at a time.

    Attributes:
        name: as on the command line.
        needs_labels: whether it looks at the case's own label.
    """

    name: str
    needs_labels: bool

    def identity(self) -> dict[str, Any]:
        """What decides its results, for the manifest."""
        ...

    def class_maps(self, case: Case) -> Iterator[ClassMap]:
        """The maps of a case. Several of one class (one per fold's model): the median S counts.

        Raises:
            CaseError: the case cannot be decoded.
        """
        ...
