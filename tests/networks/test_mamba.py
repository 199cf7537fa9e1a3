"""The Mamba layer: its scan against a loop over tokens in NumPy, and its laws."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.networks import mamba
from aleaseg.networks.mamba import Mamba, recurrence, selective_scan


def silu(x):
    return x / (1 + np.exp(-x))


def loop(x, delta, A, B, C, D):
    """Number by number, from the paper's recurrence; float64."""
    y = np.empty_like(x)
    for b, e in np.ndindex(x.shape[0], x.shape[2]):
        h = np.zeros(A.shape[1])
        for t in range(x.shape[1]):
            for n in range(A.shape[1]):
                h[n] = math.exp(delta[b, t, e] * A[e, n]) * h[n] + delta[b, t, e] * B[b, t, n] * x[b, t, e]
            y[b, t, e] = C[b, t] @ h + D[e] * x[b, t, e]
    return y


def plain_layer(layer, tokens):
    """The whole layer in NumPy, token by token; (B, L, C) float64."""
    given = {name: tensor.detach().double().numpy() for name, tensor in layer.state_dict().items()}
    rank, states, _ = layer.parts
    out = np.empty_like(tokens)
    for b, sequence in enumerate(tokens):
        inner = sequence @ given["in_proj.weight"].T
        x, z = np.split(inner, 2, axis=1)
        reach = given["conv1d.weight"].shape[2]
        past = np.concatenate([np.zeros((reach - 1, x.shape[1])), x])
        kernel = given["conv1d.weight"][:, 0]
        x = np.stack([(past[t : t + reach].T * kernel).sum(1) for t in range(len(x))])
        x = silu(x + given["conv1d.bias"])
        made = x @ given["x_proj.weight"].T
        step, B, C = np.split(made, [rank, rank + states], axis=1)
        delta = np.log1p(np.exp(step @ given["dt_proj.weight"].T + given["dt_proj.bias"]))
        y = loop(x[None], delta[None], -np.exp(given["A_log"]), B[None], C[None], given["D"])[0]
        out[b] = (y * silu(z)) @ given["out_proj.weight"].T
    return out


def drawn(seed, batch, length, channels, states, device="cpu", dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    return (
        noise(batch, length, channels),
        torch.nn.functional.softplus(noise(batch, length, channels)),
        -noise(channels, states).exp(),
        noise(batch, length, states),
        noise(batch, length, states),
        noise(channels),
    )


sizes = st.tuples(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 40), st.integers(1, 4))


# -- the scan -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(1, 5))
def test_the_scan_is_the_loop(size, states):
    given = drawn(*size, states)
    expected = loop(*(one.numpy() for one in given))
    np.testing.assert_allclose(selective_scan(*given).numpy(), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 27])
def test_its_gradients_are_those_of_a_loop(length):
    def naive(decay, drive):
        state, told = torch.zeros_like(drive[:, 0]), []
        for t in range(drive.shape[1]):
            state = decay[:, t] * state + drive[:, t]
            told.append(state)
        return torch.stack(told, dim=1)

    generator = torch.Generator().manual_seed(length)
    decay = torch.rand(2, length, 3, 4, generator=generator, dtype=torch.float64)
    drive, weight = torch.randn(2, 2, length, 3, 4, generator=generator, dtype=torch.float64)
    found, expected = [], []
    for scan, into in ((recurrence, found), (naive, expected)):
        inputs = [decay.clone().requires_grad_(), drive.clone().requires_grad_()]
        (scan(*inputs) * weight).sum().backward()
        into.extend(one.grad for one in inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_everything_by_differences():
    inputs = [one.requires_grad_() for one in drawn(3, 2, 6, 2, 3)]
    assert torch.autograd.gradcheck(selective_scan, inputs)
    decay = torch.rand(2, 5, 2, dtype=torch.float64, requires_grad=True)
    drive = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(recurrence, (decay, drive))


def test_it_is_an_operator_as_torch_asks_of_them():
    given = [torch.rand(2, 5, 3, requires_grad=True), torch.randn(2, 5, 3, requires_grad=True)]
    torch.library.opcheck(recurrence, given)


@settings(deadline=None, max_examples=30)
@given(sizes, st.data())
def test_no_token_is_told_of_a_later_one(size, data):
    x, *others = drawn(*size, 3)
    at = data.draw(st.integers(0, x.shape[1] - 1))
    changed = x.clone()
    changed[:, at] += 1
    before, after = selective_scan(x, *others), selective_scan(changed, *others)
    assert torch.equal(before[:, :at], after[:, :at])
    assert not torch.equal(before[:, at], after[:, at])


@settings(deadline=None, max_examples=30)
@given(sizes, st.data())
def test_a_sequence_can_be_cut_where_its_state_is_handed_on(size, data):
    x, delta, A, B, _, _ = drawn(*size, 3)
    decay = (delta[..., None] * A).exp()
    drive = (delta * x)[..., None] * B[:, :, None]
    whole = recurrence(decay, drive)
    cut = data.draw(st.integers(0, x.shape[1]))
    first = recurrence(decay[:, :cut], drive[:, :cut])
    handed = torch.zeros_like(drive[:, :1]) if cut == 0 else first[:, -1:]
    rest = drive[:, cut:].clone()
    rest[:, :1] += decay[:, cut : cut + 1] * handed
    both = torch.cat((first, recurrence(decay[:, cut:], rest)), dim=1)
    torch.testing.assert_close(both, whole, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(sizes, st.floats(-3, 3))
def test_it_is_linear_in_what_it_reads(size, factor):
    x, *others = drawn(*size, 2)
    other = x.flip(0, 1, 2)
    both = selective_scan(x + factor * other, *others)
    apart = selective_scan(x, *others) + factor * selective_scan(other, *others)
    torch.testing.assert_close(both, apart, rtol=1e-9, atol=1e-9)


def test_what_fades_at_once_and_what_never_fades():
    drive = torch.randn(1, 300, 2)
    torch.testing.assert_close(recurrence(torch.zeros_like(drive), drive), drive)
    torch.testing.assert_close(
        recurrence(torch.ones_like(drive), drive), drive.cumsum(1), rtol=1e-4, atol=1e-4
    )


def test_a_thousand_tokens_in_float32_are_as_in_float64():
    given = drawn(0, 1, 1000, 4, 16)
    exact = selective_scan(*given)
    single = selective_scan(*(one.float() for one in given))
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)


def test_strides_of_the_inputs_do_not_matter():
    decay, drive = torch.rand(5, 2, 3).transpose(0, 1), torch.randn(5, 2, 3).transpose(0, 1)
    torch.testing.assert_close(recurrence(decay, drive), recurrence(decay.contiguous(), drive.contiguous()))


# -- the layer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 11])
def test_the_layer_is_what_a_plain_one_says(length):
    torch.manual_seed(1)
    layer = Mamba(6, states=4).double()
    tokens = torch.randn(2, length, 6, dtype=torch.float64)
    np.testing.assert_allclose(
        layer(tokens).detach().numpy(), plain_layer(layer, tokens.numpy()), rtol=1e-9, atol=1e-12
    )


def test_parameters_are_named_and_shaped_as_in_mamba_ssm():
    """Of mamba_ssm.Mamba(d_model=320), whose d_inner is 640 and dt_rank 20 (read in its source)."""
    assert {name: tuple(one.shape) for name, one in Mamba(320).state_dict().items()} == {
        "in_proj.weight": (1280, 320),
        "conv1d.weight": (640, 1, 4),
        "conv1d.bias": (640,),
        "x_proj.weight": (52, 640),
        "dt_proj.weight": (640, 20),
        "dt_proj.bias": (640,),
        "A_log": (640, 16),
        "D": (640,),
        "out_proj.weight": (320, 640),
    }


def test_first_values():
    torch.manual_seed(0)
    layer = Mamba(320)
    assert torch.equal(layer.D, torch.ones(640))
    torch.testing.assert_close(-layer.A_log.exp(), -torch.arange(1.0, 17.0).expand(640, 16))
    steps = torch.nn.functional.softplus(layer.dt_proj.bias)
    assert (steps > 0.9e-3).all()
    assert (steps < 0.11).all()
    # Evenly by their logarithm: half of them below 0.01.
    assert 0.4 < (steps < 0.01).float().mean() < 0.6
    assert layer.dt_proj.weight.abs().max() <= 20**-0.5
    assert layer.dt_proj.weight.abs().max() > 0.95 * 20**-0.5


def test_every_parameter_learns():
    layer = Mamba(8, states=3)
    layer(torch.randn(2, 9, 8)).square().sum().backward()
    assert all(one.grad is not None and bool((one.grad != 0).any()) for one in layer.parameters())


def test_it_compiles_whole():
    layer = Mamba(8, states=3)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    tokens = torch.randn(2, 9, 8)
    torch.testing.assert_close(compiled(tokens), layer(tokens))
    compiled(tokens).sum().backward()
    assert layer.A_log.grad is not None


# -- the kernel of mamba_ssm ----------------------------------------------------------------------


def test_a_mamba_ssm_that_cannot_be_imported_is_told_of(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(__import__("sys").modules, "mamba_ssm", None)
    with pytest.warns(UserWarning, match="mamba_ssm is installed and cannot be used, torch scans"):
        assert mamba._kernel() is None


def test_the_kernel_is_given_what_it_expects(monkeypatch):
    """A stand-in with the kernel's layout, (B, E, L), on what says that it lies on a GPU."""
    seen = {}

    def kernel(u, delta, A, B, C, D):
        seen.update(u=u.shape, delta=delta.shape, A=A.shape, B=B.shape, C=C.shape, D=D.shape)
        assert all(one.is_contiguous() for one in (u, delta, A, B, C, D))
        plain = [torch.Tensor(one.as_subclass(torch.Tensor)).transpose(1, 2) for one in (u, delta, B, C)]
        monkeypatch.setattr(mamba, "_KERNEL", None)
        y = selective_scan(plain[0], plain[1], A, plain[2], plain[3], D)
        return y.transpose(1, 2)

    class OnGPU(torch.Tensor):
        is_cuda = True

    given = drawn(0, 2, 7, 3, 4, dtype=torch.float32)
    expected = selective_scan(*given)
    monkeypatch.setattr(mamba, "_KERNEL", kernel)
    found = selective_scan(given[0].as_subclass(OnGPU), *given[1:]).as_subclass(torch.Tensor)
    assert seen == {
        "u": (2, 3, 7),
        "delta": (2, 3, 7),
        "A": (3, 4),
        "B": (2, 4, 7),
        "C": (2, 4, 7),
        "D": (3,),
    }
    torch.testing.assert_close(found, expected)


@pytest.mark.skipif(
    importlib.util.find_spec("mamba_ssm") is None or not torch.cuda.is_available(),
    reason="mamba_ssm, which publishes no wheel for a CPU, or a GPU is missing",
)
@pytest.mark.parametrize("length", [1, 27, 1000])
def test_the_kernel_agrees(length, monkeypatch):
    assert mamba._KERNEL is not None
    given = [one.requires_grad_() for one in drawn(0, 2, length, 64, 16, "cuda", torch.float32)]
    found = selective_scan(*given)
    found.square().sum().backward()
    gradients = [one.grad for one in given]
    monkeypatch.setattr(mamba, "_KERNEL", None)
    for one in given:
        one.grad = None
    expected = selective_scan(*given)
    expected.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients, [one.grad for one in given], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    importlib.util.find_spec("mamba_ssm") is None or not torch.cuda.is_available(),
    reason="mamba_ssm, which publishes no wheel for a CPU, or a GPU is missing",
)
def test_weights_of_mamba_ssm_fit_and_say_the_same():
    theirs = __import__("mamba_ssm").Mamba(d_model=32).cuda()
    ours = Mamba(32).cuda()
    ours.load_state_dict(theirs.state_dict())
    tokens = torch.randn(2, 27, 32, device="cuda")
    torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=1e-3, atol=1e-4)
