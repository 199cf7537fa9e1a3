"""Another package's extractor: a MedSAM2 with the released one's layers and names, and few channels.

Found by its entry point, as anybody's would be; with random weights only.
"""

import json
from pathlib import Path

import torch

from aleaseg.extractors.medsam2 import MedSAM2
from aleaseg.extractors.medsam2_keys import random_network

SHAPES = Path(__file__).parents[2] / "golden" / "medsam2_checkpoint_shapes.json"
SIZE = 64
TINY = {
    "image_size": SIZE,
    "vision_config": {
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 128,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "image_size": [SIZE, SIZE],
            "hidden_size": 8,
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 1, 1],
        },
    },
    "prompt_encoder_config": {"image_size": SIZE, "hidden_size": 128},
    "mask_decoder_config": {
        "hidden_size": 128,
        "mlp_dim": 32,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    },
    "memory_attention_rope_feat_sizes": [4, 4],
    "memory_attention_hidden_size": 128,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64,
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 32,
    "max_cond_frame_num": 4,
}


class TinyMedSAM2(MedSAM2):
    """For tests."""

    name = "tiny-medsam2"
    configuration = TINY


def released_names():
    return list(json.loads(SHAPES.read_text()))


def released_form(network):
    """The weights of a network of transformers' in the released names."""
    from aleaseg.extractors.medsam2_keys import _name

    own = network.state_dict()
    found = {}
    for key in released_names():
        name = _name(key)
        if name.startswith("prompt_encoder.point_embed.") and name not in own:
            row = int(name.split(".")[2])
            found[key] = own["prompt_encoder.point_embed.weight"][row : row + 1].clone()
        else:
            found[key] = own[name].clone()
    return found


def loud_network():
    """Seeded random weights, large enough to tell things apart: logits of range 10."""
    network = random_network(3, TINY)
    generator = torch.Generator().manual_seed(4)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and "norm" not in name:
            fan = max(1, tensor[0].numel()) if tensor.ndim > 1 else 1
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise * (1.0 / fan**0.5 if tensor.ndim > 1 else 0.1))
    return network
