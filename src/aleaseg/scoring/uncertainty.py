"""What the paper compares AUV with: of class maps, of features, of logits, of intensities."""

from __future__ import annotations

from aleaseg.measures.boundary_uncertainty import boundary_uncertainty
from aleaseg.measures.column import Direction
from aleaseg.measures.effective_rank import effective_rank, participation_ratio
from aleaseg.measures.energy import EnergyMixture, mean_energy
from aleaseg.measures.ensemble import mutual_information, pairwise_dice
from aleaseg.measures.entropy import mean_entropy
from aleaseg.measures.fisher import fisher_certainty
from aleaseg.measures.mahalanobis import MahalanobisReference
from aleaseg.measures.semantic_volume import semantic_volume
from aleaseg.measures.variance import intensity_variance, residual_variance
from aleaseg.scoring.compared import Eaoa, Mahalanobis
from aleaseg.scoring.measure import FROM_0, PAPER, UNIT, Eye, Measure, Sight, Spread, recorded

__all__ = ["UNCERTAINTY"]

_HIGH, _LOW = Direction.HIGH_BAD, Direction.LOW_BAD


def _mahalanobis(name: str, title: str, text: str, feature: str, relative: bool) -> Mahalanobis:
    return Mahalanobis(
        name=name,
        title=title,
        text=text,
        direction=_HIGH,
        limits=None if relative else FROM_0,
        function=MahalanobisReference.relative if relative else MahalanobisReference.distance,
        sees="image" if feature == "predicted" else "both",
        eye=Eye.NETWORK,
        source="Cui 2023, arXiv 2304.10127" if relative else "Cui 2024, arXiv 2411.17767",
        feature=feature,
        relative=relative,
    )


def _variance(variant: str, title: str, text: str, sees: Sight) -> Spread:
    return Spread(
        name=f"variance/{variant}",
        title=title,
        text=text,
        direction=_HIGH,
        limits=UNIT,
        function=intensity_variance,
        sees=sees,
        eye=Eye.IMAGE,
        source=f"{PAPER}, Table 1",
        measure="intensity_variance",
        variant=variant,
    )


_MAPS = (
    recorded(
        "effective_rank",
        "Effective rank",
        "number of directions that carry the map's energy",
        _LOW,
        function=effective_rank,
        source="Roy and Vetterli 2007",
        limits=FROM_0,
        of_classes=True,
    ),
    recorded(
        "participation_ratio",
        "Participation ratio",
        "the same by squares",
        _LOW,
        function=participation_ratio,
        source="Roy and Vetterli 2007",
        limits=FROM_0,
        of_classes=True,
    ),
    recorded(
        "semantic_volume",
        "Semantic volume",
        "volume that the slices of the map span",
        _LOW,
        function=semantic_volume,
        source="Ma et al. 2023, arXiv 2212.14613",
        unit="bits",
        limits=FROM_0,
        of_classes=True,
    ),
    _variance("image", "Variance of the image", "variance of the intensities of the image", "image"),
    _variance("mask", "Variance in the mask", "variance of the intensities in the mask", "both"),
    recorded(
        "residual_variance",
        "Residual variance",
        "variance of the residuals near the mask (DVA, closed form)",
        _HIGH,
        function=residual_variance,
        sees="both",
        source="DVA, Zhang et al.",
        limits=FROM_0,
    ),
    recorded(
        "fisher",
        "Fisher certainty",
        "certainty by the Fisher information of the evidence",
        _LOW,
        function=fisher_certainty,
        source="I-EDL, Deng et al. 2023, arXiv 2303.02045",
        limits=UNIT,
        of_classes=True,
    ),
)

_FEATURES = (
    _mahalanobis(
        "mahalanobis",
        "Mahalanobis",
        "distance of the features of each predicted class",
        "predicted",
        relative=False,
    ),
    _mahalanobis(
        "mahalanobis/relative",
        "Mahalanobis, relative",
        "the same minus the class-agnostic distance",
        "predicted",
        relative=True,
    ),
    _mahalanobis(
        "mahalanobis/mask",
        "Mahalanobis in the mask",
        "distance of the features inside the mask",
        "mask",
        relative=False,
    ),
    _mahalanobis(
        "mahalanobis/mask_relative",
        "Mahalanobis in the mask, relative",
        "the same minus the class-agnostic distance",
        "mask",
        relative=True,
    ),
)

_LOGITS = (
    recorded(
        "energy",
        "Aleatoric energy",
        "mean ln(1 - p_max) in the prediction",
        _HIGH,
        function=mean_energy,
        source="EAOA 2025, arXiv 2502.19691",
        unit="nats",
        limits=(None, 0),
    ),
    Eaoa(
        name="eaoa",
        title="EAOA",
        text="posterior of the uncertain kind by that energy",
        direction=_HIGH,
        limits=UNIT,
        function=EnergyMixture.uncertainty,
        sees="image",
        eye=Eye.NETWORK,
        source="EAOA 2025, arXiv 2502.19691",
    ),
    recorded(
        "entropy",
        "Entropy",
        "mean entropy in the prediction, relative to ln C",
        _HIGH,
        function=mean_entropy,
        source="Shannon 1948",
        limits=UNIT,
    ),
    recorded(
        "boundary_uncertainty",
        "Uncertainty at the boundary",
        "mean uncertainty within a voxel of the predicted boundary",
        _HIGH,
        function=boundary_uncertainty,
        source="aleaseg, after SURE, arXiv 2509.17098",
        limits=UNIT,
    ),
    recorded(
        "tta_dice",
        "Dice of augmented predictions",
        "pairwise Dice of augmented predictions",
        _LOW,
        function=pairwise_dice,
        source="Wang et al. 2019",
        limits=UNIT,
        of_classes=True,
    ),
    recorded(
        "tta_information",
        "Mutual information",
        "mutual information of augmented predictions",
        _HIGH,
        function=mutual_information,
        source="Wang et al. 2019",
        unit="nats",
        limits=FROM_0,
    ),
)

UNCERTAINTY: tuple[Measure, ...] = (*_MAPS, *_FEATURES, *_LOGITS)
