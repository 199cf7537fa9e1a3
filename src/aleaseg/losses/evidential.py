r"""Evidence in place of a softmax: a Dirichlet per voxel, its uncertainty, and the losses that teach it.

Of raw logits z (B, K, *spatial), K with the background, and y one-hot,

    alpha = softplus(z) + 1,   A = sum_k alpha_k
    p = alpha / A              probabilities; the largest is that of the largest logit
    u = K / A                  uncertainty in (0, 1], 1 = no evidence at all

    L_ace = sum_k y_k (psi(A) - psi(alpha_k))                                    `digamma`
          = sum_k y_k (ln A - ln alpha_k)                                        `log`
          = sum_k (y_k - p_k)^2 + p_k (1 - p_k) / (A + 1)                        `mse`
    KL    = divergence of Dir(a) from the uniform one, of a = (alpha - 1)(1 - y) + 1, a_0 = sum_k a_k
          = sum_k (a_k - 1)(psi(a_k) - psi(a_0)) + lnG(a_0) - sum_k lnG(a_k) - lnG(K)
    D_k   = TP / (TP + w FP + (1 - w) FN + 1e-5)   over all voxels of the batch, with t = y + 1e-3,
            TP = sum p t,  FP = sum p (1 - t),  FN = sum (1 - p) t,  w = clip(FP / (FP + FN + 1e-5), .2, .8)

and with lambda = min(1, progress / .2)

    form a:  L = 10 mean L_ace + lambda mean KL + 10 mean_k (1 - D_k)
    form b:  L = mean L_ace + lambda mean KL + (1 - 0.01^(1 - progress)) mean_k (1 - D_k)

y is hard, so that L_ace asks for psi of the labelled class alone, and a is 1 there: what is
dear (psi, ln gamma) is taken of the K - 1 other classes and of two sums.

Sources: Sensoy et al., "Evidential deep learning to quantify classification uncertainty" (2018);
"Uncertainty-Supervised Interpretable and Robust Evidential Segmentation" (MICCAI 2025, arXiv
2509.17098), whose public code has both forms. Its `mse` counts the squared error K times; not here.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from aleaseg.errors import one_of
from aleaseg.losses.channels import Channels

__all__ = [
    "Form",
    "Kind",
    "Terms",
    "dirichlet",
    "evidential_loss",
    "evidential_terms",
    "probabilities",
    "uncertainty",
]

Form = Literal["a", "b"]
Kind = Literal["digamma", "log", "mse"]

_ANNEALED = 0.2  # share of the training in which the divergence comes in
_SOFT = 1e-3
_SMOOTH = 1e-5
_LEAST, _MOST = 0.2, 0.8


class Terms(NamedTuple):
    """What the loss is made of, () each, >= 0; 0 where no voxel counts.

    Attributes:
        ace: mean over the voxels of L_ace: how little evidence there is for the label.
        kl: mean over the voxels of the evidence for other classes, as a divergence in nats.
        dice: mean over the classes of 1 - D_k, in [0, 1].
    """

    ace: Tensor
    kl: Tensor
    dice: Tensor


def dirichlet(logits: Tensor) -> Tensor:
    """Parameters alpha of each voxel's Dirichlet distribution.

    Args:
        logits: (B, K, *spatial), raw.

    Returns:
        The same shape, >= 1, in float32 or better.
    """
    with torch.autocast(logits.device.type, enabled=False):
        z = logits if logits.dtype == torch.float64 else logits.float()
        return F.softplus(z) + 1


def probabilities(logits: Tensor) -> Tensor:
    """Expected probabilities p = alpha / A.

    Args:
        logits: (B, K, *spatial), raw.

    Returns:
        The same shape, in (0, 1], sum 1, in float32 or better.

    >>> probabilities(torch.tensor([[1.0, -1.0]])).argmax(1).item()
    0
    """
    alpha = dirichlet(logits)
    return alpha / alpha.sum(1, keepdim=True)


def uncertainty(logits: Tensor) -> Tensor:
    """Uncertainty u = K / A of each voxel.

    Args:
        logits: (B, K, *spatial), raw.

    Returns:
        (B, *spatial) in (0, 1], 1 = no evidence, in float32 or better.

    >>> round(uncertainty(torch.zeros(1, 4)).item(), 5)  # 1 / (1 + ln 2)
    0.59062
    """
    return logits.shape[1] / dirichlet(logits).sum(1)


def evidential_loss(
    logits: Tensor,
    target: Tensor,
    progress: float,
    form: Form = "a",
    kind: Kind = "digamma",
    *,
    ignore_index: int | None = None,
) -> Tensor:
    """L_seg of a batch, in float32 or better, whatever the autocast.

    Args:
        logits: (B, K, H, W) or (B, K, D, H, W), raw, K >= 2 with the background in channel 0.
        target: (B, *spatial) label values 0 to K - 1.
        progress: how much of the training is done, t / T in [0, 1].
        form: `a`: L_ace and Dice weigh 10; `b`: L_ace weighs 1, and Dice less and less.
        kind: of L_ace.
        ignore_index: label value of voxels that nobody annotated. They are in no sum.

    Returns:
        A scalar >= 0; 0, with gradients that are 0, where no voxel counts.

    Raises:
        ValueError: shapes that do not fit, a label without a channel, an unknown form or kind, a progress
            beyond [0, 1], or logits that are not finite; the message names the sample.

    >>> logits = torch.zeros(1, 4, 2, 2)
    >>> target = torch.zeros(1, 2, 2, dtype=torch.long)
    >>> loss = evidential_loss(logits, target, 0.5)
    >>> round(evidential_terms(logits, target, "log").ace.item(), 4)  # ln 4: all classes alike
    1.3863
    """
    one_of("form", form, ("a", "b"))
    if not 0 <= progress <= 1:
        raise ValueError(
            f"progress is {progress}; expected t / T in [0, 1], how much of the training is done"
        )
    ace, kl, dice = evidential_terms(logits, target, kind, ignore_index=ignore_index)
    annealed = min(1.0, progress / _ANNEALED)
    if form == "a":
        return 10 * ace + annealed * kl + 10 * dice
    return ace + annealed * kl + (1 - 0.01 ** (1 - progress)) * dice


def evidential_terms(
    logits: Tensor, target: Tensor, kind: Kind = "digamma", *, ignore_index: int | None = None
) -> Terms:
    """The three terms of the loss, not weighted. Arguments and errors as in `evidential_loss`."""
    one_of("kind", kind, ("digamma", "log", "mse"))
    # A subclass such as MONAI's MetaTensor would carry its own rules into every product.
    logits, target = logits.as_subclass(Tensor), target.as_subclass(Tensor)
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"the target has shape {tuple(target.shape)} where the logits have {tuple(logits.shape)}; expected "
            f"labels {(*logits.shape[:1], *logits.shape[2:])}, without an axis of channels"
        )
    channels = Channels(
        softmax=True, background=True, first_label=1, ignore_index=ignore_index, as_labels=True
    )
    counted = channels.read(logits, target[:, None]).counted
    with torch.autocast(logits.device.type, enabled=False):
        alpha, label, weight = dirichlet(logits), target.long()[:, None], None
        if counted is not None:
            label, weight = torch.where(counted, label, 0), counted[:, 0].to(alpha.dtype)
        terms = Terms(
            _mean(_ace(alpha, label, kind), weight),
            _mean(_divergence(alpha, label), weight),
            _dice(alpha, label, weight),
        )
        _check_finite(logits, terms)
    return terms


def _mean(voxels: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return voxels.mean()
    return (voxels * weight).sum() / weight.sum().clamp(min=1)


def _ace(alpha: Tensor, label: Tensor, kind: Kind) -> Tensor:
    """L_ace (B, *spatial) of labels (B, 1, *spatial)."""
    total, own = alpha.sum(1), alpha.gather(1, label)[:, 0]
    if kind == "digamma":
        return torch.digamma(total) - torch.digamma(own)
    if kind == "log":
        return total.log() - own.log()
    squares = (alpha / total[:, None]).square().sum(1)
    # sum_k (y_k - p_k)^2 = 1 - 2 p_y + sum_k p_k^2, and sum_k p_k (1 - p_k) = 1 - sum_k p_k^2
    return 1 - 2 * own / total + squares + (1 - squares) / (total + 1)


def _divergence(alpha: Tensor, label: Tensor) -> Tensor:
    """KL (B, *spatial) of the evidence for other classes than the label's (B, 1, *spatial)."""
    classes = alpha.shape[1]
    index = torch.arange(classes - 1, device=alpha.device).view(-1, *[1] * (alpha.ndim - 2))
    a = alpha.gather(1, index + (index >= label))
    a_0 = a.sum(1) + 1
    towards = ((a - 1) * (torch.digamma(a) - torch.digamma(a_0)[:, None])).sum(1)
    return towards + torch.lgamma(a_0) - torch.lgamma(a).sum(1) - math.lgamma(classes)


def _dice(alpha: Tensor, label: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the classes of 1 - D_k; 0 where no voxel counts."""
    p = alpha / alpha.sum(1, keepdim=True)
    classes = torch.arange(p.shape[1], device=p.device).view(-1, *[1] * (p.ndim - 2))
    t = (label == classes).to(p.dtype) + _SOFT
    if weight is not None:
        p = p * weight[:, None]
    batch = [0, *range(2, p.ndim)]
    overlap, predicted = (p * t).sum(batch), p.sum(batch)
    annotated = (t if weight is None else t * weight[:, None]).sum(batch)
    false_positive, false_negative = predicted - overlap, annotated - overlap
    w = (false_positive / (false_positive + false_negative + _SMOOTH)).clamp(_LEAST, _MOST)
    dice = overlap / (overlap + w * false_positive + (1 - w) * false_negative + _SMOOTH)
    return torch.where(annotated > 0, 1 - dice, 0.0).mean()


def _check_finite(logits: Tensor, terms: Terms) -> None:
    if bool(torch.stack(terms).isfinite().all()):
        return
    bad = (~logits.isfinite()).flatten(1).sum(1)
    if not bool(bad.any()):
        raise ValueError("the loss is not finite although the logits are; expected logits below 1e30")
    sample = int(bad.nonzero()[0])
    raise ValueError(
        f"the logits of sample {sample} of the batch hold {int(bad[sample])} values that are NaN or infinite; "
        "expected finite numbers: look at that sample's image and label, then at the learning rate"
    )
