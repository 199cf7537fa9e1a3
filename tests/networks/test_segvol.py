"""SegVol's network against plain NumPy: loops over heads, patches and places, from a state dict alone."""

import numpy as np
import pytest
import torch
from scipy.special import erf

from aleaseg.networks.segvol import RELEASED, PositionEncoding, Size, TwoWayBlock, build

TINY = Size(
    image=(8, 48, 64),
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

# -- plain references, float64 ----------------------------------------------------------------------


class Plain:
    """Reads tensors by their names below a prefix."""

    def __init__(self, state, prefix=""):
        self.state, self.prefix = state, prefix

    def __truediv__(self, name):
        return Plain(self.state, f"{self.prefix}{name}.")

    def get(self, name):
        return self.state[self.prefix + name].double().numpy()

    def linear(self, x):
        name = f"{self.prefix}bias"
        bias = self.get("bias") if name in self.state else 0.0
        return x @ self.get("weight").T + bias

    def norm(self, x):
        """Over the last axis."""
        middle, spread = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - middle) / np.sqrt(spread + 1e-5) * self.get("weight") + self.get("bias")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def attend(q, k, v, heads, causal=False):
    """(Q, C), (K, C), (K, C) -> (Q, C): one head after the other."""
    size = q.shape[1] // heads
    out = np.zeros((len(q), heads * size))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / np.sqrt(size)
        if causal:
            scores[np.triu_indices(len(q), 1)] = -np.inf
        out[:, part] = softmax(scores) @ v[:, part]
    return out


def plain_image(state, size, image):
    """(D, H, W) -> (dhw, C): 12 blocks of a vision transformer, norms before, no bias on queries."""
    net = Plain(state, "image_encoder.")
    patches = []
    for z in range(size.grid[0]):
        for y in range(size.grid[1]):
            for x in range(size.grid[2]):
                corner = np.array([z, y, x]) * size.patch
                cut = tuple(slice(c, c + p) for c, p in zip(corner, size.patch, strict=True))
                patches.append(image[cut].ravel())
    x = (net / "patch_embedding.patch_embeddings.1").linear(np.array(patches))
    x = x + net.get("patch_embedding.position_embeddings")[0]
    for number in range(size.layers):
        block = net / f"blocks.{number}"
        q, k, v = np.split((block / "attn.qkv").linear((block / "norm1").norm(x)), 3, axis=1)
        x = x + (block / "attn.out_proj").linear(attend(q, k, v, size.heads))
        hidden = gelu((block / "mlp.linear1").linear((block / "norm2").norm(x)))
        x = x + (block / "mlp.linear2").linear(hidden)
    return (net / "norm").norm(x)


def plain_text(state, size, words):
    """Token numbers of one sentence, no padding -> (C,): each token sees those before it; the last counts."""
    net = Plain(state, "text_encoder.")
    clip = net / "clip_text_model"
    x = clip.get("embeddings.token_embedding.weight")[words]
    x = x + clip.get("embeddings.position_embedding.weight")[: len(words)]
    for number in range(size.text_layers):
        layer = clip / f"encoder.layers.{number}"
        y = (layer / "layer_norm1").norm(x)
        q, k, v = ((layer / f"self_attn.{part}_proj").linear(y) for part in "qkv")
        x = x + (layer / "self_attn.out_proj").linear(attend(q, k, v, size.text_heads, causal=True))
        y = (layer / "mlp.fc1").linear((layer / "layer_norm2").norm(x))
        x = x + (layer / "mlp.fc2").linear(y / (1 + np.exp(-1.702 * y)))
    return (net / "dim_align").linear((clip / "final_layer_norm").norm(x)[-1])


def plain_places(matrix, grid):
    """(dhw, C): sine and cosine of 2 pi times the frequencies' products with (y, z, x) in [-1, 1]."""
    rows = []
    for z in range(grid[0]):
        for y in range(grid[1]):
            for x in range(grid[2]):
                at = [2 * (i + 0.5) / n - 1 for i, n in ((y, grid[1]), (z, grid[0]), (x, grid[2]))]
                angle = 2 * np.pi * (np.array(at) @ matrix)
                rows.append(np.concatenate([np.sin(angle), np.cos(angle)]))
    return np.array(rows)


def plain_attention(part, q, k, v, heads):
    q, k, v = ((part / f"{n}_proj").linear(x) for n, x in (("q", q), ("k", k), ("v", v)))
    return (part / "out_proj").linear(attend(q, k, v, heads))


def plain_block(block, tokens, image, prompt, places, heads, first):
    if first:
        tokens = plain_attention(block / "self_attn", tokens, tokens, tokens, heads)
    else:
        q = tokens + prompt
        tokens = tokens + plain_attention(block / "self_attn", q, q, tokens, heads)
    tokens = (block / "norm1").norm(tokens)
    seen = plain_attention(
        block / "cross_attn_token_to_image", tokens + prompt, image + places, image, heads
    )
    tokens = (block / "norm2").norm(tokens + seen)
    hidden = np.maximum((block / "mlp.lin1").linear(tokens), 0)
    tokens = (block / "norm3").norm(tokens + (block / "mlp.lin2").linear(hidden))
    told = plain_attention(
        block / "cross_attn_image_to_token", image + places, tokens + prompt, tokens, heads
    )
    return tokens, (block / "norm4").norm(image + told)


def plain_doubled(part, x):
    """A transposed convolution of stride and kernel 2: each voxel becomes eight."""
    weight, bias = part.get("weight"), part.get("bias")
    _, d, h, w = x.shape
    out = np.zeros((weight.shape[1], 2 * d, 2 * h, 2 * w))
    for a in range(2):
        for b in range(2):
            for c in range(2):
                out[:, a::2, b::2, c::2] = np.tensordot(weight[:, :, a, b, c].T, x, 1)
    return out + bias[:, None, None, None]


def plain_filter(part, x):
    for layer in (0, 1):
        x = np.maximum((part / f"layers.{layer}").linear(x), 0)
    return (part / "layers.2").linear(x)


def plain_decode(state, size, image, text):
    """(dhw, C) and (C,) -> all four masks; the first is the one that is used."""
    prompts, net = Plain(state, "prompt_encoder."), Plain(state, "mask_decoder.")
    places = plain_places(prompts.get("pe_layer.positional_encoding_gaussian_matrix"), size.grid)
    image = image + prompts.get("no_mask_embed.weight")[0]
    prompt = np.concatenate([net.get("iou_token.weight"), net.get("mask_tokens.weight"), text[None]])
    tokens, heads = prompt, size.decoder_heads
    for number in range(size.decoder_layers):
        block = net / f"transformer.layers.{number}"
        tokens, image = plain_block(block, tokens, image, prompt, places, heads, number == 0)
    last = net / "transformer.final_attn_token_to_image"
    tokens = tokens + plain_attention(last, tokens + prompt, image + places, image, heads)
    tokens = (net / "transformer.norm_final_attn").norm(tokens)
    x = plain_doubled(net / "output_upscaling.0", image.T.reshape(-1, *size.grid))
    flat = (x.ravel() - x.mean()) / np.sqrt(x.var() + 1e-5)
    norm = net / "output_upscaling.1"
    x = gelu(flat.reshape(x.shape) * norm.get("weight") + norm.get("bias"))
    x = gelu(plain_doubled(net / "output_upscaling.3", x))
    said = np.tensordot((net / "txt_align_upscaled_embedding").linear(text), x, 1)
    return [
        np.tensordot(plain_filter(net / f"output_hypernetworks_mlps.{m}", tokens[1 + m]), x, 1) + said
        for m in range(size.masks)
    ]


# -- the tests --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """A tiny network, every number of it drawn: a bias or a norm that is swapped shows."""
    torch.manual_seed(0)
    network = build(TINY)
    for name, tensor in network.state_dict().items():
        if "gaussian" not in name:
            tensor.add_(torch.randn(tensor.shape) * 0.1)
    return network


@pytest.fixture(scope="module")
def image():
    return torch.rand((1, 1, *TINY.image), generator=torch.Generator().manual_seed(1))


WORDS = torch.tensor([[58, 3, 9, 27, 59, 59], [58, 3, 4, 5, 6, 59]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])


def close(got, expected, tolerance=2e-4):
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(got) - expected).max() <= tolerance * scale


def test_position_encoding():
    encoding = PositionEncoding(12)
    got = encoding((2, 3, 4)).reshape(12, -1).T
    matrix = encoding.positional_encoding_gaussian_matrix.double().numpy()
    close(got, plain_places(matrix, (2, 3, 4)))


@pytest.mark.parametrize("first", [True, False])
def test_two_way_block(first):
    torch.manual_seed(3)
    block = TwoWayBlock(TINY, first).eval().requires_grad_(False)
    shapes = [(5, TINY.width), (7, TINY.width), (5, TINY.width), (7, TINY.width)]
    given = [torch.randn(shape) for shape in shapes]
    got = block(*(x[None] for x in given))
    plain = [x.double().numpy() for x in given]
    expected = plain_block(Plain(block.state_dict()), *plain, TINY.decoder_heads, first)
    close(got[0][0], expected[0])
    close(got[1][0], expected[1])


def test_image_encoder(network, image):
    got = network.encode_image(image)
    assert got.shape == (1, TINY.width, *TINY.grid)
    expected = plain_image(network.state_dict(), TINY, image[0, 0].double().numpy())
    close(got[0].reshape(TINY.width, -1).T, expected)


def test_text_encoder(network):
    got = network.encode_text(WORDS, MASK)
    for number, length in ((0, 5), (1, 6)):
        words = WORDS[number, :length].numpy()
        close(got[number], plain_text(network.state_dict(), TINY, words))


def test_decoder(network, image):
    state = network.state_dict()
    seen = network.encode_image(image)
    text = network.encode_text(WORDS, MASK)
    got = network.decode(seen, text)
    assert got.shape == (2, *TINY.logits)
    assert got.dtype == torch.float32
    flat = seen[0].reshape(TINY.width, -1).T.double().numpy()
    for number in range(2):
        masks = plain_decode(state, TINY, flat, text[number].double().numpy())
        close(got[number], masks[0])
        # The other three masks are others: the right one was taken.
        assert all(np.abs(masks[0] - other).max() > 0.05 * np.abs(masks[0]).max() for other in masks[1:])


def test_texts_do_not_see_one_another(network, image):
    seen, text = network.encode_image(image), network.encode_text(WORDS, MASK)
    together = network.decode(seen, text)
    for number in range(2):
        close(network.decode(seen, text[number : number + 1])[0], together[number].numpy(), 1e-5)
    assert (together[0] - together[1]).abs().max() > 0.01 * together.abs().max()
    close(network(image, WORDS, MASK), together.numpy(), 1e-5)


def test_half_precision_gives_float32_logits(network, image):
    exact = network(image, WORDS, MASK)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(image, WORDS, MASK)
        places = network.prompt_encoder.pe_layer(TINY.grid)
    assert rough.dtype == torch.float32
    close(rough, exact.numpy(), 0.1)
    # Where things lie is not rounded.
    assert torch.equal(places, network.prompt_encoder.pe_layer(TINY.grid))


# Counted in the released file by alexprotom/rust-dicom-station (src/segvol/layout.rs).
NUMBERS = {
    "image_encoder": 87_388_416,
    "mask_decoder": 29_923_716,
    "prompt_encoder": 19_148,
    "text_encoder": 63_560_013 - 77,  # less the positions, which are a buffer no more
}


def test_the_released_size():
    with torch.device("meta"):
        state = build(RELEASED).state_dict()
    state = {name: tensor for name, tensor in state.items() if "norm_cross_attn" not in name}
    assert len(state) == 475 - 1
    assert {
        part: sum(tensor.numel() for name, tensor in state.items() if name.startswith(part))
        for part in NUMBERS
    } == NUMBERS
    shapes = {
        "image_encoder.patch_embedding.position_embeddings": (1, 2048, 768),
        "image_encoder.patch_embedding.patch_embeddings.1.weight": (768, 1024),
        "image_encoder.blocks.11.attn.qkv.weight": (2304, 768),
        "prompt_encoder.mask_downscaling.6.weight": (768, 16, 1, 1),
        "mask_decoder.output_upscaling.1.bias": (192, 16, 32, 32),
        "mask_decoder.output_upscaling.3.weight": (192, 96, 2, 2, 2),
        "mask_decoder.transformer.layers.1.cross_attn_token_to_image.out_proj.weight": (768, 384),
        "mask_decoder.iou_prediction_head.layers.2.weight": (4, 256),
        "text_encoder.clip_text_model.embeddings.token_embedding.weight": (49408, 512),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert RELEASED.logits == (32, 64, 64)
