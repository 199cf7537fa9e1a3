"""SegVol's released forms: what they hold, that they load, and that nothing else does."""

import pytest
import torch

from aleaseg.errors import WeightsRefused
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.segvol_keys import network_from, random_checkpoint, renamed
from aleaseg.networks.segvol import RELEASED, Size

TINY = Size(
    image=(8, 32, 48),
    patch=(4, 16, 16),
    width=48,
    layers=2,
    heads=4,
    hidden=40,
    decoder_heads=4,
    decoder_hidden=56,
    quality_hidden=16,
    mask_hidden=8,
    words=60,
    text_length=12,
    text_width=32,
    text_layers=2,
    text_heads=4,
    text_hidden=24,
)
CLIP = "module.text_encoder.clip_text_model.text_model."


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(3, TINY)


def test_the_form_of_the_released_file(checkpoint):
    assert set(checkpoint) == {"model", "epoch"}
    model = checkpoint["model"]
    assert all(name.startswith("module.") for name in model)
    assert model[CLIP + "embeddings.position_ids"].tolist() == [list(range(12))]
    assert tuple(model[CLIP + "encoder.layers.1.mlp.fc1.weight"].shape) == (24, 32)
    assert not any("norm_cross_attn" in name for name in model)
    assert {tensor.dtype for tensor in model.values()} == {torch.float32, torch.int64}


def test_the_same_seed_gives_the_same_numbers(checkpoint):
    # Whatever was drawn elsewhere before.
    torch.rand(5)
    again, other = random_checkpoint(3, TINY)["model"], random_checkpoint(4, TINY)["model"]
    name = "module.mask_decoder.transformer.layers.0.mlp.lin1.weight"
    assert all(torch.equal(again[key], tensor) for key, tensor in checkpoint["model"].items())
    assert not torch.equal(other[name], again[name])


def test_random_numbers_are_of_a_sensible_size(checkpoint):
    model = checkpoint["model"]
    assert model["module.mask_decoder.iou_prediction_head.layers.0.weight"].std() == pytest.approx(
        0.02, rel=0.1
    )
    assert model["module.image_encoder.norm.weight"].mean() == pytest.approx(1, abs=0.02)
    assert model["module.mask_decoder.output_upscaling.1.weight"].mean() == pytest.approx(1, abs=0.02)
    frequencies = model["module.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    assert frequencies.std() == pytest.approx(1, rel=0.2)


def forms(model):
    """Both released forms, a safetensors file of the second, and keys without a prefix."""
    bare = {name.removeprefix("module."): tensor for name, tensor in model.items()}
    of_the_hub = {f"model.{name}": tensor for name, tensor in bare.items()}
    return {
        "v1.pth": {"model": model, "epoch": 1},
        "hub.bin": of_the_hub,
        "hub.safetensors": of_the_hub,
        "a.pth": bare,
    }


@pytest.mark.parametrize("name", ["v1.pth", "hub.bin", "hub.safetensors", "a.pth"])
def test_every_form_loads_every_number(checkpoint, tmp_path, name):
    from safetensors.torch import save_file

    held = forms(checkpoint["model"])[name]
    (save_file if name.endswith(".safetensors") else torch.save)(held, tmp_path / name)
    network = network_from(read_state(tmp_path / name, "model"), TINY, source=name)
    loaded = network.state_dict()
    for key, tensor in checkpoint["model"].items():
        own = key.removeprefix("module.").replace("clip_text_model.text_model.", "clip_text_model.")
        if own.endswith("position_ids"):
            assert own not in loaded
        else:
            assert torch.equal(loaded.pop(own), tensor), key
    assert all("norm_cross_attn" in left for left in loaded)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_positions_need_not_be_there(checkpoint):
    """Newer versions of transformers do not save them."""
    model = {k: v for k, v in checkpoint["model"].items() if not k.endswith("position_ids")}
    network_from(model, TINY)


@pytest.mark.parametrize(
    "name",
    [
        "module.image_encoder.blocks.1.norm2.bias",
        "module.image_encoder.patch_embedding.position_embeddings",
        "module.mask_decoder.txt_align_upscaled_embedding.weight",
        "module.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "module.prompt_encoder.mask_downscaling.3.weight",
        CLIP + "final_layer_norm.weight",
        "module.text_encoder.dim_align.bias",
    ],
)
def test_what_is_missing_or_of_another_shape_is_named(checkpoint, name):
    own = name.removeprefix("module.").replace("text_model.text_model.", "text_model.")
    model = dict(checkpoint["model"])
    tensor = model.pop(name)
    with pytest.raises(WeightsRefused, match=rf"a file does not fit Network: 1 missing \({own}\)"):
        network_from(model, TINY, source="a file")
    model[name] = tensor.repeat_interleave(2, 0)
    with pytest.raises(WeightsRefused, match=rf"1 of another shape \({own} is "):
        network_from(model, TINY)


def test_what_is_too_many_is_named(checkpoint):
    model = checkpoint["model"] | {"module.image_encoder.blocks.0.attn.qkv.bias": torch.zeros(144)}
    with pytest.raises(
        WeightsRefused, match=r"1 not of this model \(image_encoder.blocks.0.attn.qkv.bias\)"
    ):
        network_from(model, TINY)
    # One key without the prefix: it is not guessed which are meant.
    model = checkpoint["model"] | {"epoch_of_training": torch.zeros(1)}
    with pytest.raises(WeightsRefused, match="not of this model"):
        network_from(model, TINY)


def test_another_models_keys_stay_as_they_are():
    assert list(renamed({"net.a": torch.zeros(1), "net.text_model.b": torch.zeros(1)})) == [
        "net.a",
        "net.text_model.b",
    ]


@pytest.mark.slow
def test_the_released_size_there_and_back(tmp_path):
    """180 million numbers: written, read, loaded, and one image looked at."""
    model = random_checkpoint(0)["model"]
    assert len(model) == 475
    assert sum(tensor.numel() for tensor in model.values()) == 180_891_293
    torch.save({"model": model, "epoch": 1}, tmp_path / "SegVol_v1.pth")
    network = network_from(read_state(tmp_path / "SegVol_v1.pth", "model"), source="SegVol_v1.pth")
    assert torch.equal(
        network.mask_decoder.mask_tokens.weight, model["module.mask_decoder.mask_tokens.weight"]
    )
    words = torch.tensor([[49406, 320, 7690, 49407], [49406, 320, 14610, 49407]])
    logits = network(torch.rand(1, 1, *RELEASED.image), words, torch.ones_like(words))
    assert logits.shape == (2, 32, 64, 64)
    assert torch.isfinite(logits).all()
    assert logits.std() > 1e-3 * logits.abs().max()
