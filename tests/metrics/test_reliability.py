"""Voxels and wrong voxels by uncertainty, against loops in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aleaseg.metrics import reliability
from aleaseg.metrics.paired import case_resamples
from aleaseg.metrics.reliability import errors_by_uncertainty, shares_wrong


def by_loop(u, wrong, bins):
    """A bin at a time: from its lower edge to below its upper one, the last with 1 in it."""
    counts = np.zeros((2, bins), int)
    for b in range(bins):
        inside = (u * bins >= b) & ((u * bins < b + 1) | (b == bins - 1))
        counts[:, b] = inside.sum(), (inside & wrong).sum()
    return counts


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 200))
def test_counts_are_those_of_a_loop_over_bins(seed, bins, n):
    rng = np.random.default_rng(seed)
    u = np.concatenate([rng.uniform(0, 1, n), [0.0, 1.0], np.arange(bins) / bins])
    wrong = rng.random(u.size) < u
    found = errors_by_uncertainty(u, wrong, bins)
    assert found.tolist() == by_loop(u, wrong, bins).tolist()
    assert found.sum(axis=1).tolist() == [u.size, wrong.sum()]


def test_large_volumes_are_counted_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    u = rng.uniform(0, 1, (5, 7, 9)).astype(np.float32)
    wrong = rng.random(u.shape) < 0.3
    whole = errors_by_uncertainty(u, wrong)
    monkeypatch.setattr(reliability, "_BLOCK", 10)
    assert errors_by_uncertainty(u, wrong).tolist() == whole.tolist()
    assert whole.tolist() == by_loop(u.ravel().astype(float), wrong.ravel(), 20).tolist()


@pytest.mark.parametrize(
    ("u", "wrong", "bins", "part"),
    [
        ([0.5], [True, False], 2, "expected"),
        ([0.5], [1], 2, "bool"),
        ([1.5], [True], 2, "1.5"),
        ([np.nan], [True], 2, "NaN"),
        ([0.5], [True], 0, "bins is 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(u, wrong, bins, part):
    with pytest.raises(ValueError, match=part):
        errors_by_uncertainty(u, wrong, bins)


def test_shares_are_of_all_voxels_together_and_intervals_over_groups():
    rng = np.random.default_rng(3)
    voxels = rng.integers(0, 50, (12, 4))
    voxels[:, 2], voxels[4:, 3] = 0, 0
    wrong = rng.binomial(voxels, 0.3)
    group = np.array([f"p{index // 2}" for index in range(12)])
    share, low, high = shares_wrong(voxels, wrong, group)
    weights = case_resamples(group).weights.astype(float)
    for b in (0, 1):
        assert share[b] == pytest.approx(wrong[:, b].sum() / voxels[:, b].sum())
        drawn = [(w @ wrong[:, b]) / (w @ voxels[:, b]) for w in weights]
        assert [low[b], high[b]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
        assert low[b] < share[b] < high[b]
    assert np.isnan(share[2])
    # Two groups have a voxel there: a share, and no interval.
    assert 0 <= share[3] <= 1
    assert np.isnan([low[2], high[2], low[3], high[3]]).all()


def test_a_large_case_weighs_as_many_voxels_as_it_has():
    share, _, _ = shares_wrong([[90], [10]], [[0], [10]], ["p", "q"])
    assert share.tolist() == [0.1]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected"):
        shares_wrong([[1, 2]], [[1]], ["p"])
    with pytest.raises(ValueError, match="expected"):
        shares_wrong([[1, 2]], [[1, 1]], ["p", "q"])
