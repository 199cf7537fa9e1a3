"""Aleatoric energy: how little of the probability the winning class leaves to the others, and its mixture.

    AU(v) = -LSE(f_v) + LSE(f_v without its largest) = ln(1 - p_max),   LSE(f) = ln sum_c exp f_c
    u     = P(high component | mean AU over the predicted foreground),

the posterior of the component of higher mean in a mixture of two Gaussians, fitted
to the min-max-scaled energies of a population. After "Rethinking Epistemic and
Aleatoric Uncertainty for Active Open-Set Annotation: An Energy-Based Approach"
(EAOA, CVPR 2025, arXiv 2502.19691), which scores whole images; the mean over
voxels is the adaptation to segmentation. EAOA's epistemic half needs one output
more than there are classes, for the unknown, and is not here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from aleaseg.measures.logits import mean_inside

__all__ = ["EnergyMixture", "aleatoric_energy", "mean_energy"]

# Spans of energies below this are rounding, not differences.
_ROUNDING = 1e-12


def aleatoric_energy(logits: ArrayLike) -> NDArray[np.float64]:
    """ln(1 - p_max) in each voxel, from the logits; high = uncertain.

    Exact where 1 - p_max itself would round to 0.

    Args:
        logits: (channel, *grid), finite, at least two channels; an offset common to all channels of a
            voxel does not matter.

    Returns:
        (*grid) float64, at most ln(1 - 1/C), in nats; the surer, the further below 0.

    >>> aleatoric_energy([2.0, 0.5, -1.0]).round(4).tolist()
    -1.5399
    >>> aleatoric_energy([800.0, 0.0]).tolist()
    -800.0
    """
    f = np.asarray(logits, dtype=np.float64)
    winner = f.argmax(axis=0)[None]
    f = f - np.take_along_axis(f, winner, axis=0)
    np.put_along_axis(f, winner, -np.inf, axis=0)
    second = f.max(axis=0)
    others = second + np.log(np.exp(f - second).sum(axis=0))
    return others - np.logaddexp(0.0, others)


def mean_energy(logits: ArrayLike, predicted_foreground: ArrayLike) -> float:
    """Mean aleatoric energy over the predicted foreground; high = uncertain.

    Args:
        logits: (channel, *grid), any real dtype; channel 0 = background.
        predicted_foreground: (*grid), non-zero = predicted as some class that is not background.

    Returns:
        Mean of `aleatoric_energy` in nats, at most ln(1 - 1/C) < 0; NaN where nothing is predicted.

    Raises:
        ValueError: shapes that do not fit, fewer than two channels, or NaN or infinity inside.

    >>> logits = np.array([[[0.0, 9.0]], [[0.0, 0.0]]])
    >>> round(mean_energy(logits, [[1, 0]]), 4)  # ln(1 - 1/2)
    -0.6931
    """
    return mean_inside(aleatoric_energy, logits, predicted_foreground)


@dataclass(frozen=True)
class EnergyMixture:
    """Two Gaussians in the energies of a population, frozen.

    Attributes:
        low, high: smallest and largest energy, which are put at 0 and 1.
        weights, means, variances: of the two components, on that scale, the one of lower mean first.
    """

    low: float
    high: float
    weights: tuple[float, float]
    means: tuple[float, float]
    variances: tuple[float, float]

    @classmethod
    def fit(cls, energies: ArrayLike) -> EnergyMixture:
        """Fit to the energies of a population; their order does not matter.

        Settings are those of EAOA's public code (floor of the variances 5e-4, tolerance 1e-2), but for
        a seed and for up to 100 rounds instead of 10.

        Args:
            energies: any shape, in nats; NaN (nothing predicted) is left out.

        Returns:
            The mixture. Fewer than two energies, or all equal, give two components that are the same:
            nothing stands out, and every posterior is 0.5.

        Raises:
            ValueError: an energy is infinite.
        """
        values = np.asarray(energies, dtype=np.float64).ravel()
        if np.isinf(values).any():
            raise ValueError(
                f"{int(np.isinf(values).sum())} of {values.size} energies are infinite; expected finite "
                "numbers, or NaN where nothing is predicted"
            )
        found = np.sort(values[~np.isnan(values)])
        low, high = (float(found[0]), float(found[-1])) if found.size else (0.0, 0.0)
        if high - low <= _ROUNDING:
            return cls(low, high, (0.5, 0.5), (0.0, 0.0), (1.0, 1.0))

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(2, tol=1e-2, reg_covar=5e-4, max_iter=100, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its last round is as good a mixture
            mixture.fit(((found - low) / (high - low))[:, None])
        first, second = np.argsort(mixture.means_[:, 0], kind="stable")

        def pair(numbers: NDArray) -> tuple[float, float]:
            flat = numbers.reshape(2)
            return float(flat[first]), float(flat[second])

        return cls(low, high, pair(mixture.weights_), pair(mixture.means_), pair(mixture.covariances_))

    def uncertainty(self, energies: ArrayLike) -> NDArray[np.float64]:
        """Posterior of the component of higher mean.

        It need not rise with the energy: the wider of two Gaussians wins on both sides in the end, so
        that a very low energy may get a high posterior. EAOA has it so, and so has this.

        Args:
            energies: any shape, in nats; beyond the population's range they are not clipped.

        Returns:
            Same shape, float64, in [0, 1]; high = uncertain. NaN stays NaN.
        """
        span = self.high - self.low
        x = (np.asarray(energies, dtype=np.float64) - self.low) / (span if span > _ROUNDING else 1.0)
        certain, uncertain = (
            np.log(weight) - 0.5 * np.log(variance) - 0.5 * (x - mean) ** 2 / variance
            for weight, mean, variance in zip(self.weights, self.means, self.variances, strict=True)
        )
        return expit(uncertain - certain)
