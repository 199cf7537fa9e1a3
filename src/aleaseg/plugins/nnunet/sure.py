"""Evidence inside nnU-Net 2.8, and uncertainty that is taught (MICCAI 2025, arXiv 2509.17098).

    nnUNetTrainerEDL    an evidential loss in place of nnU-Net's own
    nnUNetTrainerSURE   the same, and uncertainty that follows gradients, noise and distance

Nothing stands beside the network, whose logits are read as evidence (`aleaseg.losses.evidential`): the
largest is still the answer, so stock prediction gives the right masks.

SURE's maps of distance and gradient are made of each sample as it was augmented, by the processes that
augment it: a patch of 128 x 128 x 128 voxels takes half a second of a core, as long as its augmentation,
and in the training step the device would wait for every one. They travel behind the targets, since
nnU-Net's loader hands over nothing else.

Under DDP the additional passes go past the wrapper, which would hand buffers round before each of them.
Gradients are averaged in the backward pass, each parameter's once it is whole, whatever passes it came
from; that the clean pass reaches every parameter is what DDP asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from aleaseg.cues import distance_map, gradient_map
from aleaseg.errors import UsageError
from aleaseg.extras import need
from aleaseg.losses.evidential import evidential_loss
from aleaseg.losses.sure import VARIANTS, SureSettings, ramp, sure_terms
from aleaseg.plugins.nnunet.base import TrainerBase, as_list
from aleaseg.plugins.nnunet.options import SureOptions
from aleaseg.plugins.nnunet.record import write_rows

__all__ = ["CueMaps", "nnUNetTrainerEDL", "nnUNetTrainerSURE"]

_Transform: Any = need("batchgeneratorsv2.transforms.base.basic_transform").BasicTransform
_Compose: Any = need("batchgeneratorsv2.transforms.utils.compose").ComposeTransforms

_TABLE = "sure_terms.csv"
_COLUMNS = ("epoch", "ramp", "segmentation", "gradient", "level", "distance", "far")


class CueMaps(_Transform):  # type: ignore[misc]
    """The last transform of a training sample: its maps of distance and gradient, behind its targets.

    Attributes:
        spacing: of each axis of the patch, in any unit.
        ignore_index: label value of voxels that nobody annotated.
        phantom: see `aleaseg.cues.distance_map`.
    """

    def __init__(self, spacing: Sequence[float], *, ignore_index: int | None, phantom: bool) -> None:
        """What the maps depend on beside the sample."""
        super().__init__()
        self.spacing = tuple(spacing)
        self.ignore_index = ignore_index
        self.phantom = phantom

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """`segmentation` becomes the list of targets (1, *X), finest first, then d and g, (*X) float32 each."""
        given = data_dict["segmentation"]
        targets = list(given) if isinstance(given, list | tuple) else [given]
        distance = distance_map(
            targets[0][0].numpy(),
            spacing=self.spacing,
            ignore_index=self.ignore_index,
            phantom=self.phantom,
        )
        gradient = gradient_map(data_dict["image"].numpy(), spacing=self.spacing)
        maps = [torch.from_numpy(each) for each in (distance, gradient)]
        return {**data_dict, "segmentation": [*targets, *maps]}


class nnUNetTrainerEDL(TrainerBase):  # noqa: N801
    """An evidential loss, at each output of the deep supervision.

    Attributes:
        variants: of `aleaseg.losses.sure.VARIANTS`, those that it trains with; the first is the default.
        settings: what the options come to; there from `initialize` on.
    """

    family = SureOptions
    method = "EDL"
    variants: ClassVar[tuple[str, ...]] = ("edl", "edl_b")

    options: SureOptions
    settings: SureSettings

    # -- the beginning ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.settings = self._settings()
        if self.label_manager.has_regions:
            raise UsageError(
                f"the labels of {self.plans_manager.dataset_name} are regions, which may overlap, and evidence is "
                "shared out among classes that do not; expected a data set of labels; train it with nnUNetTrainer "
                "or nnUNetTrainerDUO"
            )
        if self.is_cascaded and self.settings.ordered:
            raise UsageError(
                f"{self.configuration_name} is the second stage of a cascade, whose input holds masks, and these have "
                "no noise and no gradient; expected a configuration that sees images alone; train it with "
                "nnUNetTrainerEDL, or 3d_fullres with this one"
            )

    def _settings(self) -> SureSettings:
        options = self.options
        variant = options.variant or self.variants[0]
        if variant not in self.variants:
            raise UsageError(
                f"{options.variable('variant')} is {variant}; expected {' or '.join(self.variants)} for "
                f"{type(self).__name__}; unset it, or train with another trainer"
            )
        names = {one.name for one in fields(SureSettings)} & {one.name for one in fields(options)}
        asked = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        idle = sorted(asked.keys() - {"form", "kind"})
        if idle and not VARIANTS[variant].ordered:
            raise UsageError(
                f"{options.variable(idle[0])} is set, and {type(self).__name__} has the evidential loss alone; unset "
                "it, or train with nnUNetTrainerSURE"
            )
        return replace(VARIANTS[variant], **asked)

    def _about(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in asdict(self.settings).items())
        return f"{self.method} ({told})"

    def get_training_transforms(self, *given: Any, **named: Any) -> Any:
        """NnU-Net's own, and the maps after them, where there is something to follow them."""
        stock = super().get_training_transforms(*given, **named)
        return self.with_maps(stock) if self.settings.ordered else stock

    def with_maps(self, transforms: Any) -> Any:
        """Transforms of nnU-Net, and the maps after them."""
        maps = CueMaps(
            self.configuration_manager.spacing,
            ignore_index=self.label_manager.ignore_label,
            phantom=self.settings.phantom,
        )
        return _Compose([transforms, maps])

    # -- a step -----------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]."""
        done = self.current_epoch + self._iteration / self.num_iterations_per_epoch
        return min(1.0, done / self.num_epochs)

    def _loss(self, output: Any, target: Any, ids: Sequence[str], data: Tensor) -> Tensor:
        outputs, targets = as_list(output), as_list(target)
        progress, settings = self.progress, self.settings
        # Maps that stand behind the targets are beyond the last output.
        levels = zip(self.shares, outputs, targets[: len(outputs)], strict=True)
        loss = torch.stack(
            [
                share
                * evidential_loss(
                    logits, labels[:, 0], progress, settings.form, settings.kind,
                    ignore_index=self.label_manager.ignore_label,
                )
                for share, logits, labels in levels
                if share
            ]
        ).sum()  # fmt: skip
        if not settings.ordered:
            return loss
        return loss + self._ordered(outputs[0], targets, loss.detach(), data)

    def _ordered(
        self, logits: Tensor, targets: Sequence[Tensor], segmentation: Tensor, data: Tensor
    ) -> Tensor:
        """What SURE adds, of the finest output."""
        distance, gradient = targets[-2:]
        loss, terms = sure_terms(
            self._local_network(),
            data,
            logits,
            targets[0][:, 0],
            distance,
            gradient,
            self.progress,
            (self.options.seed, self.local_rank, self.current_epoch, self._iteration),
            self.settings,
        )
        if self.grad_scaler is None and not bool(loss.isfinite()):
            raise ValueError(
                "logits of the images with noise are NaN or infinite, and those without are not; expected finite "
                "numbers: look at the learning rate"
            )
        for name, value in {"segmentation": segmentation, **terms}.items():
            self.means.add(name, value.reshape(1, 1))
        return loss

    def _record(self, means: Mapping[str, Sequence[float]]) -> None:
        if not self.settings.ordered:
            return
        middle = (self.current_epoch + 0.5) / self.num_epochs
        row = {
            "epoch": self.current_epoch,
            "ramp": ramp(middle, self.settings.begin, self.settings.start),
            **{name: value for name, (value,) in means.items()},
        }
        write_rows(Path(self.output_folder) / _TABLE, _COLUMNS, self.current_epoch, [row])


class nnUNetTrainerSURE(nnUNetTrainerEDL):  # noqa: N801
    """The evidential loss, and uncertainty that follows gradients, noise and distance."""

    method = "SURE"
    variants: ClassVar[tuple[str, ...]] = ("sure", "sure2025")
