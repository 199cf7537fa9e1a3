r"""SURE: uncertainty that falls with the gradient on boundaries, rises with noise near them, and is none far away.

Of the uncertainty u of an evidential network (`aleaseg.losses.evidential`), the distance d and the
gradient g (`aleaseg.cues`), with `mean+` the mean over what is positive, 0 if nothing is:

    L_gu  = mean+ of (g_i - g_j)(u_i - u_j)       over drawn pairs of boundary voxels, d <= 1
    L_mu  = mean+ of -(u_hi - u_lo)(l_hi - l_lo)  over noised patches near a boundary, d <= 4, summed over the
                                                  three pairs of levels (clean: 0, first: l_1, second: l_2)
    L_d   = mean+ of (d_j - d_k)(du_j - du_k)     over pairs of patches of a sample; du = u_l - u_0 where d <= 4,
                                                  else 0; summed over the levels
    L_far = mean of u_0 + u_1 + u_2               over voxels with d > 4
    L_nu  = coef_mu L_mu + coef_d L_d + coef_far L_far
    L     = L_seg + ramp (beta L_gu + gamma L_nu)     ramp = 0.01^(1 - (t - t_0)/(T - t_0)), nothing before t_0

u_0 is of the clean image, and learns from L_far and L_gu alone; u_1 and u_2 are of the image with patches
of noise at two levels, placed where noise does not make the network less sure (`aleaseg.losses.patches`).

The terms are pure: maps in, numbers out. `sure_terms` runs the network again, for whichever training loop.

Source: "Uncertainty-Supervised Interpretable and Robust Evidential Segmentation" (MICCAI 2025, arXiv
2509.17098) and its public code, which the variant `sure2025` follows where the two of us differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aleaseg.errors import one_of
from aleaseg.losses.evidential import Form, Kind, uncertainty
from aleaseg.losses.gradient_rule import block_gradient_order, draw_pairs, gradient_order
from aleaseg.losses.noise_rule import distance_order, far_mean, level_order
from aleaseg.losses.patches import (
    Noise,
    Patches,
    add_patches,
    draw_patch_noise,
    draw_whole_noise,
    hard_patches,
    patch_edge,
)
from aleaseg.losses.statistics import kept_statistics

__all__ = [
    "VARIANTS",
    "NuTerms",
    "SureSettings",
    "gradient_order",
    "kept_statistics",
    "nu_loss",
    "ramp",
    "sure_terms",
]


@dataclass(frozen=True)
class SureSettings:
    """One way to train with evidence, and with SURE if beta or gamma is not 0.

    Attributes:
        form: of L_seg, see `aleaseg.losses.evidential`.
        kind: of L_ace, likewise.
        beta: of L_gu.
        gamma: of L_nu.
        level: coefficient of L_mu.
        distance: coefficient of L_d.
        far: coefficient of L_far.
        begin: t_0 / T, in [0, 1).
        start: the ramp's first value, in (0, 1].
        near: d up to which a voxel is near a boundary; beyond it is far.
        boundary: d up to which a voxel is on a boundary.
        noise: what varies between levels: `sigma` or `mu`.
        per_class: patches for each class and sample.
        edge: of a patch, in voxels; 0: by the image's size.
        pairs: of L_gu at most, per sample and step.
        official: as the public code has it: L_gu is the sum of blocks' means over all samples, with as many
            pairs as the poorest sample before; L_far is dropped where L_mu and L_d are both 0.
        phantom: distances of a sample without a boundary, for `aleaseg.cues.distance_map`.
        move_statistics: the passes with noise enter the running statistics of batch norms.
    """

    form: Form = "a"
    kind: Kind = "digamma"
    beta: float = 1.0
    gamma: float = 1.0
    level: float = 1.0
    distance: float = 1.0
    far: float = 1.0
    begin: float = 0.3
    start: float = 0.01
    near: float = 4.0
    boundary: float = 1.0
    noise: Noise = "sigma"
    per_class: int = 3
    edge: int = 0
    pairs: int = 20_000
    official: bool = False
    phantom: bool = False
    move_statistics: bool = False

    def __post_init__(self) -> None:
        one_of("form", self.form, ("a", "b"))
        one_of("kind", self.kind, ("digamma", "log", "mse"))
        one_of("noise", self.noise, ("sigma", "mu"))
        for name in ("beta", "gamma", "level", "distance", "far", "near", "boundary"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number >= 0")
        if not (0 <= self.begin < 1 and 0 < self.start <= 1):
            raise ValueError(
                f"begin is {self.begin} and start is {self.start}; expected a share of the training in [0, 1) "
                "and a weight in (0, 1]"
            )
        if self.per_class < 1 or self.edge < 0 or self.pairs < 1:
            raise ValueError(
                f"per_class is {self.per_class}, edge {self.edge} and pairs {self.pairs}; expected at least 1, "
                "0 (by the image's size) and 1"
            )

    @property
    def ordered(self) -> bool:
        """Whether there are terms beside L_seg, which need maps of distance and gradient."""
        return self.beta > 0 or self.gamma > 0


VARIANTS: dict[str, SureSettings] = {
    "edl": SureSettings(beta=0.0, gamma=0.0),
    "edl_b": SureSettings(form="b", beta=0.0, gamma=0.0),
    "sure": SureSettings(),
    "sure2025": SureSettings(noise="mu", pairs=10**7, official=True, phantom=True, move_statistics=True),
}
"""By name. `edl`: evidence alone; `edl_b`: in the form of the authors' later code; `sure2025`: as the code of 2025."""


def ramp(progress: float, begin: float = 0.3, start: float = 0.01) -> float:
    """How much the terms of SURE weigh: 0 before `begin`, then from `start` to 1 by powers.

    Args:
        progress: t / T in [0, 1].
        begin: t_0 / T in [0, 1).
        start: in (0, 1].

    >>> ramp(0.29), ramp(0.3), round(ramp(0.65), 9), ramp(1.0)
    (0.0, 0.01, 0.1, 1.0)
    """
    if progress < begin:
        return 0.0
    return float(start ** (1 - (progress - begin) / (1 - begin)))


class NuTerms(NamedTuple):
    """What L_nu is made of, () each, >= 0.

    Attributes:
        level: L_mu.
        distance: L_d.
        far: L_far.
    """

    level: Tensor
    distance: Tensor
    far: Tensor


def nu_loss(
    u: Sequence[Tensor],
    distance: Tensor,
    patches: Patches,
    levels: Sequence[float],
    settings: SureSettings,
) -> tuple[Tensor, NuTerms]:
    """L_nu of a batch; the clean u learns from L_far alone.

    Args:
        u: three of (B, *spatial): of the clean image, and with noise at the first and the second level.
        distance: (B, *spatial) d. Samples without a boundary (d = inf) are in L_far alone.
        patches: where the noise is.
        levels: (2,) l_1 and l_2.
        settings: coefficients, and what is near.

    Returns:
        L_nu, () >= 0, and its terms.
    """
    far = far_mean(u, distance, settings.near)
    at, d = [patches.at_centres(each) for each in (u[0].detach(), *u[1:])], patches.at_centres(distance)
    near = patches.there & (d <= settings.near)
    terms = NuTerms(level_order(at, levels, near), distance_order(at, d, near, patches.there), far)
    if settings.official:  # all of it goes where nothing is violated
        far = far * ((terms.level + terms.distance) > 0)
    loss = settings.level * terms.level + settings.distance * terms.distance + settings.far * far
    return loss, terms


def sure_terms(
    network: Callable[[Tensor], Tensor | Sequence[Tensor]],
    image: Tensor,
    logits: Tensor,
    target: Tensor,
    distance: Tensor,
    gradient: Tensor,
    progress: float,
    seed: int | Sequence[int],
    settings: SureSettings,
) -> tuple[Tensor, dict[str, Tensor]]:
    """What SURE adds to L_seg: ramp (beta L_gu + gamma L_nu), with the passes that it takes.

    With gamma > 0 the network runs three times more, once without gradients. Call it within the autocast of
    the clean pass, if any. Batch norms normalise by the batch, and their running statistics stay as they are
    (but for `sure2025`). Under dropout the passes differ by more than noise.

    Args:
        network: image (B, C, *spatial) -> raw logits (B, K, *spatial), or a list, the finest first. In place
            of a module any callable will do; then `kept_statistics` is its own affair.
        image: (B, C, *spatial), as the network sees it.
        logits: (B, K, *spatial) of the clean image, the finest, with their graph.
        target: (B, *spatial) label values.
        distance: (B, *spatial) of `aleaseg.cues.distance_map`.
        gradient: (B, *spatial) of `aleaseg.cues.gradient_map`.
        progress: t / T in [0, 1].
        seed: of all draws of this step, such as (seed, step): a training that is resumed sees the same.
        settings: see `VARIANTS`.

    Returns:
        A scalar >= 0, 0 before `begin` and with beta = gamma = 0; and the terms without weights, detached:
        `gradient`, `level`, `distance` and `far`, those that were asked for.

    Raises:
        ValueError: shapes that do not fit.
    """
    image, logits, target, distance, gradient = (
        each.as_subclass(Tensor) for each in (image, logits, target, distance, gradient)
    )
    weight = ramp(progress, settings.begin, settings.start)
    total, parts = logits[:0].sum(), dict[str, Tensor]()
    if not (settings.ordered and weight):
        return total, parts
    _check_shapes(image, target, distance, gradient)
    of_pairs, of_noise = np.random.default_rng(seed).spawn(2)
    classes, clean = logits.shape[1], uncertainty(logits)
    if settings.beta:
        pairs = draw_pairs(
            distance, of_pairs, most=settings.pairs, boundary=settings.boundary, official=settings.official
        )
        order = block_gradient_order if settings.official else gradient_order
        found = order(clean, gradient, distance, pairs, boundary=settings.boundary)
        total, parts["gradient"] = total + settings.beta * found, found.detach()
    if settings.gamma:
        u, patches, levels = _noised(network, image, clean, target, distance, classes, of_noise, settings)
        found, terms = nu_loss(u, distance, patches, levels, settings)
        total = total + settings.gamma * found
        parts |= {name: term.detach() for name, term in terms._asdict().items()}
    return weight * total, parts


def _check_shapes(image: Tensor, target: Tensor, distance: Tensor, gradient: Tensor) -> None:
    if not (target.shape == distance.shape == gradient.shape == (len(image), *image.shape[2:])):
        raise ValueError(
            f"the image is {tuple(image.shape)}, the target {tuple(target.shape)}, the distance "
            f"{tuple(distance.shape)} and the gradient {tuple(gradient.shape)}; expected (B, C, *spatial), and "
            "(B, *spatial) of the others"
        )


def _noised(
    network: Callable[[Tensor], Tensor | Sequence[Tensor]],
    image: Tensor,
    clean: Tensor,
    target: Tensor,
    distance: Tensor,
    classes: int,
    rng: np.random.Generator,
    settings: SureSettings,
) -> tuple[list[Tensor], Patches, Sequence[float]]:
    """The three maps of u, where the noise is, and its levels."""

    def see(image: Tensor) -> Tensor:
        outputs = network(image)
        return uncertainty(outputs if isinstance(outputs, Tensor) else outputs[0])

    channels, *shape = image.shape[1:]
    edge = settings.edge or patch_edge(shape)
    keeping = isinstance(network, nn.Module) and not settings.move_statistics
    with kept_statistics(network) if keeping else nullcontext():  # type: ignore[arg-type]
        with torch.no_grad():
            field = torch.from_numpy(draw_whole_noise(shape, settings.noise, rng)).to(image)
            candidates = see(image + field) <= clean
        # Older PyTorch keeps the weights that it cast here without a graph, and takes them in the next pass.
        torch.clear_autocast_cache()
        patches = hard_patches(
            candidates,
            target,
            distance,
            classes,
            edge,
            rng,
            per_class=settings.per_class,
            near=settings.near,
        )
        levels, noise = draw_patch_noise(channels, edge, len(shape), settings.noise, rng)
        noised = [see(add_patches(image, patches, torch.from_numpy(each).to(image))) for each in noise]
    return [clean, *noised], patches, levels.tolist()
