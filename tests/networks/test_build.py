"""Networks by name: what holds for every one of them."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg import networks
from aleaseg.errors import UsageError
from aleaseg.losses import LabelDenoising
from aleaseg.networks.stages import halvings, plan_stages


def patch_of(name, dims):
    """A small one: Swin-UNETR asks for multiples of 32, and two voxels at the bottom."""
    return {3: (32, 32, 64), 2: (32, 64)}[dims] if name == "swin_unetr" else (16, 16, 24)[:dims]


def a_network(name, dims=3, **options):
    given = {"in_channels": 2, "out_channels": 3, "patch": patch_of(name, dims), "size": "tiny", **options}
    return networks.build(name, dims=dims, **given)


def listed(logits):
    return logits if isinstance(logits, list) else [logits]


@pytest.mark.parametrize("deep_supervision", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_logits_of_the_patch_and_gradients_everywhere(name, dims, deep_supervision):
    torch.manual_seed(0)
    network = a_network(name, dims, deep_supervision=deep_supervision)
    patch = patch_of(name, dims)
    logits = network(torch.randn(1, 2, *patch))
    assert isinstance(logits, list) == (deep_supervision and name in networks.DEEP_SUPERVISION)
    edges = [tuple(one.shape) for one in listed(logits)]
    assert edges == [(1, 3, *(edge // 2**level for edge in patch)) for level in range(len(edges))]
    assert len(edges) == (2 if isinstance(logits, list) else 1)
    sum(one.square().mean() for one in listed(logits)).backward()
    # Without deep supervision the coarser heads are there all the same, so that weights fit both ways.
    for at, parameter in network.named_parameters():
        if at.startswith("decoder.seg_layers.0.") and not deep_supervision:
            assert parameter.grad is None, at
        else:
            assert parameter.grad is not None, at
            assert torch.isfinite(parameter.grad).all(), at
            assert (parameter.grad != 0).any(), at


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_seed_gives_a_network(name):
    def made(seed):
        torch.manual_seed(seed)
        return a_network(name, 2)

    one, again, other = made(5), made(5), made(6)
    image = torch.randn(1, 2, *patch_of(name, 2))
    for network in (one, again, other):
        network.eval()
    assert torch.equal(one(image), again(image))
    assert not torch.equal(one(image), other(image))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_other_sizes_of_image_work_where_they_divide(name):
    network = a_network(name, 2).eval()
    assert all(32 % by == 0 for by in network.divisor)
    assert network(torch.zeros(1, 2, 64, 32)).shape == (1, 3, 64, 32)
    with pytest.raises(ValueError, match="an image of 33 x 32; expected multiples of"):
        network(torch.zeros(1, 2, 33, 32))


@pytest.mark.parametrize("name", sorted(networks.DEEP_SUPERVISION))
def test_strides_can_be_given(name):
    network = a_network(name, strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]], deep_supervision=True)
    assert network.divisor == (2, 4, 4)
    shapes = [tuple(one.shape[2:]) for one in network(torch.zeros(1, 2, 4, 8, 12))]
    assert shapes == [(4, 8, 12), (4, 4, 6)]


@pytest.mark.parametrize("name", sorted(networks.DEEP_SUPERVISION))
def test_spacing_counts(name):
    with torch.device("meta"):
        assert a_network(name, patch=(16, 64, 64), spacing_mm=(5.0, 1.0, 1.0)).divisor == (2, 8, 8)
        assert a_network(name, patch=(16, 64, 64)).divisor == (4, 8, 8)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_duo_hooks_the_last_feature(name):
    denoising = LabelDenoising(a_network(name), ["a", "b"], 2)
    at = {"swin_unetr": "network.out.conv.conv", "small": "model.2.conv"}
    assert denoising.layer == at.get(name, "decoder.seg_layers.1")
    assert denoising.head.weight.shape == (2, {"swin_unetr": 12, "small": 48}.get(name, 8))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_head_makes_the_logits_of_what_is_put_into_it(name, dims):
    network, seen = a_network(name, dims).eval(), []
    network.head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    logits = network(torch.randn(1, 2, *patch_of(name, dims)))
    (features,) = seen
    torch.testing.assert_close(network.head(features), logits)
    assert features.shape[1] > 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "vnet"}, "there is no network 'vnet'; expected one of small, unet, swin_unetr, umamba"),
        ({"size": "huge"}, "there is no size 'huge' of unet; expected one of paper, tiny"),
        ({"dims": 1, "patch": (8,)}, "1 spatial axes; networks have 2 or 3"),
        ({"patch": (32, 32)}, "patch is (32, 32); expected 3 numbers above 0, one for each axis"),
        (
            {"spacing_mm": (1, 0, 1)},
            "spacing_mm is (1, 0, 1); expected 3 numbers above 0, one for each axis",
        ),
        ({"strides": [[1, 1], [2, 2]]}, "strides is (1, 1); expected 3 numbers above 0, one for each axis"),
        ({"levels": (1, 1)}, "levels is (1, 1); expected 3 numbers, one for each axis"),
        (
            {"name": "small", "strides": [[1, 1, 1], [2, 2, 2]]},
            "small takes no strides but levels, how often each axis is halved; leave them out",
        ),
        (
            {"name": "small", "patch": (9, 32, 32), "levels": (1, 2, 2)},
            "a patch of 9 x 32 x 32 is not divisible by 2 x 4 x 4, as the network halves it; the nearest that fit: "
            "8 x 32 x 32 or 10 x 32 x 32",
        ),
        ({"in_channels": 0}, "0 channels in and 3 out; expected one at least"),
    ],
)
def test_what_cannot_be_built(options, said):
    given = {"name": "unet", "dims": 3, "in_channels": 1, "out_channels": 3, "patch": (32, 32, 32)}
    with pytest.raises(UsageError) as caught:
        networks.build(**{**given, **options})
    assert str(caught.value) == said


@settings(deadline=None)
@given(
    st.sampled_from(sorted(networks.NETWORKS)),
    st.sampled_from(networks.SIZES),
    st.lists(st.integers(12, 200), min_size=2, max_size=3),
    st.lists(st.floats(0.3, 8), min_size=3, max_size=3),
)
def test_a_fitting_patch_is_taken_and_fits(name, size, patch, spacing):
    spacing = spacing[: len(patch)]
    found = networks.fitting_patch(name, patch, spacing_mm=spacing, size=size)
    assert all(edge >= asked for edge, asked in zip(found, patch, strict=True))
    assert networks.fitting_patch(name, found, spacing_mm=spacing, size=size) == found
    if name == "swin_unetr":
        assert all(edge % 32 == 0 and edge - asked <= 63 for edge, asked in zip(found, patch, strict=True))
    elif name == "small":
        divisor = [2**level for level in halvings(found)]
        assert not any(edge % by for edge, by in zip(found, divisor, strict=True))
    else:
        most = 4 if size == "tiny" else None
        divisor = plan_stages(found, spacing, most).divisor
        assert not any(edge % by for edge, by in zip(found, divisor, strict=True))


def test_a_patch_that_is_too_small_for_any():
    with pytest.raises(UsageError, match=r"a patch of \(5, 5\) is too small for unet"):
        networks.fitting_patch("unet", (5, 5))
    assert networks.fitting_patch("swin_unetr", (5, 5)) == (32, 64)


def test_every_network_stands_for_itself():
    code = (
        "import sys; from aleaseg import networks; assert 'torch' not in sys.modules; "
        "networks.build('umamba', dims=2, in_channels=1, out_channels=2, patch=(16, 16), size='tiny'); "
        "networks.fitting_patch('small', (15, 15)); "
        "assert not {'monai', 'nnunetv2', 'dynamic_network_architectures'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
