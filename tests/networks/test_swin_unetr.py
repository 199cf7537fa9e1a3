"""Swin-UNETR: MONAI's network, its sizes, and what happens where edges do not divide."""

import pytest
import torch
from monai.networks import nets

from aleaseg import networks
from aleaseg.errors import UsageError
from aleaseg.networks.swin_unetr import SIZES, SwinUNETR, padded


def test_as_many_parameters_as_monais_network():
    """72 762 068: monai 1.6.1, feature_size 48, use_v2, everything else as it is there by default."""
    ours = networks.build("swin_unetr", dims=3, in_channels=1, out_channels=2, patch=(96, 96, 96))
    assert sum(one.numel() for one in ours.parameters()) == 72_762_068
    theirs = nets.SwinUNETR(1, 2, feature_size=48, use_v2=True)
    theirs.load_state_dict(ours.network.state_dict())  # strictly


def test_zeros_around_the_patch_and_no_others():
    torch.manual_seed(0)
    network = SwinUNETR(1, 2, 3, size=SIZES["tiny"], pad=True).eval()
    image = torch.randn(1, 1, 20, 33, 24)
    assert padded(image.shape[2:]) == (32, 64, 32)
    wide = torch.zeros(1, 1, 32, 64, 32)
    inside = (..., slice(6, 26), slice(15, 48), slice(4, 28))
    wide[inside] = image
    with torch.no_grad():
        torch.testing.assert_close(network(image), network.network(wide)[inside])
    assert network.divisor == (1, 1, 1)


def test_without_padding_an_edge_that_does_not_divide_is_refused():
    network = networks.build(
        "swin_unetr", dims=2, in_channels=1, out_channels=2, patch=(32, 64), size="tiny"
    )
    assert network.divisor == (32, 32)
    with pytest.raises(ValueError, match="an image of 32 x 40; expected multiples of 32"):
        network(torch.zeros(1, 1, 32, 40))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"patch": (40, 56, 40)},
            "a patch of 40 x 56 x 40 is not divisible by 32, as the five halvings of swin_unetr ask for; the "
            "nearest that fit: 32 x 32 x 64 or 64 x 64 x 64",
        ),
        (
            {"patch": (32, 32, 32)},
            "a patch of 32 x 32 x 32 is one voxel at the bottom of swin_unetr, and its instance norm needs two to "
            "train; expected 32 x 32 x 64 at least",
        ),
        (
            {"patch": (32, 32, 64), "strides": [[1, 1, 1], [2, 2, 2]]},
            "swin_unetr takes no strides: it halves every axis five times; leave them out",
        ),
    ],
)
def test_what_is_refused(options, said):
    with pytest.raises(UsageError) as caught:
        networks.build("swin_unetr", dims=3, in_channels=1, out_channels=2, **options)
    assert str(caught.value) == said
