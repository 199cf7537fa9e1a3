"""One scale for raters who use theirs differently: mid-ranks to pooled quantiles.

A region is a connected set of voxels of one class to which a rater gave one confidence above 0. Of rater r
with the n_r regions of confidence x_1, x_2, ..., each with one vote,

    F_r(x) = (#{x_i < x} + #{x_i = x} / 2) / n_r            its mid-rank
    q'     = F^-1(F_r(q))                                   that quantile of all raters' pooled regions

between the confidences that occur both are linear. 0 stays 0, not looked at stays not looked at, masks stay
masks, and one rater alone keeps his confidences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Voxels
from aleaseg.errors import CaseError, UsageError
from aleaseg.readers.fusing import fuse

__all__ = ["FEWEST_REGIONS", "RaterNorm", "fit_rater_norm", "region_confidences", "with_rater_norm"]

FEWEST_REGIONS = 20
"""Regions of a rater, below which nobody knows how he uses the scale."""


@dataclass(frozen=True)
class RaterNorm:
    """How each rater's confidences are brought to one scale; frozen.

    Attributes:
        regions: rater -> {confidence: how many regions}; raters who drew masks alone are not in it.
    """

    regions: Mapping[str, Mapping[float, int]]

    @classmethod
    def fit(cls, confidences: Mapping[str, Iterable[float]]) -> RaterNorm:
        """From the confidences of every rater's regions.

        Raises:
            UsageError: a rater has fewer than 20 regions.
        """
        regions = {}
        for rater, found in sorted(confidences.items()):
            values, counts = np.unique(np.asarray([*found], dtype=np.float64), return_counts=True)
            if not len(values) or (values == 1).all():
                continue
            if counts.sum() < FEWEST_REGIONS:
                raise UsageError(
                    f"the rater {rater!r} has {counts.sum()} regions; expected at least {FEWEST_REGIONS} to know how "
                    "he uses the scale; leave rater-norm out, or leave the rater out"
                )
            regions[rater] = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return cls(regions)

    def apply(self, rater: str, q: NDArray[np.float32]) -> NDArray[np.float32]:
        """The normed confidences of a rater, in his order; NaN and 0 stay.

        Raises:
            KeyError: nothing is known of the rater, and these are no masks.
        """
        marked = q > 0
        if rater not in self.regions:
            if (q[marked] == 1).all():
                return q
            raise KeyError(rater)
        pooled: dict[float, int] = defaultdict(int)
        for of_rater in self.regions.values():
            for value, count in of_rater.items():
                pooled[value] += count
        normed = q.copy()
        rank = np.interp(q[marked].astype(np.float64), *_mid_ranks(self.regions[rater]))
        values, ranks = _mid_ranks(pooled)
        normed[marked] = np.interp(rank, ranks, values)
        return normed

    def to_dict(self) -> dict[str, list[list[float]]]:
        """For a manifest."""
        return {
            rater: [[value, count] for value, count in found.items()]
            for rater, found in self.regions.items()
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> RaterNorm:
        """Of a manifest."""
        return cls({rater: {float(value): int(n) for value, n in found} for rater, found in saved.items()})


def _mid_ranks(regions: Mapping[float, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rising confidences and the mid-rank of each."""
    values = np.array(sorted(regions), dtype=np.float64)
    counts = np.array([regions[value] for value in values.tolist()], dtype=np.float64)
    return values, (np.cumsum(counts) - counts / 2) / counts.sum()


def region_confidences(q: NDArray[np.float32]) -> list[float]:
    """The confidence of each region: connected voxels (at faces, edges and corners) of one class and one confidence.

    Args:
        q: (C, *spatial) of one rater.

    >>> region_confidences(np.array([[0, .5, .5, 0, .5, 1]], np.float32))
    [0.5, 0.5, 1.0]
    """
    from skimage.measure import label

    found: list[float] = []
    for of_class in q:
        values, places = np.unique(np.nan_to_num(of_class, nan=0.0), return_inverse=True)
        if values[0] != 0:  # nothing but marked voxels: 0 must still be the background
            values, places = np.insert(values, 0, 0), places + 1
        components = label(places.reshape(of_class.shape), background=0)
        _, first = np.unique(components, return_index=True)
        found += [float(of_class.ravel()[at]) for at in first if components.ravel()[at]]
    return sorted(found)


def fit_rater_norm(cases: Iterable[Case]) -> RaterNorm:
    """How the raters of these cases, such as those of a training, use their scales.

    Raises:
        UsageError: nobody says who the raters are, or one has fewer than 20 regions.
    """
    confidences: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        if case.read_raters is None:
            continue
        if not case.raters:
            raise UsageError(
                f"{case.id}: rater-norm needs to know who the raters are, and here they are only numbered; "
                "leave it out, or give raters/CASE/RATER files named by person"
            )
        try:
            raters = case.read_raters().array
        except CaseError:
            continue  # whoever uses the case tells
        for rater, q in zip(case.raters, raters, strict=True):
            confidences[rater] += region_confidences(q)
    if not confidences:
        raise UsageError("rater-norm needs cases of several raters; found none; leave it out")
    return RaterNorm.fit(confidences)


def with_rater_norm(dataset: Dataset, norm: RaterNorm) -> Dataset:
    """The data set with every rater's confidences normed, and fused anew."""
    how = dataset.confidence.fuse if dataset.confidence else "mean"
    cases = [
        case
        if case.read_raters is None
        else replace(
            case,
            read_raters=(read := partial(_normed, case.read_raters, case.id, case.raters, norm)),
            read_confidence=partial(_fused, read, how),
        )
        for case in dataset.cases
    ]
    return dataset.with_cases(cases)


def _normed(read: Any, case_id: str, names: tuple[str, ...], norm: RaterNorm) -> Voxels:
    voxels: Voxels = read()
    try:
        raters = [norm.apply(name, q) for name, q in zip(names, voxels.array, strict=True)]
    except KeyError as error:
        raise CaseError(
            case_id,
            f"the rater {error.args[0]!r}, who was not among those that the norm was fitted to",
            f"one of {', '.join(norm.regions)}",
            "fit the norm with cases of this rater, or leave rater-norm out",
        ) from error
    return replace(voxels, array=np.stack(raters))


def _fused(read: Any, how: str) -> Voxels:
    voxels: Voxels = read()
    return replace(voxels, array=fuse(voxels.array, how))
