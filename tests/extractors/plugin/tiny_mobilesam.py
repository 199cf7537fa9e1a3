"""Another package's extractor: a MobileSAM with the released one's layers and names, few channels, a small input."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from aleaseg.extractors.mobilesam import MobileSAM
from aleaseg.extractors.mobilesam_keys import renamed
from aleaseg.networks.tiny_vit import TinyViTSize

SHAPES = Path(__file__).parents[2] / "golden" / "mobilesam_checkpoint_shapes.json"
SIZE = TinyViTSize(widths=(8, 12, 16, 32), heads=(1, 2, 4, 4), windows=(7, 3, 5, 2), made=32)
DECODER = {"num_attention_heads": 2, "mlp_dim": 16, "iou_head_hidden_dim": 16}
PIXELS = (64, 96)


class TinyMobileSAM(MobileSAM):
    """For tests."""

    name = "tiny-mobilesam"
    traits = replace(MobileSAM.traits, pixels=PIXELS)
    size = SIZE
    decoder = DECODER


def released_names():
    """The parameters of the form whose batch norms are fused, with their shapes."""
    return json.loads(SHAPES.read_text())


def fused_form(network):
    """The weights of a network of ours in released names, batch norms fused."""
    own = network.state_dict()
    return {key: own[next(iter(renamed({key: torch.zeros(1)})))].clone() for key in released_names()}


def official_form(network, seed=0):
    """Weights in the form of the official file, whose fusion is not those of the network: norms are random.

    Every convolution with a bias, of the encoder, is one without and a batch norm behind it; the classifier that
    the encoder was taught with is there too.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for key, tensor in fused_form(network).items():
        place, _, part = key.rpartition(".")
        if not (
            key.startswith("image_encoder.")
            and f"{place}.bias" in released_names()
            and is_convolution(place)
        ):
            found[key] = tensor
        elif part == "weight":
            width = len(tensor)
            found[f"{place}.c.weight"] = tensor
            found[f"{place}.bn.weight"] = 1 + 0.3 * torch.randn(width, generator=generator)
            found[f"{place}.bn.bias"] = 0.3 * torch.randn(width, generator=generator)
            found[f"{place}.bn.running_mean"] = 0.3 * torch.randn(width, generator=generator)
            found[f"{place}.bn.running_var"] = 0.2 + torch.rand(width, generator=generator)
            found[f"{place}.bn.num_batches_tracked"] = torch.tensor(7)
    width = len(found["image_encoder.layers.3.blocks.1.mlp.norm.weight"])
    found["image_encoder.norm_head.weight"] = torch.ones(width)
    found["image_encoder.norm_head.bias"] = torch.zeros(width)
    found["image_encoder.head.weight"] = torch.zeros(1000, width)
    found["image_encoder.head.bias"] = torch.zeros(1000)
    return found


def is_convolution(place):
    return len(released_names()[f"{place}.weight"]) == 4
