"""Every measure by its name: what it is, what it can see, which way it points, and one number per case.

A measure of one case is a number in its record. What needs the population comes in
three steps, so that cases can be scored on many machines: `collect` makes a state
from some cases, states merge, and `freeze` makes of the whole what a case is
compared with.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

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
from aleaseg.measures.energy import EnergyPopulation
from aleaseg.measures.log_minmax import EqualValuesWarning, log_minmax, log_range
from aleaseg.measures.mahalanobis import MahalanobisReference, Moments
from aleaseg.measures.robust import RobustScale
from aleaseg.scoring.numbers import Numbers
from aleaseg.scoring.population import fit_population, score_population

__all__ = ["MEASURES", "TRAINING", "Measure", "Sight", "merged"]

Sight = Literal["image", "mask", "both"]


@dataclass(frozen=True)
class Measure(ABC):
    """One way to say how doubtful a case is.

    Attributes:
        name: as in tables, a slash before the variant.
        text: what it is.
        sees: what of the case it can see; a mask fault is chance for one that sees the image alone.
        eye: what it looks through.
        source: where it comes from.
        page: of the documentation, under docs/measures.
        higher_is_worse: which end is doubtful.
        ours: not published elsewhere.
    """

    name: str
    text: str
    sees: Sight
    eye: str
    source: str
    page: str
    higher_is_worse: bool = True
    ours: bool = False

    def collect(self, numbers: Numbers) -> Any:
        """The state of some cases; it has `merge`. The numbers themselves where nothing smaller will do."""
        return numbers

    def freeze(self, state: Any) -> Any:
        """What cases are compared with; None where nothing is needed, or nothing could be made."""
        return None

    @abstractmethod
    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in the measure's own direction; NaN where it does not apply."""

    def by_class(self, numbers: Numbers) -> NDArray[np.float64] | None:
        """(N, C) before classes are joined, high = bad; None for what is of the whole case."""
        return None

    def fit(self, numbers: Numbers) -> Any:
        """`freeze` of `collect`."""
        return self.freeze(self.collect(numbers))

    def suspicion(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) high = bad."""
        found = self.value(numbers, frozen)
        return found if self.higher_is_worse else -found


def merged(states: Sequence[Any]) -> Any:
    """One state of many; those that are None hold nothing."""
    there = [state for state in states if state is not None]
    return reduce(lambda one, other: one.merge(other), there) if there else None


@dataclass(frozen=True)
class Recorded(Measure):
    """A number of the record, or the mean over the classes that have one."""

    measure: str = ""
    variant: str = ""
    of_classes: bool = False

    def by_class(self, numbers: Numbers) -> NDArray[np.float64] | None:
        """(N, C) where the record has one for each class."""
        if not self.of_classes:
            return None
        found = numbers.by_class(self.measure, self.variant)
        return found if self.higher_is_worse else -found

    def collect(self, numbers: Numbers) -> None:
        """Nothing: every case stands by itself."""

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,)."""
        if not self.of_classes:
            return numbers.case(self.measure, self.variant)
        return aggregate(numbers.by_class(self.measure, self.variant), "mean_scale")


@dataclass(frozen=True)
class Spread(Recorded):
    """A number that grows by factors: ln and min-max over the population, as Eq. 6 does for S."""

    def collect(self, numbers: Numbers) -> Any:
        """The range of its logarithm."""
        values = Recorded.value(self, numbers, None)
        return AuvReference(*log_range(values)) if (values > 0).any() else None

    def freeze(self, state: Any) -> Any:
        """The range itself."""
        return state

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        values = Recorded.value(self, numbers, None)
        if frozen is None:
            return np.full(len(numbers), np.nan)
        return _quietly(log_minmax, values, low=frozen.min_log, high=frozen.max_log)


def _scales(numbers: Numbers, variant: str) -> NDArray[np.float64]:
    """(N, C) S; NaN where class maps hold intensities: a variance points the other way."""
    found = numbers.scales(numbers.kind, variant)
    return np.full(found.shape, np.nan) if numbers.kind == "intensity" else found


@dataclass(frozen=True)
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

    def collect(self, numbers: Numbers) -> Any:
        """The range of ln S, for each class where classes are kept apart."""
        found = [
            AuvReference.fit(column, definition=self.definition)
            if (column >= COLLAPSED_BELOW).any()
            else None
            for column in self._scales(numbers).T
        ]
        return _Ranges(tuple(found))

    def freeze(self, state: Any) -> Any:
        """The ranges."""
        return state.ranges

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        scales = self._scales(numbers)
        if not any(frozen):
            return np.full(len(numbers), np.nan)
        if self.how == "mean_auv":
            return _quietly(case_uncertainty, scales, "mean_auv", frozen)
        return _quietly(aleatoric_uncertainty_value, scales[:, 0], frozen[0])


@dataclass(frozen=True)
class _Ranges:
    ranges: tuple[AuvReference | None, ...]

    def merge(self, other: _Ranges) -> _Ranges:
        return _Ranges(tuple(merged(pair) for pair in zip(self.ranges, other.ranges, strict=True)))


@dataclass(frozen=True)
class TwoSided(Measure):
    """How far S lies from the population's median, on either side."""

    variant: str = ""

    def _logs(self, numbers: Numbers) -> NDArray[np.float64]:
        scale = aggregate(_scales(numbers, self.variant))
        return np.log(np.where(scale > COLLAPSED_BELOW, scale, np.nan))

    def freeze(self, state: Any) -> Any:
        """Median and scale."""
        return RobustScale.fit(self._logs(state), 1e-3)

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) robust z, >= 0."""
        return np.abs(frozen.z(self._logs(numbers)))


@dataclass(frozen=True)
class SizeAdjusted(Measure):
    """ln S less what the field of view of the case lets expect; low = uncertain, as S itself."""

    variant: str = ""

    def _covariates(self, numbers: Numbers) -> NDArray[np.float64]:
        # All channels have one field of view; the first stands for them.
        names = [f"img_fov_{axis}" for axis in "dhw"]
        known = [name if (name, "", "") in numbers.columns else f"{name}_0" for name in names]
        return numbers.images([name for name in known if (name, "", "") in numbers.columns])

    def _logs(self, numbers: Numbers) -> NDArray[np.float64]:
        scale = aggregate(_scales(numbers, self.variant))
        return np.log(np.where(scale > COLLAPSED_BELOW, scale, np.nan))

    def freeze(self, state: Any) -> Any:
        """The regression."""
        logs = self._logs(state)
        if np.isfinite(logs).sum() < 10:
            return None
        return SizeAdjustment.fit(logs, self._covariates(state))

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) residual of ln S."""
        if frozen is None:
            return np.full(len(numbers), np.nan)
        found: NDArray[np.float64] = frozen.residual(self._logs(numbers), self._covariates(numbers))
        return found


@dataclass(frozen=True)
class Mahalanobis(Measure):
    """Distance of a case's features from those of its classes; every model has its own space."""

    feature: str = "predicted"
    relative: bool = False

    def collect(self, numbers: Numbers) -> Any:
        """Moments for each model and class."""
        features = numbers.feature(self.feature)
        if features is None:
            return None
        return _ModelMoments(
            {
                str(model): {
                    name: Moments.of(features[numbers.models == model, column])
                    for column, name in enumerate(numbers.classes)
                }
                # A case that came late may have been predicted by any of them.
                for model in np.unique(numbers.models[numbers.models != ""])
            }
        )

    def freeze(self, state: Any) -> Any:
        """A Gaussian for each model and class."""
        if state is None:
            return {}
        found = {}
        for model, moments in state.models.items():
            try:
                found[model] = MahalanobisReference.fit(moments)
            except ValueError:
                continue  # one case a class, or none: there is nothing to be far from
        return found

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) mean over the classes of M, or of M_c - M_agnostic."""
        features = numbers.feature(self.feature)
        found = np.full(len(numbers), np.nan)
        if features is None:
            return found
        for model, reference in frozen.items():
            rows = numbers.models == model
            if rows.any():
                distance = (
                    reference.relative(features[rows])
                    if self.relative
                    else reference.distance(features[rows])
                )
                found[rows] = aggregate(distance, "mean_scale")
        return found


@dataclass(frozen=True)
class _ModelMoments:
    models: Mapping[str, Mapping[str, Moments]]

    def merge(self, other: _ModelMoments) -> _ModelMoments:
        both = {**other.models}
        for model, mine in self.models.items():
            theirs = other.models.get(model)
            both[model] = (
                mine if theirs is None else {name: mine[name].merge(theirs[name]) for name in mine}
            )
        return _ModelMoments(both)


@dataclass(frozen=True)
class Eaoa(Measure):
    """Posterior of the more uncertain of two kinds of cases, by their mean energy."""

    def collect(self, numbers: Numbers) -> Any:
        """The energies."""
        return EnergyPopulation(numbers.case("energy"))

    def freeze(self, state: Any) -> Any:
        """The mixture."""
        return state.fit()

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        found: NDArray[np.float64] = frozen.uncertainty(numbers.case("energy"))
        return found


@dataclass(frozen=True)
class Doubt(Measure):
    """Doubt, or one of its axes."""

    axis: Literal["doubt", "image_doubt", "label_doubt"] = "doubt"

    def freeze(self, state: Any) -> Any:
        """The population."""
        return fit_population(state)

    def value(self, numbers: Numbers, frozen: Any) -> NDArray[np.float64]:
        """(N,) in (0, 1)."""
        found: NDArray[np.float64] = getattr(score_population(numbers, frozen, reasons=False), self.axis)
        return found


def _quietly(function: Any, *given: Any, **named: Any) -> NDArray[np.float64]:
    """A population of equal values is put at 0.5, and nobody at a terminal can help it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EqualValuesWarning)
        found: NDArray[np.float64] = function(*given, **named)
    return found


_AUV = "arXiv 2604.10963"
_NETWORK = "task network, out of fold"
_OWN = "the package's prompted network, boxes of the mask"
_MASKED = "task network, out of fold, on the image normalised by its own mask"
TRAINING = "task network that trains on the case"


def _auv(name: str, text: str, **more: Any) -> Auv:
    variant = str(more.get("variant", ""))
    own, masked = variant.startswith("own"), variant.startswith("foreground")
    return Auv(
        name,
        text,
        "both" if masked or own else "image",
        _OWN if own else _MASKED if masked else _NETWORK,
        _AUV,
        "scale_and_auv",
        **more,
    )


def _plain(
    name: str,
    text: str,
    sees: Sight,
    eye: str,
    source: str,
    page: str,
    *,
    low: bool = False,
    measure: str = "",
    variant: str = "",
    by_class: bool = False,
    ours: bool = False,
) -> Recorded:
    return Recorded(
        name,
        text,
        sees,
        eye,
        source,
        page,
        higher_is_worse=not low,
        measure=measure or name.partition("/")[0],
        variant=variant or name.partition("/")[2],
        of_classes=by_class,
        ours=ours,
    )


_ALL: tuple[Measure, ...] = (
    _auv("auv", "AUV as the paper has it: energies, mean S of the classes"),
    _auv(
        "auv/official",
        "AUV as the public script has it: amplitudes, sum of S",
        variant="official",
        how="sum_scale",
        definition="official",
    ),
    _auv("auv/amplitude", "AUV from amplitudes, without the script's epsilons", variant="amplitude"),
    _auv("auv/centered", "AUV with the mean of each row taken out (Eq. 2)", variant="centered"),
    _auv("auv/h_dw", "AUV, maps unfolded along the height", variant="h_dw"),
    _auv("auv/w_dh", "AUV, maps unfolded along the width", variant="w_dh"),
    _auv("auv/probability", "AUV from probabilities in place of logits", variant="probability"),
    _auv("auv/sum_scale", "AUV from the sum of S over the classes", how="sum_scale"),
    _auv("auv/mean_auv", "mean over the classes of their AUV", how="mean_auv"),
    _auv("auv/foreground", "AUV on the mask-normalised image (scenario c)", variant="foreground"),
    _auv(
        "auv/foreground_amplitude",
        "the same from amplitudes",
        variant="foreground_amplitude",
    ),
    SizeAdjusted(
        "auv/size_adjusted",
        "ln S less what the field of view lets expect",
        "image",
        _NETWORK,
        _AUV,
        "adjusted",
        higher_is_worse=False,
        ours=True,
    ),
    TwoSided(
        "auv/two_sided",
        "distance of ln S from its median, either way",
        "image",
        _NETWORK,
        _AUV,
        "scale_and_auv",
        ours=True,
    ),
    TwoSided(
        "auv/foreground_two_sided",
        "the same on the mask-normalised image",
        "both",
        _MASKED,
        _AUV,
        "scale_and_auv",
        ours=True,
        variant="foreground",
    ),
    *(
        _auv(f"auv/{variant}", text, variant=variant)
        for variant, text in (
            ("own", "AUV through the package's prompted network, raw image (scenario a)"),
            ("own_amplitude", "the same from amplitudes"),
            (
                "own_foreground",
                "AUV through the package's prompted network, mask-normalised image (scenario c)",
            ),
            ("own_foreground_amplitude", "the same from amplitudes"),
        )
    ),
    *(
        TwoSided(
            f"auv/{variant}_two_sided",
            "the same through the package's prompted network",
            "both",
            _OWN,
            _AUV,
            "scale_and_auv",
            ours=True,
            variant=variant,
        )
        for variant in ("own", "own_foreground")
    ),
    _plain(
        "own_dice",
        "Dice of mask and the prompted network's outline",
        "both",
        _OWN,
        "aleaseg",
        "label_agreement",
        low=True,
        by_class=True,
        ours=True,
    ),
    _plain(
        "own_dice/foreground",
        "the same on the mask-normalised image",
        "both",
        _OWN,
        "aleaseg",
        "label_agreement",
        low=True,
        by_class=True,
        ours=True,
    ),
    _plain(
        "effective_rank",
        "number of directions that carry the map's energy",
        "image",
        _NETWORK,
        "Roy and Vetterli 2007",
        "effective_rank",
        low=True,
        by_class=True,
    ),
    _plain(
        "participation_ratio",
        "the same by squares",
        "image",
        _NETWORK,
        "Roy and Vetterli 2007",
        "effective_rank",
        low=True,
        by_class=True,
    ),
    _plain(
        "semantic_volume",
        "volume that the slices of the map span",
        "image",
        _NETWORK,
        "Ma et al. 2023",
        "semantic_volume",
        low=True,
        by_class=True,
    ),
    Spread(
        "variance/image",
        "variance of the intensities of the image",
        "image",
        "the image",
        _AUV,
        "variance",
        measure="intensity_variance",
        variant="image",
    ),
    Spread(
        "variance/mask",
        "variance of the intensities in the mask",
        "both",
        "the image",
        _AUV,
        "variance",
        measure="intensity_variance",
        variant="mask",
    ),
    _plain(
        "residual_variance",
        "variance of the residuals near the mask (DVA, closed form)",
        "both",
        _NETWORK,
        "DVA, Zhang et al.",
        "variance",
    ),
    _plain(
        "fisher",
        "certainty by the Fisher information of the evidence",
        "image",
        _NETWORK,
        "I-EDL, Deng et al. 2023",
        "fisher",
        low=True,
        by_class=True,
    ),
    Mahalanobis(
        "mahalanobis",
        "distance of the features of each predicted class",
        "image",
        _NETWORK,
        "Cui 2024",
        "mahalanobis",
    ),
    Mahalanobis(
        "mahalanobis/relative",
        "the same less the class-agnostic distance",
        "image",
        _NETWORK,
        "Cui 2023",
        "mahalanobis",
        relative=True,
    ),
    Mahalanobis(
        "mahalanobis/mask",
        "distance of the features inside the mask",
        "both",
        _NETWORK,
        "Cui 2024",
        "mahalanobis",
        feature="mask",
    ),
    Mahalanobis(
        "mahalanobis/mask_relative",
        "the same less the class-agnostic distance",
        "both",
        _NETWORK,
        "Cui 2023",
        "mahalanobis",
        feature="mask",
        relative=True,
    ),
    _plain("energy", "mean ln(1 - p_max) in the prediction", "image", _NETWORK, "EAOA 2025", "energy"),
    Eaoa(
        "eaoa", "posterior of the uncertain kind by that energy", "image", _NETWORK, "EAOA 2025", "energy"
    ),
    _plain("entropy", "mean entropy in the prediction", "image", _NETWORK, "Shannon 1948", "entropy"),
    _plain(
        "tta_dice",
        "pairwise Dice of augmented predictions",
        "image",
        _NETWORK,
        "Wang et al. 2019",
        "ensemble",
        low=True,
        by_class=True,
    ),
    _plain(
        "tta_information",
        "mutual information of augmented predictions",
        "image",
        _NETWORK,
        "Wang et al. 2019",
        "ensemble",
    ),
    _plain(
        "oof_dice",
        "Dice of mask and out-of-fold prediction",
        "both",
        _NETWORK,
        f"{_AUV}, Dice as AUV",
        "label_agreement",
        low=True,
        by_class=True,
    ),
    _plain(
        "in_sample_dice",
        "Dice of mask and in-sample prediction",
        "both",
        TRAINING,
        f"{_AUV}, Dice as AUV",
        "label_agreement",
        low=True,
        by_class=True,
    ),
    _plain(
        "softmin",
        "soft minimum of the probability of the given labels",
        "both",
        _NETWORK,
        "Lad and Mueller 2023",
        "label_agreement",
        low=True,
    ),
    _plain(
        "softmin/near",
        "the same near the mask",
        "both",
        _NETWORK,
        "Lad and Mueller 2023",
        "label_agreement",
        low=True,
    ),
    _plain(
        "cross_entropy",
        "mean -ln p of the given labels near the mask",
        "both",
        _NETWORK,
        "standard",
        "label_loss",
    ),
    _plain(
        "el2n",
        "norm of the error near the mask, out of fold",
        "both",
        _NETWORK,
        "Paul et al. 2021",
        "label_loss",
    ),
    _plain(
        "el2n/early",
        "the same early in a training on the case",
        "both",
        TRAINING,
        "Paul et al. 2021",
        "learning_dynamics",
    ),
    _plain(
        "label_issues",
        "share of the voxels near the mask off the confident joint",
        "both",
        _NETWORK,
        "Northcutt et al. 2021",
        "confident_learning",
    ),
    _plain(
        "aum",
        "area under the margin",
        "both",
        TRAINING,
        "Pleiss et al. 2020",
        "learning_dynamics",
        low=True,
    ),
    _plain(
        "forgetting",
        "number of times that voxels were unlearnt",
        "both",
        TRAINING,
        "Toneva et al. 2019",
        "learning_dynamics",
    ),
    _plain(
        "cartography_confidence",
        "mean probability of the given labels while training",
        "both",
        TRAINING,
        "Swayamdipta et al. 2020",
        "learning_dynamics",
        low=True,
    ),
    _plain(
        "cartography_variability",
        "its standard deviation",
        "both",
        TRAINING,
        "Swayamdipta et al. 2020",
        "learning_dynamics",
    ),
    Doubt(
        "image_doubt",
        "distance of the image's statistics from the population",
        "image",
        "the image",
        "aleaseg",
        "doubt",
        ours=True,
        axis="image_doubt",
    ),
    Doubt(
        "label_doubt",
        "the mask against prediction and population",
        "both",
        _NETWORK,
        "aleaseg",
        "doubt",
        ours=True,
        axis="label_doubt",
    ),
    Doubt("doubt", "the larger of the two", "both", _NETWORK, "aleaseg", "doubt", ours=True),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}
