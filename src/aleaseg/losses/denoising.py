"""Label denoising: what a case's annotation has too much or too little of, learned beside the network.

Section 3 of arXiv 2604.10963, after Zhang et al. (arXiv 2312.10469), who de-noise what is observed:

    y~_i = y_i - eps_i g(x_i),   mean_i eps_i = 0,   mean_i eps_i^2 = 1

g in (0, 1) is an image: how large the noise is where, from a 1 x 1 x 1 convolution on
the last feature of the decoder. eps_i is a number per case (and class): how much of it
this case has, and with which sign. Both are learned with the network. The two
constraints are held by a projection after each epoch.

Nothing of this is part of the network: a forward hook looks at the feature, and the
network's own parameters, its state_dict and what it gives for an image stay as they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aleaseg.errors import CaseError, one_of

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
        self.ids = tuple(map(str, ids))
        twice = [case for case, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise ValueError(f"the case {twice[0]!r} is among the ids {Counter(self.ids)[twice[0]]} times")
        if len(self.ids) < 2 or classes < 1:
            raise ValueError(
                f"{len(self.ids)} cases and {classes} classes; expected at least two cases, since one alone "
                "cannot have mean 0 and mean square 1, and a class"
            )
        self.classes = classes
        shape = (len(self.ids),) if shared else (len(self.ids), classes)
        self.epsilon = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
        self._index()

    def _index(self) -> None:
        self._rows = {case: row for row, case in enumerate(self.ids)}

    def of(self, ids: Sequence[str]) -> Tensor:
        """Eps of these cases, (B, C_fg), differentiable.

        Raises:
            CaseError: an id that the state does not know; the message names it.
        """
        rows = []
        for case in map(str, ids):
            if case not in self._rows:
                known = ", ".join(self.ids[:3]) + (", ..." if len(self.ids) > 3 else "")
                raise CaseError(
                    case,
                    "a case without noise of its own",
                    f"one of the {len(self.ids)} training cases ({known})",
                    "give the noise state the ids of all cases that the training draws from",
                )
            rows.append(self._rows[case])
        epsilon = self.epsilon[torch.tensor(rows, device=self.epsilon.device)]
        return epsilon if epsilon.ndim == 2 else epsilon[:, None].expand(-1, self.classes)

    @torch.no_grad()
    def project(self) -> None:
        """Give each class mean 0 and mean square 1 over the cases, in place; doing it twice is doing it once.

        Raises:
            ValueError: the numbers of a class are all the same, or not finite.
        """
        # In float64, so that a second projection finds nothing left to do.
        epsilon = self.epsilon.double()
        epsilon = epsilon - epsilon.mean(0)
        square = epsilon.square().mean(0)
        # What is left of equal numbers is rounding.
        if not bool((square > 1e-12 * self.epsilon.double().square().mean(0)).all()):
            raise ValueError(
                f"the noise of {len(self.ids)} cases is the same for all of them, or not finite, in at least one "
                "class; expected numbers that differ, to give them mean 0 and mean square 1: look at the "
                "learning rate and the weight decay of the noise"
            )
        self.epsilon.copy_(epsilon / square.sqrt())

    def get_extra_state(self) -> dict[str, list[str]]:
        """The ids, for `state_dict`."""
        return {"ids": list(self.ids)}

    def set_extra_state(self, state: Mapping[str, Sequence[str]]) -> None:
        """The ids in the order of the rows that were loaded."""
        self.ids = tuple(state["ids"])
        self._index()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}_extra_state", {}).get("ids", self.ids)
        for case in sorted(set(saved) ^ set(self.ids)):
            before, now = ("no noise", "noise") if case in self._rows else ("noise", "no noise")
            raise CaseError(
                case,
                f"{before} for it in the saved state of {len(saved)} cases, and {now} in this training of "
                f"{len(self.ids)}",
                "the same cases",
                "resume with the cases that the training started with, or start again",
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)


class NoiseHead(nn.Module):
    """g: a 1 x 1 x 1 (in 2D 1 x 1) convolution on a feature and a sigmoid; how large the noise is where."""

    def __init__(self, channels: int, classes: int, *, initial: float = 0.05, seed: int = 0) -> None:
        """Draw the weights as a convolution's are drawn.

        Args:
            channels: F of the feature.
            classes: C_fg.
            initial: g that the bias alone gives at the start, in (0, 1).
            seed: of the draw; the same in every process of a DDP training.
        """
        super().__init__()
        if not 0 < initial < 1:
            raise ValueError(f"initial is {initial}; expected g in (0, 1)")
        bound = 1 / math.sqrt(channels)
        drawn = torch.rand(classes, channels, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter((2 * drawn - 1) * bound)
        self.bias = nn.Parameter(torch.full((classes,), math.log(initial / (1 - initial))))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, F, *spatial) -> g (B, C_fg, *spatial) in (0, 1)."""
        # Mixed precision leaves a half behind, and what looks at it may stand outside the autocast.
        kernel = self.weight[(..., *[None] * (feature.ndim - 2))].to(feature.dtype)
        conv = F.conv3d if feature.ndim == 5 else F.conv2d
        return conv(feature, kernel, self.bias.to(feature.dtype)).float().sigmoid()


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

    Args:
        network: any. It is hooked, not kept: neither its parameters nor its state_dict change. Wrap or
            compile it afterwards, if at all (DDP: hook the network inside).
        ids: of all cases of the training, each once.
        classes: C_fg, the classes that the loss counts.
        layer: name (as in `named_modules`) of the module whose input is the feature. None: the last
            convolution of the network, in the order in which its modules are listed, which is the output
            layer of nnU-Net's and MONAI's U-Nets (MONAI's DynUNet with deep supervision lists others
            behind it: pass "output_block.conv.conv"); a network without convolutions: `logits`.
            `logits`: the network's (first) output.
        channels: of the feature; only where `layer` is no convolution.
        variant: as in `DUOLoss`; `official_readme` gives g without eps.
        shared: one eps per case for all its classes.
        warm_up: epochs without noise at the start (y~ = y).
        penalty: lambda of `penalty()`, lambda mean(g^2): without it y~ may drift to the prediction.
        detach_target: no gradient into eps and g from the loss.
        initial: g at the start, see `NoiseHead`. None: 0.05 for `paper`, which does not say, and 0.5 for
            `official_readme`, whose convolution has no bias.
        seed: of head and noise.

    Raises:
        ValueError: no module of that name, or its number of channels is not known.

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
        initial: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.epoch: int = 0
        one_of("variant", variant, ("paper", "official_readme"))
        if warm_up < 0 or not 0 <= penalty < math.inf:
            raise ValueError(f"warm_up is {warm_up} and penalty {penalty}; expected numbers >= 0")
        self.layer, found = _feature_layer(network, layer)
        channels = found if channels is None else channels
        if channels is None:
            raise ValueError(
                f"the number of channels that go into {self.layer!r} is not known; pass channels=, or the name "
                "of a convolution"
            )
        self.state = NoiseState(ids, classes, shared=shared, seed=seed)
        if initial is None:
            initial = 0.05 if variant == "paper" else 0.5
        self.head = NoiseHead(channels, classes, initial=initial, seed=seed)
        self.variant, self.warm_up, self.detach_target = variant, warm_up, detach_target
        self.penalty_weight = penalty
        self._feature: Tensor | None = None
        self._penalty: Tensor | None = None
        if self.layer == "logits":
            self._hook = network.register_forward_hook(
                lambda module, _, output: self._see(_first(output), of_copy=module is not network)
            )
        else:
            hooked = network.get_submodule(self.layer)
            self._hook = hooked.register_forward_pre_hook(
                lambda module, inputs: self._see(inputs[0], of_copy=module is not hooked)
            )

    def _see(self, feature: Tensor, of_copy: bool) -> None:
        # A deep copy (an average of weights, say) takes the hook along, and its feature is not the network's.
        # Validation and prediction look at no noise, and would only keep the feature in memory.
        if torch.is_grad_enabled() and not of_copy:
            self._feature = feature

    @overload
    def noise(self, ids: Sequence[str], like: Tensor) -> Tensor | None: ...
    @overload
    def noise(self, ids: Sequence[str], like: Sequence[Tensor]) -> list[Tensor] | None: ...
    def noise(self, ids: Sequence[str], like: Any) -> Any:
        """The maps eps g of the batch that the network saw last, one map for each output; None in the warm-up.

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
        feature, self._feature, self._penalty = self._feature, None, None
        epsilon = self.state.of(ids)
        if feature is None:
            raise ValueError(
                f"no feature was seen at {self.layer!r} since the last call; run the hooked network on the batch "
                "first, with gradients enabled"
            )
        if len(feature) != len(epsilon):
            raise ValueError(
                f"{len(epsilon)} ids for a batch of {len(feature)}; expected one for each sample"
            )
        if self.epoch < self.warm_up:
            return None
        g = self.head(feature.as_subclass(Tensor))
        if self.penalty_weight:
            self._penalty = self.penalty_weight * g.square().mean()
        maps = noise_maps(
            torch.ones_like(epsilon) if self.variant == "official_readme" else epsilon, g, like
        )
        if not self.detach_target:
            return maps
        return maps.detach() if isinstance(maps, Tensor) else [one.detach() for one in maps]

    def penalty(self) -> Tensor:
        """The penalty lambda mean(g^2) of the last `noise`; 0 in the warm-up."""
        return self.head.bias.new_zeros(()) if self._penalty is None else self._penalty

    def end_epoch(self) -> None:
        """Project the noise (mean 0, mean square 1 for each class) and count the epoch."""
        self.state.project()
        self.epoch += 1

    def average_gradients(self) -> None:
        """Average the gradients of head and noise over the processes of a DDP training; nothing without one.

        Call it in every process, after the backward pass and before gradients are clipped or unscaled.
        """
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return
        parameters = list(self.parameters())
        # Every process has to take part in each collective, one without a gradient too; but where none has
        # one, as in the warm-up, there shall be none, or the optimiser would decay what nobody learned.
        learned = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
        distributed.all_reduce(learned)
        for parameter, count in zip(parameters, learned.tolist(), strict=True):
            if count:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                distributed.all_reduce(gradient)
                parameter.grad = gradient.div_(distributed.get_world_size())

    def release(self) -> None:
        """Take the hook off the network; `noise` cannot be asked any more."""
        self._hook.remove()
        self._feature = None

    def get_extra_state(self) -> dict[str, int]:
        """The epoch, for `state_dict`."""
        return {"epoch": self.epoch}

    def set_extra_state(self, state: Mapping[str, int]) -> None:
        """The epoch that was saved."""
        self.epoch = int(state["epoch"])


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
    whole = epsilon[(..., *[None] * (g.ndim - 2))] * g
    if not isinstance(like, Tensor):
        return [_resampled(whole, one) for one in like]
    return _resampled(whole, like)


def _resampled(maps: Tensor, like: Tensor) -> Tensor:
    grid = like.shape[2:]
    return maps if maps.shape[2:] == grid else F.interpolate(maps, grid, mode="nearest-exact")


def _first(output: Any) -> Tensor:
    """The finest of a network's outputs."""
    while not isinstance(output, Tensor):
        output = output[0]
    return output


def _feature_layer(network: nn.Module, name: str | None) -> tuple[str, int | None]:
    """Name of the layer whose input is the feature, and the number of channels that go in."""
    convolutions = {
        key: module.in_channels
        for key, module in network.named_modules()
        if isinstance(module, nn.modules.conv._ConvNd) and key
    }
    if name is None:
        name = next(reversed(convolutions), "logits")
    if name != "logits" and name not in dict(network.named_modules()):
        raise ValueError(
            f"the network has no module {name!r}; expected 'logits' or a name such as "
            f"{', '.join(map(repr, list(convolutions)[-3:]))}"
        )
    return name, convolutions.get(name)
