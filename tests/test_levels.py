"""Thresholds and levels: one rule, whatever the precision and whoever made the number."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg import levels
from aleaseg.levels import at_least, at_most, k_of


def test_examples():
    found = doctest.testmod(levels)
    assert found.attempted >= 4
    assert not found.failed


SIXTY = [
    3 / 5,
    60 / 100,
    6 / 10,
    np.float32(0.6),
    np.float32(6) / np.float32(10),
    1 - 2 / 5,
    np.float32(60) / 100,
]


@pytest.mark.parametrize("q", SIXTY)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sixty_percent_is_in_however_it_was_made(q, kind):
    assert at_least(np.array([q], kind), 0.6).all()
    assert at_most(np.array([q], kind), 0.6).all()


@pytest.mark.parametrize("tenth", range(1, 11))
def test_every_tenth_reaches_itself_in_single_precision(tenth):
    q = np.full(4, tenth, np.float32) / np.float32(10)
    assert at_least(q, tenth / 10).all()
    assert not at_least(q - np.float32(1e-5), tenth / 10).any()


@pytest.mark.parametrize("t", [0.7, 0.9])
def test_single_precision_read_as_double_reaches_what_it_was_written_for(t):
    """Single precision puts .7 and .9 below themselves: compared in double precision they would miss their own."""
    q = np.full(3, t, np.float32).astype(np.float64)
    assert (q < t).all()
    assert at_least(q, t).all()
    assert at_least(np.full(3, t, np.float32), np.float64(t)).all()
    below = np.nextafter(np.float32(t), np.float32(0))  # a resampling moves the last digit
    assert at_least(below, t)


def test_sixty_percent_survives_a_resampling_that_changes_nothing():
    import torch

    q = torch.full((1, 1, 6, 6), 0.6)
    same = torch.nn.functional.interpolate(q, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert at_least(same, 0.6).all()
    mean = np.mean([np.full(3, v, np.float32) for v in (1, 1, 1, 0, 0)], axis=0, dtype=np.float32)
    assert at_least(mean, 0.6).all()


def test_four_raters():
    assert [k_of(t, 4) for t in (0.5, 0.6, 0.75, 1)] == [2, 3, 3, 4]
    assert [k_of(0.5, 3), k_of(0.6, 3), k_of(0.5, 5), k_of(0.6, 5), k_of(0.5, 1)] == [2, 2, 3, 3, 1]


@settings(deadline=None)
@given(st.integers(1, 12), st.floats(0.01, 1))
def test_k_votes_reach_the_threshold_and_one_less_does_not(raters, threshold):
    k = k_of(threshold, raters)
    assert at_least(k / raters, threshold)
    assert k == 1 or not at_least((k - 1) / raters, threshold)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 1), st.floats(0.01, 1))
def test_thresholds_fall_and_levels_count_them(q, one, other):
    q = np.array(q, np.float32)
    low, high = sorted((one, other))
    assert (at_least(q, high) <= at_least(q, low)).all()
    expected = at_least(q, low).astype(int) + at_least(q, high)
    np.testing.assert_array_equal(levels.levels(q, (low, high)), expected)


@settings(deadline=None)
@given(st.integers(1, 11), st.data())
def test_levels_and_votes_are_one_thing(raters, data):
    """With R raters, t_k = k / R: the level is the number of votes, exactly."""
    votes = np.array(data.draw(st.lists(st.integers(0, raters), min_size=1, max_size=9)))
    q = votes.astype(np.float32) / np.float32(raters)
    found = levels.levels(q, [k / raters for k in range(1, raters + 1)])
    np.testing.assert_array_equal(found, votes)
