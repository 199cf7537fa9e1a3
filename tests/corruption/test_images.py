"""Laws that every fault of an image keeps, and what each one changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.corruption import images
from aleaseg.corruption.images import TRIAL

DTYPES = st.sampled_from([np.uint8, np.int16, np.float32, np.float64])
SHAPES = st.sampled_from([(1, 12, 15, 18), (2, 12, 15, 18), (1, 30, 32), (3, 30, 32), (1, 3, 20, 4)])


def picture(shape, dtype=np.float32):
    """Channels of different level and spread, in [0, 255]."""
    rng = np.random.default_rng(3)
    levels = np.linspace(60, 180, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return np.clip(levels + rng.normal(0, 25, shape), 0, 255).astype(dtype)


@pytest.mark.parametrize("name", TRIAL)
@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, dtype=DTYPES, seed=st.integers(0, 2**32))
def test_laws(name, shape, dtype, seed):
    image = picture(shape, dtype)
    before = image.copy()
    bad = TRIAL[name](image, np.random.default_rng(seed))
    again = TRIAL[name](image, np.random.default_rng(seed))
    assert bad.dtype == image.dtype
    assert bad.shape == image.shape
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(bad, again)
    for channel in range(shape[0]):
        assert (bad[channel] != image[channel]).any()
    assert np.isfinite(bad).all()


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (images.noise, {"sd": 0}),
        (images.blur, {"sd": 0}),
        (images.ghost, {"weight": 0}),
        (images.gamma, {"exponent": 1}),
        (images.low_resolution, {"factor": 1}),
    ],
)
@pytest.mark.parametrize("shape", [(1, 12, 15, 18), (2, 30, 32)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_size_zero_is_the_identity_and_a_copy(fault, size, shape, dtype):
    image = picture(shape, dtype)
    same = fault(image, np.random.default_rng(0), **size)
    np.testing.assert_allclose(same, image, rtol=1e-5)
    assert not np.shares_memory(same, image)


def test_noise_is_measured_in_the_sd_of_each_channel():
    image = picture((2, 40, 40, 40), np.float64)
    image[1] *= 10
    added = images.noise(image, np.random.default_rng(0)) - image
    for channel in range(2):
        assert added[channel].std() == pytest.approx(1.2 * image[channel].std(), rel=0.02)


def test_blur_lowers_the_spread_and_keeps_the_mean():
    image = picture((1, 30, 30, 30), np.float64)
    bad = images.blur(image, np.random.default_rng(0))
    assert bad.std() < 0.2 * image.std()
    assert bad.mean() == pytest.approx(image.mean(), rel=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_ghost_is_a_point_and_its_copy_a_third_further(axis):
    image = np.zeros((1, 12, 15, 18))
    image[0, 1, 1, 1] = 10.0
    bad = images.ghost(image, np.random.default_rng(0), axis=axis)
    place = [1, 1, 1]
    place[axis] += (4, 5, 6)[axis]
    assert bad[0, 1, 1, 1] == pytest.approx(6.0)
    assert bad[(0, *place)] == pytest.approx(4.0)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100))
def test_a_drawn_ghost_lies_within_the_slice(seed):
    image = np.zeros((1, 12, 15, 18))
    image[0, 4] = picture((1, 15, 18), np.float64)[0]
    assert not np.delete(images.ghost(image, np.random.default_rng(seed)), 4, axis=1).any()


def test_gamma_keeps_the_range_and_darkens():
    image = np.linspace(-1000, 1000, 101).reshape(1, 1, 101)
    bad = images.gamma(image, np.random.default_rng(0))
    assert bad.min() == pytest.approx(-1000)
    assert bad.max() == pytest.approx(1000)
    assert bad[0, 0, 50] == pytest.approx(-1000 + 2000 / 8)


def test_gamma_of_a_constant_image_is_that_image():
    image = np.full((1, 4, 4), 7.0)
    np.testing.assert_array_equal(images.gamma(image, np.random.default_rng(0)), image)


def test_low_resolution_blurs_the_last_axis_only():
    image = np.zeros((1, 20, 20, 20))
    image[0, 10, 10] = np.tile([1.0, -1.0], 10)
    bad = images.low_resolution(image, np.random.default_rng(0))
    assert np.abs(bad).max() <= 0.2 + 1e-12
    rows = np.abs(bad).sum(axis=(0, 3))
    rows[10, 10] = 0
    assert not rows.any()


def test_low_resolution_keeps_a_ramp_inside():
    ramp = np.arange(50.0).reshape(1, 1, 50)
    bad = images.low_resolution(ramp, np.random.default_rng(0))
    np.testing.assert_allclose(bad[..., 2:-2], ramp[..., 2:-2])
