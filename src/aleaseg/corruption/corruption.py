"""What every known fault is: a name, an axis, three strengths, and a pure function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["LEVELS", "Axis", "Corrupted", "Corruption", "ImpossibleFault", "Level"]

Axis = Literal["mask", "image"]
Level = Literal["weak", "medium", "strong"]
LEVELS: tuple[Level, ...] = ("weak", "medium", "strong")


class ImpossibleFault(ValueError):
    """An array that cannot have the fault: slices in 2D, a class swap with one class, an empty mask."""


@dataclass(frozen=True)
class Corrupted:
    """An array with a fault.

    Attributes:
        array: a new array, of the shape and dtype of the one that was given.
        changed: what was done, for tables: a name and a number or a word each.
    """

    array: NDArray
    changed: Mapping[str, float | str]


@dataclass(frozen=True)
class Corruption:
    """A known fault.

    Attributes:
        name: as in tables, such as `dilate`.
        axis: whether it spoils the mask or the image.
        text: what it is and where it comes from in practice, one sentence.
        unit: what the strength counts.
        function: (array, rng, strength, **extra) -> `Corrupted`; strength 0 changes nothing.
        strengths: level -> strength. A fault that cannot be graded has `medium` alone.
        needs_donor: the function also takes `donor`, another case's mask.
    """

    name: str
    axis: Axis
    text: str
    unit: str
    function: Callable[..., Corrupted]
    strengths: Mapping[Level, float]
    needs_donor: bool = False

    def apply(
        self,
        array: NDArray,
        rng: Generator,
        strength: float | Level = "medium",
        *,
        donor: NDArray | None = None,
    ) -> Corrupted:
        """Put the fault into an array; the argument is never written to.

        Args:
            array: (*spatial) integer label map for a mask fault; (channel, *spatial) for an image fault.
            rng: seeded; everything random comes from it.
            strength: a level, or a number in `unit`; 0 changes nothing.
            donor: another case's label map, of any shape, where `needs_donor`.

        Returns:
            The new array, and what was changed.

        Raises:
            ImpossibleFault: this array cannot have this fault.
            ValueError: unknown level, negative strength, or a donor that is missing.
        """
        if isinstance(strength, str):
            if strength not in self.strengths:
                raise ValueError(
                    f"{self.name} has no strength {strength!r}; expected one of: {', '.join(self.strengths)}"
                )
            strength = self.strengths[strength]
        if not strength >= 0:
            raise ValueError(f"the strength of {self.name} is {strength}; expected 0 or more")
        if strength == 0:
            return Corrupted(array.copy(), {})
        extra: dict[str, Any] = {}
        if self.needs_donor:
            if donor is None:
                raise ValueError(f"{self.name} needs `donor`, another case's mask")
            extra["donor"] = donor
        return self.function(array, rng, strength, **extra)
