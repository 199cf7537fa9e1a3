"""DUO inside nnU-Net 2.8 (arXiv 2604.10963, section 3): the stock trainer with another training loss.

    nnUNetTrainerDUO       re-weighting by S and label denoising
    nnUNetTrainerDUO_EN    label denoising alone
    nnUNetTrainerDUO_RW    re-weighting alone

Noise head and noise lie beside the network, in a group of their own in the optimiser. All else is
as with any trainer of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from aleaseg.errors import UsageError
from aleaseg.losses import DUOLoss, FisherCertainty, LabelDenoising, MahalanobisCertainty
from aleaseg.plugins.nnunet.base import Supervised, TrainerBase
from aleaseg.plugins.nnunet.options import DuoOptions
from aleaseg.plugins.nnunet.record import write_epoch

__all__ = ["nnUNetTrainerDUO", "nnUNetTrainerDUO_EN", "nnUNetTrainerDUO_RW"]

_TABLE = "duo_classes.csv"


class nnUNetTrainerDUO(TrainerBase):  # noqa: N801
    """Weights 1 / (1 + alpha S) and label denoising.

    Attributes:
        duo: the loss of a training step; None before `initialize`.
        denoising: noise head and noise; None where there is none, and before `initialize`.
    """

    family = DuoOptions
    method = "DUO"
    reweight: ClassVar[bool] = True
    denoise: ClassVar[bool] = True

    options: DuoOptions
    duo: nn.Module | None = None
    denoising: LabelDenoising | None = None

    # -- what is beside the network ---------------------------------------------------------------

    @property
    def classes(self) -> list[str]:
        """Names of the foreground classes or regions, in the order of the loss."""
        names = {name: value for name, value in self.label_manager.label_dict.items() if name != "ignore"}
        foreground = [name for name in names if name != "background"]
        if self.label_manager.has_regions:
            return foreground
        return sorted(foreground, key=lambda name: min(np.ravel(names[name])))

    def _prepare(self) -> None:
        self.duo = self._training_loss().to(self.device)
        if self.denoise:
            self.denoising = LabelDenoising(
                self._bare_network(),
                self.cases,
                len(self.classes),
                variant=self.options.variant,  # type: ignore[arg-type]  # checked as it was read
                shared=self.options.shared,
                warm_up=self.options.warmup,
                penalty=self.options.penalty,
                initial=self.options.initial,
                detach_target=self.options.detach_target,
                seed=self.options.seed,
            ).to(self.device)
            self.optimizer.add_param_group({"params": list(self.denoising.parameters())})

    def _about(self) -> str:
        weights, noise = ("yes" if one else "no" for one in (self.reweight, self.denoise))
        return f"DUO (weights by S: {weights}, label denoising: {noise})"

    def _training_loss(self) -> nn.Module:
        """DUO's loss; over the outputs that nnU-Net's own loss counts, weighted as there."""
        labels, options = self.label_manager, self.options
        regions, names = bool(labels.has_regions), self.classes
        if options.variant == "official_readme" and not regions:
            raise UsageError(
                "ALEASEG_DUO_VARIANT is official_readme, which teaches the background channel nothing, and nnU-Net "
                "takes the largest channel of a label map; expected a data set of regions, or the variant paper"
            )
        if options.class_weights is not None and not self.reweight:
            raise UsageError(
                f"ALEASEG_DUO_CLASS_WEIGHTS is set, and {type(self).__name__} uses no weights; unset it, or train with "
                "nnUNetTrainerDUO or nnUNetTrainerDUO_RW"
            )
        if options.class_weights is not None and len(options.class_weights) != len(names):
            raise UsageError(
                f"ALEASEG_DUO_CLASS_WEIGHTS has {len(options.class_weights)} numbers; expected {len(names)}, one for "
                f"each of {', '.join(names)}"
            )
        loss = DUOLoss(
            alpha=options.alpha,
            beta=options.beta,
            softmax=not regions,
            sigmoid=regions,
            to_onehot_y=not regions,
            ignore_index=labels.ignore_label,
            reweight=self.reweight,
            variant=options.variant,  # type: ignore[arg-type]  # checked as it was read
            renorm=options.renorm,
            class_weight=options.class_weights,
            certainty=self._certainty(),
        )
        loss.register_forward_hook(self._see_weights)
        self._finest = True
        stock = self.loss
        return Supervised(loss, stock.weight_factors) if isinstance(stock, Supervised) else loss

    def _certainty(self) -> nn.Module | None:
        """What stands in place of S; None: S itself."""
        softmax = not self.label_manager.has_regions
        match self.options.certainty:
            case "fisher":
                return FisherCertainty(softmax=softmax)
            case "mahalanobis":
                return MahalanobisCertainty(self.label_manager.num_segmentation_heads, softmax=softmax)
        return None

    def _see_weights(self, loss: nn.Module, inputs: Any, value: Any) -> None:
        """After each call of the loss; under deep supervision the first of a step is the finest."""
        if self._finest:
            for name, numbers in (("weight", loss.last_weights), ("scale", loss.last_scales)):
                if isinstance(numbers, Tensor):
                    self.means.add(name, numbers)
        self._finest = False

    # -- a step -----------------------------------------------------------------------------------

    def _loss(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        assert self.duo is not None
        self._finest = True
        if self.denoising is None:
            return self.duo(output, target)
        noise = self.denoising.noise(ids, output)
        loss = self.duo(output, target, *(() if noise is None else (noise,)))
        if noise is not None:
            finest = noise if isinstance(noise, Tensor) else noise[0]
            self.means.add("noise", finest.detach().abs().flatten(2).mean(2))
        return loss + self.denoising.penalty()

    def _backward(self, loss: Tensor) -> None:
        super()._backward(loss)
        if self.denoising is not None:
            self.denoising.average_gradients()

    def _beside(self) -> Iterable[nn.Parameter]:
        return () if self.denoising is None else self.denoising.parameters()

    # -- an epoch ---------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """As nnU-Net; the loss and what is beside the network are set to train too."""
        super().on_train_epoch_start()
        for module in (self.duo, self.denoising):
            if module is not None:
                module.train()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """As before; the noise is projected, and the table of classes gets its rows."""
        super().on_train_epoch_end(train_outputs)
        if self.denoising is not None:
            self.denoising.end_epoch()

    def _record(self, means: Mapping[str, Sequence[float]]) -> None:
        write_epoch(Path(self.output_folder) / _TABLE, self.current_epoch, self.classes, means)

    # -- checkpoints ------------------------------------------------------------------------------

    def _state_beside(self) -> dict[str, Any]:
        assert self.duo is not None
        return {
            "parameter_groups": 0 if self.denoising is None else 1,
            "loss": self.duo.state_dict(),
            "denoising": None if self.denoising is None else self.denoising.state_dict(),
            "cases": self.cases,
        }

    def _restore_beside(self, kept: Mapping[str, Any]) -> None:
        assert self.duo is not None
        self.duo.load_state_dict(kept["loss"])
        if self.denoising is not None:
            self.denoising.load_state_dict(kept["denoising"])


class nnUNetTrainerDUO_EN(nnUNetTrainerDUO):  # noqa: N801
    """Label denoising without weights: Dice + cross-entropy against denoised targets."""

    reweight: ClassVar[bool] = False


class nnUNetTrainerDUO_RW(nnUNetTrainerDUO):  # noqa: N801
    """Weights 1 / (1 + alpha S) without label denoising."""

    denoise: ClassVar[bool] = False
