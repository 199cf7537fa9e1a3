"""Other measures of a class's certainty in place of S, and weights that stay fixed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["FisherCertainty", "MahalanobisCertainty", "frequency_weights", "scale_weights"]


class FisherCertainty(nn.Module):
    """t_c = 1 - the mean trigamma of a class's evidence where it is predicted, in parts of its largest value.

    `aleaseg.measures.fisher`, on a batch of logits: for `DUOLoss(certainty=FisherCertainty())`.
    """

    def __init__(self, *, softmax: bool = True) -> None:
        """Choose how channels are read.

        Args:
            softmax: channel 0 is the background, the largest logit is predicted; False: every channel is a
                class, predicted where its logit is above 0.
        """
        super().__init__()
        raise NotImplementedError

    def forward(self, logits: Tensor) -> Tensor:
        """(B, C, *spatial) logits -> (B, C_fg) in [0, 1], high = certain; NaN where a class is not predicted."""
        raise NotImplementedError


class MahalanobisCertainty(nn.Module):
    """t_c = 1 - min-max of ln M_c, M_c the Mahalanobis distance of a class's mean logits; moving averages.

    The population that a Mahalanobis distance needs (means, covariance, range of ln M) is not known while
    a network is trained: exponential moving averages over the batches take its place. They are buffers,
    saved with the module, and each process of a DDP training has its own.
    """

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
        raise NotImplementedError

    def forward(self, logits: Tensor) -> Tensor:
        """(B, C, *spatial) logits -> (B, C_fg) in [0, 1], high = certain; NaN where there is no distance yet.

        In training mode the batch is learned from, after its distances were taken.
        """
        raise NotImplementedError


def scale_weights(mean_scales: Sequence[float] | Tensor, alpha: float = 0.5) -> Tensor:
    """Static weights 1 / (1 + alpha S_c) from the mean S of each class over a data set.

    Args:
        mean_scales: (C_fg,) in [0, 1].
        alpha: as in `DUOLoss`.

    Returns:
        (C_fg,) float32.
    """
    raise NotImplementedError


def frequency_weights(voxels: Sequence[float] | Tensor) -> Tensor:
    """Static weights by inverse voxel frequency, with mean 1.

    Args:
        voxels: (C_fg,) number (or share) of voxels of each class over a data set, > 0.

    Returns:
        (C_fg,) float32, mean 1.
    """
    raise NotImplementedError
