"""Other measures of a class's certainty in place of S, from the logits of a batch, and weights that stay fixed.

arXiv 2604.10963, Table 3, puts competing measures where DUO has S. It gives them no
form for segmentation; these are the forms of `aleaseg.measures.fisher` and
`aleaseg.measures.mahalanobis`, with a class's own region taken from the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FisherCertainty", "MahalanobisCertainty", "frequency_weights", "scale_weights"]


class FisherCertainty(nn.Module):
    """t_c = 1 - mean of psi1(softplus(z_c) + 1) / psi1(1) over the voxels predicted as c; psi1: trigamma.

    I-EDL (arXiv 2303.02045) reads logits as evidence. Their level counts: unlike a softmax, t changes with
    an offset that all channels share.
    """

    def __init__(self, *, softmax: bool = True) -> None:
        """Choose how channels are read.

        Args:
            softmax: channel 0 is the background, and the largest logit is predicted; False: every channel is
                a class of its own, predicted where its logit is above 0.
        """
        super().__init__()
        self.softmax = softmax

    def forward(self, logits: Tensor) -> Tensor:
        """Certainty of each class.

        Args:
            logits: (B, C, *spatial).

        Returns:
            (B, C_fg) in [0, 1], high = certain; NaN where a class is not predicted.

        >>> certainty = FisherCertainty(softmax=False)
        >>> [round(t, 4) for t in certainty(torch.tensor([[[[9.0, 3.0]], [[-1.0, -2.0]]]]))[0].tolist()]
        [0.8829, nan]
        """
        z = logits if logits.dtype == torch.float64 else logits.float()
        inside = _predicted(z, self.softmax)
        z = z[:, z.shape[1] - inside.shape[1] :]
        # Trigamma is dear, and most voxels are background.
        doubt = z.new_zeros(z.shape)
        doubt[inside] = torch.special.polygamma(1, F.softplus(z[inside]) + 1) * (6 / math.pi**2)
        return (1 - doubt.flatten(2).sum(-1) / inside.flatten(2).sum(-1)).clamp(0, 1)


class MahalanobisCertainty(nn.Module):
    """t_c = 1 - min-max of ln M_c, where M_c is the Mahalanobis distance of a class's mean logits.

    h is the mean logit vector over the voxels predicted as c; M_c = (h - mu_c)^T Sigma^-1 (h - mu_c) with one
    covariance for all classes. The population that this needs (means, covariance, range of ln M) is not
    known while a network is trained, and moves with it: exponential moving averages over the batches take
    its place. The range forgets at the same rate. All of it lies in buffers, which are saved with the
    module; each process of a DDP training has its own. Under deep supervision it learns from the finest
    outputs alone (of the most voxels so far): logits of coarser ones are of another kind, and would widen it.
    """

    mean: Tensor
    covariance: Tensor
    low: Tensor
    high: Tensor
    seen: Tensor
    batches: Tensor
    voxels: Tensor

    def __init__(
        self, channels: int, *, softmax: bool = True, momentum: float = 0.99, warm_up: int = 20
    ) -> None:
        """Make an empty population.

        Args:
            channels: C of the logits.
            softmax: as in `FisherCertainty`.
            momentum: share of the old average that is kept at each batch, in [0, 1).
            warm_up: batches that are only learned from; t is NaN meanwhile.
        """
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; expected a share in [0, 1)")
        self.softmax, self.momentum, self.warm_up = softmax, momentum, warm_up
        classes = channels - softmax
        self.register_buffer("mean", torch.zeros(classes, channels, dtype=torch.float64))
        self.register_buffer("covariance", torch.zeros(channels, channels, dtype=torch.float64))
        self.register_buffer("low", torch.tensor(torch.inf, dtype=torch.float64))
        self.register_buffer("high", torch.tensor(-torch.inf, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("voxels", torch.tensor(0))  # of the finest output so far

    def forward(self, logits: Tensor) -> Tensor:
        """Certainty of each class; in training mode the population learns the batch afterwards.

        Args:
            logits: (B, C, *spatial).

        Returns:
            (B, C_fg) in [0, 1], high = certain; NaN in the warm-up, and where a class is not predicted.

        Raises:
            ValueError: another number of channels.
        """
        channels = len(self.covariance)
        if logits.shape[1] != channels:
            raise ValueError(
                f"the logits have shape {tuple(logits.shape)}; expected {channels} channels, as this population has"
            )
        z = (logits if logits.dtype == torch.float64 else logits.float()).flatten(2)
        inside = _predicted(z, self.softmax).to(z.dtype)
        # (B, C_fg, C); NaN where the class is not predicted
        h = (torch.einsum("bkv,bcv->bkc", inside, z) / inside.sum(-1)[..., None]).double()
        log_m = self._distance(h).log()
        t = 1 - (log_m - self.low) / (self.high - self.low)
        ready = self.batches >= self.warm_up
        if self.training and z.shape[-1] >= self.voxels:
            if z.shape[-1] > self.voxels:
                self._forget()  # what was learned of coarser ones
                self.voxels.fill_(z.shape[-1])
            self._learn(h.detach(), log_m.detach())
        return torch.where(ready, t, torch.nan).clamp(0, 1)

    def _distance(self, h: Tensor) -> Tensor:
        """M_c; the covariance is shrunk a little towards a multiple of the identity, to have an inverse."""
        size = len(self.covariance)
        identity = torch.eye(size, dtype=torch.float64, device=h.device)
        spread = self.covariance.trace() / size
        sigma = 0.9 * self.covariance + 0.1 * spread * identity if spread > 0 else identity
        d = h - self.mean
        return (d * torch.linalg.solve(sigma, d[..., None])[..., 0]).sum(-1)

    def _forget(self) -> None:
        for buffer in (self.mean, self.covariance, self.seen, self.batches):
            buffer.zero_()
        self.low.fill_(torch.inf)
        self.high.fill_(-torch.inf)

    @torch.no_grad()
    def _learn(self, h: Tensor, log_m: Tensor) -> None:
        there = ~h.isnan().any(-1)
        old = self.seen > 0
        for c in range(len(self.mean)):
            rows = h[there[:, c], c]
            if len(rows):
                self.mean[c].lerp_(rows.mean(0), 1 - self.momentum if old[c] else 1.0)
        d = (h - self.mean)[there & old]  # of a class seen before: the first batch is its own mean
        if len(d):
            first = not bool(self.covariance.any())
            self.covariance.lerp_(d.mT @ d / len(d), 1.0 if first else 1 - self.momentum)
        known = log_m[there & old & (self.batches > 1)]
        known = known[known.isfinite()]
        if len(known):
            # Widened at once, forgotten slowly.
            for edge, outer in ((self.low, known.min()), (self.high, known.max())):
                moved = edge.lerp(known.mean(), 1 - self.momentum) if bool(edge.isfinite()) else outer
                edge.copy_(torch.minimum(moved, outer) if edge is self.low else torch.maximum(moved, outer))
        self.seen += there.sum(0)
        self.batches += 1


def _predicted(logits: Tensor, softmax: bool) -> Tensor:
    """(B, C_fg, ...) bool: where each class is predicted."""
    if not softmax:
        return logits > 0
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    return logits.max(1, keepdim=True).indices == classes.view(-1, *[1] * (logits.ndim - 2))


def scale_weights(mean_scales: Sequence[float] | Tensor, alpha: float = 0.5) -> Tensor:
    """Static weights 1 / (1 + alpha S_c) from the mean S of each class over a data set.

    Args:
        mean_scales: (C_fg,) in [0, 1].
        alpha: as in `DUOLoss`.

    Returns:
        (C_fg,) float32, in [1 / (1 + alpha), 1].

    Raises:
        ValueError: a scale beyond [0, 1].

    >>> scale_weights([0.0, 1.0]).tolist()
    [1.0, 0.6666666865348816]
    """
    scales = torch.as_tensor(mean_scales, dtype=torch.float32)
    if not bool(((scales >= 0) & (scales <= 1)).all()):
        raise ValueError(f"mean_scales are {scales.tolist()}; expected S of each class, in [0, 1]")
    return 1 / (1 + alpha * scales)


def frequency_weights(voxels: Sequence[float] | Tensor) -> Tensor:
    """Static weights by inverse voxel frequency, with mean 1.

    Args:
        voxels: (C_fg,) number (or share) of voxels of each class over a data set, > 0.

    Returns:
        (C_fg,) float32, mean 1.

    Raises:
        ValueError: a class without voxels.

    >>> frequency_weights([100, 300]).tolist()
    [1.5, 0.5]
    """
    counts = torch.as_tensor(voxels, dtype=torch.float64)
    if not bool(((counts > 0) & counts.isfinite()).all()):
        raise ValueError(f"voxels are {counts.tolist()}; expected a number > 0 for each class")
    weights = 1 / counts
    return (weights / weights.mean()).float()
