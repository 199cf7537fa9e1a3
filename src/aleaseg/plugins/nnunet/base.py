"""What the trainers for nnU-Net 2.8 have in common: the stock trainer with another training loss.

Options come from the environment; the cases of a selection are left out of every fold's training;
each checkpoint has one key more. Network, data, augmentation, schedule, validation (with the stock
loss) and prediction are nnU-Net's, and so are its files.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aleaseg.errors import BadVoxels, SettingsDiffer, UsageError
from aleaseg.extras import need
from aleaseg.plugins.nnunet.checkpoint import read_checkpoint, save_with
from aleaseg.plugins.nnunet.excluded import Excluded, check_cases, excluded
from aleaseg.plugins.nnunet.options import Options
from aleaseg.plugins.nnunet.record import ClassMeans
from aleaseg.readers.splits import SPLITS, read_splits

__all__ = ["Supervised", "TrainerBase", "as_list"]

_Stock: Any = need("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
Supervised: Any = need("nnunetv2.training.loss.deep_supervision").DeepSupervisionWrapper
"""NnU-Net's sum of a loss over the outputs of the deep supervision; `weight_factors` are its weights."""

_LARGEST_GRADIENT = 12  # to which nnU-Net clips its network's


class TrainerBase(_Stock, ABC):  # type: ignore[misc]
    """The stock trainer with another loss of the training steps; the loss is a subclass's.

    Attributes:
        family: where the options of such trainers are declared.
        method: what the loss is called in the log.
        options: of the training, from the environment or the checkpoint that it goes on from.
        loss: nnU-Net's own, which validates.
        excluded: the cases that a selection leaves out; known after `do_split`.
        left_out: how many of them the fold would have trained on.
        cases: ids of the training, sorted; known after `initialize`.
        means: of the epoch, for a table.
    """

    family: ClassVar[type[Options]]
    method: ClassVar[str]
    _iteration: int = 0  # of the epoch

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008  # nnU-Net passes none where it is cuda
    ) -> None:
        options = self.family.read(os.environ)  # before the first folder is made
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.excluded = Excluded()
        self.left_out = 0
        self.cases: list[str] = []
        self.means = ClassMeans()
        self._follow(options)

    def _follow(self, options: Any) -> None:
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

    # -- what a method makes of it ----------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the loss and what stands beside the network, once nnU-Net has made the rest.

        Raises:
            ValueError: options that do not go together.
        """

    def _about(self) -> str:
        """What the log says of the method, before the options."""
        return self.method

    @abstractmethod
    def _loss(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        """The loss of a step.

        Args:
            output: (B, K, *X) logits; under deep supervision a list of them, the finest first.
            target: as nnU-Net's loader hands it over, on the device.
            ids: (B,) of the samples.
            data: (B, C, *X) images, what the network was given.

        Raises:
            ValueError: a batch that cannot be learned from.
        """

    def _backward(self, loss: Tensor) -> None:
        """Gradients of a loss."""
        torch.autograd.backward(loss)

    def _beside(self) -> Iterable[nn.Parameter]:
        """What learns beside the network."""
        return ()

    def _record(self, means: Mapping[str, Sequence[float]]) -> None:
        """Keep an epoch's means in a table, where there is one."""

    def _state_beside(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the options: tensors and plain values.

        `parameter_groups` is how many the optimiser has after nnU-Net's own.
        """
        return {"parameter_groups": 0}

    def _restore_beside(self, kept: Mapping[str, Any]) -> None:
        """Take it back."""

    def _bare_network(self) -> nn.Module:
        """The network without what DDP and torch.compile put around it."""
        bare: nn.Module = getattr(self._local_network(), "_orig_mod", self._local_network())
        return bare

    def _local_network(self) -> nn.Module:
        """The network without what DDP puts around it."""
        local: nn.Module = self.network.module if self.is_ddp else self.network
        return local

    @property
    def shares(self) -> Sequence[float]:
        """What each output counts in nnU-Net's own loss, the finest first."""
        return self.loss.weight_factors if isinstance(self.loss, Supervised) else (1.0,)

    # -- the beginning ----------------------------------------------------------------------------

    def initialize(self) -> None:
        """As nnU-Net does, then the loss of the training steps and what stands beside the network."""
        # Some list a case more than once, to draw it more often.
        self.cases = sorted(set(self.do_split()[0]))
        super().initialize()
        try:
            self._prepare()
        except ValueError as error:
            raise UsageError(f"{type(self).__name__} cannot train with these settings: {error}") from error
        self._tell()

    def _tell(self) -> None:
        self.print_to_log_file(f"{self._about()}: {self.options.describe()}")
        if self.excluded.source:
            self.print_to_log_file(
                f"{self.left_out} cases are left out of this fold's training by {self.excluded.source}, which drops "
                f"{len(self.excluded.cases)} in all; {len(self.cases)} remain"
            )
        self.print_to_log_file(
            f"train_loss is {self.method}'s; val_loss is nnU-Net's own, as with nnUNetTrainer"
        )
        self.logger.update_config({self.family.key: asdict(self.options)})

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
        self.excluded = excluded(
            base, self.options.selection, in_splits=in_splits, variable=self.family.variable("selection")
        )
        if self.excluded.cases and not self.excluded.cases & set(there):
            raise UsageError(
                f"{self.excluded.source} leaves out {len(self.excluded.cases)} cases, and {base} has none of them; "
                f"expected a selection of this data set; name that, or `none`, in {self.family.variable('selection')}"
            )
        kept = [case for case in train if case not in self.excluded.cases]
        self.left_out = len(set(train) & self.excluded.cases)
        if not kept:
            raise UsageError(
                f"{self.excluded.source or splits} leaves fold {self.fold} no case to train on; choose a gentler cut"
            )
        return kept, val

    # -- a step -----------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """As nnU-Net; steps are counted anew."""
        super().on_train_epoch_start()
        self._iteration = 0

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step on the network and on what is beside it; it is counted."""
        ids = [str(case) for case in batch["keys"]]
        data = batch["data"].to(self.device, non_blocking=True)
        target = _on(self.device, batch["target"])
        self.optimizer.zero_grad(set_to_none=True)
        # As nnU-Net: half precision on a GPU alone.
        half = torch.autocast("cuda") if self.device.type == "cuda" else contextlib.nullcontext()
        with half:
            loss = self._loss_of(self.network(data), target, ids, data)
        scaler = self.grad_scaler
        self._backward(loss if scaler is None else scaler.scale(loss))
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        # Apart, so that the network's steps are not cut short by the gradients of what is beside it.
        for parameters in (self.network.parameters(), self._beside()):
            torch.nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self._iteration += 1
        return {"loss": loss.detach().cpu().numpy()}

    def _loss_of(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        """The loss of a step; where there can be none, it is said why."""
        try:
            return self._loss(output, target, ids, data)
        except ValueError as error:
            for case, image in zip(ids, data, strict=True):
                if not torch.isfinite(image).all():
                    raise BadVoxels(
                        case,
                        "NaN or infinity in the preprocessed image",
                        "finite numbers",
                        "preprocess the case again, or leave it out",
                    ) from error
            outputs = as_list(output)
            if self.grad_scaler is not None and not all(bool(one.isfinite().all()) for one in outputs):
                # Half precision overflowed: the scaler finds no finite gradient, skips the step and scales less.
                return torch.stack([one.float().sum() for one in outputs]).sum() * torch.nan
            raise UsageError(f"the batch of {', '.join(ids)} cannot be learnt from: {error}") from error

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """As nnU-Net; the epoch's means are kept."""
        super().on_train_epoch_end(train_outputs)
        means = self.means.take(everywhere=self.is_ddp)
        if self.local_rank == 0:
            self._record(means)

    # -- checkpoints ------------------------------------------------------------------------------

    def save_checkpoint(self, filename: str) -> None:
        """NnU-Net's checkpoint with the family's key; written aside and renamed."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        kept = {"options": asdict(self.options), **self._state_beside()}
        save_with(super().save_checkpoint, Path(filename), self.family.key, kept)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Go on with what was saved, under the options that it was saved with.

        Raises:
            SettingsDiffer: the environment asks for other options.
            CaseError: what it holds beside the network is of other cases than the fold's.
            UsageError: no trainer of this family wrote it.
        """
        path = Path(filename_or_checkpoint)
        kept = read_checkpoint(path).get(self.family.key)
        if kept is None:
            raise UsageError(
                f"{path} has no {self.family.key!r}; expected a checkpoint of {type(self).__name__}; for its network "
                "alone use -pretrained_weights"
            )
        self._go_on_with(path, kept["options"])
        super().load_checkpoint(str(path))
        self._restore_beside(kept)

    def _go_on_with(self, path: Path, saved: Mapping[str, Any]) -> None:
        before = self.family.restored(saved)
        asked = {name: getattr(self.options, name) for name in self.family.given(os.environ)}
        for name, value in asked.items():
            if not self.family.may_change(name) and value != getattr(before, name):
                raise SettingsDiffer(
                    f"{path} was trained with {name} {getattr(before, name)!r}, and {self.family.variable(name)} asks "
                    f"for {value!r}; unset it to resume, or start a new training"
                )
        options = replace(before, **asked)
        if not self.was_initialized:
            self._follow(options)
        elif options != self.options:
            raise SettingsDiffer(
                f"{path} was trained with {options.describe()}; load it before the training begins"
            )


def as_list(given: Any) -> list[Any]:
    """Outputs or targets, the finest first; under deep supervision there are several."""
    return list(given) if isinstance(given, list | tuple) else [given]


def _on(device: torch.device, target: Any) -> Any:
    if isinstance(target, list):
        return [one.to(device, non_blocking=True) for one in target]
    return target.to(device, non_blocking=True)
