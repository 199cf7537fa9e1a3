"""DUO as an objective: Dice and BCE of each sample and class, weights by S, noise taken off the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aleaseg.losses import DUOLoss, LabelDenoising
from aleaseg.losses.certainty import FisherCertainty, MahalanobisCertainty
from aleaseg.training.batches import Batch
from aleaseg.training.objective import Objective
from aleaseg.training.preprocessing import IGNORE
from aleaseg.training.targets import Strategy

__all__ = ["Duo", "DuoSettings"]


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
        semimetric: Dice by |p - y|, smallest at a denoised target, which is soft; else by p y, as the paper has it.
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
    semimetric: bool = False


class Duo(Objective):
    """What `DuoSettings` ask for; arguments as of `make_objective`."""

    def __init__(
        self,
        settings: DuoSettings,
        network: nn.Module,
        ids: Sequence[str],
        classes: int,
        seed: int,
        labels: Strategy | None = None,
    ) -> None:
        super().__init__()
        regions = labels is not None
        self.soft = labels is not None and labels.soft
        self.duo = DUOLoss(
            alpha=settings.alpha,
            beta=settings.beta,
            reweight=settings.reweight,
            renorm=settings.renorm,
            sigmoid=regions,
            to_onehot_y=False if regions else None,
            # What does not count of regions has weight 0.
            ignore_index=None if regions else IGNORE,
            semimetric=self.soft or settings.semimetric,
            class_weight=settings.weights or None,
            certainty=_certainty(settings, classes, softmax=not regions),
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
        """See `Objective.at`."""
        found: Tensor = self.duo(logits, batch.target, noise, batch.weight)
        return found

    def noise(self, ids: Sequence[str], levels: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """See `Objective.noise`."""
        found = None if self.denoising is None else self.denoising.noise(ids, levels)
        return [None] * len(levels) if found is None else found

    def penalty(self) -> Tensor | float:
        """See `Objective.penalty`."""
        return 0.0 if self.denoising is None else self.denoising.penalty()

    def seen(self) -> Tensor | None:
        """See `Objective.seen`."""
        weights, scales = self.duo.last_weights, self.duo.last_scales
        if weights is None or scales is None:
            return None
        return torch.stack([weights.double().nanmean(0), scales.double().nanmean(0)]).cpu()

    def end_epoch(self) -> None:
        """See `Objective.end_epoch`."""
        if self.denoising is not None:
            self.denoising.end_epoch()


def _certainty(settings: DuoSettings, classes: int, softmax: bool) -> nn.Module | None:
    if not settings.certainty:
        return None
    if settings.certainty == "fisher":
        return FisherCertainty(softmax=softmax)
    return MahalanobisCertainty(softmax + classes, softmax=softmax)
