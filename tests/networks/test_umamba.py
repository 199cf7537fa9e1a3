"""U-Mamba: the blocks against plain torch, its shape against the authors' by counting."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aleaseg import networks
from aleaseg.networks.mamba import Mamba
from aleaseg.networks.umamba import Residuals, VoxelMamba, nearest


def a_network(**options):
    return networks.build(
        "umamba",
        **{
            "dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "patch": (16, 16, 24),
            "size": "tiny",
            **options,
        },
    )


def count(module):
    return sum(one.numel() for one in module.parameters())


def counted(features, repeats, repeats_up, in_channels, out_channels):
    """Parameters of the authors' network (their UMambaBot_3d), added up from its layers; kernels of 3 x 3 x 3."""

    def conv(channels, width, kernel=27):
        return kernel * channels * width + width

    def norm(width):
        return 2 * width

    def block(channels, width, projected):
        inner = conv(channels, width) + conv(width, width) + 2 * norm(width)
        return inner + (conv(channels, width, 1) if projected else 0)

    def stage(channels, width, times):
        return block(channels, width, True) + (times - 1) * block(width, width, False)

    total = stage(in_channels, features[0], repeats[0])  # the stem
    channels = features[0]
    for width, times in zip(features, repeats, strict=True):
        total += stage(channels, width, times)
        channels = width
    width, inside, rank, states = features[-1], 2 * features[-1], -(-features[-1] // 16), 16
    total += norm(width)
    total += (
        width * 2 * inside + 4 * inside + inside + inside * (rank + 2 * states)
    )  # in_proj, conv1d, x_proj
    total += (
        rank * inside + inside + inside * states + inside + inside * width
    )  # dt_proj, A_log, D, out_proj
    for depth, times in zip(reversed(range(len(features) - 1)), repeats_up, strict=True):
        total += conv(features[depth + 1], features[depth], 1)
        total += stage(2 * features[depth], features[depth], times)
        total += conv(features[depth], out_channels, 1)
    return total


def test_as_many_parameters_as_the_authors_network():
    """42 120 394, for the six stages of nnU-Net's plans at 96^3, one channel, background and one class."""
    with torch.device("meta"):
        network = a_network(patch=(96, 96, 96), size="paper")
    expected = counted((32, 64, 128, 256, 320, 320), (2, 2, 2, 1, 1, 1), (2, 2, 2, 1, 1), 1, 2)
    assert count(network) == expected == 42_120_394


def test_one_mamba_layer_at_the_bottom_reads_27_tokens():
    with torch.device("meta"):
        network = a_network(patch=(96, 96, 96), size="paper")
    found = [name for name, module in network.named_modules() if isinstance(module, Mamba)]
    assert found == ["encoder.stages.5.1.mamba"]
    assert [96 // by for by in network.divisor] == [3, 3, 3]


@pytest.mark.parametrize(("stride", "dims"), [((2, 1, 2), 3), ((1, 1), 2)])
def test_a_residual_stage_in_plain_torch(stride, dims):
    stage = Residuals(3, 5, (3,) * dims, stride, 2)
    for parameter in stage.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, *(8, 6, 4)[:dims])
    conv = F.conv3d if dims == 3 else F.conv2d

    def through(block, x, stride, projected):
        y = conv(x, block.conv1.weight, block.conv1.bias, stride, 1)
        y = F.leaky_relu(F.instance_norm(y, weight=block.norm1.weight, bias=block.norm1.bias), 0.01)
        y = conv(y, block.conv2.weight, block.conv2.bias, 1, 1)
        y = F.instance_norm(y, weight=block.norm2.weight, bias=block.norm2.bias)
        past = conv(x, block.skip.weight, block.skip.bias, stride) if projected else x
        return F.leaky_relu(y + past, 0.01)

    expected = through(stage[1], through(stage[0], x, stride, True), 1, False)
    torch.testing.assert_close(stage(x), expected, rtol=1e-4, atol=1e-5)


def test_on_the_way_up_the_order_of_the_two_does_not_matter():
    up = nearest(4, 2, (1, 2, 2))
    x = torch.randn(1, 4, 3, 2, 5)
    other = F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
    torch.testing.assert_close(up(x), up[0](other))
    assert up(x).shape == (1, 2, 3, 4, 10)


def test_voxels_are_read_slowest_axis_first():
    torch.manual_seed(0)
    layer = VoxelMamba(4)
    feature = torch.randn(1, 4, 2, 3, 2)
    found = layer(feature)
    tokens = torch.stack(
        [feature[0, :, d, h, w] for d in range(2) for h in range(3) for w in range(2)], dim=0
    )
    expected = layer.mamba(F.layer_norm(tokens, (4,))[None])[0]
    torch.testing.assert_close(found.flatten(2)[0].T, expected)
    later = feature.clone()
    later[:, 0, 1, 1, 1] += 1
    same = (layer(later) == found).all(1)[0]
    assert same.flatten()[: 6 + 3].all()
    assert not same.flatten()[6 + 3 :].any()


def test_the_mamba_layer_is_never_in_half_precision():
    network = a_network()
    seen = []
    mamba = network.get_submodule("encoder.stages.2.1.mamba")
    mamba.register_forward_hook(lambda _, given, output: seen.append((given[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(1, 1, 16, 16, 24))
    assert seen == [(torch.float32, torch.float32)]
    assert logits.dtype == torch.bfloat16
    assert VoxelMamba(4)(torch.randn(1, 4, 2, 2).half()).dtype == torch.float32
    assert VoxelMamba(4).double()(torch.randn(1, 4, 2, 2).double()).dtype == torch.float64
