"""Aleatoric uncertainty value (AUV), its aggregation over classes, and the quantile filter.

"Delving Aleatoric Uncertainty in Medical Image Segmentation via Vision
Foundation Models", arXiv 2604.10963:

    S(Z_i)   = sum_c S(Z_i|c), or the mean over classes                      (section 4.2)
    AUV(Z_i) = 1 - (ln S_i - min ln S) / (max ln S - min ln S)               (6)
    F^-1(p)  = inf {v : p <= F(v)},  F the distribution of AUV               (7)
    a case stays where AUV(Z_i) <= F^-1(p)                                   (8)

AUV lies in [0, 1]; 1 = the most uncertain case of the population.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.errors import one_of
from aleaseg.measures.log_minmax import checked, log_minmax, log_range

__all__ = [
    "COLLAPSED_BELOW",
    "Aggregation",
    "AuvReference",
    "aggregate",
    "aleatoric_uncertainty_value",
    "case_uncertainty",
    "quantile_threshold",
]

Definition = Literal["paper", "official"]
Aggregation = Literal["mean_scale", "sum_scale", "mean_auv"]

# A class that is there and has a smaller S carries one direction only: as uncertain as can be.
COLLAPSED_BELOW = 1e-8
# The public script adds this to S and to the denominator.
_OFFICIAL_EPS = 1e-8


@dataclass(frozen=True)
class AuvReference:
    """The population that AUV is measured against, frozen: Eq. 6 moves everyone when one case arrives.

    Attributes:
        min_log: smallest ln S.
        max_log: largest ln S.
        n: number of scales that they come from.
        definition: `paper`, or `official` where ln(S + 1e-8) stands for ln S.
    """

    min_log: float
    max_log: float
    n: int
    definition: Definition = "paper"

    @classmethod
    def fit(cls, scales: ArrayLike, *, definition: Definition = "paper") -> AuvReference:
        """The range of ln S over a population.

        Args:
            scales: S, any shape, >= 0; NaN (absent class) is left out, and so is S < 1e-8 (`paper`).
            definition: as in `aleatoric_uncertainty_value`.

        Raises:
            ValueError: no scale is left, or one is negative or infinite.
        """
        one_of("definition", definition, ("paper", "official"))
        if definition == "official":
            return cls(*log_range(checked(scales) + _OFFICIAL_EPS), definition)
        return cls(*log_range(scales, floor=COLLAPSED_BELOW), definition)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> AuvReference:
        """What `to_dict` gave.

        Raises:
            ValueError: a field is missing or is not a number.
        """
        try:
            low, high, n = float(fields["min_log"]), float(fields["max_log"]), int(fields["n"])
            definition = fields["definition"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{dict(fields)} is not an AUV reference; expected min_log, max_log, n and definition"
            ) from error
        one_of("definition", definition, ("paper", "official"))
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"min_log {low} and max_log {high} are no range; expected min_log <= max_log")
        return cls(low, high, n, definition)


def aleatoric_uncertainty_value(
    scales: ArrayLike, reference: AuvReference | None = None, *, definition: Definition | None = None
) -> NDArray[np.float64]:
    """AUV of semantic perception scales (Eq. 6 of arXiv 2604.10963); high = uncertain.

    The unit of S cancels: scales times a constant have the same AUV.

    Args:
        scales: S, any shape, all of one population (one class, or whole cases); NaN where the class
            is absent.
        reference: frozen population; None: these scales are the population.
        definition: `paper` (Eq. 6), or `official`, the public script's form: ln(S + 1e-8), denominator
            + 1e-8, no case left out of the range. None: that of the reference, or else `paper`.

    Returns:
        Same shape, float64, in [0, 1]; 1 = most uncertain. NaN stays NaN. S < 1e-8 gets 1 and stays
        out of the range (`paper`). Against a reference values are clipped to [0, 1]. If all scales of
        the population are equal each gets 0.5, with an `EqualValuesWarning` (`official`: each gets 1).

    Raises:
        ValueError: a scale is negative or infinite, or the definition is not the reference's.

    >>> aleatoric_uncertainty_value([0.2, 0.4, 0.8, float("nan")]).round(12).tolist()
    [1.0, 0.5, 0.0, nan]
    >>> frozen = AuvReference.fit([0.2, 0.8])
    >>> aleatoric_uncertainty_value([0.1, 0.4], frozen).round(12).tolist()
    [1.0, 0.5]
    """
    if definition is None:
        definition = "paper" if reference is None else reference.definition
    one_of("definition", definition, ("paper", "official"))
    if reference is not None and reference.definition != definition:
        raise ValueError(
            f"definition is {definition!r}, the reference was fitted with {reference.definition!r}"
        )
    array = checked(scales)
    if definition == "official":
        return _official(array, reference)
    if reference is None:
        return 1.0 - log_minmax(array, floor=COLLAPSED_BELOW)
    return 1.0 - log_minmax(array, low=reference.min_log, high=reference.max_log, floor=COLLAPSED_BELOW)


def _official(array: NDArray[np.float64], reference: AuvReference | None) -> NDArray[np.float64]:
    logs = np.log(array + _OFFICIAL_EPS)
    if not np.isfinite(logs).any():
        return logs
    low, high = (
        (np.nanmin(logs), np.nanmax(logs)) if reference is None else (reference.min_log, reference.max_log)
    )
    values = 1.0 - (logs - low) / (high - low + _OFFICIAL_EPS)
    return np.clip(values, 0.0, 1.0)


def aggregate(per_class: ArrayLike, how: Aggregation = "mean_scale") -> NDArray[np.float64]:
    """One value per case from one value per case and class.

    Mean and sum give the same AUV when every case has the same classes. With the mean over the classes
    that are there AUV depends on which are: a case that lacks the hard class looks certain.

    Args:
        per_class: (N, C), NaN where the class is absent: S for `mean_scale` and `sum_scale`, AUV for
            `mean_auv`.
        how: `mean_scale`: mean S over the classes that are there; `sum_scale`: their sum (the public
            script's); `mean_auv`: mean of the per-class AUVs.

    Returns:
        (N,) float64: S of the case, or AUV for `mean_auv`. NaN where every class is absent.

    Raises:
        ValueError: unknown `how`, or not two axes.

    >>> aggregate([[0.2, 0.6], [0.3, float("nan")]]).round(12).tolist()
    [0.4, 0.3]
    >>> aggregate([[0.2, 0.6], [0.3, float("nan")]], "sum_scale").round(12).tolist()
    [0.8, 0.3]
    """
    one_of("how", how, ("mean_scale", "sum_scale", "mean_auv"))
    array = _table(per_class)
    there = (~np.isnan(array)).sum(axis=1)
    total = np.nansum(array, axis=1)
    value = total if how == "sum_scale" else total / np.maximum(there, 1)
    return np.where(there > 0, value, np.nan)


def case_uncertainty(
    scales: ArrayLike,
    how: Aggregation = "mean_scale",
    reference: AuvReference | Sequence[AuvReference | None] | None = None,
) -> NDArray[np.float64]:
    """AUV per case from S per case and class.

    Args:
        scales: (N, C) S, NaN where the class is absent.
        how: as in `aggregate`.
        reference: frozen population: of case scales (`mean_scale`, `sum_scale`), or one per class, None
            for a class that was in no case (`mean_auv`). None: these cases are the population.

    Returns:
        (N,) AUV in [0, 1]; 1 = most uncertain; NaN where every class is absent.

    Raises:
        ValueError: unknown `how`, not two axes, or references that do not fit.

    >>> case_uncertainty([[0.2, 0.2], [0.4, 0.4], [0.8, 0.8]], "sum_scale").round(12).tolist()
    [1.0, 0.5, 0.0]
    """
    if how != "mean_auv":
        if reference is not None and not isinstance(reference, AuvReference):
            raise ValueError(f"how={how!r} expects one reference, for cases; got {len(reference)}")
        return aleatoric_uncertainty_value(aggregate(scales, how), reference)
    array = _table(scales)
    if isinstance(reference, AuvReference) or (reference is not None and len(reference) != array.shape[1]):
        raise ValueError(f"how='mean_auv' expects one reference per class, {array.shape[1]} of them")
    references = [None] * array.shape[1] if reference is None else reference
    columns = [aleatoric_uncertainty_value(s, ref) for s, ref in zip(array.T, references, strict=True)]
    return aggregate(np.stack(columns, axis=1), "mean_auv")


def quantile_threshold(auv: ArrayLike, p: float = 0.95) -> float:
    """The filter's threshold F^-1(p) = inf {v : p <= F(v)} (Eq. 7 of arXiv 2604.10963).

    NumPy's `inverted_cdf`: one of the values, never between two, so that exactly ceil(p N) cases lie
    at or below it where there are no ties.

    Args:
        auv: AUV, any shape; NaN (missing) does not count.
        p: share of cases to keep, in (0, 1].

    Returns:
        The threshold, in the unit of `auv`; infinity if every value is missing.

    Raises:
        ValueError: p is not in (0, 1].

    >>> quantile_threshold([0.1, 0.2, 0.3, 0.4], 0.5)
    0.2
    """
    if not 0 < p <= 1:
        raise ValueError(f"p is {p}; expected the share of cases to keep, above 0 and at most 1")
    array = np.asarray(auv, dtype=np.float64)
    values = np.sort(array[~np.isnan(array)])
    if values.size == 0:
        return math.inf
    # 0.55 * 20 is 11.000000000000002 in floating point; 12 cases are not meant.
    count = math.ceil(p * values.size - 1e-9)
    return float(values[max(count, 1) - 1])


def _table(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"values have shape {array.shape}; expected (cases, classes)")
    return array
