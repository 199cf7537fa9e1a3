"""The U-Net, held against nnU-Net's own PlainConvUNet."""

import pytest
import torch
from torch import nn

from aleaseg import networks
from aleaseg.networks.stages import plan_stages
from aleaseg.networks.unet import SIZES

PATCH = {3: (16, 8, 24), 2: (32, 24)}
SPACING = {3: (3.0, 1.0, 1.0), 2: (1.0, 1.0)}


def theirs(stages, widths, repeats, in_channels, out_channels, **options):
    """As nnU-Net builds what it plans."""
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    dims = len(stages.strides[0])
    network = unet.PlainConvUNet(
        input_channels=in_channels,
        n_stages=len(stages),
        features_per_stage=widths,
        conv_op=nn.Conv2d if dims == 2 else nn.Conv3d,
        kernel_sizes=stages.kernels,
        strides=stages.strides,
        n_conv_per_stage=[repeats] * len(stages),
        num_classes=out_channels,
        n_conv_per_stage_decoder=[repeats] * (len(stages) - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        **options,
    )
    return network.apply(network.initialize)


def named_once(state):
    """nnU-Net lists each convolution twice, and the encoder once more inside the decoder."""
    return {
        name: tensor
        for name, tensor in state.items()
        if "all_modules" not in name and not name.startswith("decoder.encoder.")
    }


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_nnunets_weights_give_nnunets_logits(dims, deep_supervision):
    ours = networks.build(
        "unet",
        dims=dims,
        in_channels=2,
        out_channels=3,
        patch=PATCH[dims],
        spacing_mm=SPACING[dims],
        size="tiny",
        deep_supervision=deep_supervision,
    )
    stages = plan_stages(PATCH[dims], SPACING[dims], SIZES["tiny"].stages)
    other = theirs(stages, SIZES["tiny"].widths(stages), 1, 2, 3, deep_supervision=deep_supervision)
    ours.load_state_dict(named_once(other.state_dict()))  # strictly
    image = torch.randn(2, 2, *PATCH[dims], generator=torch.Generator().manual_seed(0))
    expected, found = other(image), ours(image)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert isinstance(found, list) == deep_supervision


def test_weights_are_drawn_as_nnunet_draws_them():
    stages = plan_stages(PATCH[3], SPACING[3], 4)
    torch.manual_seed(0)
    ours = networks.build(
        "unet",
        dims=3,
        in_channels=1,
        out_channels=3,
        patch=PATCH[3],
        spacing_mm=SPACING[3],
        size="tiny",
    ).state_dict()
    torch.manual_seed(0)
    other = named_once(theirs(stages, SIZES["tiny"].widths(stages), 1, 1, 3).state_dict())
    assert ours.keys() == other.keys()
    for name, tensor in other.items():
        assert ours[name].shape == tensor.shape, name
        if tensor.ndim == 1:
            assert torch.equal(ours[name], tensor), name
        elif tensor.numel() > 500:
            torch.testing.assert_close(ours[name].std(), tensor.std(), rtol=0.15, atol=0)


def test_as_many_parameters_as_the_papers_network():
    """31 195 594: nnU-Net 2.8.1's network of six stages, one channel, background and one class."""
    with torch.device("meta"):
        ours = networks.build("unet", dims=3, in_channels=1, out_channels=2, patch=(96, 96, 96))
        stages = plan_stages((96, 96, 96), (1.0, 1.0, 1.0))
        other = theirs(stages, (32, 64, 128, 256, 320, 320), 2, 1, 2)
    count = sum(one.numel() for one in ours.parameters())
    assert count == sum(one.numel() for one in other.parameters()) == 31_195_594


def test_deep_supervision_is_switched_as_nnunet_switches_it():
    network = networks.build(
        "unet", dims=2, in_channels=1, out_channels=2, patch=(16, 16), size="tiny", deep_supervision=True
    ).eval()
    image = torch.randn(1, 1, 16, 16)
    several = network(image)
    assert [tuple(one.shape) for one in several] == [(1, 2, 16, 16), (1, 2, 8, 8)]
    network.decoder.deep_supervision = False
    torch.testing.assert_close(network(image), several[0])
