"""DUO inside nnU-Net 2.8 (arXiv 2604.10963, section 3): the stock trainer with another training loss.

    nnUNetTrainerDUO       re-weighting by S and label denoising
    nnUNetTrainerDUO_EN    label denoising alone
    nnUNetTrainerDUO_RW    re-weighting alone

What differs from `nnUNetTrainer`: the loss of a training step; noise head and noise, which lie
beside the network and in groups of their own in the optimiser; the cases of a selection, which are
left out of every fold's training. Network, data, augmentation, schedule, validation (with the stock
loss) and prediction are nnU-Net's, and so are its files, but for one key more in each checkpoint.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aleaseg.errors import BadVoxels, SettingsDiffer, UsageError
from aleaseg.extras import need
from aleaseg.losses import DUOLoss, FisherCertainty, LabelDenoising, MahalanobisCertainty
from aleaseg.plugins.nnunet.checkpoint import KEY, read_checkpoint, save_with
from aleaseg.plugins.nnunet.excluded import Excluded, check_cases, excluded
from aleaseg.plugins.nnunet.options import DuoOptions, describe, given, read_options
from aleaseg.plugins.nnunet.record import ClassMeans, write_epoch
from aleaseg.readers.splits import SPLITS, read_splits

__all__ = ["nnUNetTrainerDUO", "nnUNetTrainerDUO_EN", "nnUNetTrainerDUO_RW"]

_Stock: Any = need("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
_Supervised: Any = need("nnunetv2.training.loss.deep_supervision").DeepSupervisionWrapper

_LARGEST_GRADIENT = 12  # to which nnU-Net clips its network's
_TABLE = "duo_classes.csv"
# A training that goes on may be given other values of these; every other option is the checkpoint's.
_MAY_CHANGE = frozenset({"epochs", "iterations", "val_iterations", "selection"})


class nnUNetTrainerDUO(_Stock):  # type: ignore[misc]  # noqa: N801
    """Weights 1 / (1 + alpha S) and label denoising.

    Attributes:
        options: of the training, from the environment or the checkpoint that it goes on from.
        duo: the loss of a training step; `loss` is nnU-Net's own, and validates.
        denoising: noise head and noise; None where there is none, and before `initialize`.
        excluded: the cases that a selection leaves out; known after `do_split`.
        left_out: how many of them the fold would have trained on.
        cases: ids of the training, sorted; known after `initialize`.
        means: of the epoch, for the table of classes.
    """

    reweight: ClassVar[bool] = True
    denoise: ClassVar[bool] = True

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008  # nnU-Net passes none where it is cuda
    ) -> None:
        options = read_options(os.environ)  # before the first folder is made
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.excluded = Excluded()
        self.left_out = 0
        self.cases: list[str] = []
        self.duo: nn.Module | None = None
        self.denoising: LabelDenoising | None = None
        self.means = ClassMeans()
        self._follow(options)

    def _follow(self, options: DuoOptions) -> None:
        """Take the options over; before `initialize`."""
        self.options = options
        for name, asked in (
            ("num_epochs", options.epochs),
            ("num_iterations_per_epoch", options.iterations),
            ("num_val_iterations_per_epoch", options.val_iterations),
        ):
            if asked is not None:
                setattr(self, name, asked)
        if not options.deep_supervision:
            self.enable_deep_supervision = False

    # -- what is beside the network ---------------------------------------------------------------

    @property
    def classes(self) -> list[str]:
        """Names of the foreground classes or regions, in the order of the loss."""
        names = {name: value for name, value in self.label_manager.label_dict.items() if name != "ignore"}
        foreground = [name for name in names if name != "background"]
        if self.label_manager.has_regions:
            return foreground
        return sorted(foreground, key=lambda name: min(np.ravel(names[name])))

    def initialize(self) -> None:
        """As nnU-Net does, then the loss of the training steps and what stands beside the network."""
        # Some list a case more than once, to draw it more often.
        self.cases = sorted(set(self.do_split()[0]))
        super().initialize()
        try:
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
        except ValueError as error:
            raise UsageError(f"{type(self).__name__} cannot train so: {error}") from error
        self._tell()

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
                f"ALEASEG_DUO_CLASS_WEIGHTS is set, and {type(self).__name__} weighs nothing; unset it, or train with "
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
        return _Supervised(loss, stock.weight_factors) if isinstance(stock, _Supervised) else loss

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

    def _bare_network(self) -> nn.Module:
        """The network without what DDP and torch.compile put around it."""
        network = self.network.module if self.is_ddp else self.network
        bare: nn.Module = getattr(network, "_orig_mod", network)
        return bare

    def _tell(self) -> None:
        both = f"weights by S: {'yes' if self.reweight else 'no'}, label denoising: {'yes' if self.denoise else 'no'}"
        self.print_to_log_file(f"DUO ({both}): {describe(self.options)}")
        if self.excluded.source:
            self.print_to_log_file(
                f"{self.left_out} cases are left out of this fold's training by {self.excluded.source}, which drops "
                f"{len(self.excluded.cases)} in all; {len(self.cases)} remain"
            )
        self.print_to_log_file("train_loss is DUO's; val_loss is nnU-Net's own, as with nnUNetTrainer")
        self.logger.update_config({KEY: asdict(self.options)})

    # -- which cases ------------------------------------------------------------------------------

    def do_split(self) -> tuple[list[str], list[str]]:
        """The fold's cases, without those that a selection leaves out of the training.

        Raises:
            UsageError: the splits are damaged or name a case that was not preprocessed, the selection is
                not to be found, or nothing is left to train on.
        """
        base = Path(self.preprocessed_dataset_folder_base)
        splits = base / SPLITS
        folds = read_splits(splits) if self.fold != "all" and splits.is_file() else []
        train, val = super().do_split()
        there = self.dataset_class.get_identifiers(self.preprocessed_dataset_folder)
        check_cases((*train, *val), there, f"fold {self.fold} of {splits}")
        in_splits = self.fold != "all" and self.fold < len(folds)
        self.excluded = excluded(base, self.options.selection, in_splits=in_splits)
        if self.excluded.cases and not self.excluded.cases & set(there):
            raise UsageError(
                f"{self.excluded.source} leaves out {len(self.excluded.cases)} cases, and {base} has none of them; "
                "expected a selection of this data set; name that, or `none`, in ALEASEG_DUO_SELECTION"
            )
        kept = [case for case in train if case not in self.excluded.cases]
        self.left_out = len(set(train) & self.excluded.cases)
        if not kept:
            raise UsageError(
                f"{self.excluded.source or splits} leaves fold {self.fold} no case to train on; choose a gentler cut"
            )
        return kept, val

    # -- a step -----------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step on the network, the noise head and the noise of the batch's cases."""
        ids = [str(case) for case in batch["keys"]]
        data = batch["data"].to(self.device, non_blocking=True)
        target = _on(self.device, batch["target"])
        self.optimizer.zero_grad(set_to_none=True)
        # As nnU-Net: half precision on a GPU alone.
        half = torch.autocast("cuda") if self.device.type == "cuda" else contextlib.nullcontext()
        with half:
            loss = self._loss_of(self.network(data), target, ids, data)
        scaler = self.grad_scaler
        (loss if scaler is None else scaler.scale(loss)).backward()
        if self.denoising is not None:
            self.denoising.average_gradients()
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        # Apart, so that the network's steps are not cut short by the noise's gradients.
        for parameters in (self.network.parameters(), self._beside()):
            torch.nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        return {"loss": loss.detach().cpu().numpy()}

    def _loss_of(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        assert self.duo is not None
        self._finest = True
        try:
            if self.denoising is None:
                return self.duo(output, target)
            noise = self.denoising.noise(ids, output)
            loss = self.duo(output, target, *(() if noise is None else (noise,)))
        except ValueError as error:
            for case, image in zip(ids, data, strict=True):
                if not torch.isfinite(image).all():
                    raise BadVoxels(
                        case,
                        "NaN or infinity in the preprocessed image",
                        "finite numbers",
                        "preprocess the case again, or leave it out",
                    ) from error
            outputs = output if isinstance(output, list | tuple) else [output]
            if self.grad_scaler is not None and not all(bool(one.isfinite().all()) for one in outputs):
                # Half precision overflowed: the scaler finds no finite gradient, skips the step and scales less.
                return torch.stack([one.float().sum() for one in outputs]).sum() * torch.nan
            raise UsageError(f"the batch of {', '.join(ids)} cannot be learned from: {error}") from error
        if noise is not None:
            finest = noise if isinstance(noise, Tensor) else noise[0]
            self.means.add("noise", finest.detach().abs().flatten(2).mean(2))
        return loss + self.denoising.penalty()

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
        """As nnU-Net; the noise is projected, and the table of classes gets its rows."""
        super().on_train_epoch_end(train_outputs)
        if self.denoising is not None:
            self.denoising.end_epoch()
        means = self.means.take(everywhere=self.is_ddp)
        if self.local_rank == 0:
            write_epoch(Path(self.output_folder) / _TABLE, self.current_epoch, self.classes, means)

    # -- checkpoints ------------------------------------------------------------------------------

    def save_checkpoint(self, filename: str) -> None:
        """NnU-Net's checkpoint with the key `aleaseg_duo`; written aside and renamed."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        assert self.duo is not None
        kept = {
            "options": asdict(self.options),
            "parameter_groups": 0 if self.denoising is None else 1,
            "loss": self.duo.state_dict(),
            "denoising": None if self.denoising is None else self.denoising.state_dict(),
            "cases": self.cases,
        }
        save_with(super().save_checkpoint, Path(filename), kept)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Go on with what was saved, under the options that it was saved with.

        Raises:
            SettingsDiffer: the environment asks for other options.
            CaseError: it has no noise for a case of the fold, or noise for one that is no more in it.
            UsageError: no trainer of ours wrote it.
        """
        path = Path(filename_or_checkpoint)
        kept = read_checkpoint(path).get(KEY)
        if kept is None:
            raise UsageError(
                f"{path} has no {KEY!r}; expected a checkpoint of {type(self).__name__}; for its network alone use "
                "-pretrained_weights"
            )
        self._go_on_with(path, kept["options"])
        super().load_checkpoint(str(path))
        assert self.duo is not None
        self.duo.load_state_dict(kept["loss"])
        if self.denoising is not None:
            self.denoising.load_state_dict(kept["denoising"])

    def _go_on_with(self, path: Path, saved: Mapping[str, Any]) -> None:
        weights = saved["class_weights"]
        before = DuoOptions(**{**saved, "class_weights": None if weights is None else tuple(weights)})
        asked = {name: getattr(self.options, name) for name in given(os.environ)}
        for name, value in asked.items():
            if name not in _MAY_CHANGE and value != getattr(before, name):
                raise SettingsDiffer(
                    f"{path} was trained with {name} {getattr(before, name)!r}, and ALEASEG_DUO_{name.upper()} asks "
                    f"for {value!r}; unset it to go on, or start a new training"
                )
        options = replace(before, **asked)
        if not self.was_initialized:
            self._follow(options)
        elif options != self.options:
            raise SettingsDiffer(
                f"{path} was trained with {describe(options)}; load it before the training begins"
            )


class nnUNetTrainerDUO_EN(nnUNetTrainerDUO):  # noqa: N801
    """Label denoising without weights: Dice + cross-entropy against denoised targets."""

    reweight: ClassVar[bool] = False


class nnUNetTrainerDUO_RW(nnUNetTrainerDUO):  # noqa: N801
    """Weights 1 / (1 + alpha S) without label denoising."""

    denoise: ClassVar[bool] = False


def _on(device: torch.device, target: Any) -> Any:
    if isinstance(target, list):
        return [one.to(device, non_blocking=True) for one in target]
    return target.to(device, non_blocking=True)
