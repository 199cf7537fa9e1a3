"""The map of a case's doubt on disk: small, since it is cut to the box of what it says."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aleaseg.run import write_aside

__all__ = ["DoubtMap"]

_ONE = 255  # what stands for a doubt of 1


@dataclass(frozen=True)
class DoubtMap:
    """Where a mask is doubtful, on the grid of its case.

    Attributes:
        part: (*box) uint8, 255 = a doubt of 1; what lies outside the box is 0.
        corner: index of the box's first voxel along each axis.
        shape: of the case.
        stamp: of what it was made from.
    """

    part: NDArray[np.uint8]
    corner: tuple[int, ...]
    shape: tuple[int, ...]
    stamp: str = ""

    @classmethod
    def of(cls, doubt: NDArray[np.float32], least: float, stamp: str = "") -> DoubtMap:
        """Cut to the box of what it says.

        Args:
            doubt: (*spatial) in [0, 1].
            least: a doubt below it is none.
            stamp: of what it was made from.
        """
        whole = np.where(doubt >= least, np.rint(doubt * _ONE), 0).astype(np.uint8)
        places = [
            np.flatnonzero(whole.any(axis=tuple(other for other in range(whole.ndim) if other != axis)))
            for axis in range(whole.ndim)
        ]
        box = [slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0) for found in places]
        return cls(whole[tuple(box)], tuple(one.start for one in box), whole.shape, stamp)

    def bytes_of(self) -> NDArray[np.uint8]:
        """(*shape), 255 = a doubt of 1."""
        whole = np.zeros(self.shape, np.uint8)
        box = (slice(at, at + size) for at, size in zip(self.corner, self.part.shape, strict=True))
        whole[tuple(box)] = self.part
        return whole

    def doubt(self) -> NDArray[np.float32]:
        """(*shape) in [0, 1], in steps of 1/255."""
        found: NDArray[np.float32] = self.bytes_of().astype(np.float32) / np.float32(_ONE)
        return found

    def write(self, path: Path) -> None:
        """Keep it: aside, then renamed."""
        content = io.BytesIO()
        np.savez_compressed(
            content,
            part=self.part,
            corner=np.array(self.corner, np.int64),
            shape=np.array(self.shape, np.int64),
            stamp=np.array(self.stamp),
        )
        write_aside(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> DoubtMap | None:
        """A map that was kept; None where there is none, or its file is damaged: it is made again."""
        try:
            # Opened here: NumPy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                part, corner, shape = found["part"], found["corner"], found["shape"]
                one = cls(part, tuple(map(int, corner)), tuple(map(int, shape)), str(found["stamp"]))
        except Exception:  # whatever zipfile, zlib and NumPy have to say of it
            return None
        fits = part.dtype == np.uint8 and part.ndim == len(one.corner) == len(one.shape)
        inside = fits and all(
            at >= 0 and at + size <= whole
            for at, size, whole in zip(one.corner, part.shape, one.shape, strict=True)
        )
        return one if inside else None
