"""SegVol's released checkpoints in the names that today's libraries give the same network.

There are two: `SegVol_v1.pth`, `{"model": state_dict, "epoch": n}` with `module.` before every
key, and the hub's `pytorch_model.bin`, the same tensors at the top with `model.` before them.
Facts: the modules of BAAI-DCAI/SegVol, and the list of the 475 tensors of
`pytorch_model.bin` that alexprotom/rust-dicom-station recorded from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from aleaseg.extractors.checkpoint import load_strictly, strip_prefix
from aleaseg.networks.segvol import RELEASED, Network, Size, build

__all__ = ["network_from", "random_checkpoint", "renamed"]

_PREFIXES = ("module.", "model.")
_CLIP = "text_encoder.clip_text_model."
# transformers 5 has no `text_model` in between, and makes the positions itself.
_OLD_CLIP = _CLIP + "text_model."
_POSITIONS = _OLD_CLIP + "embeddings.position_ids"
_EPOCH = 0


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released state dict under the names of `Network`; names that are none of SegVol's stay."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = strip_prefix(state, prefix)
            break
    return {
        _CLIP + name.removeprefix(_OLD_CLIP) if name.startswith(_OLD_CLIP) else name: tensor
        for name, tensor in state.items()
        if name != _POSITIONS
    }


def network_from(
    state: Mapping[str, Tensor], size: Size = RELEASED, *, source: str = "the state dict"
) -> Network:
    """The network with released weights.

    Args:
        state: in the names of either released checkpoint.
        size: of the network.
        source: what the weights came from, for the error.

    Raises:
        WeightsRefused: a tensor is missing, too many, or of another shape; the message names it.
        MissingExtra: transformers is not installed.
    """
    network = build(size)
    load_strictly(network, renamed(state), source=source, may_lack=_unused(size))
    return network


def _unused(size: Size) -> set[str]:
    """What MONAI has put into its transformer since, for an attention that this one does not have."""
    return {
        f"image_encoder.blocks.{layer}.norm_cross_attn.{part}"
        for layer in range(size.layers)
        for part in ("weight", "bias")
    }


def random_checkpoint(seed: int, size: Size = RELEASED) -> dict[str, Any]:
    """An untrained checkpoint of the form of `SegVol_v1.pth`: every name, shape and type, meaningless numbers.

    Normal with deviation 0.02, as both transformers are initialised, about 1 for the
    weights of a layer norm and about 0 for the rest; the frequencies of the position encoding
    are standard normal.

    Args:
        seed: the same numbers for the same seed and version of PyTorch.
        size: of the network.
    """
    with torch.device("meta"):
        network = build(size)
    norms = {
        f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)
    }
    frequencies = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    generator = torch.Generator().manual_seed(seed)
    model: dict[str, Tensor] = {}
    for name, shape in ((name, tensor.shape) for name, tensor in network.state_dict().items()):
        if name in _unused(size):
            continue
        noise = torch.randn(shape, generator=generator)
        value = noise if name == frequencies else noise.mul_(0.02).add_(1.0 if name in norms else 0.0)
        old = _OLD_CLIP + name.removeprefix(_CLIP) if name.startswith(_CLIP) else name
        model[f"module.{old}"] = value
    model[f"module.{_POSITIONS}"] = torch.arange(size.text_length)[None]
    return {"model": model, "epoch": _EPOCH}
