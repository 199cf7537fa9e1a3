"""How badly a prediction does on the labels that voxels were given: the loss of a case, and its error vector.

    cross_entropy = mean_v -ln p_y(v)                                        p clipped at 1e-7
    error_norm    = mean_v || p(v) - onehot(y(v)) ||_2                       (EL2N)

y is the label that voxel v was given, p its predicted probabilities. Take p out
of fold: a network does well on the masks it was trained on, wrong ones too. The
loss as a sign of a wrong label: Arpit et al., "A closer look at memorization in
deep networks" (2017). EL2N: Paul, Ganguli and Dziugaite, "Deep learning on a data
diet" (2021), there early in training and over several networks; here of whichever
prediction is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "Evidence", "annotated", "cross_entropy", "error_norm", "values_at"]

# The label of a voxel that nobody annotated.
IGNORE = 255
# As small as float32 probabilities can be told from 1: one voxel costs at most 16.1.
_LEAST = 1e-7
_BLOCK = 2**20


def annotated(label: NDArray, where: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
    """Which voxels count: flat indices of those inside `where` whose label is not 255.

    Args:
        label: (*grid) class indices, 255 = not annotated.
        where: (*grid); None: everywhere.

    Raises:
        ValueError: the shapes differ.

    >>> annotated(np.array([[0, 255], [1, 1]]), np.array([[True, True], [False, True]])).tolist()
    [0, 3]
    """
    counts = label != IGNORE
    if where is not None:
        if where.shape != label.shape:
            raise ValueError(f"where has shape {where.shape}; expected the label's {label.shape}")
        counts &= where != 0
    return np.flatnonzero(counts)


def values_at(
    maps: Iterable[NDArray], shape: tuple[int, ...], index: NDArray, given: NDArray
) -> Iterator[NDArray[np.float32]]:
    """Each channel at some voxels, (n,), one channel in memory at a time.

    Args:
        maps: (channel, *grid), channel 0 = background; or its channels, one after another.
        shape: of the grid.
        index: (n,) flat indices, as from `annotated`.
        given: (n,) class index of each of these voxels.

    Raises:
        ValueError: a channel has another shape or holds NaN or infinite values, there are fewer than two
            channels, or a voxel was given a class without a channel.
    """
    count = 0
    for channel in maps:
        if channel.shape != shape:
            raise ValueError(f"channel {count} has shape {channel.shape}; expected the label's {shape}")
        values: NDArray[np.float32] = np.take(channel, index).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"channel {count} holds NaN or infinite values; expected finite ones")
        count += 1
        yield values
    if count < 2:
        raise ValueError(f"got {count} channels; expected the background and at least one class")
    if given.size and not 0 <= given.min() <= given.max() < count:
        raise ValueError(
            f"labels run from {given.min()} to {given.max()}; expected class indices 0 to {count - 1},"
            f" or {IGNORE} where nothing is annotated"
        )


@dataclass(frozen=True)
class Evidence:
    """What logits f say for and against the label y that each of n voxels was given; in the log domain.

    Attributes:
        own: f_y.
        rival: max_{k != y} f_k.
        others: ln sum_{k != y} exp f_k.
        squares: ln sum_{k != y} exp 2 f_k.
    """

    own: NDArray[np.float32]
    rival: NDArray[np.float32]
    others: NDArray[np.float32]
    squares: NDArray[np.float32]

    @classmethod
    def of(
        cls, logits: Iterable[NDArray], shape: tuple[int, ...], index: NDArray, given: NDArray
    ) -> Evidence:
        """Of raw logits; arguments and errors as in `values_at`."""
        own = np.zeros(index.size, dtype=np.float32)
        rival, others, squares = (np.full(index.size, -np.inf, dtype=np.float32) for _ in range(3))
        for k, channel in enumerate(values_at(logits, shape, index, given)):
            own = np.where(given == k, channel, own)
            against = np.where(given == k, np.float32(-np.inf), channel)
            np.maximum(rival, against, out=rival)
            np.logaddexp(others, against, out=others)
            np.logaddexp(squares, 2 * against, out=squares)
        return cls(own, rival, others, squares)

    @property
    def margin(self) -> NDArray[np.float32]:
        """f_y - max_{k != y} f_k: above 0 where the prediction is the given label."""
        return self.own - self.rival

    @property
    def probability(self) -> NDArray[np.float32]:
        """p_y of the softmax, in [0, 1]."""
        given: NDArray[np.float32] = np.exp(self.own - np.logaddexp(self.own, self.others))
        return given

    @property
    def error(self) -> NDArray[np.float32]:
        """||p - onehot(y)||_2 of the softmax, in [0, sqrt 2]."""
        total = np.logaddexp(self.own, self.others)
        # 1 - p_y is summed from the other classes: the difference would cancel where p_y is near 1.
        norm: NDArray[np.float32] = np.sqrt(
            np.exp(2 * (self.others - total)) + np.exp(self.squares - 2 * total)
        )
        return norm


def cross_entropy(given: NDArray, where: NDArray[np.bool_] | None = None) -> float:
    """Mean over voxels of -ln of the probability of the label that each was given; high = bad.

    Args:
        given: p_y, any shape, in [0, 1]; NaN where a voxel does not count.
        where: same shape, the voxels to look at; None: all.

    Returns:
        In nats, in [0, 16.1] (p is clipped at 1e-7); NaN without voxels.

    Raises:
        ValueError: the shapes differ.

    >>> round(cross_entropy(np.array([1.0, 0.5, np.nan])), 4)
    0.3466
    """
    if where is not None and where.shape != given.shape:
        raise ValueError(
            f"where has shape {where.shape}; expected that of the probabilities, {given.shape}"
        )
    flat = given.ravel() if where is None else given[where != 0]
    total, count = 0.0, 0
    for start in range(0, flat.size, _BLOCK):  # a volume in float64 would be held several times
        block = flat[start : start + _BLOCK].astype(np.float64)
        known = block[~np.isnan(block)]
        total -= float(np.log(np.clip(known, _LEAST, 1.0)).sum())
        count += known.size
    return total / count if count else float("nan")


def error_norm(logits: Iterable[NDArray], label: NDArray, where: NDArray[np.bool_] | None = None) -> float:
    """Mean over voxels of the length of the error vector, ||softmax(f) - onehot(y)||_2 (EL2N); high = bad.

    Args:
        logits: (channel, *grid) raw, channel 0 = background; or its channels, one after another.
        label: (*grid) class indices; 255 = not annotated, does not count.
        where: (*grid), the voxels to look at; None: all.

    Returns:
        In [0, sqrt 2]; NaN without voxels.

    Raises:
        ValueError: shapes differ, a logit is NaN or infinite, or a label has no channel.

    >>> round(error_norm(np.zeros((2, 3)), np.array([0, 1, 255])), 4)
    0.7071
    """
    index = annotated(label, where)
    evidence = Evidence.of(logits, label.shape, index, np.take(label, index))
    return float(evidence.error.mean(dtype=np.float64)) if index.size else float("nan")
