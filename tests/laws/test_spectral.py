"""Laws of S and of the energies, over drawn maps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.spectral import semantic_perception_scale, singular_value_energies

UNFOLDINGS = st.sampled_from(["d_hw", "h_dw", "w_dh"])
POWERS = st.sampled_from([1, 2])


@st.composite
def volumes(draw, dtype=np.float64):
    shape = draw(st.tuples(*[st.integers(2, 9)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    volume = rng.normal(size=shape) * rng.uniform(0, 1, (shape[0], 1, 1)) ** draw(
        st.sampled_from([0, 1, 8])
    )
    if draw(st.booleans()):  # low rank
        volume[rng.integers(shape[0])] = 0
        volume[:, rng.integers(shape[1])] = 0
    return volume.astype(dtype)


def orthogonal(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


@settings(max_examples=50, deadline=None)
@given(volumes(), UNFOLDINGS, POWERS, st.booleans())
def test_bounds_order_and_sum(volume, unfold, power, center):
    scale = float(semantic_perception_scale(volume, unfold=unfold, power=power, center=center))
    assert 0 <= scale <= 1
    assert 0 <= float(semantic_perception_scale(volume, unfold=unfold, definition="official")) <= 1
    energies = singular_value_energies(volume, unfold=unfold, power=power, center=center)
    assert (np.diff(energies) <= 0).all()
    assert (energies >= 0).all()
    assert energies.sum() == pytest.approx(1, abs=1e-9) or not energies.any()


@settings(max_examples=50, deadline=None)
@given(volumes(), UNFOLDINGS, POWERS, st.floats(-290, 290), st.sampled_from([-1.0, 1.0]))
def test_free_of_scale(volume, unfold, power, exponent, sign):
    # 1e-290 and 1e290: the squares of these do not fit into float64.
    volume = volume * np.where(np.abs(volume) < 1e-6, 0.0, 1.0)
    expected = semantic_perception_scale(volume, unfold=unfold, power=power)
    scaled = semantic_perception_scale(sign * volume * 10.0**exponent, unfold=unfold, power=power)
    np.testing.assert_allclose(scaled, expected, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(volumes(np.float32), st.integers(-30, 30))
def test_free_of_scale_in_single_precision(volume, exponent):
    volume = volume * np.where(np.abs(volume) < 1e-3, 0.0, 1.0).astype(np.float32)
    expected = semantic_perception_scale(volume)
    np.testing.assert_allclose(
        semantic_perception_scale(volume * np.float32(10.0**exponent)), expected, atol=1e-5
    )
    batch = np.stack([volume, volume * np.float32(10.0**exponent), 0 * volume])
    np.testing.assert_allclose(semantic_perception_scale(batch), [expected, expected, 0], atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(volumes(), st.integers(0, 2**32 - 1), POWERS)
def test_orthogonal_transforms_of_rows_and_columns(volume, seed, power):
    rng = np.random.default_rng(seed)
    d, h, w = volume.shape
    matrix = volume.reshape(d, h * w)
    turned = orthogonal(rng, d) @ matrix @ orthogonal(rng, h * w)
    expected = semantic_perception_scale(volume, power=power)
    np.testing.assert_allclose(
        semantic_perception_scale(turned.reshape(d, h, w), power=power), expected, atol=1e-8
    )


@settings(max_examples=50, deadline=None)
@given(volumes(), st.integers(0, 2**32 - 1), st.sampled_from(["paper", "official"]), st.booleans())
def test_permutations_of_rows_and_columns(volume, seed, definition, center):
    rng = np.random.default_rng(seed)
    d, h, w = volume.shape
    shuffled = volume.reshape(d, h * w)[rng.permutation(d)][:, rng.permutation(h * w)].reshape(d, h, w)
    expected = semantic_perception_scale(volume, definition=definition, center=center)
    got = semantic_perception_scale(shuffled, definition=definition, center=center)
    np.testing.assert_allclose(got, expected, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(volumes(), UNFOLDINGS, POWERS, st.booleans(), st.integers(1, 200))
def test_chunk_size_does_not_matter(volume, unfold, power, center, chunk):
    options = {"unfold": unfold, "power": power, "center": center}
    expected = semantic_perception_scale(volume, **options)
    np.testing.assert_allclose(
        semantic_perception_scale(volume, chunk=chunk, **options), expected, atol=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(volumes(), volumes(), UNFOLDINGS, st.sampled_from(["paper", "official"]), st.booleans())
def test_numpy_equals_torch_and_batch_equals_loop(first, second, unfold, definition, center):
    second = np.resize(second, first.shape)
    options = {"unfold": unfold, "definition": definition, "center": center}
    batch = np.stack([first, second, 0 * first])[:, None]
    loop = [[semantic_perception_scale(volume, **options)] for volume in (first, second, 0 * first)]
    np.testing.assert_allclose(semantic_perception_scale(batch, **options), loop, atol=1e-10)
    np.testing.assert_allclose(semantic_perception_scale(torch.tensor(batch), **options), loop, atol=1e-10)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_large_matrices_one_by_one_equal_the_batch(convert):
    maps = np.random.default_rng(0).normal(size=(2, 2, 40, 41, 42))  # beyond what is done as a batch
    alone = [[float(semantic_perception_scale(convert(volume))) for volume in row] for row in maps]
    np.testing.assert_allclose(semantic_perception_scale(convert(maps)), alone, atol=1e-12)
    if convert is torch.as_tensor:
        tensor = torch.tensor(maps, requires_grad=True)
        (together,) = torch.autograd.grad(semantic_perception_scale(tensor).sum(), tensor)
        single = torch.tensor(maps[1, 0], requires_grad=True)
        (slope,) = torch.autograd.grad(semantic_perception_scale(single), single)
        torch.testing.assert_close(together[1, 0], slope)


@settings(max_examples=30, deadline=None)
@given(volumes(), UNFOLDINGS, POWERS)
def test_gradient_is_orthogonal_to_the_map(volume, unfold, power):
    # S is free of scale, so nothing is gained along the map itself (Euler).
    maps = torch.tensor(volume, requires_grad=True)
    (slope,) = torch.autograd.grad(semantic_perception_scale(maps, unfold=unfold, power=power), maps)
    assert bool(torch.isfinite(slope).all())
    size = float(maps.detach().norm() * slope.norm())
    assert abs(float((slope * maps.detach()).sum())) <= 1e-8 * max(size, 1e-6)


@settings(max_examples=30, deadline=None)
@given(volumes(), st.floats(-100, 100))
def test_centred_scale_does_not_see_a_constant(volume, constant):
    expected = semantic_perception_scale(volume, center=True)
    if np.abs(volume - volume.mean((1, 2), keepdims=True)).max() > 0.01:
        np.testing.assert_allclose(
            semantic_perception_scale(volume + constant, center=True), expected, atol=1e-7
        )
