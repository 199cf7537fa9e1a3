"""Size-adjusted scores: against scikit-learn, the estimating equations, and what must hold of any fit."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures.adjusted import SizeAdjustment, size_adjusted


def population(seed, n=60, covariates=1, noise=0.05):
    rng = np.random.default_rng(seed)
    x = rng.normal(8, 1.2, (n, covariates))
    return 0.4 + x @ np.linspace(0.06, -0.1, covariates) + rng.normal(0, noise, n), x


populations = st.builds(population, st.integers(0, 999), st.integers(10, 80), st.integers(1, 2))


@settings(max_examples=40, deadline=None)
@given(populations, st.floats(-50, 50), st.floats(-5, 5))
def test_a_linear_function_of_the_size_changes_nothing(case, shift, slope):
    y, x = case
    moved = y + shift + slope * x[:, 0]
    before, after = SizeAdjustment.fit(y, x).residual(y, x), SizeAdjustment.fit(moved, x).residual(moved, x)
    np.testing.assert_allclose(after, before, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(populations, st.floats(0.01, 1000), st.floats(0.001, 1000))
def test_the_unit_of_the_size_does_not_matter_and_that_of_the_score_carries_over(case, unit, factor):
    y, x = case
    residual = size_adjusted(y, np.exp(x))
    np.testing.assert_allclose(size_adjusted(y, unit * np.exp(x)), residual, atol=1e-6)
    np.testing.assert_allclose(size_adjusted(factor * y, np.exp(x)), factor * residual, atol=1e-6 * factor)


@settings(max_examples=30, deadline=None)
@given(populations)
def test_the_fit_solves_its_equations(case):
    y, x = case
    residual = SizeAdjustment.fit(y, x).residual(y, x)
    z = x - np.median(x, axis=0)
    z /= 1.4826 * np.median(np.abs(z), axis=0)
    w = np.minimum(1, 4 / ((z**2).sum(axis=1) + 1e-12))
    psi = np.clip(residual / (1.4826 * np.median(np.abs(residual))), -1.345, 1.345)
    np.testing.assert_allclose(np.column_stack([np.ones(len(y)), z]).T @ (w * psi), 0, atol=1e-4)


def test_is_close_to_hubers_where_no_size_is_odd():
    from sklearn.linear_model import HuberRegressor

    y, x = population(0, n=2000, noise=0.1)
    y[::10] += 1.5
    theirs = HuberRegressor(epsilon=1.345, alpha=0.0).fit(x - 8, y)
    assert SizeAdjustment.fit(y, x).slopes[0] == pytest.approx(theirs.coef_[0], abs=0.01)


def test_faults_do_not_bend_the_line():
    rng = np.random.default_rng(0)
    y, x = population(0, n=300, noise=0.01)
    bad = rng.random(300) < 0.1
    y[bad] -= 0.5
    assert SizeAdjustment.fit(y, x).slopes[0] == pytest.approx(0.06, abs=0.004)
    x[bad] -= 6  # shrunk masks: a bad score at an odd size, where least squares follows
    y[bad] -= 6 * 0.06
    least_squares = np.polyfit(x[:, 0], y, 1)[0]
    found = SizeAdjustment.fit(y, x)
    assert abs(found.slopes[0] - 0.06) < abs(least_squares - 0.06) / 4
    residual = found.residual(y, x)
    assert residual[bad].max() < residual[~bad].min()


def test_missing_numbers_stay_missing_and_do_not_count():
    y, x = population(1)
    whole = size_adjusted(y, np.exp(x[:, 0]))
    y2, size = np.append(y, [np.nan, 0.5, 0.5]), np.append(np.exp(x[:, 0]), [10.0, 0.0, np.nan])
    found = size_adjusted(y2, size)
    np.testing.assert_allclose(found[:-3], whole, atol=1e-12)
    assert np.isnan(found[-3:]).all()


def test_a_covariate_that_does_not_vary_has_no_slope():
    y, x = population(2)
    flat = np.column_stack([x, np.zeros(len(y))])
    found = SizeAdjustment.fit(y, flat)
    assert found.slopes[1] == 0
    np.testing.assert_allclose(found.residual(y, flat), SizeAdjustment.fit(y, x).residual(y, x), atol=1e-9)
    mostly = np.column_stack([x, np.arange(len(y)) < 5])  # most are equal: no median deviation
    assert np.isfinite(SizeAdjustment.fit(y, mostly).residual(y, mostly)).all()
    assert SizeAdjustment.fit(np.ones(9), np.ones(9)).residual([3.0], [1.0]) == pytest.approx([2.0])


def test_points_on_a_line_leave_nothing():
    x = np.linspace(1, 9, 40)
    y = 3 - 0.5 * x
    y[7] = 100.0
    residual = SizeAdjustment.fit(y, x).residual(y, x)
    assert residual[7] == pytest.approx(99.5 + 0.5 * x[7] - 2.5, rel=1e-6)
    np.testing.assert_allclose(np.delete(residual, 7), 0, atol=1e-6)


def test_a_frozen_population_adjusts_a_new_case():
    y, x = population(3, covariates=2)
    fitted = SizeAdjustment.fit(y, x)
    a, (b, c) = fitted.intercept, fitted.slopes
    np.testing.assert_allclose(fitted.residual([0.5], [[2.0, 3.0]]), [0.5 - a - 2 * b - 3 * c])


def test_a_hundred_thousand_cases_take_less_than_a_second():
    y, x = population(4, n=100_000, covariates=2)
    start = time.process_time()
    SizeAdjustment.fit(y, x).residual(y, x)
    assert time.process_time() - start < 1


def test_bad_input_says_what_was_expected():
    y, x = population(5)
    with pytest.raises(ValueError, match="got 2 cases with a score and a size; expected at least 3"):
        SizeAdjustment.fit([1.0, 2.0, np.nan], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"\(60,\) and covariates \(59, 1\)"):
        SizeAdjustment.fit(y, x[1:])
    with pytest.raises(ValueError, match="got 2 covariates; expected 1"):
        SizeAdjustment.fit(y, x).residual(y, np.column_stack([x, x]))
    with pytest.raises(ValueError, match=r"smallest size is -1\.0"):
        size_adjusted([1.0, 2.0, 3.0], [1.0, -1.0, 2.0])
