"""The Universal Model's network, held against plain NumPy and against MONAI's own parts."""

import numpy as np
import pytest
import torch
from monai.networks.nets.swin_unetr import PatchMerging

from aleaseg.networks.universal import (
    Configuration,
    LegacyMerging,
    UniversalModel,
    dynamic_head,
    from_released,
    random_checkpoint,
)

TINY = Configuration(feature_size=12, depths=(1, 1, 1, 1), attention=2, groups=4, patch=32)


def released(state):
    return from_released({name.removeprefix("module."): tensor for name, tensor in state["net"].items()})


@pytest.fixture(scope="module")
def model():
    found = UniversalModel(TINY)
    found.load_state_dict(released(random_checkpoint(7, TINY)))
    return found.eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 1, 32, 64, 32, generator=torch.Generator().manual_seed(2))


def relu(x):
    return np.maximum(x, 0)


# -- patch merging -----------------------------------------------------------------------------------


def plain_merging(x, norm, weight):
    """Cell by cell; x (B, D, H, W, C)."""
    batch, depth, height, width, channels = x.shape
    out = np.empty((batch, depth // 2, height // 2, width // 2, 2 * channels))
    for b, d, h, w in np.ndindex(out.shape[:4]):
        cell = x[b, 2 * d : 2 * d + 2, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        corners = [
            cell[0, 0, 0],
            cell[1, 0, 0],
            cell[0, 1, 0],
            cell[0, 0, 1],
            cell[1, 0, 1],
            cell[0, 1, 0],  # again
            cell[0, 0, 1],  # again
            cell[1, 1, 1],
        ]
        long = np.concatenate(corners)
        long = (long - long.mean()) / np.sqrt(long.var() + 1e-5)
        out[b, d, h, w] = weight @ (long * norm[0] + norm[1])
    return out


def merging_pair(dim=3):
    """The legacy class and MONAI's of today, with the same weights."""
    torch.manual_seed(0)
    legacy, today = LegacyMerging(dim), PatchMerging(dim)
    torch.nn.init.normal_(legacy.norm.weight)
    torch.nn.init.normal_(legacy.norm.bias)
    today.load_state_dict(legacy.state_dict())
    return legacy, today


@torch.no_grad()
def test_legacy_merging_is_plain_indexing():
    legacy, _ = merging_pair()
    x = torch.randn(2, 4, 2, 6, 3)
    norm = legacy.norm.weight.numpy(), legacy.norm.bias.numpy()
    expected = plain_merging(x.numpy().astype(np.float64), norm, legacy.reduction.weight.numpy())
    np.testing.assert_allclose(legacy(x), expected, atol=1e-5)


@torch.no_grad()
def test_todays_merging_takes_legacy_weights_without_a_word_and_gives_something_else():
    legacy, today = merging_pair()
    x = torch.randn(1, 2, 2, 2, 3)
    assert (legacy(x) - today(x)).abs().max() > 0.1
    # Where all corners of a cell are alike, no order can matter.
    alike = torch.randn(1, 1, 1, 1, 3).expand(1, 2, 2, 2, 3)
    torch.testing.assert_close(legacy(alike), today(alike))


def test_every_stage_merges_the_legacy_way(model):
    stages = (getattr(model.backbone.swinViT, f"layers{number}")[0] for number in (1, 2, 3, 4))
    assert [type(stage.downsample) for stage in stages] == [LegacyMerging] * 4


def test_legacy_merging_is_for_volumes():
    with pytest.raises(ValueError, match="3 spatial axes, not 2"):
        LegacyMerging(4, spatial_dims=2)


# -- the heads ---------------------------------------------------------------------------------------


def plain_head(features, parameters):
    """features (8, N), parameters (153,) -> (N,)."""
    w1, w2, w3, b1, b2, b3 = np.split(parameters, np.cumsum([64, 64, 8, 8, 8]))
    x = relu(w1.reshape(8, 8) @ features + b1[:, None])
    x = relu(w2.reshape(8, 8) @ x + b2[:, None])
    return w3 @ x + b3


def test_the_dynamic_head_is_three_matrix_products():
    rng = np.random.default_rng(0)
    features, parameters = rng.normal(size=(2, 8, 3, 4, 5)), rng.normal(size=(2, 6, 153))
    got = dynamic_head(torch.from_numpy(features), torch.from_numpy(parameters))
    assert got.shape == (2, 6, 3, 4, 5)
    for b, k in np.ndindex(2, 6):
        expected = plain_head(features[b].reshape(8, -1), parameters[b, k])
        np.testing.assert_allclose(got[b, k].reshape(-1), expected, atol=1e-12)


@torch.no_grad()
def test_the_model_is_backbone_pooling_text_controller_and_head(model, image):
    deepest = []
    hook = model.backbone.encoder10.register_forward_hook(lambda *found: deepest.append(found[2]))
    finest = model.backbone(image)  # MONAI's own way through its parts
    hook.remove()
    got = model(image, [5, 26, 0]).numpy()
    assert got.shape == (2, 3, *image.shape[2:])

    def grouped(x, norm):  # (C, *spatial)
        flat = x.reshape(norm.num_groups, -1)
        flat = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + norm.eps)
        flat = flat.reshape(len(x), -1)
        return relu(flat * norm.weight.numpy()[:, None] + norm.bias.numpy()[:, None])

    def dense(layer, x):
        return layer.weight.numpy().reshape(len(layer.weight), -1) @ x + layer.bias.numpy()

    for b in range(2):
        seen = dense(model.GAP[3], grouped(deepest[0][b].double().numpy(), model.GAP[0]).mean(1))
        conv = model.precls_conv[2]
        features = grouped(finest[b].double().numpy(), model.precls_conv[0])
        features = conv.weight.numpy().reshape(8, -1) @ features + conv.bias.numpy()[:, None]
        for k, row in enumerate([5, 26, 0]):
            said = relu(dense(model.text_to_vision, model.organ_embedding[row].numpy()))
            parameters = dense(model.controller, np.concatenate([seen, said]))
            expected = plain_head(features, parameters).reshape(image.shape[2:])
            np.testing.assert_allclose(got[b, k], expected, atol=2e-5)


@torch.no_grad()
def test_a_class_does_not_depend_on_which_others_are_asked(model, image):
    every = model(image)
    assert every.shape[1] == 32
    torch.testing.assert_close(model(image, [31, 4]), every[:, [31, 4]], atol=1e-6, rtol=0)
    assert every.std(dim=1).min() > 1e-4  # and classes are not all the same


@torch.no_grad()
def test_a_batch_is_its_images_one_by_one(model, image):
    alone = torch.cat([model(one[None], [3]) for one in image])
    torch.testing.assert_close(model(image, [3]), alone, atol=1e-5, rtol=0)
    assert (alone[0] - alone[1]).abs().max() > 1e-4


def test_edges_must_be_multiples_of_32(model):
    with pytest.raises(ValueError, match=r"\(32, 48, 32\) must be multiples of 32"):
        model(torch.zeros(1, 1, 32, 48, 32))


# -- weights -----------------------------------------------------------------------------------------


def names_of_the_released_form():
    """Written down from the public sources, not from what is built."""
    block = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.linear1", "mlp.linear2")
    of_block = [f"{part}.{kind}" for part in block for kind in ("weight", "bias")]
    of_block += ["attn.relative_position_bias_table", "attn.relative_position_index"]
    pair = ("weight", "bias")
    names = [f"swinViT.patch_embed.proj.{kind}" for kind in pair]
    for stage in (f"swinViT.layers{number}.0" for number in (1, 2, 3, 4)):
        names += [f"{stage}.blocks.{block}.{name}" for block in (0, 1) for name in of_block]
        names += [f"{stage}.downsample.{name}" for name in ("reduction.weight", "norm.weight", "norm.bias")]
    for encoder in (1, 2, 3, 4, 10):  # the first alone changes the number of channels
        convolutions = (1, 2, 3) if encoder == 1 else (1, 2)
        names += [f"encoder{encoder}.layer.conv{number}.conv.weight" for number in convolutions]
    for decoder in (5, 4, 3, 2, 1):
        names.append(f"decoder{decoder}.transp_conv.conv.weight")
        names += [f"decoder{decoder}.conv_block.conv{number}.conv.weight" for number in (1, 2, 3)]
    for part in ("precls_conv.0", "precls_conv.2", "GAP.0", "GAP.3", "controller", "text_to_vision"):
        names += [f"{part}.{kind}" for kind in pair]
    return {f"module.{name}" for name in (*names, "organ_embedding")}


def test_the_released_form_its_names_and_its_size():
    net = random_checkpoint(0)["net"]
    assert set(net) == names_of_the_released_form()
    assert len(net) == 170
    trained = [
        t for name, t in net.items() if not name.endswith(("relative_position_index", "organ_embedding"))
    ]
    assert sum(tensor.numel() for tensor in trained) == 62_595_315
    shapes = {name.removeprefix("module."): tuple(tensor.shape) for name, tensor in net.items()}
    assert shapes["organ_embedding"] == (32, 512)
    assert shapes["controller.weight"] == (153, 512, 1, 1, 1)
    assert shapes["GAP.3.weight"] == (256, 768, 1, 1, 1)
    assert shapes["precls_conv.2.weight"] == (8, 48, 1, 1, 1)
    assert shapes["swinViT.layers4.0.downsample.reduction.weight"] == (768, 3072)


def test_random_weights_are_those_of_their_seed_and_leave_other_chance_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (random_checkpoint(seed, TINY)["net"] for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["module.organ_embedding"], other["module.organ_embedding"])
    assert not torch.equal(first["module.controller.weight"], other["module.controller.weight"])


def test_released_names_become_those_of_the_model():
    assert set(released(random_checkpoint(0, TINY))) == set(UniversalModel(TINY).state_dict())
