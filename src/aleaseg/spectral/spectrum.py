"""The spectrum of a batch of maps: squared singular values in range, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from aleaseg.spectral.arrays import cast, double, is_floating, is_single, namespace
from aleaseg.spectral.decomposition import squared_singular_values
from aleaseg.spectral.unfolding import Plan, check_shape


@dataclass(frozen=True)
class Spectrum:
    """Squared singular values of maps * scale, (..., r), largest first; xp is numpy or torch."""

    squares: Any
    scale: Any
    tolerance: float
    xp: Any

    def values(self, power: float) -> Any:
        """s_j ** power; the slope at s_j = 0 counts as 0, where a root has none that is finite."""
        xp, positive = self.xp, self.squares > 0
        roots = xp.where(positive, self.squares, xp.ones_like(self.squares)) ** (power / 2)
        return xp.where(positive, roots, xp.zeros_like(roots)) / self.scale**power

    def shares(self, power: float, eps: float = 1e-12) -> Any:
        """Energies p_j (Eq. 4)."""
        xp = self.xp
        if power == 2:
            energies = self.squares
        else:
            # Relative to the largest, so that no power overflows.
            top = self.squares[..., :1]
            top = xp.where(top > 0, top, xp.ones_like(top))
            energies = Spectrum(self.squares / top, 1.0, self.tolerance, xp).values(power)
        total = energies.sum(-1)[..., None]
        return energies / ((1 + eps) * xp.where(total > 0, total, xp.ones_like(total)))

    def numerical_rank(self) -> Any:
        """How many squares stand out of the rounding, at least 1; (...) float64."""
        count = (self.squares > self.tolerance * self.squares[..., :1]).sum(-1)
        return self.xp.clip(double(count), 1.0, None)


def spectrum_of(
    maps: Any, unfold: str, center: bool, power: float, chunk: int, *, non_finite_is_zero: bool = False
) -> Spectrum:
    """Squared singular values of each map, as a differentiable function of it."""
    if not power > 0:
        raise ValueError(f"power is {power}; expected a number above 0: 2 for energies, 1 for amplitudes")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected at least 1 entry per block")
    xp, maps = namespace(maps)
    check_shape(tuple(maps.shape), unfold)
    precise = not is_single(xp, maps)
    working = xp.float64 if precise or power != 2 else xp.float32
    plan = Plan(unfold, center, precise and power != 2, working, chunk)
    squares = squared_singular_values(xp, maps, plan)
    scale: Any = 1.0
    total = squares.sum(-1)
    smallest = float(xp.finfo(working).tiny) ** 0.6
    if not bool(xp.isfinite(total).all()) or bool((total < smallest).any()):
        # Rare: NaN or infinity came in, or squares left the range of the precision. Looked for only
        # here, because a look at every voxel costs as much as the product.
        maps, scale = _within_range(xp, maps, plan, non_finite_is_zero)
        squares = squared_singular_values(xp, maps, plan)
    tolerance = max(plan.rows_columns(maps)) * float(xp.finfo(xp.float64 if precise else xp.float32).eps)
    return Spectrum(squares, scale, tolerance, xp)


def _within_range(xp: Any, maps: Any, plan: Plan, non_finite_is_zero: bool) -> tuple[Any, Any]:
    """The maps times a power of two each, so that squares neither overflow nor vanish; and that power."""
    if not bool(xp.isfinite(maps).all()):
        if not non_finite_is_zero:
            count = int((~xp.isfinite(maps)).sum())
            raise ValueError(
                f"maps hold {count} values that are NaN or infinite among {math.prod(maps.shape)}; "
                "expected finite numbers: correct or leave out the case that they come from"
            )
        maps = xp.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)
    detached = maps if xp is np else maps.detach()
    peak = double(xp.amax(xp.abs(detached), tuple(range(-len(plan.axes), 0))))
    peak = xp.where(peak > 0, peak, xp.ones_like(peak))
    if not is_floating(xp, maps):
        maps = double(maps)
    # Not the whole way: the power itself has to be a normal number of that type.
    reach = 0.75 * math.log2(float(xp.finfo(maps.dtype).max))
    scale = 2.0 ** xp.clip(-xp.round(xp.log2(peak)), -reach, reach)
    return maps * cast(scale, maps.dtype)[(..., *[None] * len(plan.axes))], scale[..., None]
