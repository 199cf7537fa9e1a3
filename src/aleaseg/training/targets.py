"""What a network is to learn from a confidence q: eight ways, one function.

    threshold:t      y = 1[q >= t]
    soft             y = q
    weight           y = 1[q >= .5],  w = |2 q - 1|
    ignore:lo,hi     y = 1[q >= hi],  w = 1[q <= lo or q >= hi]
    multi:t1,..,tm   y_k = 1[q >= t_k], a channel for each class and threshold
    regress          y = q
    sample           y = 1[q >= t], t ~ U(0, 1] anew each time, so that E[y] = q; with raters: of one of them, drawn
    rater-norm+...   any of these, of a q whose raters were brought to one scale (`readers.rater_norm`)

Channels are regions: a sigmoid each, since confidences may overlap. A voxel that nobody looked at (NaN) has
weight 0, whatever the way. Which loss goes with which way is said by `Strategy.loss`.

Source: "Label Uncertainty for Ultrasound Segmentation", arXiv 2508.15635, for binarising at 60% in place of 50%; the
other ways are the field's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.errors import UsageError
from aleaseg.levels import at_least, at_most

__all__ = ["Loss", "Strategy", "as_label_map", "parse_strategy", "shown", "targets"]

Loss = Literal["objective", "semimetric", "squared"]
"""`objective`: that of the training, with weights where there are some; else see `aleaseg.losses.soft`."""

_DEFAULTS: dict[str, tuple[float, ...]] = {
    "threshold": (0.6,),
    "soft": (),
    "weight": (),
    "ignore": (0.2, 0.6),
    "multi": (0.2, 0.4, 0.6, 0.8),
    "regress": (),
    "sample": (),
}
_LOSSES: dict[str, Loss] = {
    "threshold": "objective",
    "soft": "semimetric",
    "weight": "objective",
    "ignore": "objective",
    "multi": "objective",
    "regress": "squared",
    "sample": "objective",
}
# What resampling smears over a voxel is nobody's mark.
_MARKED = 0.05
_FORM = (
    "expected threshold:.6, soft, weight, ignore:.2,.6, multi:.2,.4,.6,.8, regress, sample or sample:regions, or "
    "rater-norm+ and one of these"
)


@dataclass(frozen=True)
class Strategy:
    """A way to learn from confidences, as it was typed.

    Attributes:
        kind: the first word.
        thresholds: rising, in (0, 1]; of `ignore` the two ends.
        by_region: `sample` draws a threshold for each connected region.
        rater_norm: q is of raters on one scale.
    """

    kind: str
    thresholds: tuple[float, ...] = ()
    by_region: bool = False
    rater_norm: bool = False

    def __str__(self) -> str:
        """As it is typed."""
        rest = "regions" if self.by_region else ",".join(f"{t:g}" for t in self.thresholds)
        return "rater-norm+" * self.rater_norm + self.kind + (f":{rest}" if rest else "")

    @property
    def loss(self) -> Loss:
        """The loss that goes with it."""
        return _LOSSES[self.kind]

    @property
    def soft(self) -> bool:
        """Whether targets lie between 0 and 1, and not at the ends alone."""
        return self.loss != "objective"

    @property
    def levels(self) -> int:
        """Channels for each class."""
        return len(self.thresholds) if self.kind == "multi" else 1

    def channels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What the channels of a network stand for, by the names of the classes.

        >>> parse_strategy("multi:.2,.6").channels(["lesion"]), parse_strategy("soft").channels(["lesion"])
        (('lesion >= 0.2', 'lesion >= 0.6'), ('lesion',))
        """
        if self.kind != "multi":
            return tuple(classes)
        return tuple(f"{name} >= {t:g}" for name in classes for t in self.thresholds)


def parse_strategy(text: str) -> Strategy:
    """A strategy as it is typed.

    Raises:
        UsageError: it has another form.

    >>> str(parse_strategy("threshold")), str(parse_strategy("rater-norm+ignore:.2,.6"))
    ('threshold:0.6', 'rater-norm+ignore:0.2,0.6')
    """
    norm, plus, way = text.strip().rpartition("+")
    kind, colon, rest = way.partition(":")
    if kind not in _DEFAULTS or (plus and norm != "rater-norm"):
        raise UsageError(f"--labels {text}: no such way to learn from confidences; {_FORM}")
    if kind == "sample" and rest == "regions":
        return Strategy(kind, by_region=True, rater_norm=bool(plus))
    if not colon:
        return Strategy(kind, _DEFAULTS[kind], rater_norm=bool(plus))
    if not _DEFAULTS[kind] or not re.fullmatch(r"[\d.,eE+-]+", rest):
        raise UsageError(f"--labels {text}: {kind} takes no {rest!r}; {_FORM}")
    try:
        numbers = tuple(float(part) for part in rest.split(","))
    except ValueError as error:
        raise UsageError(f"--labels {text}: {rest!r} are not numbers; {_FORM}") from error
    wanted = {"threshold": 1, "ignore": 2}.get(kind, len(numbers))
    rising = all(low < high for low, high in pairwise(numbers))
    least = 0.0 if kind == "ignore" else 1e-6
    if len(numbers) != wanted or not rising or not all(least <= t <= 1 for t in numbers):
        raise UsageError(
            f"--labels {text}: {kind} takes {'rising numbers' if kind == 'multi' else f'{wanted} rising number(s)'} "
            f"above 0 and up to 1 (60% is .6); {_FORM}"
        )
    return Strategy(kind, numbers, rater_norm=bool(plus))


def targets(
    q: NDArray[np.float32],
    strategy: Strategy,
    rng: np.random.Generator,
    raters: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """What is learnt, and how much each voxel counts.

    Args:
        q: (C, *spatial) confidences in [0, 1]; NaN where nobody looked.
        strategy: the way.
        rng: for `sample`; the others draw nothing.
        raters: (R, C, *spatial) of each rater, for `sample` to draw one of; None: q itself.

    Returns:
        y (channels, *spatial) float32 in [0, 1], the thresholds of `multi` side by side for each class; and weights
        (channels, *spatial) float32 >= 0, or None where every voxel counts alike. y is 0 where nobody looked.
    """
    if strategy.kind == "sample" and raters is not None:
        q = raters[rng.integers(len(raters))]
    looked = ~np.isnan(q)
    weight: NDArray[np.float32] | None = None
    match strategy.kind:
        case "threshold":
            y = at_least(q, strategy.thresholds[0])
        case "soft" | "regress":
            y = np.where(looked, q, 0)
        case "weight":
            y, weight = at_least(q, 0.5), np.abs(2 * q - 1)
        case "ignore":
            low, high = strategy.thresholds
            y = at_least(q, high)
            weight = (y | at_most(q, low)).astype(np.float32)
        case "multi":
            y = np.concatenate([_each_level(one, strategy.thresholds) for one in q])
        case "sample":
            # No draw is small enough for what nobody marked.
            y = (q >= _drawn(q, rng, strategy.by_region)) & (q > 0)
        case _:
            raise ValueError(
                f"the kind of strategy is {strategy.kind!r}; expected one of {', '.join(_DEFAULTS)}"
            )
    if not looked.all():
        weight = np.where(looked, 1 if weight is None else weight, 0)
    if weight is not None:
        weight = np.repeat(weight, strategy.levels, axis=0).astype(np.float32)
    return y.astype(np.float32), weight


def shown(q: NDArray[np.float32], strategy: Strategy) -> NDArray[np.bool_]:
    """Where something of each channel is to be learnt: it is there, and counts.

    Args:
        q: (C, *spatial) confidences in [0, 1]; NaN where nobody looked.
        strategy: the way.

    Returns:
        (channels, *spatial).
    """
    if strategy.soft or strategy.kind == "sample":
        return np.asarray(q >= _MARKED)
    y, weight = targets(q, strategy, np.random.default_rng(0))  # none of these draws
    return np.asarray(y > 0 if weight is None else (y > 0) & (weight > 0))


def _each_level(q: NDArray[np.float32], thresholds: tuple[float, ...]) -> NDArray[np.bool_]:
    return np.stack([at_least(q, threshold) for threshold in thresholds])


def _drawn(
    q: NDArray[np.float32], rng: np.random.Generator, by_region: bool
) -> float | NDArray[np.float64]:
    """A threshold from (0, 1]: one for all, so that what is drawn is coherent in space; or one for each region."""
    if not by_region:
        return 1 - float(rng.random())
    from skimage.measure import label

    thresholds = np.ones(q.shape)
    for of_class, found in zip(thresholds, q, strict=True):
        regions = label(found > 0)
        of_class[...] = (1 - rng.random(int(regions.max()) + 1))[regions]
    return thresholds


def as_label_map(
    y: NDArray[np.float32], weight: NDArray[np.float32] | None = None, *, unseen: int = 255
) -> NDArray[np.uint8]:
    """One label for each voxel, for a softmax: channel c as c + 1, 0 where there is none.

    Args:
        y: (C, *spatial), 0 or 1.
        weight: (C, *spatial); a voxel whose label does not count in every class is unseen.
        unseen: its label.

    Raises:
        ValueError: two classes reach the threshold at one voxel.
    """
    several = int((y.sum(axis=0) > 1).sum())
    if several:
        raise ValueError(
            f"two classes or more reach the threshold at {several} voxels; a label map holds one: raise the threshold, "
            "or train regions, with a sigmoid for each class"
        )
    label = np.where(y.any(axis=0), y.argmax(axis=0) + 1, 0).astype(np.uint8)
    if weight is not None:
        label[(weight == 0).any(axis=0)] = unseen
    return label
