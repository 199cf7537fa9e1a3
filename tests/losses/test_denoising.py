"""Noise state, noise head, and both beside a network that must not notice."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aleaseg.errors import CaseError
from aleaseg.losses import DUOLoss, LabelDenoising, NoiseHead, NoiseState, noise_maps

IDS = ["case_a", "case_b", "case_c", "case_d"]


class Net(nn.Module):
    """Two convolutions and an output layer; under deep supervision two more outputs."""

    def __init__(self, classes=3, deep=False, dimensions=3):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.body = nn.Sequential(conv(1, 6, 3, padding=1), nn.ReLU(), conv(6, 5, 3, padding=1), nn.ReLU())
        self.out = conv(5, classes, 1)
        self.deep = deep

    def forward(self, x):
        z = self.out(self.body(x))
        half = (..., *[slice(None, None, 2)] * (z.ndim - 2))
        return [z, z[half], z[half][half]] if self.deep else z


# -- noise state ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    values=st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True), shared=st.booleans()
)
def test_projection(values, shared):
    # Oracle 13.
    column = torch.tensor(values, dtype=torch.float32)
    state = NoiseState([str(i) for i in range(len(values))], 2, shared=shared)
    with torch.no_grad():
        state.epsilon.copy_(column if shared else torch.stack([column, column**3], 1))
    parameter = state.epsilon
    state.project()
    assert state.epsilon is parameter  # in place: the optimiser knows this tensor
    assert torch.allclose(state.epsilon.mean(0), torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(state.epsilon.square().mean(0), torch.tensor(1.0), atol=1e-5)
    once = state.epsilon.clone()
    state.project()
    assert torch.allclose(state.epsilon, once, atol=1e-6)
    # The order of the cases is kept.
    assert torch.equal((once if shared else once[:, 0]).argsort(), column.argsort())


def test_projection_by_hand():
    # Oracle 14's residuals: mean 3, mean square about it 2.5.
    state = NoiseState(IDS, 1)
    with torch.no_grad():
        state.epsilon.copy_(torch.tensor([[1.0], [2.0], [4.0], [5.0]]))
    state.project()
    expected = [-2 / 2.5**0.5, -1 / 2.5**0.5, 1 / 2.5**0.5, 2 / 2.5**0.5]
    assert state.epsilon[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, torch.nan, torch.inf])
def test_what_cannot_be_projected(value):
    state = NoiseState(IDS, 2)
    before = state.epsilon.detach().clone()
    before[:, 1] = value
    with torch.no_grad():
        state.epsilon.copy_(before)
    with pytest.raises(ValueError, match="the noise of 4 cases is the same for all of them, or not finite"):
        state.project()
    assert torch.equal(state.epsilon.nan_to_num(), before.nan_to_num())


def test_states_that_cannot_be():
    with pytest.raises(ValueError, match="1 cases and 2 classes; expected at least two cases"):
        NoiseState(["a"], 2)
    with pytest.raises(ValueError, match="'a' is among the ids 2 times"):
        NoiseState(["a", "b", "a"], 2)


def test_noise_of_cases():
    state = NoiseState(IDS, 3, seed=5)
    assert state.epsilon.shape == (4, 3)
    assert torch.equal(state.of(["case_c", "case_a", "case_c"]), state.epsilon[[2, 0, 2]])
    assert torch.equal(state.of(np.array(["case_b"])), state.epsilon[[1]])
    assert torch.equal(state.epsilon, NoiseState(IDS, 3, seed=5).epsilon)
    assert not torch.equal(state.epsilon, NoiseState(IDS, 3, seed=6).epsilon)
    state.of(["case_c", "case_a"]).sum().backward()
    assert state.epsilon.grad[:, 0].tolist() == [1, 0, 1, 0]
    shared = NoiseState(IDS, 3, shared=True)
    assert shared.epsilon.shape == (4,)
    assert torch.equal(shared.of(["case_d", "case_a"]), shared.epsilon[[3, 0]][:, None].expand(2, 3))


def test_an_unknown_case_is_named():
    with pytest.raises(CaseError, match="case_x: found a case without noise of its own") as caught:
        NoiseState(IDS, 3).of(["case_a", "case_x"])
    assert "one of the 4 training cases (case_a, case_b, case_c, ...)" in str(caught.value)


def test_the_state_is_saved_with_its_ids(tmp_path):
    state = NoiseState(IDS, 2, seed=1)
    torch.save(state.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    # The same cases in another order: each keeps its noise.
    other = NoiseState(IDS[::-1], 2, seed=2)
    other.load_state_dict(saved)
    assert torch.equal(other.of(IDS), state.of(IDS))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            [*IDS, "case_e"],
            "case_e: found no noise for it in the saved state of 4 cases, and noise in this training of 5",
        ),
        (
            IDS[:3],
            "case_d: found noise for it in the saved state of 4 cases, and no noise in this training of 3",
        ),
        ([*IDS[:3], "case_e"], "case_d: found noise"),
    ],
)
def test_the_noise_of_other_cases_is_refused(ids, message):
    saved = NoiseState(IDS, 2).state_dict()
    state = NoiseState(ids, 2)
    before = state.epsilon.detach().clone()
    with pytest.raises(CaseError, match=message):
        state.load_state_dict(saved)
    assert torch.equal(state.epsilon, before)
    assert state.ids == tuple(ids)


# -- noise head and maps --------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_head_is_a_convolution_of_size_1(dimensions):
    torch.manual_seed(0)
    head = NoiseHead(5, 2, initial=0.3)
    feature = torch.randn(2, 5, *(3, 4, 6)[:dimensions])
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions](5, 2, 1)
    with torch.no_grad():
        conv.weight.copy_(head.weight.view(conv.weight.shape))
        conv.bias.copy_(head.bias)
    g = head(feature)
    assert torch.allclose(g, conv(feature).sigmoid())
    assert torch.allclose(head(torch.zeros_like(feature)), torch.tensor(0.3))
    assert torch.equal(NoiseHead(5, 2, seed=1).weight, NoiseHead(5, 2, seed=1).weight)
    assert not torch.equal(NoiseHead(5, 2, seed=1).weight, NoiseHead(5, 2, seed=2).weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(feature).dtype == torch.float32
    with pytest.raises(ValueError, match=r"expected g in \(0, 1\)"):
        NoiseHead(5, 2, initial=1.0)


def test_noise_maps_are_resampled_as_targets_are():
    labels = torch.arange(8.0 * 8 * 8).reshape(1, 1, 8, 8, 8)
    epsilon = torch.tensor([[2.0]])
    half, quarter = (
        nn.functional.interpolate(labels, size=(n, n, n), mode="nearest-exact") for n in (4, 2)
    )
    found = noise_maps(epsilon, labels, [labels, half, quarter])
    for noise, target in zip(found, (labels, half, quarter), strict=True):
        assert torch.equal(noise, 2 * target)
    assert torch.equal(noise_maps(epsilon, labels, half), 2 * half)


# -- beside a network -----------------------------------------------------------------------------


def test_the_network_does_not_notice():
    network = Net()
    before, keys = copy.deepcopy(network.state_dict()), list(network.state_dict())
    x = torch.randn(2, 1, 4, 4, 4)
    expected = network(x)
    denoising = LabelDenoising(network, IDS, 2)
    assert list(network.state_dict()) == keys
    assert torch.equal(network(x), expected)
    assert {id(p) for p in denoising.parameters()}.isdisjoint(id(p) for p in network.parameters())
    assert [name for name, _ in denoising.named_parameters()] == [
        "state.epsilon", "head.weight", "head.bias",
    ]  # fmt: skip
    noise = denoising.noise(["case_a", "case_b"], expected)
    assert noise.shape == (2, 2, 4, 4, 4)
    denoising.release()
    network(x)
    pickle.dumps(network)
    with pytest.raises(ValueError, match="no feature was seen at 'out'"):
        denoising.noise(["case_a", "case_b"], expected)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("layer", [None, "logits"])
def test_a_copy_of_the_network_is_not_looked_at(layer):
    """An average of weights is a deep copy; it may run on other images, with gradients, too."""
    torch.manual_seed(0)
    network = Net()
    denoising = LabelDenoising(network, IDS, 2, layer=layer, channels=3 if layer else None)
    average = copy.deepcopy(network)
    images, others = torch.randn(2, 2, 1, 6, 6, 6)
    expected = denoising.noise(IDS[:2], network(images))
    logits = network(images)
    average(others)
    assert torch.equal(denoising.noise(IDS[:2], logits), expected)
    with pytest.raises(ValueError, match="no feature was seen"):
        denoising.noise(IDS[:2], average(images))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_noise_is_eps_times_g_of_the_last_feature(dimensions):
    network = Net(dimensions=dimensions)
    denoising = LabelDenoising(network, IDS, 2)
    assert denoising.layer == "out"
    x = torch.randn(2, 1, *[6] * dimensions)
    logits = network(x)
    g = denoising.head(network.body(x))
    epsilon = denoising.state.of(["case_d", "case_b"])
    noise = denoising.noise(["case_d", "case_b"], logits)
    assert torch.allclose(noise, epsilon.view(2, 2, *[1] * dimensions) * g)


@pytest.mark.parametrize("inside", [True, False])
def test_noise_under_autocast_and_after_it(inside):
    network = Net()
    denoising = LabelDenoising(network, IDS, 2)
    x, ids = torch.randn(2, 1, 4, 4, 4), ["case_a", "case_b"]
    expected = denoising.noise(ids, network(x)).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(x)
        noise = denoising.noise(ids, logits) if inside else None
    noise = denoising.noise(ids, logits) if noise is None else noise
    assert noise.dtype == torch.float32
    assert torch.allclose(noise, expected, atol=0.02)
    noise.sum().backward()
    assert denoising.head.weight.grad.abs().sum() > 0


def test_under_deep_supervision_a_map_for_each_output():
    network = Net(deep=True)
    denoising = LabelDenoising(network, IDS, 2)
    outputs = network(torch.randn(2, 1, 8, 8, 8))
    noises = denoising.noise(IDS[:2], outputs)
    assert [n.shape[2:] for n in noises] == [z.shape[2:] for z in outputs]
    assert torch.equal(noises[1], nn.functional.interpolate(noises[0], (4, 4, 4), mode="nearest-exact"))


def test_gradients_reach_eps_head_and_network():
    network = Net()
    denoising = LabelDenoising(network, IDS, 2)
    labels = torch.randint(0, 3, (2, 1, 4, 4, 4))
    logits = network(torch.randn(2, 1, 4, 4, 4))
    DUOLoss()(logits, labels, denoising.noise(["case_a", "case_c"], logits)).backward()
    assert denoising.state.epsilon.grad.any(1).tolist() == [True, False, True, False]
    assert denoising.head.weight.grad.any()
    with_noise = network.body[0].weight.grad.clone()
    network.zero_grad()
    # Without the target's own gradient the network's is another one.
    denoising.detach_target = True
    denoising.zero_grad()
    logits = network(torch.randn(2, 1, 4, 4, 4))
    DUOLoss()(logits, labels, denoising.noise(["case_a", "case_c"], logits)).backward()
    assert denoising.state.epsilon.grad is None
    assert denoising.head.weight.grad is None
    assert not torch.allclose(network.body[0].weight.grad, with_noise)


def test_warm_up_and_penalty():
    network = Net()
    denoising = LabelDenoising(network, IDS, 2, warm_up=1, penalty=0.1)
    x = torch.randn(2, 1, 4, 4, 4)
    assert denoising.noise(IDS[:2], network(x)) is None
    assert denoising.penalty().item() == 0
    denoising.end_epoch()
    noise = denoising.noise(IDS[:2], network(x))
    g = denoising.head(network.body(x))
    assert noise is not None
    assert denoising.penalty().item() == pytest.approx(0.1 * g.square().mean().item())
    denoising.penalty().backward()
    assert denoising.head.weight.grad.any()
    assert denoising.epoch == 1
    assert torch.allclose(denoising.state.epsilon.mean(0), torch.zeros(2), atol=1e-6)


def test_the_official_snippet_has_no_eps():
    network = Net()
    denoising = LabelDenoising(network, IDS, 2, variant="official_readme")
    x = torch.randn(2, 1, 4, 4, 4)
    logits = network(x)
    assert torch.allclose(denoising.noise(IDS[:2], logits), denoising.head(network.body(x)))


def test_initial_noise_is_small_where_asked():
    network = Net()
    denoising = LabelDenoising(network, IDS, 2, initial=0.01)
    logits = network(torch.randn(2, 1, 4, 4, 4))
    assert denoising.noise(IDS[:2], logits).abs().max() < 0.2


@pytest.mark.parametrize(
    ("options", "g"), [({}, 0.05), ({"variant": "official_readme"}, 0.5), ({"initial": 0.3}, 0.3)]
)
def test_how_much_noise_there_is_at_the_start(options, g):
    head = LabelDenoising(Net(), IDS, 2, **options).head
    assert torch.allclose(head.bias.sigmoid(), torch.full((2,), g))


def test_other_layers():
    network = Net()
    x = torch.randn(2, 1, 4, 4, 4)
    earlier = LabelDenoising(network, IDS, 2, layer="body.2")
    assert earlier.head.weight.shape == (2, 6)
    whole = LabelDenoising(network, IDS, 2, layer="logits", channels=3)
    logits = network(x)
    assert torch.allclose(
        whole.noise(IDS[:2], logits), whole.state.of(IDS[:2])[:, :, None, None, None] * whole.head(logits)
    )
    assert earlier.noise(IDS[:2], logits) is not None
    unknown = nn.Sequential(nn.Flatten(2), nn.Linear(64, 64), nn.Unflatten(2, (4, 4, 4)))
    with pytest.raises(ValueError, match="channels that go into 'logits' is not known; pass channels="):
        LabelDenoising(unknown, IDS, 1)
    of_logits = LabelDenoising(unknown, IDS, 1, channels=1)
    logits = unknown(x)
    assert of_logits.noise(IDS[:2], logits).shape == logits.shape
    with pytest.raises(ValueError, match=r"no module 'oout'; expected 'logits' or a name such as .*'out'"):
        LabelDenoising(network, IDS, 2, layer="oout")


def test_what_cannot_be_asked():
    network = Net()
    denoising = LabelDenoising(network, IDS, 2)
    x = torch.randn(2, 1, 4, 4, 4)
    logits = network(x)
    with pytest.raises(CaseError, match="case_x"):
        denoising.noise(["case_a", "case_x"], logits)
    logits = network(x)
    with pytest.raises(ValueError, match="1 ids for a batch of 2"):
        denoising.noise(["case_a"], logits)
    logits = network(x)
    denoising.noise(IDS[:2], logits)
    with pytest.raises(ValueError, match="no feature was seen at 'out' since the last call"):
        denoising.noise(IDS[:2], logits)
    with torch.no_grad():
        network(x)
    with pytest.raises(ValueError, match="with gradients enabled"):
        denoising.noise(IDS[:2], logits)
    for options in ({"warm_up": -1}, {"penalty": -0.1}, {"variant": "readme"}):
        with pytest.raises(ValueError, match=r"expected numbers >= 0|expected one of"):
            LabelDenoising(network, IDS, 2, **options)


def test_monai_networks_have_a_feature():
    from monai.networks.nets import DynUNet, UNet

    x = torch.randn(2, 1, 16, 16, 16)
    for network, options in (
        (UNet(3, 1, 3, (4, 8), (2,), num_res_units=1), {}),
        (UNet(3, 1, 3, (4, 8), (2,)), {}),
        (
            DynUNet(
                3,
                1,
                3,
                [3] * 3,
                [1, 2, 2],
                [2, 2],
                filters=[4, 8, 8],
                deep_supervision=True,
                deep_supr_num=1,
            ),
            {"layer": "output_block.conv.conv"},
        ),
    ):
        denoising = LabelDenoising(network, IDS, 2, **options)
        logits = network(x)
        if logits.ndim == 6:  # DynUNet stacks its outputs
            logits = logits.unbind(1)[0]
        assert denoising.noise(IDS[:2], logits).shape == (2, 2, 16, 16, 16)


def test_nnunet_network_with_deep_supervision():
    pytest.importorskip("dynamic_network_architectures")
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    network = PlainConvUNet(
        1, 3, [4, 8, 8], nn.Conv3d, 3, [1, 2, 2], 1, 3, 1, conv_bias=True, norm_op=nn.InstanceNorm3d,
        nonlin=nn.LeakyReLU, deep_supervision=True,
    )  # fmt: skip
    denoising = LabelDenoising(network, IDS, 2)
    assert denoising.layer == "decoder.seg_layers.1"
    outputs = network(torch.randn(2, 1, 16, 16, 16))
    noises = denoising.noise(IDS[:2], outputs)
    assert [n.shape for n in noises] == [(2, 2, *z.shape[2:]) for z in outputs]
