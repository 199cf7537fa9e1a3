"""Dice and binary cross-entropy of every sample and class, from logits and soft targets.

    Dice_c = 1 - (2 sum_v p_cv t_cv + 1e-5) / (sum_v p_cv + sum_v t_cv + 1e-5)
    BCE_c  = -1/V sum_v [ t_cv ln p_cv + (1 - t_cv) ln(1 - p_cv) ]

p is the sigmoid of a class's own logit, or the softmax over all channels, in which
each class stands against all the others. ln p and ln(1 - p) are taken from the
logits, so that nothing is lost where p rounds to 0 or 1.

Both losses are made of four sums over the voxels. The voxels come in blocks, and a
block is computed a second time in the backward pass: what a hundred classes need
beside their logits is then the gradient, and not ten tensors of that size.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["class_log_probabilities", "dice_and_bce"]

SMOOTH = 1e-5
# Entries of the logits that are worked on together: 32 MB in float32.
CHUNK = 2**23


def dice_and_bce(
    logits: Tensor,
    target: Tensor,
    *,
    softmax: bool = True,
    classes: range | None = None,
    counted: Tensor | None = None,
    noise: Tensor | None = None,
    denoise: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Dice loss and binary cross-entropy of each sample and class.

    Args:
        logits: (B, C, *spatial), raw. Halves are worked on in float32.
        target: (B, len(classes), *spatial) in [0, 1], or a label map (B, 1, *spatial) whose values are
            those of `classes` where `classes` has more than one class or `target` is of integers.
        softmax: p is the softmax over the channels; False: the sigmoid of each.
        classes: channels that count, which are also their label values; None: all of them.
        counted: (B, 1, *spatial) bool, voxels that count; None: all of them. A sample without any has
            Dice loss and cross-entropy 0.
        noise: (B, len(classes), *spatial), given to `denoise` with the target.
        denoise: (target, noise) -> the target that is learned; None: clamp(target - noise, 0, 1).

    Returns:
        Dice loss in [0, 1] and cross-entropy in nats, (B, len(classes)) each.
    """
    raise NotImplementedError


def class_log_probabilities(logits: Tensor, softmax: bool) -> tuple[Tensor, Tensor]:
    """Ln p and ln(1 - p) of every class, without cancellation.

    Args:
        logits: (B, C, ...); under softmax at least two channels.
        softmax: p is the softmax over the channels; False: the sigmoid of each.

    Returns:
        Two tensors like `logits`.
    """
    raise NotImplementedError
