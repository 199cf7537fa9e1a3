"""DUO's loss: Dice + cross-entropy per sample and class, less weight where the network is sure.

Section 3 of arXiv 2604.10963, with f the network and S its semantic perception scale:

    y~_i  = clamp(y_i - eps_i g(x_i), 0, 1)                 label denoising, see `denoising`
    L_seg = beta Dice + (1 - beta) BCE
    L     = mean_i mean_c  L_seg^(c)(f(x_i), y~_i) / (1 + alpha S(f(x_i)|c))

The paper leaves alpha, beta and the gradient through S open; the authors' public
snippet differs from it. What is chosen here, and what else can be chosen, is said
with each argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

from aleaseg.errors import one_of
from aleaseg.losses.channels import Channels, Target
from aleaseg.losses.segmentation import dice_and_bce
from aleaseg.spectral import Unfolding, semantic_perception_scale

__all__ = ["DUOLoss"]

Variant = Literal["paper", "official_readme"]


class DUOLoss(_Loss):
    """Dice + cross-entropy of each sample and class, weighted by 1 / (1 + alpha S) (arXiv 2604.10963).

    S is taken from the logits of the current patch, one map per class, in [0, 1]; high = certain. So the
    weights are in [1 / (1 + alpha), 1].

    Logits are taken as they are. A softmax leaves them free up to an offset that all channels of a voxel
    share, and S sees that offset.

    A map of one row or one column has no S (ln r = 0): 1 x 1 x 1 in the last level of a deep supervision,
    say. Such a class is not weighted, its weight is 1, and its entry in `last_scales` is NaN. With
    `unfold=None` a patch of one slice is read as its rows instead.

    Args:
        alpha: how much a certain class is weighed down; >= 0, 0 = not at all.
        beta: share of Dice, in [0, 1]; the rest is cross-entropy.
        softmax: channels are classes that exclude one another, channel 0 the background: label maps.
            None: unless `sigmoid`.
        sigmoid: channels are classes or regions that may overlap, none of them the background.
        to_onehot_y: True: the target is a label map (B, 1, *spatial); False: it has channels; None:
            whichever its channels say.
        include_background: count channel 0 (True), or leave it out as the background (False); in both
            cases label c is channel c. None: False under softmax; under sigmoid there is no background
            channel, all channels count, and label c is channel c - 1.
        ignore_index: label value of voxels that do not count. In a target with channels a further,
            last channel marks them. S sees the whole patch all the same: it asks the prediction only.
        reweight: False: no weights, the plain Dice + cross-entropy.
        variant: `paper`, or `official_readme` after the authors' public snippet: each channel's own
            sigmoid, cross-entropy without Dice, S as their script defines it with its gradient, and
            y~ = y - g y, detached, for which `noise` is g without eps.
        renorm: scale the weights to mean 1 over the batch, so that they shift between classes and
            samples and leave the learning rate alone. Under DDP over the batch of the process.
        detach_scale: no gradient through S, so that S is not driven up to make the loss small.
            None: True for `paper`, False for `official_readme`.
        class_weight: (C_fg,) fixed weights in place of those by S; see `scale_weights` and
            `frequency_weights`.
        certainty: raw logits (B, C, *spatial) -> (B, C_fg) in [0, 1], high = certain, to stand in place
            of S; NaN = no weight. See `FisherCertainty` and `MahalanobisCertainty`.
        unfold: how a map is read as a matrix, as in `aleaseg.spectral`. None: `d_hw`, `h_w` in 2D,
            `h_dw` for a patch of one slice.
        semimetric: Dice by |p - t|, which denoised targets, soft as they are, leave smallest at p = y~; False: by
            p t, as everybody has it, which pushes p beyond a soft target. The same for hard targets.
        reduction: `mean` over samples and classes, `sum`, or `none`: (B, C_fg).

    Raises:
        ValueError: an argument is out of its range, or two exclude one another.

    Attributes:
        last_weights: (B, C_fg) weights of the last call, detached; None before the first. A wrapper for
            deep supervision calls from fine to coarse, so that the last call is the coarsest level; a
            forward hook (`register_forward_hook`) sees each.
        last_scales: (B, C_fg) S, or the certainty in its place, of the last call; NaN where there is none.
            None before the first call, and where the weights do not ask for it.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        softmax: bool | None = None,
        sigmoid: bool = False,
        to_onehot_y: bool | None = None,
        include_background: bool | None = None,
        ignore_index: int | None = None,
        reweight: bool = True,
        variant: Variant = "paper",
        renorm: bool = False,
        detach_scale: bool | None = None,
        class_weight: Sequence[float] | Tensor | None = None,
        certainty: Callable[[Tensor], Tensor] | None = None,
        unfold: Unfolding | None = None,
        semimetric: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        one_of("variant", variant, ("paper", "official_readme"))
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha is {alpha}; expected a number >= 0")
        if not 0 <= beta <= 1:
            raise ValueError(f"beta is {beta}; expected a share in [0, 1]")
        softmax = not sigmoid if softmax is None else softmax
        if softmax == sigmoid:
            raise ValueError(
                f"softmax is {softmax} and sigmoid is {sigmoid}; expected one of the two: softmax for label "
                "maps, sigmoid for regions"
            )
        if class_weight is not None and certainty is not None:
            raise ValueError("class_weight and certainty are both given; expected one of the two, or none")
        if class_weight is not None and not reweight:
            raise ValueError("class_weight is given and reweight is False; expected weights, or none")
        self.channels = Channels(
            softmax=softmax,
            background=softmax if include_background is None else not include_background,
            first_label=0 if include_background else 1,
            ignore_index=ignore_index,
            as_labels=to_onehot_y,
        )
        self.official = variant == "official_readme"
        self.alpha, self.beta, self.renorm = alpha, beta, renorm
        self.reweight, self.certainty, self.unfold = reweight, certainty, unfold
        self.semimetric = semimetric
        self.detach_scale = not self.official if detach_scale is None else detach_scale
        self.class_weight: Tensor | None
        self.register_buffer("class_weight", _fixed(class_weight), persistent=False)
        self.last_weights: Tensor | None = None
        self.last_scales: Tensor | None = None

    def forward(  # MONAI names it so
        self,
        input: Tensor,  # noqa: A002
        target: Tensor,
        noise: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, in float32 or better, whatever the autocast.

        Args:
            input: (B, C, D, H, W) or (B, C, H, W) raw logits.
            target: (B, 1, *spatial) label map, or (B, C, *spatial) classes or regions in [0, 1], with
                `ignore_index` one channel more.
            noise: (B, C_fg, *spatial), eps g as `LabelDenoising.noise` gives it; taken off the target.
            weight: (B, 1 or C_fg, *spatial) >= 0, how much each voxel counts; None: all alike. It is not rescaled,
                and a class without any costs nothing.

        Returns:
            A scalar, or (B, C_fg) with `reduction="none"`. Finite, with finite gradients.

        Raises:
            ValueError: shapes that do not fit, a label without a channel, or NaN or infinity in the batch;
                the message names sample and class.
        """
        # A subclass such as MONAI's MetaTensor would carry its own rules into every product.
        logits, target = input.as_subclass(Tensor), target.as_subclass(Tensor)
        with torch.autocast(logits.device.type, enabled=False):
            wanted = self.channels.read(logits, target)
            if noise is not None:
                wanted, noise = self._denoised(wanted, noise.as_subclass(Tensor), logits)
            dice, bce = dice_and_bce(
                logits,
                wanted.y,
                softmax=self.channels.softmax and not self.official,
                background=self.channels.background,
                labels=wanted.labels,
                noise=noise,
                counted=_counted(wanted.counted, weight, logits, self.channels.background),
                semimetric=self.semimetric,
            )
            loss = bce if self.official else self.beta * dice + (1 - self.beta) * bce
            if not bool(torch.isfinite(loss).all()):
                self._refuse(logits, wanted.y, noise)
            weights = self._weights(logits, loss)
            self.last_weights = weights.detach()
            loss = weights * loss
        if self.reduction == "none":
            return loss
        return loss.sum() if self.reduction == "sum" else loss.mean()

    def _denoised(self, wanted: Target, noise: Tensor, logits: Tensor) -> tuple[Target, Tensor | None]:
        """The target, and the noise that is still to be taken off it."""
        expected = (logits.shape[0], logits.shape[1] - self.channels.background, *logits.shape[2:])
        if noise.shape != expected:
            raise ValueError(
                f"the noise has shape {tuple(noise.shape)}; expected {expected}, a map for each sample and "
                "class that counts"
            )
        if not self.official:
            return wanted, noise
        y = wanted.one_hot().to(noise.dtype)
        return Target((y - noise * y).detach(), None, wanted.counted), None

    def _weights(self, logits: Tensor, loss: Tensor) -> Tensor:
        """(B, C_fg) weights, in the precision of the loss."""
        self.last_scales = None
        if self.class_weight is not None:
            if len(self.class_weight) != loss.shape[1]:
                raise ValueError(
                    f"class_weight has {len(self.class_weight)} weights; expected one for each of the "
                    f"{loss.shape[1]} classes that count"
                )
            weights = self.class_weight.to(loss).expand_as(loss)
        elif self.reweight:
            with torch.no_grad() if self.detach_scale else nullcontext():
                scales = self._scales(logits) if self.certainty is None else self._certainties(logits, loss)
                weights = (1 / (1 + self.alpha * scales.nan_to_num(0.0))).to(loss.dtype)
            self.last_scales = scales.detach()
        else:
            weights = torch.ones_like(loss)
        return weights / weights.mean() if self.renorm else weights

    def _scales(self, logits: Tensor) -> Tensor:
        """(B, C_fg) S in float64; NaN where the maps have none."""
        maps = logits[:, int(self.channels.background) :]
        grid = maps.shape[2:]
        flat = len(grid) == 2
        unfold = self.unfold or ("h_w" if flat else "d_hw" if grid[0] > 1 else "h_dw")
        if flat != (unfold == "h_w"):
            raise ValueError(
                f"unfold is {unfold!r} for maps of shape {tuple(grid)}; expected "
                + ("h_w" if flat else "d_hw, h_dw or w_dh")
            )
        rows = grid["dhw".index(unfold[0]) - flat]
        if min(rows, grid.numel() // rows) < 2:
            return maps.new_full(maps.shape[:2], torch.nan, dtype=torch.float64)
        return semantic_perception_scale(
            maps, unfold=unfold, definition="official" if self.official else "paper"
        )

    def _certainties(self, logits: Tensor, loss: Tensor) -> Tensor:
        """(B, C_fg) of the measure in place of S."""
        assert self.certainty is not None
        t = self.certainty(logits)
        if t.shape != loss.shape or bool(((t < 0) | (t > 1)).any()):
            raise ValueError(
                f"certainty gave shape {tuple(t.shape)} and values from {t.min():g} to {t.max():g}; expected "
                f"{tuple(loss.shape)} in [0, 1], high = certain"
            )
        return t

    def _refuse(self, logits: Tensor, y: Tensor, noise: Tensor | None) -> None:
        """Say where a batch is not finite."""
        background = int(self.channels.background)
        for name, x, first in (
            ("logits", logits, 0),
            ("target", y, background),
            ("noise", noise, background),
        ):
            if x is None:
                continue
            bad = (~torch.isfinite(x)).flatten(2).sum(-1)
            if bool(bad.any()):
                sample, column = bad.nonzero()[0].tolist()
                channel = column + first
                label = channel - self.channels.background + self.channels.first_label
                raise ValueError(
                    f"the {name} of sample {sample} of the batch, class {label} (channel {channel}), holds "
                    f"{int(bad[sample, column])} values that are NaN or infinite; expected finite numbers: look "
                    "at that sample's image and label, then at the learning rate"
                )
        raise ValueError(
            "the loss is not finite although all that goes into it is; expected logits below 1e38"
        )


def _counted(
    counted: Tensor | None, weight: Tensor | None, logits: Tensor, background: bool
) -> Tensor | None:
    """How much each voxel counts, of those that count at all."""
    if weight is None:
        return counted
    batch, channels, *grid = logits.shape
    if weight.shape not in ((batch, 1, *grid), (batch, channels - background, *grid)):
        raise ValueError(
            f"the weight has shape {tuple(weight.shape)} where the logits have {tuple(logits.shape)}; expected one "
            "for each voxel, or for each of its classes that count"
        )
    weight = weight.as_subclass(Tensor)
    return weight if counted is None else weight * counted


def _fixed(class_weight: Sequence[float] | Tensor | None) -> Tensor | None:
    """(C_fg,) float32."""
    if class_weight is None:
        return None
    weights = torch.as_tensor(class_weight, dtype=torch.float32)
    sound = weights.isfinite() & (weights >= 0)
    if not (weights.ndim == 1 and bool(sound.all()) and bool(weights.any())):
        raise ValueError(
            f"class_weight is {weights.tolist()}; expected a weight >= 0 for each class, one above 0"
        )
    return weights
