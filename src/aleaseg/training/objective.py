"""What a training makes small: the loss of a batch, and what is learned beside the network.

plain      soft Dice over the batch + cross-entropy, as cross-fitting trains
seg        DUO's Dice + BCE of each sample and class: no weights, no noise
en         seg with label denoising
rw         seg with weights 1/(1 + alpha S)
duo        both
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from aleaseg.losses import DUOLoss, LabelDenoising
from aleaseg.losses.certainty import FisherCertainty, MahalanobisCertainty
from aleaseg.training.batches import Batch, Maps
from aleaseg.training.preprocessing import IGNORE

__all__ = ["OBJECTIVES", "DuoSettings", "Objective", "finest", "make_objective", "settings_of"]


@dataclass(frozen=True)
class DuoSettings:
    """One cell of the paper's Table 6, and what it leaves open.

    Attributes:
        denoise: EN, a noise head and a number per case and class.
        reweight: RW, weights by S.
        alpha, beta, renorm: of `aleaseg.losses.DUOLoss`.
        warm_up: epochs without noise.
        penalty: lambda mean(g^2).
        initial: g at the start.
        certainty: what stands in place of S: empty, `fisher` or `mahalanobis`.
        weights: fixed ones of the classes in place of those by S; empty: none.
    """

    denoise: bool = False
    reweight: bool = False
    alpha: float = 0.5
    beta: float = 0.5
    renorm: bool = False
    warm_up: int = 0
    penalty: float = 0.0
    initial: float = 0.05
    certainty: str = ""
    weights: tuple[float, ...] = ()


OBJECTIVES: dict[str, DuoSettings | None] = {
    "plain": None,
    "seg": DuoSettings(),
    "en": DuoSettings(denoise=True),
    "en_guarded": DuoSettings(denoise=True, warm_up=2, penalty=0.1),
    "rw": DuoSettings(reweight=True),
    "rw_renorm": DuoSettings(reweight=True, renorm=True),
    "duo": DuoSettings(denoise=True, reweight=True),
    "duo_guarded": DuoSettings(denoise=True, reweight=True, warm_up=2, penalty=0.1),
}
"""By name. `guarded`: a warm-up of two epochs and a penalty of 0.1, against a target that drifts to the prediction."""


def settings_of(name: str) -> DuoSettings | None:
    """An objective by its name, with settings behind it.

    `rw:alpha=1`, `duo:beta=0.25`; `duo:certainty=fisher` (or `mahalanobis`) puts another measure in the
    place of S, and `rw:weights=1,0.5` fixed weights, one for each class.

    Raises:
        ValueError: there is no such objective, or no such setting; the message has the valid names.

    >>> settings_of("rw:alpha=2") == DuoSettings(reweight=True, alpha=2.0)
    True
    """
    base, _, given = name.partition(":")
    if base not in OBJECTIVES:
        raise ValueError(f"unknown objective {base!r}; expected one of: {', '.join(OBJECTIVES)}")
    made = OBJECTIVES[base]
    for part in filter(None, given.split(":")):
        key, _, given_value = part.partition("=")
        if made is None or key not in _SETTABLE:
            raise ValueError(
                f"objective {name!r}: no setting {key!r}; expected {', '.join(_SETTABLE[:-1])} or {_SETTABLE[-1]}"
            )
        changed: dict[str, Any] = {key: _read(name, key, given_value)}
        made = replace(made, **changed)
    return made


_SETTABLE = ("alpha", "beta", "penalty", "initial", "certainty", "weights")
_CERTAINTIES = ("fisher", "mahalanobis")


def _read(name: str, key: str, text: str) -> Any:
    if key == "certainty":
        if text not in _CERTAINTIES:
            raise ValueError(
                f"objective {name!r}: certainty is {text!r}; expected {' or '.join(_CERTAINTIES)}"
            )
        return text
    try:
        return tuple(map(float, text.split(","))) if key == "weights" else float(text)
    except ValueError:
        wanted = "numbers, such as 1,0.5" if key == "weights" else "a number"
        raise ValueError(f"objective {name!r}: {key} is {text!r}; expected {wanted}") from None


class Objective(nn.Module):
    """The loss of a batch. Its parameters, if any, are trained with the network and kept in the checkpoint.

    Under deep supervision it is the mean over the levels, each of half the weight of the one finer than it;
    the coarsest does not count (as in nnU-Net). Targets are resampled by the nearest voxel.
    """

    maps: Maps | None = None
    """What it wants to know of each patch; made with the batch, where that is made."""

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, (); asks the network as often as it needs.

        Args:
            network: gives raw logits (B, C, *patch), or a list of them, finest first.
            batch: of the training.
        """
        return self.of(network(batch.image), batch)

    def of(self, outputs: Tensor | Sequence[Tensor], batch: Batch) -> Tensor:
        """The loss of what the network said, ().

        Args:
            outputs: (B, C, *patch) raw logits, or a list of them, finest first.
            batch: what it was asked.
        """
        levels = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        shares = [2.0**-level for level in range(len(levels))]
        if len(levels) > 1:
            shares[-1] = 0.0
        noise = self.noise(batch.ids, levels)
        # From coarse to fine: what was seen last is the finest.
        losses = [
            share / sum(shares) * self.at(logits, _resampled(batch, logits), of_level)
            for share, logits, of_level in reversed(list(zip(shares, levels, noise, strict=True)))
            if share
        ]
        return torch.stack(losses).sum() + self.penalty()

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        """The loss of one level, whose size the batch's target has."""
        raise NotImplementedError

    def noise(self, ids: Sequence[str], levels: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """What is taken off the target of each level."""
        return [None] * len(levels)

    def penalty(self) -> Tensor | float:
        """What is added once a batch."""
        return 0.0

    def seen(self) -> Tensor | None:
        """(2, classes) weights and scales of the last batch, means over its cases; None: there are none."""
        return None

    def end_epoch(self) -> None:
        """An epoch has ended."""


def finest(outputs: Tensor | Sequence[Tensor]) -> Tensor:
    """Of what a network said, the level of the patch itself."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _resampled(batch: Batch, like: Tensor) -> Batch:
    if batch.target.shape[2:] == like.shape[2:]:
        return batch
    target = nn.functional.interpolate(batch.target.float(), like.shape[2:], mode="nearest-exact")
    return replace(batch, target=target.long())


class _Plain(Objective):
    def __init__(self) -> None:
        from monai.losses import DiceLoss

        super().__init__()
        self.dice = DiceLoss(
            softmax=True, to_onehot_y=True, include_background=False, batch=True, ignore_index=IGNORE
        )

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        target = batch.target
        if bool((target == IGNORE).all()):
            return logits.sum() * 0.0
        entropy = nn.functional.cross_entropy(logits, target[:, 0], ignore_index=IGNORE)
        loss: Tensor = self.dice(logits, target) + entropy
        return loss


class _Duo(Objective):
    def __init__(
        self, settings: DuoSettings, network: nn.Module, ids: Sequence[str], classes: int, seed: int
    ) -> None:
        super().__init__()
        self.duo = DUOLoss(
            alpha=settings.alpha,
            beta=settings.beta,
            reweight=settings.reweight,
            renorm=settings.renorm,
            ignore_index=IGNORE,
            class_weight=settings.weights or None,
            certainty=_certainty(settings, classes),
        )
        self.denoising = (
            LabelDenoising(
                network,
                ids,
                classes,
                warm_up=settings.warm_up,
                penalty=settings.penalty,
                initial=settings.initial,
                seed=seed,
            )
            if settings.denoise
            else None
        )

    def at(self, logits: Tensor, batch: Batch, noise: Tensor | None) -> Tensor:
        found: Tensor = self.duo(logits, batch.target, noise)
        return found

    def noise(self, ids: Sequence[str], levels: Sequence[Tensor]) -> Sequence[Tensor | None]:
        found = None if self.denoising is None else self.denoising.noise(ids, levels)
        return [None] * len(levels) if found is None else found

    def penalty(self) -> Tensor | float:
        return 0.0 if self.denoising is None else self.denoising.penalty()

    def seen(self) -> Tensor | None:
        weights, scales = self.duo.last_weights, self.duo.last_scales
        if weights is None or scales is None:
            return None
        return torch.stack([weights.double().nanmean(0), scales.double().nanmean(0)]).cpu()

    def end_epoch(self) -> None:
        if self.denoising is not None:
            self.denoising.end_epoch()


def _certainty(settings: DuoSettings, classes: int) -> nn.Module | None:
    if not settings.certainty:
        return None
    return FisherCertainty() if settings.certainty == "fisher" else MahalanobisCertainty(1 + classes)


def make_objective(
    settings: DuoSettings | None, network: nn.Module, ids: Sequence[str], classes: int, *, seed: int = 0
) -> Objective:
    """The objective of a training.

    Args:
        settings: of `OBJECTIVES` or one's own; None: plain.
        network: hooked where labels are denoised, and otherwise left alone.
        ids: of all cases of the training.
        classes: foreground classes.
        seed: of the noise.
    """
    return _Plain() if settings is None else _Duo(settings, network, ids, classes, seed)
