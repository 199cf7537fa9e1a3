"""Mahalanobis distance of a class's feature from that class's mean, absolute and relative.

    M_c(x)  = (x - mu_c)^T Sigma^-1 (x - mu_c)          Sigma: within classes, shared
    RM_c(x) = M_c(x) - (x - mu)^T Sigma_0^-1 (x - mu)   mu, Sigma_0: of all rows, whatever the class

M with one shared covariance: Lee et al. (NeurIPS 2018); for aleatoric uncertainty
from the features of a foundation model: Cui et al., arXiv 2411.17767. RM: Ren et
al., arXiv 2106.09022; for the difficulty of samples: Cui et al., arXiv 2304.10127.
In segmentation a row is the mean feature inside one class of one case.

Both covariances are those of Ledoit and Wolf (2004), shrunk towards a multiple of
the identity: with rows x_i about their means, S = 1/n sum_i x_i x_i^T, m = tr S / F,

    d^2 = |S - m I|^2 / F,   b^2 = 1/(n F) (1/n sum_i |x_i|^4 - |S|^2)
    Sigma = (1 - b^2/d^2) S + b^2/d^2 m I,              b^2/d^2 at most 1

so that sums per class suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MahalanobisReference", "Moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """What the rows of one class add to the reference: sums about their own mean, which merge.

    About the mean, and not about a fixed origin, so that nothing cancels where features lie far from 0.

    Attributes:
        n: number of rows.
        mean: (F,); zeros for no rows.
        scatter: (F, F), sum of d d^T with d = x - mean.
        third: (F,), sum of |d|^2 d.
        fourth: sum of |d|^4.
    """

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    third: NDArray[np.float64]
    fourth: float

    @classmethod
    def of(cls, rows: ArrayLike) -> Moments:
        """Moments of rows.

        Args:
            rows: (n, F); those with a NaN (class absent) are left out.

        Raises:
            ValueError: not two axes, no features, or an infinite value.

        >>> Moments.of([[0.0, 0.0], [2.0, 0.0]]).fourth
        2.0
        """
        x = np.asarray(rows, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] == 0:
            raise ValueError(f"rows have shape {x.shape}; expected (rows, features)")
        if np.isinf(x).any():
            raise ValueError(
                "rows hold infinite values; expected finite features, or NaN rows where absent"
            )
        x = x[~np.isnan(x).any(axis=1)]
        mean = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
        d = x - mean
        squares = (d**2).sum(axis=1)
        return cls(len(x), mean, d.T @ d, squares @ d, float(squares @ squares))

    def merge(self, other: Moments) -> Moments:
        """Moments of the rows of both.

        Raises:
            ValueError: the numbers of features differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"moments of {len(self.mean)} and of {len(other.mean)} features do not merge")
        n = self.n + other.n
        mean = (self.n * self.mean + other.n * other.mean) / max(n, 1)
        one, two = self._about(mean), other._about(mean)
        return Moments(n, mean, one.scatter + two.scatter, one.third + two.third, one.fourth + two.fourth)

    def _about(self, point: NDArray[np.float64]) -> Moments:
        """The sums with d = x - point instead: binomial expansion, in which the sum of x - mean is 0."""
        shift = self.mean - point
        length, spread, turned = shift @ shift, np.trace(self.scatter), self.scatter @ shift
        return Moments(
            self.n,
            point,
            self.scatter + self.n * np.outer(shift, shift),
            self.third + 2 * turned + (spread + self.n * length) * shift,
            self.fourth
            + float(4 * shift @ (self.third + turned) + length * (2 * spread + self.n * length)),
        )


@dataclass(frozen=True, eq=False)
class MahalanobisReference:
    """Gaussians that features are measured against, frozen with a population.

    Attributes:
        classes: the C classes, in the order of the columns.
        means: (C, F); NaN for a class of which there was no row.
        covariance: (F, F), within classes, shared, shrunk.
        overall_mean: (F,), of all rows.
        overall_covariance: (F, F), of all rows about it, shrunk.
    """

    classes: tuple[int | str, ...]
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    overall_mean: NDArray[np.float64]
    overall_covariance: NDArray[np.float64]

    @classmethod
    def fit(cls, moments: Mapping[int, Moments] | Mapping[str, Moments]) -> MahalanobisReference:
        """Fit to the moments of each class.

        Args:
            moments: class -> its moments; their order is that of the columns.

        Raises:
            ValueError: no rows at all, none of which differs from its class's mean, or classes with
                different numbers of features.
        """
        per_class = list(moments.values())
        if not any(one.n for one in per_class):
            raise ValueError("no class has rows; expected the features of at least one case")
        overall = reduce(Moments.merge, per_class)
        scatter = sum((one.scatter for one in per_class), np.zeros_like(overall.scatter))
        if not np.trace(scatter) > 0:
            raise ValueError(
                f"none of {overall.n} rows differs from the mean of its class; expected several different "
                "rows of at least one class, to have a spread to measure by"
            )
        return cls(
            tuple(moments),
            np.stack([one.mean if one.n else np.full_like(one.mean, np.nan) for one in per_class]),
            _ledoit_wolf(scatter, overall.n, sum(one.fourth for one in per_class)),
            overall.mean,
            _ledoit_wolf(overall.scatter, overall.n, overall.fourth),
        )

    def distance(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Squared Mahalanobis distance of each feature from its class's mean; high = uncertain.

        Args:
            rows: (N, C, F) features, NaN where the case lacks the class.

        Returns:
            (N, C), >= 0, without unit; for Gaussian features about F. NaN where a feature is NaN, or
            the class has no mean. A case's value is the mean over its classes; u is `log_minmax`.

        Raises:
            ValueError: another shape than (N, C, F), or an infinite value.

        >>> moments = {"liver": Moments.of([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])}
        >>> MahalanobisReference.fit(moments).distance([[[2.0, 0.0]]]).round(9).tolist()
        [[8.0]]
        """
        return _squared(self._checked(rows) - self.means, self._whitening)

    def relative(self, rows: ArrayLike) -> NDArray[np.float64]:
        """`distance` less the distance from the mean of all rows; high = uncertain.

        What is far from everything, and not from its class alone, counts less.

        Args:
            rows: (N, C, F) features, NaN where the case lacks the class.

        Returns:
            (N, C), may be negative, so that u is a min-max without the logarithm; NaN as in `distance`.

        Raises:
            ValueError: as `distance`.
        """
        x = self._checked(rows)
        overall = _squared(x - self.overall_mean, self._overall_whitening)
        return _squared(x - self.means, self._whitening) - overall

    @cached_property
    def _whitening(self) -> NDArray[np.float64]:
        return _inverse_root(self.covariance)

    @cached_property
    def _overall_whitening(self) -> NDArray[np.float64]:
        return _inverse_root(self.overall_covariance)

    def _checked(self, rows: ArrayLike) -> NDArray[np.float64]:
        x = np.asarray(rows, dtype=np.float64)
        if x.ndim != 3 or x.shape[1:] != self.means.shape:
            raise ValueError(
                f"rows have shape {x.shape}; expected (cases, {len(self.classes)} classes, "
                f"{len(self.overall_mean)} features)"
            )
        if np.isinf(x).any():
            raise ValueError("rows hold infinite values; expected finite features, or NaN where absent")
        return x


def _ledoit_wolf(scatter: NDArray[np.float64], n: int, fourth: float) -> NDArray[np.float64]:
    """(F, F) shrunk covariance from the sums of x x^T and of |x|^4 over n centred rows."""
    features = len(scatter)
    covariance = scatter / n
    target = np.trace(covariance) / features * np.eye(features)
    from_target = ((covariance - target) ** 2).sum() / features
    from_truth = (fourth / n - (covariance**2).sum()) / (n * features)
    shrinkage = min(max(from_truth / from_target, 0.0), 1.0) if from_target > 0 else 0.0
    return (1 - shrinkage) * covariance + shrinkage * target


def _inverse_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, k) W with W W^T the inverse; directions without any spread do not count, as in a pseudo-inverse."""
    values, vectors = np.linalg.eigh(covariance)
    there = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, there] / np.sqrt(values[there])


def _squared(difference: NDArray[np.float64], whitening: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((difference @ whitening) ** 2).sum(axis=-1)
