"""Other networks inside nnU-Net 2.8, each with the stock loss and with DUO.

    nnUNetTrainerSwinUNETR    nnUNetTrainerSwinUNETRDUO     Swin-UNETR v2
    nnUNetTrainerUMambaBot    nnUNetTrainerUMambaBotDUO     U-Mamba, its Mamba at the bottom

A network takes the place of the plans' own; data, schedule, optimiser and prediction stay nnU-Net's,
so that two networks, or a network with and without DUO, differ in nothing else. nnU-Net asks the
trainer for the network when it predicts, too, and so must find it then as in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from aleaseg.extras import need
from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO

__all__ = [
    "nnUNetTrainerSwinUNETR",
    "nnUNetTrainerSwinUNETRDUO",
    "nnUNetTrainerUMambaBot",
    "nnUNetTrainerUMambaBotDUO",
]

_Stock: Any = need("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
_Base: Any = object  # what a mixin's super() will be: a trainer


class _SwinUNETR(_Base):  # type: ignore[misc]
    """Swin-UNETR v2 of MONAI, 48 numbers a token, in place of the plans' network; one output."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008  # nnU-Net passes none where it is cuda
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """The network; patches that do not divide by 32 are padded inside it.

        Raises:
            UsageError: a patch of which one voxel would be left at the bottom.
        """
        from aleaseg.networks.swin_unetr import SIZES, SwinUNETR, check_trainable

        patch = configuration_manager.patch_size
        check_trainable(patch)
        return SwinUNETR(num_input_channels, num_output_channels, len(patch), size=SIZES["paper"], pad=True)

    def initialize(self) -> None:
        """As before; says what is padded."""
        super().initialize()
        from aleaseg.networks.stages import by_size
        from aleaseg.networks.swin_unetr import padded

        patch = [int(edge) for edge in self.configuration_manager.patch_size]
        if padded(patch) != tuple(patch):
            self.print_to_log_file(
                f"Swin-UNETR halves every axis five times: patches of {by_size(patch)} are padded to "
                f"{by_size(padded(patch))} inside the network"
            )

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """There is one output, whatever is asked for."""


class _UMambaBot(_Base):  # type: ignore[misc]
    """U-Mamba with the strides, kernels and features of the plans, in place of their network."""

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The network; plans of plain and of residual encoders will do."""
        from aleaseg.networks.stages import Stages
        from aleaseg.networks.umamba import umamba

        planned = configuration_manager.network_arch_init_kwargs
        repeats = planned["n_conv_per_stage" if "n_conv_per_stage" in planned else "n_blocks_per_stage"]
        return umamba(
            num_input_channels,
            num_output_channels,
            planned["features_per_stage"],
            Stages(*(tuple(map(tuple, planned[name])) for name in ("strides", "kernel_sizes"))),
            repeats=repeats,
            repeats_up=planned["n_conv_per_stage_decoder"],
            deep_supervision=enable_deep_supervision,
        )


class nnUNetTrainerSwinUNETR(_SwinUNETR, _Stock):  # type: ignore[misc]  # noqa: N801
    """Swin-UNETR v2 with nnU-Net's loss."""


class nnUNetTrainerSwinUNETRDUO(_SwinUNETR, nnUNetTrainerDUO):  # noqa: N801
    """Swin-UNETR v2 with DUO."""


class nnUNetTrainerUMambaBot(_UMambaBot, _Stock):  # type: ignore[misc]  # noqa: N801
    """U-Mamba with nnU-Net's loss."""


class nnUNetTrainerUMambaBotDUO(_UMambaBot, nnUNetTrainerDUO):  # noqa: N801
    """U-Mamba with DUO."""
