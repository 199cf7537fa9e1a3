"""What SAM's prompt encoder and mask decoder are called in released checkpoints, and what in transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["SAM_NAMES", "rename"]

# The last two are SAM2's.
_HEADS = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head|obj_ptr_proj)"
SAM_NAMES: tuple[tuple[str, str], ...] = (
    # A head of three layers is proj_in, layers.0, proj_out there; one of two proj_in, proj_out.
    (rf"{_HEADS}\.layers\.0\.", r"\1.proj_in."),
    (rf"{_HEADS}\.layers\.1\.", r"\1.layers.0."),
    (rf"{_HEADS}\.layers\.2\.", r"\1.proj_out."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
)
"""Pattern and replacement, for SAM and SAM2 alike."""


def rename(key: str, names: Sequence[tuple[str, str]]) -> str:
    """One name after every replacement, in order.

    >>> rename("mask_decoder.output_upscaling.3.bias", SAM_NAMES)
    'mask_decoder.upscale_conv2.bias'
    """
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key
