"""Intensity variance inside a class, a foreground or an image, and its place in a population."""

import math

import numpy as np
import pytest

from aleaseg.measures.log_minmax import EqualValuesWarning, log_minmax, log_range
from aleaseg.measures.variance import intensity_variance


def test_equals_numpy_inside_a_class():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 3, (2, 6, 7, 8)).astype(np.float32)  # a large mean, as in CT
    mask = rng.integers(0, 3, (6, 7, 8))
    expected = np.mean([np.var(channel[mask == 1].astype(np.float64)) for channel in image])
    assert intensity_variance(image, mask == 1) == pytest.approx(expected, rel=1e-12)
    assert intensity_variance(image, mask) == pytest.approx(
        np.mean([np.var(channel[mask != 0].astype(np.float64)) for channel in image]), rel=1e-12
    )
    assert intensity_variance(image) == pytest.approx(
        np.mean(image.astype(np.float64).var((1, 2, 3))), rel=1e-12
    )
    assert intensity_variance((100 * image).astype(np.int32)[:1, 0], mask[0] == 1) > 0


def test_large_image_in_pieces():
    image = np.random.default_rng(0).standard_normal((1, 30, 400, 300), dtype=np.float32)
    assert intensity_variance(image) == pytest.approx(float(image.astype(np.float64).var()), rel=1e-12)


def test_empty_mask_and_bad_input():
    image = np.ones((1, 4, 4))
    assert math.isnan(intensity_variance(image, np.zeros((4, 4))))
    assert intensity_variance(image) == 0.0
    with pytest.raises(ValueError, match=r"\(4, 5\); expected the image's \(4, 4\)"):
        intensity_variance(image, np.ones((4, 5)))
    with pytest.raises(ValueError, match="channel"):
        intensity_variance(np.ones(4))
    image[0, 0, 0] = np.nan
    assert intensity_variance(image, np.tri(4, k=-1)) == 0.0
    with pytest.raises(ValueError, match="NaN or infinite"):
        intensity_variance(image)


def test_its_place_in_a_population():
    np.testing.assert_allclose(
        log_minmax([4.0, 1.0, np.nan, 16.0, 0.0]), [0.5, 0, np.nan, 1, 0], atol=1e-12
    )
    low, high, n = log_range([4.0, 1.0, np.nan, 16.0, 0.0])
    assert n == 3
    np.testing.assert_allclose(log_minmax([64.0, 4.0], low=low, high=high), [1, 0.5])
    with pytest.warns(EqualValuesWarning):
        assert log_minmax([3.0, 3.0]).tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="only one of low and high"):
        log_minmax([1.0], low=0.0)
    with pytest.raises(ValueError, match="negative or infinite"):
        log_minmax([-1.0])
