"""AUV for its size: blind to size, to units and to a constant of S; frozen as it was fitted."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures.adjusted import SizeAdjustment
from aleaseg.measures.auv import aleatoric_uncertainty_value
from aleaseg.measures.auv_for_size import SizeAdjustedAuv
from aleaseg.metrics import spearman


def population(seed, n=40, classes=2, slope=0.3, noise=0.1, absent=0.1):
    """S that follows size."""
    rng = np.random.default_rng(seed)
    volumes = np.exp(rng.normal(7, 1, (n, classes)))
    scales = 0.02 * volumes**slope * np.exp(noise * rng.normal(size=(n, classes)))
    gone = rng.random((n, classes)) < absent
    return np.where(gone, np.nan, scales), np.where(gone, 0.0, volumes)


populations = st.builds(population, st.integers(0, 999), st.integers(12, 60), st.integers(1, 3))


@settings(max_examples=40, deadline=None)
@given(populations, st.floats(0.01, 100), st.floats(0.001, 1000), st.floats(-0.2, 0.4))
def test_a_power_of_the_size_the_unit_of_volumes_and_of_the_scale_change_nothing(case, factor, unit, power):
    scales, volumes = case
    known = SizeAdjustedAuv.fit(scales, volumes)(scales, volumes)
    with np.errstate(divide="ignore"):
        other = factor * scales * volumes**power
    np.testing.assert_allclose(
        SizeAdjustedAuv.fit(other, unit * volumes)(other, unit * volumes), known, atol=1e-5
    )


@settings(max_examples=20, deadline=None)
@given(populations)
def test_as_plain_numpy_has_it(case):
    scales, volumes = case
    left = np.full(scales.shape, np.nan)
    for c in range(scales.shape[1]):
        there = np.isfinite(scales[:, c])
        line = SizeAdjustment.fit(np.log(scales[there, c]), np.log(volumes[there, c]))
        left[there, c] = (
            np.log(scales[there, c]) - line.intercept - line.slopes[0] * np.log(volumes[there, c])
        )
    there = np.isfinite(left).any(axis=1)
    mean = np.nansum(left, axis=1) / np.maximum(np.isfinite(left).sum(axis=1), 1)
    low, high = mean[there].min(), mean[there].max()
    expected = np.where(there, (high - mean) / (high - low), np.nan)
    np.testing.assert_allclose(SizeAdjustedAuv.fit(scales, volumes)(scales, volumes), expected, atol=1e-12)


def test_auv_ranks_by_size_and_auv_for_its_size_does_not():
    scales, volumes = population(3, n=300, classes=1, absent=0)
    rank = spearman(aleatoric_uncertainty_value(scales[:, 0]), volumes[:, 0]).r
    adjusted = spearman(SizeAdjustedAuv.fit(scales, volumes)(scales, volumes), volumes[:, 0]).r
    assert rank < -0.9
    assert abs(adjusted) < 0.15


def test_a_map_with_a_small_scale_for_its_size_is_the_most_uncertain():
    scales, volumes = population(5, absent=0)
    scales[7] /= 5
    assert SizeAdjustedAuv.fit(scales, volumes)(scales, volumes).argmax() == 7


def test_new_cases_are_held_against_the_frozen_population():
    scales, volumes = population(1)
    fitted = SizeAdjustedAuv.fit(scales, volumes)
    kept = SizeAdjustedAuv.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert kept == fitted
    new_scales, new_volumes = population(2)
    values = kept(new_scales * 100, new_volumes)
    assert set(values[np.isfinite(values)]) == {0.0}  # clipped: far more S than any had
    np.testing.assert_array_equal(kept(new_scales, new_volumes)[:5], kept(new_scales[:5], new_volumes[:5]))


def test_what_has_no_direction_no_mask_no_line():
    scales, volumes = population(4, absent=0)
    scales[0] = 0  # collapsed: as uncertain as can be, and out of the range
    scales[1] = np.nan
    volumes[2] = 0
    fitted = SizeAdjustedAuv.fit(scales, volumes)
    values = fitted(scales, volumes)
    assert values[0] == 1
    assert np.isnan(values[[1, 2]]).all()
    assert fitted == SizeAdjustedAuv.fit(scales[3:], volumes[3:])
    few = np.where(np.arange(len(scales)) < 2, 0.3, np.nan)
    beside = SizeAdjustedAuv.fit(np.column_stack([scales[:, 0], few]), volumes)
    assert beside.lines[1] is None
    assert SizeAdjustedAuv.fit(few[:, None], volumes[:, :1]) is None


def test_equal_ones_stand_in_the_middle():
    volumes = np.geomspace(10, 1000, 9)[:, None]
    assert SizeAdjustedAuv.fit(volumes**0.5, volumes)(volumes**0.5, volumes).tolist() == [0.5] * 9


def test_refusals():
    scales, volumes = population(0)
    fitted = SizeAdjustedAuv.fit(scales, volumes)
    with pytest.raises(ValueError, match="expected 2"):
        fitted(scales[:, :1], volumes[:, :1])
    with pytest.raises(ValueError, match=r"expected \(cases, classes\)"):
        SizeAdjustedAuv.fit(scales[:, 0], volumes[:, 0])
    with pytest.raises(ValueError, match="expected lines, low and high"):
        SizeAdjustedAuv.from_dict({"lines": [None]})
