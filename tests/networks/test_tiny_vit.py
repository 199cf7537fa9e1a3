"""TinyViT: fused batch norms are the same map, attention is what the paper says, windows do not mix."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aleaseg.networks.tiny_vit import TinyViT, TinyViTSize, _WindowAttention, fuse_batch_norms

SMALL = TinyViTSize(widths=(8, 12, 16, 32), heads=(1, 2, 4, 4), windows=(7, 3, 5, 2), made=24)


def unfused(network, generator):
    """The same network with a random batch norm behind each convolution that has a bias, which goes."""
    for module in list(network.modules()):
        for name, inner in list(module.named_children()):
            if isinstance(inner, nn.Conv2d) and inner.bias is not None:
                bare = nn.Conv2d(
                    inner.in_channels,
                    inner.out_channels,
                    inner.kernel_size,
                    inner.stride,
                    inner.padding,
                    groups=inner.groups,
                    bias=False,
                )
                norm = nn.BatchNorm2d(inner.out_channels)
                for tensor, low in ((norm.weight, 0.3), (norm.running_var, 0.1)):
                    tensor.data.uniform_(low, 2, generator=generator)
                for tensor in (norm.bias, norm.running_mean):
                    tensor.data.normal_(0, 0.5, generator=generator)
                norm.num_batches_tracked += 7
                setattr(module, name, nn.Sequential(OrderedDict(c=bare, bn=norm)))
    return network.eval()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(32, 32), (48, 80)]))
def test_a_network_with_batch_norms_is_its_fusion(seed, shape):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    twin = unfused(TinyViT(SMALL), generator)
    state = twin.state_dict()
    before = {key: tensor.clone() for key, tensor in state.items()}
    network = TinyViT(SMALL).eval()
    network.load_state_dict(fuse_batch_norms(state))
    image = torch.randn(2, 3, *shape, generator=generator)
    with torch.inference_mode():
        there, here = twin(image), network(image)
    assert here.shape == (2, 24, shape[0] // 16, shape[1] // 16)
    assert there.std() > 0.1
    torch.testing.assert_close(here, there, atol=2e-4, rtol=1e-4)
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_what_is_fused_already_passes_through():
    state = TinyViT(SMALL).state_dict()
    again = fuse_batch_norms(state)
    assert all(again[key] is tensor for key, tensor in state.items())
    assert len(again) == len(state)


@pytest.mark.parametrize("lacking", ["bn.running_var", "bn.bias", "c.weight"])
def test_half_a_pair_is_never_fused(lacking):
    torch.manual_seed(0)
    state = unfused(TinyViT(SMALL), torch.Generator().manual_seed(0)).state_dict()
    del state[f"layers.1.blocks.0.local_conv.{lacking}"]
    found = fuse_batch_norms(state)
    assert "layers.1.blocks.0.local_conv.weight" not in found
    assert any(key.startswith("layers.1.blocks.0.local_conv.") for key in found)


def test_window_attention_is_the_formula():
    """softmax(q k / sqrt(d) + bias of |dy|, |dx|) v, in plain NumPy, pixel by pixel."""
    torch.manual_seed(0)
    side, heads, width = 3, 2, 8
    layer = _WindowAttention(width, heads, side)
    nn.init.normal_(layer.attention_biases)
    nn.init.normal_(layer.norm.weight)
    x = torch.randn(4, side * side, width)
    with torch.inference_mode():
        found = layer(x).numpy()
    p = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in layer.state_dict().items()}
    expected = np.zeros((4, side * side, width))
    for n, window in enumerate(x.numpy().astype(np.float64)):
        mean, deviation = window.mean(-1, keepdims=True), np.sqrt(window.var(-1, keepdims=True) + 1e-5)
        seen = (window - mean) / deviation * p["norm.weight"] + p["norm.bias"]
        mixed = seen @ p["qkv.weight"].T + p["qkv.bias"]
        d = width // heads
        for head in range(heads):
            q, k, v = (mixed[:, (3 * head + part) * d : (3 * head + part + 1) * d] for part in range(3))
            for one in range(side * side):
                scores = []
                for other in range(side * side):
                    dy, dx = abs(one // side - other // side), abs(one % side - other % side)
                    bias = p["attention_biases"][head, dy * side + dx]
                    scores.append(q[one] @ k[other] / np.sqrt(d) + bias)
                weight = np.exp(scores - np.max(scores))
                expected[n, one, head * d : (head + 1) * d] = weight / weight.sum() @ v
        expected[n] = expected[n] @ p["proj.weight"].T + p["proj.bias"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_released_size_has_as_many_numbers_as_the_paper_says():
    """TinyViT-5M: 5.4 million with its classifier, 5.1 without; SAM's neck has 0.7 million."""
    network = TinyViT()
    neck = sum(value.numel() for value in network.neck.parameters())
    rest = sum(value.numel() for value in network.parameters()) - neck
    assert 5.0e6 < rest < 5.15e6
    assert neck == 320 * 256 + 9 * 256**2 + 4 * 256
