"""Squared singular values of many long matrices, through their short side, and the gradient."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any
from typing import cast as typed

import numpy as np

from aleaseg.spectral.arrays import double, transposed, zeros
from aleaseg.spectral.unfolding import Plan

if TYPE_CHECKING:
    from torch import Tensor

_EPS = float(np.finfo(np.float64).eps)


def squared_singular_values(xp: Any, maps: Any, plan: Plan) -> Any:
    """(..., r) float64, largest first, differentiable in torch; NaN throughout if any is not finite."""
    if xp is np:
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the result, and answered there
            return _decompose(np, maps, plan, vectors=False)[0]
    with xp.autocast(maps.device.type, enabled=False):
        if maps.requires_grad and xp.is_grad_enabled():
            return _autograd_function().apply(maps, plan)
        return _decompose(xp, maps, plan, vectors=False)[0]


def _decompose(xp: Any, maps: Any, plan: Plan, *, vectors: bool) -> tuple[Any, Any]:
    """(..., r) squares, largest first, and (..., r, r) singular vectors of the short side if asked for."""
    leading = tuple(maps.shape[: -len(plan.axes)])
    r = min(plan.rows_columns(maps))
    reduced = zeros(xp, maps, (*leading, r, r), xp.float64)
    for index in plan.batches(maps):
        reduced[index] = (_triangle if plan.by_qr else _gram)(xp, maps[index], plan)
    if not bool(xp.isfinite(reduced).all()):
        # Decompositions of NaN differ between libraries: raise, hang or NaN. The caller looks into it.
        return reduced[..., 0] * math.nan, reduced
    basis: Any = None
    if plan.by_qr:
        if vectors:
            _, values, right = xp.linalg.svd(reduced)
            basis = transposed(right)
        else:
            values = np.linalg.svd(reduced, compute_uv=False) if xp is np else xp.linalg.svdvals(reduced)
        return _without_rounding(xp, values**2, (r * _EPS) ** 2), basis
    if vectors:
        squares, basis = xp.linalg.eigh(reduced)
        basis = xp.flip(basis, (-1,))
    else:
        squares = xp.linalg.eigvalsh(reduced)
    squares = xp.flip(squares, (-1,))
    return _without_rounding(xp, squares, r * _EPS if plan.working == xp.float64 else 0.0), basis


def _without_rounding(xp: Any, squares: Any, floor: float) -> Any:
    """Squares below the rounding of the largest are 0: a root, or its slope, would make much of them."""
    return xp.where(squares > floor * squares[..., :1], squares, xp.zeros_like(squares))


def _gram(xp: Any, maps: Any, plan: Plan) -> Any:
    """Z Z^T of the short side, (..., r, r): products in working precision, their sum in float64."""
    gram: Any = None
    for _, block in plan.blocks(maps):
        product = block @ transposed(block)
        if gram is None:
            gram = double(product)
        else:
            gram += product
    return gram


def _triangle(xp: Any, maps: Any, plan: Plan) -> Any:
    """R of the QR decomposition of Z^T, (..., r, r): the same singular values, without their squares."""
    leading = tuple(maps.shape[: -len(plan.axes)])
    r = min(plan.rows_columns(maps))
    triangle = zeros(xp, maps, (*leading, r, r), xp.float64)
    for _, block in plan.blocks(maps):
        stacked = xp.concatenate([triangle, transposed(block)], -2)
        triangle = np.linalg.qr(stacked, mode="r") if xp is np else xp.linalg.qr(stacked, mode="r")[1]
    return triangle


@cache
def _autograd_function() -> Any:
    """Squared singular values with the gradient d(s_j^2)/dZ = 2 u_j u_j^T Z, block by block."""
    import torch

    class SquaredSingularValues(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, maps: Tensor, plan: Plan) -> Tensor:
            squares, basis = _decompose(torch, maps, plan, vectors=True)
            ctx.save_for_backward(maps, basis)
            ctx.plan = plan
            return typed("Tensor", squares)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
            maps, basis = ctx.saved_tensors
            plan: Plan = ctx.plan
            with torch.autocast(maps.device.type, enabled=False):
                weight = (2 * basis * slope[..., None, :] @ basis.mT).to(plan.working)
                gradient = torch.empty_like(maps)
                tall = plan.is_tall(maps)
                for index in plan.batches(maps):
                    for cut, block in plan.blocks(maps[index]):
                        part = weight[index] @ block
                        slab = gradient[index][cut]
                        slab.copy_(plan.unblock(part.mT if tall else part, slab))
            return gradient, None

    return SquaredSingularValues
