"""S and the normalised energies (Eq. 4-5 of arXiv 2604.10963)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aleaseg.errors import one_of
from aleaseg.spectral.spectrum import Spectrum, spectrum_of
from aleaseg.spectral.unfolding import CHUNK, Unfolding

if TYPE_CHECKING:
    from torch import Tensor

Definition = Literal["paper", "official"]
Rank = Literal["full", "numerical"]

_DEFINITIONS = ("paper", "official")
# The public script adds this to every singular value.
_OFFICIAL_EPS = 1e-6


class _Reading(TypedDict, total=False):
    center: bool
    unfold: Unfolding
    chunk: int


class _ScaleOptions(_Reading, total=False):
    power: float | None
    definition: Definition
    rank: Rank


class _EnergyOptions(_Reading, total=False):
    power: float
    eps: float


@overload
def semantic_perception_scale(maps: Tensor, **options: Unpack[_ScaleOptions]) -> Tensor: ...
@overload
def semantic_perception_scale(maps: ArrayLike, **options: Unpack[_ScaleOptions]) -> NDArray[np.float64]: ...
def semantic_perception_scale(
    maps: Any,
    *,
    power: float | None = None,
    center: bool = False,
    unfold: Unfolding = "d_hw",
    definition: Definition = "paper",
    rank: Rank = "full",
    chunk: int = CHUNK,
) -> Any:
    """Semantic perception scale S of class maps: normalised entropy of their singular-value energies.

    Eq. 4-5 of arXiv 2604.10963. S does not change when the map is scaled, when its rows or columns
    are permuted, or when it is multiplied by an orthogonal matrix from either side. It does change
    with an added constant: pass logits, or `center=True`; not an image with a large mean.

    Args:
        maps: (..., D, H, W), or (..., H, W) with `unfold="h_w"`; NumPy array or torch tensor, any
            real dtype. Leading axes are a batch. One class, one map. Logits, as a rule.
        power: exponent on the singular values. None: 2 (energies) for `paper`, 1 (amplitudes) for
            `official`.
        center: subtract the mean of each row first (Eq. 2).
        unfold: rows_columns of the matrix: `d_hw` (the paper's), `h_dw`, `w_dh`; `h_w` for 2D maps.
        definition: `paper`: Eq. 4-5, eps = 1e-12 sum(s^2), 0 ln 0 = 0, a map without energy has S = 0.
            `official`: the authors' public script: amplitudes, 1e-6 added to each singular value,
            NaN and infinity read as 0; a map of zeros has S = 1.
        rank: what r in ln r counts: `full`: min(rows, columns); `numerical`: singular values whose
            energy exceeds max(rows, columns) * machine epsilon of the largest (r = 1 gives S = 0).
        chunk: entries per block of the product; changes memory and speed, not the result.

    Returns:
        (...) float64, in [0, 1]; high = certain. A tensor for a tensor (same device), differentiable
        once: the gradient is finite for maps of low rank and for empty slices too.

    Raises:
        ValueError: unknown option, too few axes, a matrix with one row or column (ln r = 0; as with
            D = 1 under `d_hw`), or NaN or infinity in `maps` (`paper`).
        TypeError: `maps` is complex or not numeric.

    >>> import numpy as np
    >>> f"{semantic_perception_scale(np.eye(4).reshape(4, 2, 2)):.5f}"  # four equal singular values
    '1.00000'
    >>> z = np.diag([3.0, 1.0]).reshape(2, 1, 2)  # energies .9 and .1
    >>> f"{semantic_perception_scale(z):.5f}"
    '0.46900'
    >>> f"{semantic_perception_scale(z, power=1):.5f}"  # amplitudes .75 and .25
    '0.81128'
    >>> float(semantic_perception_scale(np.zeros((2, 2, 2))))
    0.0
    """
    one_of("definition", definition, _DEFINITIONS)
    one_of("rank", rank, ("full", "numerical"))
    official = definition == "official"
    if power is None:
        power = 1.0 if official else 2.0
    spectrum = spectrum_of(maps, unfold, center, power, chunk, non_finite_is_zero=official)
    p = _official_energies(spectrum, power) if official else spectrum.shares(power)
    return _normalised_entropy(spectrum, p, rank)


def _official_energies(spectrum: Spectrum, power: float) -> Any:
    lifted = spectrum.values(1) + _OFFICIAL_EPS
    lifted = lifted if power == 1 else lifted**power
    return lifted / lifted.sum(-1)[..., None]


def _normalised_entropy(spectrum: Spectrum, p: Any, rank: Rank) -> Any:
    """Eq. 5, in [0, 1]."""
    xp = spectrum.xp
    filled = xp.where(p > 0, p, xp.ones_like(p))  # 0 ln 0 = 0, in the gradient as well
    entropy = 0.0 - (filled * xp.log(filled)).sum(-1)  # not -0.0
    if rank == "full":
        scale = entropy / math.log(p.shape[-1])
    else:
        log_rank = xp.log(spectrum.numerical_rank())
        scale = xp.where(log_rank > 0, entropy / xp.where(log_rank > 0, log_rank, 1.0), 0.0 * entropy)
    return xp.clip(scale, 0.0, 1.0)


@overload
def singular_value_energies(maps: Tensor, **options: Unpack[_EnergyOptions]) -> Tensor: ...
@overload
def singular_value_energies(maps: ArrayLike, **options: Unpack[_EnergyOptions]) -> NDArray[np.float64]: ...
def singular_value_energies(
    maps: Any,
    *,
    power: float = 2,
    center: bool = False,
    unfold: Unfolding = "d_hw",
    eps: float = 1e-12,
    chunk: int = CHUNK,
) -> Any:
    """Normalised singular-value energies p_j of class maps, largest first (Eq. 4 of arXiv 2604.10963).

    p_j = s_j^q / ((1 + eps) sum_k s_k^q) with q = `power`.

    Args:
        maps: (..., D, H, W), or (..., H, W) with `unfold="h_w"`; NumPy array or torch tensor.
        power: exponent on the singular values: 2 energies, 1 amplitudes.
        center: subtract the mean of each row first (Eq. 2).
        unfold: rows_columns of the matrix, as in `semantic_perception_scale`.
        eps: guard of the denominator, relative to the sum, so that the result is free of scale.
        chunk: entries per block of the product; changes memory and speed, not the result.

    Returns:
        (..., r) float64 with r = min(rows, columns): in [0, 1], descending, sum 1 (to within eps);
        all 0 for a map without energy.

    Raises:
        ValueError, TypeError: as `semantic_perception_scale`.

    >>> import numpy as np
    >>> singular_value_energies(np.diag([3.0, 1.0]).reshape(2, 1, 2)).round(6).tolist()
    [0.9, 0.1]
    """
    return spectrum_of(maps, unfold, center, power, chunk).shares(power, eps)
