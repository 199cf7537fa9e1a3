"""X and X-hat: laws, and a plain reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aleaseg.extractors.normalize import foreground_normalized, percentile_range, unit

images = arrays(np.float32, (3, 5, 6), elements=st.floats(-1000, 1000, width=32))


@given(images, st.floats(-500, 0), st.floats(1, 500))
def test_unit_stays_within_and_keeps_order(image, low, high):
    found = unit(image, low, high)
    assert found.min() >= 0
    assert found.max() <= 1
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(found.ravel()[order]) >= 0).all()
    assert (unit(image, 5, 5) == 0).all()


def test_foreground_is_the_plain_rule():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 30, (4, 20, 20)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[1:3, 5:15, 5:15] = 2
    inside = np.sort(image[mask > 0].astype(np.float64))
    low, high = np.percentile(inside, 0.5), np.percentile(inside, 99.5)
    expected = (np.minimum(np.maximum(image, low), high) - inside.mean()) / inside.std()
    found = foreground_normalized(image, mask)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert abs(found[mask > 0].mean()) < 0.02
    assert abs(found[mask > 0].std() - 1) < 0.05


@given(st.floats(0.1, 50), st.floats(-200, 200))
def test_foreground_knows_no_units(factor, offset):
    rng = np.random.default_rng(1)
    image, mask = rng.normal(0, 1, (3, 8, 8)), rng.random((3, 8, 8)) > 0.5
    np.testing.assert_allclose(
        foreground_normalized(image, mask), foreground_normalized(image * factor + offset, mask), atol=2e-3
    )


def test_edges():
    with pytest.raises(ValueError, match="no foreground voxel"):
        foreground_normalized(np.ones((2, 2)), np.zeros((2, 2)))
    # One voxel has no deviation: everything is clipped to it, and nothing is divided by zero.
    one = np.zeros((2, 2))
    one[0, 0] = 1
    assert (foreground_normalized(np.arange(4.0).reshape(2, 2), one) == 0).all()
    image = np.zeros(1000)
    image[0] = 7
    assert percentile_range(image) == (0.0, 7.0)
