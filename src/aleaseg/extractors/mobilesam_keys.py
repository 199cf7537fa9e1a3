"""MobileSAM's released checkpoint in the names that transformers gives the same parts.

The released `mobile_sam.pt` is a state dict: TinyViT with its batch norms and the classifier that it was
taught with, SAM's prompt encoder and mask decoder. The other form that goes around has the norms fused
into the convolutions and no classifier. Both become the one network here. Facts: the key lists of both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aleaseg.extractors.checkpoint import load_strictly

if TYPE_CHECKING:
    import torch

    from aleaseg.networks.mobile_sam import MobileSAM
    from aleaseg.networks.tiny_vit import TinyViTSize

__all__ = ["build", "random_network", "renamed"]

_CLASSIFIER = frozenset(
    f"image_encoder.{head}.{part}" for head in ("norm_head", "head") for part in ("weight", "bias")
)
"""Of the encoder's own training; nothing here looks at it."""
_HEADS = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)"
# One after the other. A head of three layers is proj_in, layers.0, proj_out there.
_RENAMES: tuple[tuple[str, str], ...] = (
    (rf"^mask_decoder\.{_HEADS}\.layers\.0\.", r"mask_decoder.\1.proj_in."),
    (rf"^mask_decoder\.{_HEADS}\.layers\.1\.", r"mask_decoder.\1.layers.0."),
    (rf"^mask_decoder\.{_HEADS}\.layers\.2\.", r"mask_decoder.\1.proj_out."),
    (r"^(mask_decoder\.transformer\..*)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
)


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Either released form in the names of `networks.mobile_sam`, batch norms fused, the classifier left out."""
    from aleaseg.networks.tiny_vit import fuse_batch_norms

    kept = {key: tensor for key, tensor in state.items() if key not in _CLASSIFIER}
    return {_name(key): tensor for key, tensor in fuse_batch_norms(kept).items()}


def _name(key: str) -> str:
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def build(
    state: Mapping[str, torch.Tensor],
    pixels: int = 1024,
    size: TinyViTSize | None = None,
    decoder: dict[str, Any] | None = None,
    *,
    source: str = "the checkpoint",
) -> MobileSAM:
    """MobileSAM with released weights, ready to look.

    Args:
        state: of either released form, in released names.
        pixels: side of its input, a multiple of 16.
        size: of the encoder, where it is not the released one.
        decoder: likewise.
        source: what the weights came from, for errors.

    Raises:
        WeightsRefused: a key is missing, one too many, or of the wrong shape.
    """
    from aleaseg.networks.mobile_sam import MobileSAM

    network = MobileSAM(pixels, size, decoder)
    load_strictly(network, renamed(state), source=source)
    return network.eval()


def random_network(
    seed: int, pixels: int = 1024, size: TinyViTSize | None = None, decoder: dict[str, Any] | None = None
) -> MobileSAM:
    """The same network, untrained: for trying things out, never for results."""
    import torch

    from aleaseg.networks.mobile_sam import MobileSAM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MobileSAM(pixels, size, decoder)
        for tensor in network.parameters():
            # As small as torch makes them, the image would be lost on its way through so many layers; what
            # starts at zero would hide a mistake in its use.
            if tensor.ndim > 1:
                torch.nn.init.normal_(tensor, std=1.5 / tensor[0].numel() ** 0.5)
            elif not tensor.any():
                torch.nn.init.normal_(tensor, std=0.02)
    return network.eval()
