"""AUV for its size: how uncertain a map is beside others of objects as large.

Through eyes that are told where to look, S of Eq. 5 of arXiv 2604.10963 follows the size of the object, and
AUV then ranks by size. Here each class is held against its own volume first:

    ln S(Z_i|c) = a_c + b_c ln V_ic + r_ic,    r_i = mean of r_ic over the classes that are there
    AUV'(Z_i)   = 1 - (r_i - min r) / (max r - min r)

with the line of `adjusted` through the population. It lies in [0, 1]; 1 = the least S for its size. Ours, not
the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.measures.adjusted import SizeAdjustment
from aleaseg.measures.auv import COLLAPSED_BELOW, aggregate

__all__ = ["SizeAdjustedAuv"]

_LEAST = 3
_ROUNDING = 1e-12


@dataclass(frozen=True)
class SizeAdjustedAuv:
    """The population that AUV for its size is measured against, frozen.

    Attributes:
        lines: of each class, ln S on ln volume; None where fewer than three cases have it.
        low: smallest r.
        high: largest r.
    """

    lines: tuple[SizeAdjustment | None, ...]
    low: float
    high: float

    @classmethod
    def fit(cls, scales: ArrayLike, volumes: ArrayLike) -> SizeAdjustedAuv | None:
        """Fit to a population; None where nothing can be told of it.

        Args:
            scales: (N, C) S, >= 0; NaN where a class is absent.
            volumes: (N, C) of the mask, in any unit; 0 or NaN where a class is absent.

        Raises:
            ValueError: the shapes differ, or are not (N, C).

        >>> scales = np.array([[0.1], [0.2], [0.3], [0.2], [0.5]])
        >>> fitted = SizeAdjustedAuv.fit(scales, 100 * scales * [[1], [1], [1], [2], [1]])
        >>> fitted([[0.2], [0.2]], [[20.0], [40.0]]).round(2).tolist()
        [0.0, 1.0]
        """
        logs, sizes = _logs(scales, volumes)
        lines = []
        for column, size in zip(logs.T, sizes.T, strict=True):
            usable = np.isfinite(column) & np.isfinite(size)
            lines.append(
                SizeAdjustment.fit(column[usable], size[usable]) if usable.sum() >= _LEAST else None
            )
        left = _left(logs, sizes, lines)
        left = left[np.isfinite(left)]
        return cls(tuple(lines), float(left.min()), float(left.max())) if left.size else None

    def __call__(self, scales: ArrayLike, volumes: ArrayLike) -> NDArray[np.float64]:
        """AUV for its size, (N,), in [0, 1], high = uncertain.

        Args:
            scales: (N, C) as in `fit`, the same classes.
            volumes: likewise.

        Returns:
            NaN where no class is there that has a line; 1 where S of one is below 1e-8; 0.5 where all of the
            population are equal.

        Raises:
            ValueError: other classes than in the fit.
        """
        logs, sizes = _logs(scales, volumes)
        if logs.shape[1] != len(self.lines):
            raise ValueError(f"got {logs.shape[1]} classes; expected {len(self.lines)}, as in the fit")
        left = _left(logs, sizes, self.lines)
        if self.high - self.low < _ROUNDING:
            return np.where(np.isfinite(left), 0.5, np.where(np.isnan(left), np.nan, 1.0))
        return np.clip((self.high - left) / (self.high - self.low), 0.0, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SizeAdjustedAuv:
        """What `to_dict` gave.

        Raises:
            ValueError: a field is missing or is not a number.
        """
        try:
            lines = tuple(
                None
                if line is None
                else SizeAdjustment(float(line["intercept"]), tuple(map(float, line["slopes"])))
                for line in fields["lines"]
            )
            return cls(lines, float(fields["low"]), float(fields["high"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{dict(fields)} is not a reference of AUV for its size; expected lines, low and high"
            ) from error


def _logs(scales: ArrayLike, volumes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ln S, -inf where it is collapsed, and ln volume; NaN where there is none."""
    s, v = np.asarray(scales, dtype=np.float64), np.asarray(volumes, dtype=np.float64)
    if s.ndim != 2 or s.shape != v.shape:
        raise ValueError(f"scales are {s.shape} and volumes {v.shape}; expected (cases, classes) both")
    logs = np.log(np.where(s >= COLLAPSED_BELOW, s, np.nan))
    collapsed = s < COLLAPSED_BELOW
    return np.where(collapsed, -np.inf, logs), np.log(np.where(v > 0, v, np.nan))


def _left(
    logs: NDArray[np.float64],
    sizes: NDArray[np.float64],
    lines: list[SizeAdjustment | None] | tuple[SizeAdjustment | None, ...],
) -> NDArray[np.float64]:
    """(N,) what is left of ln S, mean over the classes."""
    columns = [
        np.full(len(logs), np.nan) if line is None else line.residual(column, size)
        for line, column, size in zip(lines, logs.T, sizes.T, strict=True)
    ]
    return aggregate(np.stack(columns, axis=1))
