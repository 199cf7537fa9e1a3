"""MedSAM2's released checkpoint in the names that transformers gives the same network.

The released file is `{"model": state_dict}` of a SAM2.1 with a Hiera-tiny encoder at 512
pixels, in the names of its authors. transformers has the same network under other
names; this is the dictionary between the two. Facts: the key lists of both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aleaseg.errors import WeightsRefused
from aleaseg.extractors.checkpoint import load_strictly
from aleaseg.extractors.sam_names import SAM_NAMES, rename
from aleaseg.extras import need

if TYPE_CHECKING:
    import torch

__all__ = ["CONFIGURATION", "build", "random_network", "renamed"]

IMAGE_SIZE = 512
CONFIGURATION: Mapping[str, Any] = {
    "image_size": IMAGE_SIZE,
    "vision_config": {
        "backbone_feature_sizes": [[128, 128], [64, 64], [32, 32]],
        "backbone_config": {"model_type": "sam2_hiera_det_model", "image_size": [IMAGE_SIZE, IMAGE_SIZE]},
    },
    "prompt_encoder_config": {"image_size": IMAGE_SIZE},
    "memory_attention_rope_feat_sizes": [32, 32],
    # Prompts on many slices: the nearest four are remembered. With one prompt it changes nothing.
    "max_cond_frame_num": 4,
}
"""What differs from transformers' own defaults, which are those of SAM2.1 with Hiera-tiny at 1024 pixels."""

_POINTS = 4
_SHARED = "prompt_encoder.shared_embedding.positional_embedding"
_IMAGE_SHARED = "shared_image_embedding.positional_embedding"
_DOWNSAMPLER = r"^memory_encoder\.mask_downsampler\.encoder\."
# One after the other.
_RENAMES: tuple[tuple[str, str], ...] = (
    *SAM_NAMES,
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.norm(\d|_final_attn|)\.", r".layer_norm\1."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(attn.*)\.out_proj\.", r"\1.o_proj."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.gamma$", ".scale"),
    (_DOWNSAMPLER + r"12\.", "memory_encoder.mask_downsampler.final_conv."),
    (r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", _SHARED),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
)


def renamed(
    state: Mapping[str, torch.Tensor], *, source: str = "the checkpoint"
) -> dict[str, torch.Tensor]:
    """The released names turned into transformers', 471 keys into 469.

    Args:
        state: as released.
        source: what the weights came from, for errors.

    Raises:
        WeightsRefused: an embedding of points is missing.
    """
    import torch

    found = {_name(key): tensor for key, tensor in state.items()}
    # Four points of one row each are one table of four rows there.
    parts = [f"prompt_encoder.point_embed.{point}.weight" for point in range(_POINTS)]
    missing = [
        f"sam_prompt_encoder.point_embeddings.{i}.weight" for i, key in enumerate(parts) if key not in found
    ]
    if missing:
        raise WeightsRefused(
            f"{source} does not fit MedSAM2: it lacks {', '.join(missing)}; give the weights of this model"
        )
    found["prompt_encoder.point_embed.weight"] = torch.cat([found.pop(key) for key in parts])
    if _SHARED in found:
        found[_IMAGE_SHARED] = found[_SHARED]
    return found


def _name(key: str) -> str:
    layer = re.match(_DOWNSAMPLER + r"(\d+)\.(weight|bias)$", key)
    if layer and int(layer[1]) < 12:
        # Convolution, layer norm and activation take turns.
        place, part = divmod(int(layer[1]), 3)
        kind = "conv" if part == 0 else "layer_norm"
        return f"memory_encoder.mask_downsampler.layers.{place}.{kind}.{layer[2]}"
    return rename(key, _RENAMES)


def build(
    state: Mapping[str, torch.Tensor],
    configuration: Mapping[str, Any] = CONFIGURATION,
    *,
    source: str = "the checkpoint",
) -> Any:
    """Transformers' `Sam2VideoModel` with released weights, ready to look.

    Args:
        state: in released names.
        configuration: of `Sam2VideoConfig`.
        source: what the weights came from, for errors.

    Raises:
        WeightsRefused: a key is missing, one too many, or of the wrong shape.
    """
    network = _empty(configuration)
    load_strictly(network, renamed(state, source=source), source=source)
    return network.eval()


def random_network(seed: int, configuration: Mapping[str, Any] = CONFIGURATION) -> Any:
    """The same network, untrained: for trying things out, never for results."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _empty(configuration)
        for tensor in network.parameters():
            # What starts at zero (no-memory embeddings, biases) would hide a mistake in its use.
            if not tensor.any():
                torch.nn.init.normal_(tensor, std=0.02)
    return network.eval()


def _empty(configuration: Mapping[str, Any]) -> Any:
    sam2 = need("transformers.models.sam2_video.modeling_sam2_video")
    settings = need("transformers.models.sam2_video.configuration_sam2_video")
    return sam2.Sam2VideoModel(settings.Sam2VideoConfig(**configuration))
