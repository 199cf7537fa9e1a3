"""Dice and binary cross-entropy of every sample and class, from logits and soft targets.

    Dice_c = 1 - (2 sum_v p_cv t_cv + 1e-5) / (sum_v p_cv + sum_v t_cv + 1e-5)
    BCE_c  = -1/V sum_v [ t_cv ln p_cv + (1 - t_cv) ln(1 - p_cv) ]

With weights w every sum over voxels is one of w times its terms, and V is sum_v w. Where targets are soft,
Dice is smallest at p = t in its semimetric form alone (`aleaseg.losses.soft`):

    Dice_c = sum_v |p_cv - t_cv| / (sum_v p_cv + sum_v t_cv + 1e-5)

p is the sigmoid of a class's own logit, or the softmax over all channels, in which
each class stands against all the others. ln p and ln(1 - p) are taken from the
logits, so that nothing is lost where p rounds to 0 or 1.

Both losses are made of four sums over the voxels, |p - t| in place of p t where Dice
is semimetric. The voxels come in blocks that stay in the processor's cache, and the backward pass computes a block's
probabilities anew: beside their logits a hundred classes need the gradient, and not
ten more tensors of that size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["class_log_probabilities", "dice_and_bce"]

SMOOTH = 1e-5
# Entries of the logits that are worked on together; a GPU wants fewer and larger pieces.
_CHUNK = {"cpu": 2**18}
_CHUNK_ELSEWHERE = 2**24


def dice_and_bce(
    logits: Tensor,
    target: Tensor,
    *,
    softmax: bool = True,
    background: bool = False,
    labels: range | None = None,
    noise: Tensor | None = None,
    counted: Tensor | None = None,
    semimetric: bool = False,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Dice loss and binary cross-entropy of each sample and class; logits and noise have gradients, once.

    Args:
        logits: (B, C, *spatial), raw. Halves are worked on in float32.
        target: (B, C_fg, *spatial) in [0, 1]; with `labels` a label map (B, 1, *spatial).
        softmax: p is the softmax over the channels, two at least; False: the sigmoid of each.
        background: channel 0 is the background: C_fg = C - 1, of the other channels. False: C_fg = C.
        labels: label values of the C_fg classes, in their order.
        noise: (B, C_fg, *spatial); t is then clamp(target - noise, 0, 1).
        counted: (B, 1 or C_fg, *spatial), bool: voxels that count; or weights >= 0, how much. None: all
            of them, alike. A sample without any has Dice loss and cross-entropy 0.
        semimetric: Dice by |p - t|, 0 exactly at p = t; False: by p t, which is the same for hard targets.
        chunk: entries of the logits per block; changes memory and speed, not the result.

    Returns:
        Dice loss in [0, 1] and cross-entropy in nats, (B, C_fg) each.

    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])
    >>> dice, bce = dice_and_bce(logits, torch.tensor([[[1, 0]]]), background=True, labels=range(1, 2))
    >>> round(dice.item(), 4), round(bce.item(), 4)
    (0.0001, 0.0001)
    """
    chunk = chunk or _CHUNK.get(logits.device.type, _CHUNK_ELSEWHERE)
    if target.dtype == torch.bool:
        target = target.byte()  # True is the label 1, and no other
    flat = (None if x is None else x.flatten(2) for x in (logits, target, noise, counted))
    sums: Any = _Sums.apply
    how = softmax, int(background), labels, semimetric, chunk
    common, predicted, annotated, entropy = sums(*flat, *how)
    if semimetric:
        dice = common / (predicted + annotated + SMOOTH)
    else:
        dice = 1 - (2 * common + SMOOTH) / (predicted + annotated + SMOOTH)
    if counted is None:
        return dice, entropy / logits[0, 0].numel()
    weight = counted.flatten(2).sum(-1)
    return dice, entropy / torch.where(weight > 0, weight, 1)


def class_log_probabilities(logits: Tensor, softmax: bool) -> tuple[Tensor, Tensor]:
    """Logarithms ln p and ln(1 - p) of every class, without cancellation.

    Args:
        logits: (B, C, ...); under softmax at least two channels.
        softmax: p is the softmax over the channels; False: the sigmoid of each.

    Returns:
        Two tensors like `logits`.

    >>> log_p, log_not = class_log_probabilities(torch.tensor([[0.0, 60.0]]), softmax=True)
    >>> log_p.tolist(), log_not[0, 1].item()
    ([[-60.0, 0.0]], -60.0)
    """
    if not softmax:
        return F.logsigmoid(logits), F.logsigmoid(-logits)
    log_p, likely, others = _against_the_others(logits)
    return log_p, torch.where(likely, others.logsumexp(1, keepdim=True), torch.log1p(-others.exp()))


def _against_the_others(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors: ln p; where p > 1/2, of one class at most; and ln p without that class.

    Only there can 1 - p be lost to rounding: it is what the others sum to.
    """
    log_p = F.log_softmax(logits, 1)
    likely = log_p > -math.log(2)
    return log_p, likely, log_p.masked_fill(likely, -torch.inf)


class _Sums(torch.autograd.Function):
    """(4, B, C_fg): sums over the voxels of p t or |p - t|, p, t and the cross-entropy."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        noise: Tensor | None,
        counted: Tensor | None,
        softmax: bool,
        first: int,
        labels: range | None,
        semimetric: bool,
        chunk: int,
    ) -> Tensor:
        ctx.save_for_backward(logits, target, noise, counted)
        ctx.how = softmax, first, labels, semimetric, chunk
        total: Any = 0
        for _, z, t, weight in _blocks(logits, target, noise, counted, labels, chunk):
            log_p, log_not = (x[:, first:] for x in class_log_probabilities(z, softmax))
            p, entropy = log_p.exp(), torch.lerp(log_not, log_p, t).neg_()
            common = (p - t).abs_() if semimetric else p * t
            terms: tuple[Tensor, ...] = (common, p, t, entropy)
            if weight is not None:
                terms = tuple(term * weight for term in terms)
            total = total + torch.stack([term.sum(-1) for term in terms])
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, noise, counted = ctx.saved_tensors
        softmax, first, labels, semimetric, chunk = ctx.how
        to_logits = torch.empty_like(logits)
        to_noise = torch.empty_like(noise) if ctx.needs_input_grad[2] else None
        for here, z, t, weight in _blocks(logits, target, noise, counted, labels, chunk):
            of_common, of_p, of_t, of_entropy = (
                slopes[..., None] if weight is None else slopes[..., None] * weight
            )
            if semimetric:
                p = (z.softmax(1) if softmax else z.sigmoid())[:, first:]
                to_p, to_t = of_common * (p - t).sign(), of_common * (t - p).sign()
                of_p = of_p + to_p
            else:
                of_p = torch.addcmul(of_p, of_common, t)
            to_logits[here] = (_softmax_slope if softmax else _sigmoid_slope)(z, t, of_p, of_entropy, first)
            if to_noise is not None:
                log_p, log_not = (x[:, first:] for x in class_log_probabilities(z, softmax))
                of_t = of_t + (to_t if semimetric else of_common * log_p.exp())
                of_t = of_t + of_entropy * (log_not - log_p)
                to_noise[here] = torch.where((t > 0) & (t < 1), -of_t, 0.0)
        return to_logits, None, to_noise, *[None] * 6


def _blocks(
    logits: Tensor,
    target: Tensor,
    noise: Tensor | None,
    counted: Tensor | None,
    labels: range | None,
    chunk: int,
) -> Iterator[tuple[Any, Tensor, Tensor, Tensor | None]]:
    """Index of each block, its logits (B, C, n), t (B, C_fg, n) and weights (B, 1 or C_fg, n)."""
    batch, channels, voxels = logits.shape
    working = logits.dtype if logits.dtype == torch.float64 else torch.float32
    step = max(1, chunk // (batch * channels))
    if labels is not None:
        values = torch.tensor(labels, dtype=target.dtype, device=target.device)[:, None]
    for start in range(0, voxels, step):
        here = (..., slice(start, start + step))
        t = (target[here] if labels is None else target[here] == values).to(working)
        if noise is not None:
            t = (t - noise[here].to(working)).clamp_(0, 1)
        weight = None if counted is None else counted[here].to(working)
        yield here, logits[here].to(working), t, weight


def _sigmoid_slope(z: Tensor, t: Tensor, of_p: Tensor, of_entropy: Tensor, first: int) -> Tensor:
    """d/dz of p and the cross-entropy, p (1 - p) and p - t, each times its slope."""
    p = z[:, first:].sigmoid()
    slope = of_p * p * (1 - p) + of_entropy * (p - t)
    return F.pad(slope, (0, 0, first, 0))


def _softmax_slope(z: Tensor, t: Tensor, of_p: Tensor, of_entropy: Tensor, first: int) -> Tensor:
    """The same where a class stands against all the others.

    d ln p_c / dz_k       = [k = c] - p_k
    d ln(1 - p_c) / dz_k  = [k != c] p_k / (1 - p_c) - p_k

    For the one class with p > 1/2 the quotient is k's share of what the others sum to, which is
    there when 1 - p has rounded to 0.
    """
    log_p, likely, others = _against_the_others(z)
    p = log_p.exp()
    of_log_p = F.pad(of_p * p[:, first:] - of_entropy * t, (0, 0, first, 0))
    of_log_not = F.pad(of_entropy * (t - 1), (0, 0, first, 0))
    whole = (of_log_p + of_log_not).sum(1, keepdim=True)
    unlikely = of_log_not.masked_fill(likely, 0)
    to_others = unlikely / (1 - others.exp())
    slope = of_log_p + p * (to_others.sum(1, keepdim=True) - to_others - whole)
    return slope + others.softmax(1) * (of_log_not - unlikely).sum(1, keepdim=True)
