"""Correlations: SciPy, plain references, golden numbers, laws, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aleaseg.metrics.bootstrap import Resamples
from aleaseg.metrics.correlation import (
    correlation_p_value,
    partial_spearman,
    pearson,
    rank_matrix,
    spearman,
)

BOTH = pytest.mark.parametrize("correlation", [pearson, spearman])
PAIRS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=5, max_size=30).map(
    lambda pairs: np.array(pairs, float).T
)
FEW = 20


def related(n=60, seed=0, slope=0.7):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, slope * x + rng.normal(size=n)


# -- coefficients and p ---------------------------------------------------------------------------


@given(PAIRS)
@settings(deadline=None, max_examples=40)
def test_coefficients_and_p_are_those_of_scipy(pairs):
    x, y = pairs
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        found = ours(x, y, replicates=2)
        assert found.n == len(x)
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            assert np.isnan([found.r, found.p, found.low, found.high]).all()
            continue
        expected = theirs(x, y)
        assert found.r == pytest.approx(expected.statistic, abs=1e-12)
        if abs(found.r) < 1 - 1e-9:  # there p is 0, and SciPy's rounding is not
            assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


@pytest.mark.parametrize(
    ("r", "p"),
    # Table 4 of arXiv 2604.10963 with p of a t-test on 16 pairs.
    [(0.6267, 0.0094), (0.7471, 0.0009), (0.4402, 0.0879), (0.6623, 0.0052)],
)
def test_p_values_of_the_paper(r, p):
    assert correlation_p_value(r, 16) == pytest.approx(p, abs=5e-5)
    assert correlation_p_value(-r, 16) == correlation_p_value(r, 16)


def test_p_at_the_ends():
    assert correlation_p_value(0.0, 10) == 1
    assert correlation_p_value(-1.0, 10) == 0
    assert np.isnan(correlation_p_value(np.nan, 10))
    assert np.isnan(correlation_p_value(0.5, 5, covariates=3))


def test_a_perfect_order_is_exactly_one():
    x = np.arange(30.0)
    assert (spearman(x, np.exp(x)).r, spearman(x, -x).r) == (1.0, -1.0)
    assert spearman(x, np.append(x[:-1], np.inf)).r == 1.0


@BOTH
def test_pairs_with_a_missing_side_are_left_out(correlation):
    x, y = related()
    x[3] = y[7] = y[8] = np.nan
    kept = ~np.isnan(x + y)
    found = correlation(x, y, replicates=FEW)
    assert found == correlation(x[kept], y[kept], replicates=FEW)
    assert found.n == 57


@BOTH
@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_pairs_have_no_value(correlation, n):
    found = correlation(np.arange(n), np.arange(n))
    assert found.n == n
    assert np.isnan([found.r, found.p, found.low, found.high]).all()


@BOTH
def test_a_constant_has_no_value_whatever_its_rounding(correlation):
    assert np.isnan(correlation(np.full(9, 0.1), np.arange(9.0)).r)
    assert np.isnan(correlation(np.arange(9.0), np.full(9, 1e200)).r)


def test_the_scale_of_numbers_does_not_matter():
    x, y = related()
    for factor in (1e-150, 1e150, -1.0):
        found = pearson(factor * x, y + 1e6, replicates=FEW)
        assert found.r == pytest.approx(np.sign(factor) * pearson(x, y, replicates=FEW).r, abs=1e-9)


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected \\(N,\\) all"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="expected a label per row"):
        spearman([1, 2], [1, 2], ["p"])
    with pytest.raises(ValueError, match="infinite"):
        pearson([1, np.inf], [1, 2])
    with pytest.raises(ValueError, match=r"expected \(N,\) or \(N, k\)"):
        partial_spearman([1, 2], [1, 2], np.zeros((2, 1, 1)))
    with pytest.raises(ValueError, match=r"expected \(N, M\)"):
        rank_matrix([1, 2, 3])


# -- intervals ------------------------------------------------------------------------------------


@BOTH
def test_an_interval_is_that_of_replicates_made_one_by_one(correlation):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 8, (2, 40)).astype(float)
    group = rng.integers(0, 15, 40)
    theirs = stats.pearsonr if correlation is pearson else stats.spearmanr
    drawn = Resamples.make(np.zeros(40), group, replicates=300).groups
    rows = [np.repeat(np.arange(40), counts) for counts in drawn]
    expected = np.quantile([theirs(x[i], y[i]).statistic for i in rows], [0.05, 0.95])
    found = correlation(x, y, group, level=0.9, replicates=300)
    np.testing.assert_allclose((found.low, found.high), expected, atol=1e-12)


@BOTH
def test_the_interval_holds_the_point(correlation):
    x, y = related(n=200)
    found = correlation(x, y)
    assert found.low < found.r < found.high
    assert 0.05 < found.high - found.low < 0.3


@BOTH
def test_copies_in_a_group_add_nothing_and_loose_copies_seem_to(correlation):
    x, y = related()
    copied = np.repeat(np.arange(60), 6)
    alone = correlation(x, y, np.arange(60))
    clustered = correlation(x[copied], y[copied], copied)
    loose = correlation(x[copied], y[copied])
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert loose.high - loose.low < 0.6 * (clustered.high - clustered.low)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(100):
        x, e = rng.normal(size=(2, 60))
        found = pearson(x, 0.6 * x + 0.8 * e, replicates=200, seed=seed)
        held += found.low <= 0.6 <= found.high
    assert 85 <= held <= 99


# -- with others held fixed -----------------------------------------------------------------------


def residuals(column, covariates):
    design = np.column_stack([np.ones(len(column)), *map(stats.rankdata, covariates)])
    ranks = stats.rankdata(column)
    return ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_partial_one_is_that_of_residuals(k):
    rng = np.random.default_rng(k)
    held = rng.normal(size=(k, 50))
    x, y = held.sum(axis=0) + rng.normal(size=(2, 50))
    found = partial_spearman(x, y, held.T, replicates=FEW)
    expected = stats.pearsonr(residuals(x, held), residuals(y, held)).statistic
    assert found.r == pytest.approx(expected, abs=1e-12)
    assert found.p == correlation_p_value(found.r, 50, k)


def test_the_partial_one_of_one_covariate_is_the_textbook_one():
    rng = np.random.default_rng(0)
    z = rng.normal(size=40)
    x, y = z + rng.normal(size=(2, 40))
    xy, xz, yz = (spearman(*pair, replicates=2).r for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_spearman(x, y, z, replicates=2).r == pytest.approx(expected)


def test_what_comes_from_size_alone_goes_with_size():
    rng = np.random.default_rng(0)
    size = rng.normal(size=300)
    x, y = size + 0.5 * rng.normal(size=(2, 300))
    assert spearman(x, y).low > 0.6
    found = partial_spearman(x, y, size)
    assert found.low < 0 < found.high


def test_no_covariate_and_a_constant_one_hold_nothing_fixed():
    x, y = related()
    alone = spearman(x, y, replicates=FEW)
    assert partial_spearman(x, y, np.empty((60, 0)), replicates=FEW) == alone
    found = partial_spearman(x, y, np.ones(60), replicates=FEW)
    assert (found.r, found.low, found.high) == pytest.approx((alone.r, alone.low, alone.high))


def test_a_covariate_given_twice_is_one_covariate():
    x, y = related()
    held = np.random.default_rng(5).normal(size=60) + x
    once = partial_spearman(x, y, held, replicates=FEW)
    twice = partial_spearman(x, y, np.column_stack([held, held]), replicates=FEW)
    assert (twice.r, twice.low, twice.high) == pytest.approx((once.r, once.low, once.high))


def test_a_column_that_the_covariates_tell_has_no_value():
    x, y = related()
    assert np.isnan(partial_spearman(x, y, np.exp(x)).r)
    assert np.isnan(partial_spearman(x[:5], y[:5], np.random.default_rng(0).normal(size=(5, 3))).r)


# -- every pair -----------------------------------------------------------------------------------


def test_the_matrix_holds_every_pair():
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 9, (40, 6)).astype(float)
    columns[:, 1] += columns[:, 0]
    columns[rng.random((40, 6)) < 0.1] = np.nan
    columns[:, 2] = np.where(np.arange(40) < 3, columns[:, 2], np.nan)
    columns[:, 3] = 7
    found = rank_matrix(columns)
    np.testing.assert_array_equal(found, found.T)
    for i in range(6):
        for j in range(6):
            expected = spearman(columns[:, i], columns[:, j], replicates=2).r
            np.testing.assert_allclose(found[i, j], expected, atol=1e-12)
    assert found[0, 0] == 1
    assert np.isnan(found[2]).all()
    assert np.isnan(found[3]).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 2), (5, 0)])
def test_a_matrix_of_too_little_is_empty_or_missing(shape):
    found = rank_matrix(np.zeros(shape))
    assert found.shape == (shape[1], shape[1])
    assert np.isnan(found).all()
