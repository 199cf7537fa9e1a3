r"""Does uncertainty follow its cues: UR and UCC by the gradient, by the distance and by noise, for one case.

    by the gradient   boundary voxels (d <= 1), thinned    cue g       u shall fall
    by the distance   near voxels (d <= 4)                 cue d       du = u_noised - u_clean shall fall
    by noise          near voxels (d <= 4), each by itself cue level   u shall rise

UR is the share of pairs in order (1 = all, 1/2 = chance), UCC the rank correlation (wanted:
-1, -1 and +1); see `aleaseg.order`. d and g are those of `aleaseg.cues`, by the reference.

Boundary voxels of a weak gradient are many and those of a strong one few. They are thinned:
along the gradient from the weakest to the strongest, in steps of .04, the voxel nearest to
each step, each voxel once.

A case without a boundary, or with fewer than two points, has no score: NaN. Say beside a
mean how many cases had one.

Source: SURE's metrics (MICCAI 2025, arXiv 2509.17098); `version` counts as the authors' code did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.order import (
    Version,
    official_pair_ur,
    official_ucc,
    official_ur,
    pair_ucc,
    pair_ur,
    ucc,
    ur,
)

__all__ = [
    "Cue",
    "cues_of_case",
    "distance_cue",
    "gradient_cue",
    "mean_cue",
    "noise_cue",
    "thinned",
]

STEP = 0.04
_MIDDLE = 0.3  # the level that the distance cue looks at, or the one nearest to it


class Cue(NamedTuple):
    """How well uncertainty follows one cue in one case.

    Attributes:
        ur: in [0, 1], 1 = in order, 1/2 = chance or constant; NaN: no score.
        ucc: in [-1, 1]; NaN where uncertainty or cue is constant, and without a score.
        points: voxels that were compared.
    """

    ur: float
    ucc: float
    points: int

    @property
    def covered(self) -> bool:
        """Whether there is a score."""
        return not np.isnan(self.ur)


NO_SCORE = Cue(float("nan"), float("nan"), 0)


def gradient_cue(
    uncertainty: ArrayLike,
    gradient: ArrayLike,
    distance: ArrayLike,
    *,
    boundary: float = 1.0,
    thin: bool = True,
    version: Version | None = None,
) -> Cue:
    """On boundaries uncertainty shall fall as the gradient rises.

    Args:
        uncertainty: (*spatial) u.
        gradient: (*spatial) g.
        distance: (*spatial) d; NaN and infinity are on no boundary.
        boundary: d up to which a voxel is on one.
        thin: see the module; False: all boundary voxels.
        version: count as the official code did, in O(n^2).

    Raises:
        ValueError: shapes that do not fit, or u or g is NaN on the boundary.

    >>> g = np.array([[0.0, 1.0, 2.0, 3.0]])
    >>> gradient_cue(1 / (1 + g), g, np.zeros_like(g))
    Cue(ur=1.0, ucc=-1.0, points=4)
    """
    u, g, d = _maps(uncertainty, gradient, distance)
    u, g = u[d <= boundary], g[d <= boundary]
    if thin and g.size and np.isfinite(g).all():
        kept = thinned(g)
        u, g = u[kept], g[kept]
    return _of_points(g, u, -1, version)


def distance_cue(
    clean: ArrayLike,
    noised: ArrayLike,
    distance: ArrayLike,
    *,
    near: float = 4.0,
    version: Version | None = None,
) -> Cue:
    """Near boundaries what noise adds to uncertainty shall fall with the distance.

    Args:
        clean: (*spatial) u of the image.
        noised: (*spatial) u of the image with noise.
        distance: (*spatial) d.
        near: d up to which a voxel is near.
        version: as in `gradient_cue`.

    Raises:
        ValueError: shapes that do not fit, or u is NaN near a boundary.

    >>> d = np.array([[0.0, 1.0, 2.0, 9.0]])
    >>> distance_cue(np.zeros_like(d), np.exp(-d), d)
    Cue(ur=1.0, ucc=-1.0, points=3)
    """
    u, noisy, d = _maps(clean, noised, distance)
    close = d <= near
    return _of_points(d[close], noisy[close] - u[close], -1, version)


def noise_cue(
    low: ArrayLike,
    high: ArrayLike,
    distance: ArrayLike,
    *,
    near: float = 4.0,
    levels: tuple[float, float] = (0.1, 0.9),
    version: Version | None = None,
) -> Cue:
    """Near boundaries uncertainty shall rise with noise.

    Args:
        low: (*spatial) u at the lower level.
        high: (*spatial) u at the higher level.
        distance: (*spatial) d.
        near: d up to which a voxel is near.
        levels: of the noise; only `version` asks how far they lie apart.
        version: as in `gradient_cue`.

    Raises:
        ValueError: shapes that do not fit, or u is NaN near a boundary.

    >>> noise_cue([0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.2, 0.4], [0, 1, 2, 3])
    Cue(ur=0.625, ucc=0.3333333333333333, points=4)
    """
    first, second, d = _maps(low, high, distance)
    step = (second - first)[d <= near]
    if step.size < 2:
        return NO_SCORE._replace(points=step.size)
    if version is None:
        return Cue(pair_ur(1, step, 1), pair_ucc(1, step), step.size)
    # Of two points, by position: what is tied rises.
    rises = official_ucc([0, 1], [0, 1]) * np.where(step >= 0, 1.0, -1.0)
    return Cue(official_pair_ur(levels[1] - levels[0], step, 1, version), float(rises.mean()), step.size)


def cues_of_case(
    uncertainty: ArrayLike,
    gradient: ArrayLike,
    distance: ArrayLike,
    noised: Mapping[float, ArrayLike] | None = None,
) -> dict[str, Cue]:
    """The cues of one case, those there are predictions for.

    The noise cue compares the lowest and the highest level (of one level alone, the clean image and it),
    the distance cue takes the level nearest .3.

    Args:
        uncertainty: (*spatial) u of the image.
        gradient: (*spatial) g.
        distance: (*spatial) d.
        noised: u at each level of noise.

    Returns:
        `gradient`, and with noise `distance` and `noise`.
    """
    found = {"gradient": gradient_cue(uncertainty, gradient, distance)}
    if noised:
        middle = min(sorted(noised), key=lambda level: abs(level - _MIDDLE))
        highest = max(noised)
        low = noised[min(noised)] if len(noised) > 1 else uncertainty
        found["distance"] = distance_cue(uncertainty, noised[middle], distance)
        found["noise"] = noise_cue(low, noised[highest], distance)
    return found


def mean_cue(cues: Sequence[Cue]) -> Cue:
    """The mean over slices, frames or cases that have a score; NaN if none has.

    UCC is the mean over those that have one, which may be fewer. Means of means (slices to a frame, frames
    to a patient) are the authors' way.

    >>> mean_cue([Cue(0.5, float("nan"), 9), Cue(1.0, -1.0, 3), Cue(float("nan"), float("nan"), 0)])
    Cue(ur=0.75, ucc=-1.0, points=12)
    """

    def mean(values: list[float]) -> float:
        there = [value for value in values if not np.isnan(value)]
        return float(np.mean(there)) if there else float("nan")

    return Cue(
        mean([cue.ur for cue in cues]), mean([cue.ucc for cue in cues]), sum(cue.points for cue in cues)
    )


def thinned(gradient: ArrayLike, step: float = STEP) -> NDArray[np.intp]:
    """Which voxels stay: the nearest to each of g_min, g_min + step, .., up to the first at or beyond g_max.

    O(n log n), however many steps there are.

    Args:
        gradient: (n,) g, finite, n > 0.
        step: along the gradient.

    Returns:
        Indices, sorted by g; each once, and of voxels with the same g the first.

    >>> thinned([0.0, 0.03, 0.05, 0.5]).tolist()
    [0, 1, 2, 3]
    >>> thinned([0.0, 0.001, 0.002, 0.04]).tolist()
    [0, 3]
    """
    g, first = np.unique(np.asarray(gradient, dtype=np.float64), return_index=True)
    # The steps up to the middle between a voxel and the next are nearest to it, or to one before it.
    last = np.ceil((g[-1] - g[0]) / step)
    up_to = np.append(np.minimum(np.floor(((g[:-1] + g[1:]) / 2 - g[0]) / step), last), last)
    return np.asarray(first[np.diff(up_to, prepend=-1.0) > 0])


def _of_points(cue: NDArray, value: NDArray, sign: int, version: Version | None) -> Cue:
    if cue.size < 2:
        return NO_SCORE._replace(points=cue.size)
    if version is None:
        return Cue(ur(cue, value, sign), ucc(cue, value), cue.size)
    return Cue(official_ur(cue, value, sign, version), official_ucc(cue, value), cue.size)


def _maps(*maps: ArrayLike) -> list[NDArray]:
    """In their own precision, single at least: what is tied in it stays tied in a difference."""
    arrays = [np.asarray(each) for each in maps]
    found = [each.astype(np.result_type(each, np.float32), copy=False) for each in arrays]
    if len({each.shape for each in found}) > 1:
        raise ValueError(f"the maps are {', '.join(str(each.shape) for each in found)}; expected one shape")
    return found
