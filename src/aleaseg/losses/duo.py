"""DUO's loss: Dice + cross-entropy per sample and class, less weight where the network is sure.

Section 3.4 of arXiv 2604.10963, with f the network and S its semantic perception scale:

    y~_i  = clamp(y_i - eps_i g(x_i), 0, 1)                 label denoising, see `denoising`
    L_seg = beta Dice + (1 - beta) BCE
    L     = mean_i mean_c  L_seg^(c)(f(x_i), y~_i) / (1 + alpha S(f(x_i)|c))

The paper leaves alpha, beta and the gradient through S open; the authors' public
snippet differs from it. What is chosen here, and what else can be chosen, is said
with each argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor
from torch.nn.modules.loss import _Loss

from aleaseg.spectral import Unfolding

__all__ = ["DUOLoss"]


class DUOLoss(_Loss):
    """Dice + cross-entropy of each sample and class, weighted by 1 / (1 + alpha S) (arXiv 2604.10963, 3.4).

    S is taken from the logits of the current patch, one map per class, in [0, 1]; high = certain. So the
    weights are in [1 / (1 + alpha), 1].

    A map of one row or one column has no S (ln r = 0): 1 x 1 x 1 in the last level of a deep supervision,
    say. Such a class is not weighted, its weight is 1, and its entry in `last_scales` is NaN. With
    `unfold=None` a patch of one slice is read as its rows instead.

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
        variant: Literal["paper", "official_readme"] = "paper",
        renorm: bool = False,
        detach_scale: bool | None = None,
        class_weight: Sequence[float] | Tensor | None = None,
        certainty: Callable[[Tensor], Tensor] | None = None,
        unfold: Unfolding | None = None,
        reduction: str = "mean",
    ) -> None:
        """Choose the weights and how channels are read.

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
            reduction: `mean` over samples and classes, `sum`, or `none`: (B, C_fg).

        Raises:
            ValueError: an argument is out of its range, or two exclude one another.
        """
        super().__init__(reduction=reduction)
        self.last_weights: Tensor | None = None
        self.last_scales: Tensor | None = None
        raise NotImplementedError

    def forward(  # MONAI names it so
        self,
        input: Tensor,  # noqa: A002
        target: Tensor,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, in float32 or better, whatever the autocast.

        Args:
            input: (B, C, D, H, W) or (B, C, H, W) raw logits.
            target: (B, 1, *spatial) label map, or (B, C, *spatial) classes or regions in [0, 1]; C_fg
                channels where the background is left out are taken as well. With `ignore_index` one channel
                more in the second and third form.
            noise: (B, C_fg, *spatial), eps g as `LabelDenoising.noise` gives it; taken off the target.

        Returns:
            A scalar, or (B, C_fg) with `reduction="none"`. Finite, with finite gradients.

        Raises:
            ValueError: shapes that do not fit, a label without a channel, or NaN or infinity in the batch;
                the message names sample and class.
        """
        raise NotImplementedError
