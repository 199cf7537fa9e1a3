"""Measures that compare a case with its population: AUV from S, feature distances, doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aleaseg.measures.adjusted import SizeAdjustment
from aleaseg.measures.auv import (
    COLLAPSED_BELOW,
    Aggregation,
    AuvReference,
    Definition,
    aggregate,
    aleatoric_uncertainty_value,
    case_uncertainty,
)
from aleaseg.measures.energy import EnergyMixture
from aleaseg.measures.mahalanobis import MahalanobisReference, Moments
from aleaseg.measures.robust import RobustScale
from aleaseg.scoring.measure import Measure, quietly
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import fit_population, score_population

__all__ = ["Auv", "Doubt", "Eaoa", "Mahalanobis", "SizeAdjusted", "TwoSided"]


def _scales(numbers: Numbers, variant: str) -> NDArray[np.float64]:
    """(N, C) S; NaN where class maps hold intensities: a variance points the other way."""
    found = numbers.scales(numbers.kind, variant)
    return np.full(found.shape, np.nan) if numbers.kind == "intensity" else found


def _logs(numbers: Numbers, variant: str) -> NDArray[np.float64]:
    """(N,) ln S of the case, mean over its classes; NaN for a map that carries one direction only."""
    scale = aggregate(_scales(numbers, variant))
    return np.log(np.where(scale > COLLAPSED_BELOW, scale, np.nan))


@dataclass(frozen=True, kw_only=True)
class Auv(Measure):
    """AUV from S: one reading of the map, of S and of the classes together."""

    variant: str = ""
    how: Aggregation = "mean_scale"
    definition: Definition = "paper"

    def _scales(self, numbers: Numbers) -> NDArray[np.float64]:
        scales = _scales(numbers, self.variant)
        return scales if self.how == "mean_auv" else aggregate(scales, self.how)[:, None]

    def by_class(self, numbers: Numbers) -> NDArray[np.float64] | None:
        """(N, C) minus S: the paper's Table 4 correlates S itself, not AUV."""
        return -_scales(numbers, self.variant) if self.how == "mean_scale" else None

    def fit(self, numbers: Numbers) -> tuple[AuvReference | None, ...]:
        """The range of ln S, for each class where classes are kept apart."""
        return tuple(
            AuvReference.fit(column, definition=self.definition)
            if (column >= COLLAPSED_BELOW).any()
            else None
            for column in self._scales(numbers).T
        )

    def value(self, numbers: Numbers, frozen: Sequence[AuvReference | None]) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        scales = self._scales(numbers)
        if not any(frozen):
            return np.full(len(numbers), np.nan)
        if self.how == "mean_auv":
            return quietly(case_uncertainty, scales, "mean_auv", frozen)
        return quietly(aleatoric_uncertainty_value, scales[:, 0], frozen[0])


@dataclass(frozen=True, kw_only=True)
class TwoSided(Measure):
    """How far S lies from the population's median, on either side."""

    variant: str = ""

    def fit(self, numbers: Numbers) -> RobustScale:
        """Median and scale."""
        return RobustScale.fit(_logs(numbers, self.variant), 1e-3)

    def value(self, numbers: Numbers, frozen: RobustScale) -> NDArray[np.float64]:
        """(N,) robust z, >= 0."""
        return np.abs(frozen.z(_logs(numbers, self.variant)))


@dataclass(frozen=True, kw_only=True)
class SizeAdjusted(Measure):
    """ln S less what the field of view of the case lets expect; low = uncertain, as S itself."""

    variant: str = ""

    def _covariates(self, numbers: Numbers) -> NDArray[np.float64]:
        # All channels have one field of view; the first stands for them.
        names = [f"img_fov_{axis}" for axis in "dhw"]
        known = [name if (name, "", "") in numbers.columns else f"{name}_0" for name in names]
        return numbers.images([name for name in known if (name, "", "") in numbers.columns])

    def fit(self, numbers: Numbers) -> SizeAdjustment | None:
        """The regression."""
        logs = _logs(numbers, self.variant)
        if np.isfinite(logs).sum() < 10:
            return None
        return SizeAdjustment.fit(logs, self._covariates(numbers))

    def value(self, numbers: Numbers, frozen: SizeAdjustment | None) -> NDArray[np.float64]:
        """(N,) residual of ln S."""
        if frozen is None:
            return np.full(len(numbers), np.nan)
        return frozen.residual(_logs(numbers, self.variant), self._covariates(numbers))


@dataclass(frozen=True, kw_only=True)
class Mahalanobis(Measure):
    """Distance of a case's features from those of its classes; every model has its own space."""

    feature: str = "predicted"
    relative: bool = False

    def fit(self, numbers: Numbers) -> dict[str, MahalanobisReference]:
        """A Gaussian for each model and class."""
        features = numbers.feature(self.feature)
        found: dict[str, MahalanobisReference] = {}
        if features is None:
            return found
        # A case that came late may have been predicted by any of them.
        for model in np.unique(numbers.models[numbers.models != ""]):
            rows = features[numbers.models == model]
            try:
                found[str(model)] = MahalanobisReference.fit(
                    {name: Moments.of(rows[:, column]) for column, name in enumerate(numbers.classes)}
                )
            except ValueError:
                continue  # one case a class, or none: there is nothing to be far from
        return found

    def value(self, numbers: Numbers, frozen: Mapping[str, MahalanobisReference]) -> NDArray[np.float64]:
        """(N,) mean over the classes of M, or of M_c - M_agnostic."""
        features = numbers.feature(self.feature)
        found = np.full(len(numbers), np.nan)
        if features is None:
            return found
        for model, reference in frozen.items():
            rows = numbers.models == model
            if rows.any():
                distance = reference.relative if self.relative else reference.distance
                found[rows] = aggregate(distance(features[rows]), "mean_scale")
        return found


@dataclass(frozen=True, kw_only=True)
class Eaoa(Measure):
    """Posterior of the more uncertain of two kinds of cases, by their mean energy."""

    def fit(self, numbers: Numbers) -> EnergyMixture:
        """The mixture."""
        return EnergyMixture.fit(numbers.case("energy"))

    def value(self, numbers: Numbers, frozen: EnergyMixture) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        return frozen.uncertainty(numbers.case("energy"))


@dataclass(frozen=True, kw_only=True)
class Doubt(Measure):
    """Doubt, or one of its axes, by its name."""

    def fit(self, numbers: Numbers) -> dict[str, Any] | None:
        """The population."""
        return fit_population(numbers)

    def value(self, numbers: Numbers, frozen: dict[str, Any] | None) -> NDArray[np.float64]:
        """(N,) in (0, 1)."""
        found: NDArray[np.float64] = getattr(score_population(numbers, frozen, reasons=False), self.name)
        return found
