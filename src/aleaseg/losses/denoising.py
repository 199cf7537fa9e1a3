"""Label denoising: what a case's annotation has too much or too little of, learned beside the network.

Section 3.4 of arXiv 2604.10963, after Zhang et al.'s variational method (DVA):

    y~_i = y_i - eps_i g(x_i),   mean_i eps_i = 0,   mean_i eps_i^2 = 1

g in (0, 1) is an image: how large the noise is where, from a 1 x 1 x 1 convolution on
the last feature of the decoder. eps_i is a number per case (and class): how much of it
this case has, and with which sign. Both are learned with the network. The two
constraints are held by a projection after each epoch.

Nothing of this is part of the network: a forward hook looks at the feature, and the
network's own parameters, its state_dict and what it gives for an image stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

__all__ = ["LabelDenoising", "NoiseHead", "NoiseState", "noise_maps"]


class NoiseState(nn.Module):
    """eps: how much of the noise a case has, a number per case and class, drawn from N(0, 1).

    Attributes:
        ids: of the N cases, in the order of the rows.
        epsilon: (N, C_fg) parameter; (N,) if shared by the classes.
    """

    def __init__(self, ids: Sequence[str], classes: int, *, shared: bool = False, seed: int = 0) -> None:
        """Draw the noise.

        Args:
            ids: of all cases of the training, each once; two at least.
            classes: C_fg, foreground classes.
            shared: one number per case for all its classes.
            seed: of the draw; the same in every process of a DDP training.

        Raises:
            ValueError: fewer than two cases, an id twice, or no class.
        """
        super().__init__()
        raise NotImplementedError

    def of(self, ids: Sequence[str]) -> Tensor:
        """Eps of these cases, (B, C_fg), differentiable.

        Raises:
            CaseError: an id that the state does not know; the message names it.
        """
        raise NotImplementedError

    @torch.no_grad()
    def project(self) -> None:
        """Give each class mean 0 and mean square 1 over the cases, in place; a second time changes nothing.

        Raises:
            ValueError: the numbers of a class are all the same, or not finite.
        """
        raise NotImplementedError


class NoiseHead(nn.Module):
    """g: a 1 x 1 x 1 (in 2D 1 x 1) convolution on a feature and a sigmoid; how large the noise is where."""

    def __init__(self, channels: int, classes: int, *, initial: float = 0.5, seed: int = 0) -> None:
        """Draw the weights as a convolution's are drawn.

        Args:
            channels: F of the feature.
            classes: C_fg.
            initial: g that the bias alone gives at the start, in (0, 1).
            seed: of the draw; the same in every process of a DDP training.
        """
        super().__init__()
        raise NotImplementedError

    def forward(self, feature: Tensor) -> Tensor:
        """(B, F, *spatial) -> g (B, C_fg, *spatial) in (0, 1)."""
        raise NotImplementedError


class LabelDenoising(nn.Module):
    """Noise head, noise state and the rules of their training, beside a network that they leave alone.

        denoising = LabelDenoising(network, case_ids, classes=3)
        optimizer.add_param_group({"params": list(denoising.parameters())})

        logits = network(images)                               # a tensor, or a list under deep supervision
        loss = duo(logits, labels, denoising.noise(ids, logits)) + denoising.penalty()
        loss.backward()
        denoising.average_gradients()                          # only under DDP
        ...
        denoising.end_epoch()                                  # projection; the next epoch

    Save and load its `state_dict` with the training: it holds head, noise, ids and epoch. Clip its
    gradients apart from the network's or together with them, as you like.

    Attributes:
        head: `NoiseHead`.
        state: `NoiseState`.
        epoch: epochs that have ended.
        layer: name of the module whose input is the feature; `logits` for the network's output.
    """

    def __init__(
        self,
        network: nn.Module,
        ids: Sequence[str],
        classes: int,
        *,
        layer: str | None = None,
        channels: int | None = None,
        variant: Literal["paper", "official_readme"] = "paper",
        shared: bool = False,
        warm_up: int = 0,
        penalty: float = 0.0,
        detach_target: bool = False,
        initial: float = 0.5,
        seed: int = 0,
    ) -> None:
        """Hook the feature and draw head and noise.

        Args:
            network: any. It is hooked, not kept: neither its parameters nor its state_dict change. Wrap or
                compile it afterwards, if at all (DDP: hook the network inside).
            ids: of all cases of the training, each once.
            classes: C_fg, the classes that the loss counts.
            layer: name (as in `named_modules`) of the module whose input is the feature. None: the last
                convolution of the network, in the order in which its modules are listed, which is the output
                layer of nnU-Net's and MONAI's U-Nets; a network without convolutions: `logits`.
                `logits`: the network's (first) output.
            channels: of the feature; only where `layer` is no convolution.
            variant: as in `DUOLoss`; `official_readme` gives g without eps.
            shared: one eps per case for all its classes.
            warm_up: epochs without noise at the start (y~ = y).
            penalty: lambda of `penalty()`, lambda mean(g^2): without it y~ may drift to the prediction.
            detach_target: no gradient into eps and g from the loss.
            initial: g at the start, see `NoiseHead`.
            seed: of head and noise.

        Raises:
            ValueError: no module of that name, or its number of channels is not known.
        """
        super().__init__()
        self.epoch: int = 0
        raise NotImplementedError

    @overload
    def noise(self, ids: Sequence[str], like: Tensor) -> Tensor | None: ...
    @overload
    def noise(self, ids: Sequence[str], like: Sequence[Tensor]) -> list[Tensor] | None: ...
    def noise(self, ids: Sequence[str], like: Any) -> Any:
        """Eps g of the batch that the network saw last, one map for each output; None in the warm-up.

        Args:
            ids: of the B cases, in the order of the batch.
            like: the network's output: logits (B, C, *spatial), or under deep supervision a list of them.

        Returns:
            (B, C_fg, *spatial), or a list of them, for the third argument of `DUOLoss` (through nnU-Net's
            `DeepSupervisionWrapper` as well, which takes no None: leave the argument out then).

        Raises:
            CaseError: a case that the state does not know.
            ValueError: the network has not run with gradients since the last call, or on another batch.
        """
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """Lambda mean(g^2) of the last `noise`; 0 in the warm-up."""
        raise NotImplementedError

    def end_epoch(self) -> None:
        """Project the noise (mean 0, mean square 1 for each class) and count the epoch."""
        raise NotImplementedError

    def average_gradients(self) -> None:
        """Average the gradients of head and noise over the processes of a DDP training; nothing without one.

        Call it in every process, after the backward pass and before gradients are clipped or unscaled.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Take the hook off the network; `noise` cannot be asked any more."""
        raise NotImplementedError


@overload
def noise_maps(epsilon: Tensor, g: Tensor, like: Tensor) -> Tensor: ...
@overload
def noise_maps(epsilon: Tensor, g: Tensor, like: Sequence[Tensor]) -> list[Tensor]: ...
def noise_maps(epsilon: Tensor, g: Tensor, like: Any) -> Any:
    """Eps g on the grid of each target, by the nearest voxel, as nnU-Net and MONAI resample targets.

    Args:
        epsilon: (B, C_fg).
        g: (B, C_fg, *spatial).
        like: a tensor (B, _, *grid), or a list of them; only grids count.

    Returns:
        (B, C_fg, *grid), or a list of them.
    """
    raise NotImplementedError
