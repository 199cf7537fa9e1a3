"""MobileSAM's released checkpoint in the names that transformers gives the same parts.

The released `mobile_sam.pt` is a state dict: TinyViT with its batch norms and the classifier that it was
taught with, SAM's prompt encoder and mask decoder. The other form that goes around has the norms fused
into the convolutions and no classifier. Both become the one network here. Facts: the key lists of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aleaseg.extractors.checkpoint import load_strictly
from aleaseg.extractors.sam_names import SAM_NAMES, rename

if TYPE_CHECKING:
    import torch

    from aleaseg.networks.mobile_sam import MobileSAM
    from aleaseg.networks.tiny_vit import TinyViTSize

__all__ = ["build", "random_network", "renamed"]

_CLASSIFIER = frozenset(
    f"image_encoder.{head}.{part}" for head in ("norm_head", "head") for part in ("weight", "bias")
)
"""Of the encoder's own training; nothing here looks at it."""
# One after the other.
_RENAMES: tuple[tuple[str, str], ...] = (
    *SAM_NAMES,
    (r"^(mask_decoder\.transformer\..*)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
)


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Either released form in the names of `networks.mobile_sam`, batch norms fused, the classifier left out."""
    from aleaseg.networks.tiny_vit import fuse_batch_norms

    kept = {key: tensor for key, tensor in state.items() if key not in _CLASSIFIER}
    return {rename(key, _RENAMES): tensor for key, tensor in fuse_batch_norms(kept).items()}


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
