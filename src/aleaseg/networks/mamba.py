"""Mamba: a state space whose steps depend on what it reads (Gu and Dao 2023, arXiv 2312.00752).

Every channel x of a sequence drives N states h of its own, and is read out again:

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t,    y_t = C_t h_t + D x_t,    h_0 = 0

A < 0 is learned; delta > 0, B and C are made from the token at t (section 3.2). Parameters have
the names and the first values of the authors' `mamba_ssm`, so that its weights fit. Its kernel does
the scan where that package is installed and the tensors lie on a GPU; anywhere else torch does.
Written from the paper and the arithmetic of that package.
"""

# Without postponed annotations: torch.library reads them.

import importlib.util
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from aleaseg.errors import MissingExtra
from aleaseg.extras import need

__all__ = ["Mamba", "recurrence", "selective_scan"]

_FINEST, _COARSEST, _LEAST = 1e-3, 1e-1, 1e-4  # of the first steps delta


class Mamba(nn.Module):
    """(B, L, C) -> (B, L, C): each token is told of those before it.

        x, z        = in_proj(tokens)
        x           = silu(conv1d(x))        over this token and the few before it
        step, B, C  = x_proj(x)
        y           = selective_scan(x, softplus(dt_proj(step)), -exp(A_log), B, C, D)
        told        = out_proj(y silu(z))

    Figure 3 of the paper, without the norm and the sum around it.
    """

    def __init__(self, width: int, *, states: int = 16, reach: int = 4, expand: int = 2) -> None:
        """Draw the weights.

        Args:
            width: C, numbers of a token.
            states: N, of each channel.
            reach: tokens that the convolution sees.
            expand: channels inside for each number of a token.
        """
        super().__init__()
        inside, rank = expand * width, math.ceil(width / 16)
        self.parts = (rank, states, states)
        self.in_proj = nn.Linear(width, 2 * inside, bias=False)
        self.conv1d = nn.Conv1d(inside, inside, reach, groups=inside, padding=reach - 1)
        self.x_proj = nn.Linear(inside, sum(self.parts), bias=False)
        self.dt_proj = nn.Linear(rank, inside)
        self.A_log = nn.Parameter(torch.arange(1, states + 1).float().log().repeat(inside, 1))
        self.D = nn.Parameter(torch.ones(inside))
        self.out_proj = nn.Linear(inside, width, bias=False)
        # Steps between 0.001 and 0.1, evenly by their logarithm, that hardly depend on the token yet.
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        steps = torch.empty(inside).uniform_(math.log(_FINEST), math.log(_COARSEST)).exp().clamp(min=_LEAST)
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus gives the step back

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        length = tokens.shape[1]
        x, z = self.in_proj(tokens).chunk(2, dim=-1)
        x = self.conv1d(rearrange(x, "b l e -> b e l"))[..., :length]
        x = F.silu(rearrange(x, "b e l -> b l e"))
        step, B, C = self.x_proj(x).split(self.parts, dim=-1)
        y = selective_scan(x, F.softplus(self.dt_proj(step)), -self.A_log.exp(), B, C, self.D)
        return self.out_proj(y * F.silu(z))


def selective_scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The recurrence above, of every channel; differentiable in all of them.

    Args:
        x: (B, L, E), tokens of E channels.
        delta: (B, L, E), steps, above 0.
        A: (E, N), below 0.
        B: (B, L, N).
        C: (B, L, N).
        D: (E,).

    Returns:
        y, (B, L, E).
    """
    if _KERNEL is not None and x.is_cuda:
        along = [rearrange(one, "b l e -> b e l").contiguous() for one in (x, delta, B, C)]
        y = _KERNEL(along[0], along[1], A.contiguous(), along[2], along[3], D.contiguous())
        return rearrange(y, "b e l -> b l e")
    decay = einsum(delta, A, "b l e, e n -> b l e n").exp()
    drive = einsum(delta * x, B, "b l e, b l n -> b l e n")
    return einsum(recurrence(decay, drive), C, "b l e n, b l n -> b l e") + D * x


@torch.library.custom_op("aleaseg::recurrence", mutates_args=())
def recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """h_t = decay_t h_(t-1) + drive_t along the second axis, h_0 = 0; differentiable.

    Token after token and in place, which on a CPU is faster than the forms that do many at once (they
    move more memory: with 1000 tokens doubling takes 16 times as long, chunks 6 times), and divides by
    nothing. An operator of its own, so that torch.compile does not unroll it.

    Args:
        decay: (B, L, ...); the first along L counts for nothing.
        drive: (B, L, ...).

    Returns:
        h, (B, L, ...).
    """
    state = drive.clone(memory_format=torch.contiguous_format)
    along, factors = state.unbind(1), decay.unbind(1)
    for t in range(1, len(along)):
        along[t].addcmul_(factors[t], along[t - 1])
    return state


@recurrence.register_fake
def _(decay: Tensor, drive: Tensor) -> Tensor:
    return torch.empty_like(drive, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The same recurrence from the end: g_t = grad_t + decay_(t+1) g_(t+1)."""
    decay, state = ctx.saved_tensors
    later = decay.roll(
        -1, 1
    )  # what comes to the end by this is the first of the way back, and counts for nothing
    g = recurrence(later.flip(1), grad.flip(1)).flip(1)
    before = torch.cat((torch.zeros_like(state[:, :1]), state[:, :-1]), dim=1)
    return g * before, g


recurrence.register_autograd(_backward, setup_context=_keep)


def _kernel() -> Callable[..., Tensor] | None:
    """The scan of `mamba_ssm`; None where it is not installed."""
    if importlib.util.find_spec("mamba_ssm") is None:
        return None
    try:
        scan = need("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except MissingExtra as error:
        warnings.warn(
            f"mamba_ssm is installed and cannot be used, torch scans: {error.__cause__}", stacklevel=2
        )
        return None
    return torch.compiler.disable(scan)  # type: ignore[no-untyped-call]  # nothing to compile in a kernel


_KERNEL = _kernel()
