"""What the label-quality field uses: the mask against a network, out of fold or while it trains."""

from __future__ import annotations

from typing import Any

from aleaseg.measures.column import Direction
from aleaseg.measures.confident_learning import case_issue_share
from aleaseg.measures.label_agreement import dice, softmin
from aleaseg.measures.label_loss import cross_entropy, error_norm
from aleaseg.measures.learning_dynamics import Dynamics
from aleaseg.scoring.measure import FROM_0, PAPER, UNIT, Eye, Recorded, recorded

__all__ = ["LABEL_QUALITY", "SECOND_OPINION"]

_HIGH, _LOW = Direction.HIGH_BAD, Direction.LOW_BAD


def _of_labels(name: str, title: str, text: str, direction: Direction, **more: Any) -> Recorded:
    """The mask against a network."""
    return recorded(name, title, text, direction, **{"sees": "both", "family": "label quality", **more})


_OWN = {"function": dice, "eye": Eye.OWN, "source": "Dice 1945", "limits": UNIT, "of_classes": True}
SECOND_OPINION = (
    _of_labels(
        "own_dice",
        "Dice with second opinion",
        "Dice of the mask and the outline that the package's own network sees inside its boxes",
        _LOW,
        ours=True,
        **_OWN,
    ),
    _of_labels(
        "own_dice/foreground",
        "Dice with second opinion, mask-normalised",
        "the same on the mask-normalised image",
        _LOW,
        ours=True,
        **_OWN,
    ),
)

_LEARNT = {"function": Dynamics.summary, "eye": Eye.TRAINING}
LABEL_QUALITY = (
    _of_labels(
        "oof_dice",
        "Dice with prediction",
        "Dice of the mask and the out-of-fold prediction",
        _LOW,
        function=dice,
        source=f"{PAPER}, Dice as AUV",
        role="score",
        short="Dice",
        limits=UNIT,
        of_classes=True,
    ),
    _of_labels(
        "in_sample_dice",
        "Dice with in-sample prediction",
        "Dice of the mask and the in-sample prediction",
        _LOW,
        function=dice,
        eye=Eye.TRAINING,
        source=f"{PAPER}, Dice as AUV",
        limits=UNIT,
        of_classes=True,
    ),
    _of_labels(
        "softmin",
        "Softmin",
        "soft minimum of the probability of the given labels, T = 0.1",
        _LOW,
        function=softmin,
        source="Lad and Mueller 2023",
        role="score",
        limits=UNIT,
    ),
    _of_labels(
        "softmin/near",
        "Softmin near the mask",
        "the same near the mask",
        _LOW,
        function=softmin,
        source="Lad and Mueller 2023",
        limits=UNIT,
    ),
    _of_labels(
        "cross_entropy",
        "Cross-entropy",
        "mean -ln p of the given labels near the mask",
        _HIGH,
        function=cross_entropy,
        source="standard",
        unit="nats",
        limits=FROM_0,
    ),
    _of_labels(
        "el2n",
        "EL2N",
        "norm of the error near the mask, out of fold",
        _HIGH,
        function=error_norm,
        source="Paul et al. 2021",
        limits=(0, 2**0.5),
    ),
    _of_labels(
        "el2n/early",
        "EL2N, early",
        "the same early in a training on the case",
        _HIGH,
        **_LEARNT,
        source="Paul et al. 2021",
        limits=(0, 2**0.5),
    ),
    _of_labels(
        "label_issues",
        "Label issues",
        "share of the voxels near the mask off the confident joint",
        _HIGH,
        function=case_issue_share,
        source="Northcutt et al. 2021",
        limits=UNIT,
    ),
    _of_labels(
        "aum",
        "AUM",
        "area under the margin",
        _LOW,
        **_LEARNT,
        source="Pleiss et al. 2020",
    ),
    _of_labels(
        "forgetting",
        "Forgetting",
        "number of times that voxels were unlearnt",
        _HIGH,
        **_LEARNT,
        source="Toneva et al. 2019",
        limits=FROM_0,
    ),
    _of_labels(
        "cartography_confidence",
        "Cartography, confidence",
        "mean probability of the given labels while training",
        _LOW,
        **_LEARNT,
        source="Swayamdipta et al. 2020",
        limits=UNIT,
    ),
    _of_labels(
        "cartography_variability",
        "Cartography, variability",
        "its standard deviation",
        _HIGH,
        **_LEARNT,
        source="Swayamdipta et al. 2020",
        limits=(0, 0.5),
    ),
)
