"""Drift: the bound on false alarms, Holm against statsmodels' arithmetic in plain Python, and what is not tested."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures.drift import ALPHA, FEWEST, first_of_each, step_down, two_samples

numbers = st.lists(st.floats(-100, 100), min_size=FEWEST, max_size=40)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_the_distance_is_the_largest_gap_of_the_two_shares(new, population):
    found = two_samples(new, population)
    if found is None:
        assert len({*new, *population}) == 1
        return
    places = np.array([*new, *population])
    gaps = [abs(np.mean(np.array(new) <= x) - np.mean(np.array(population) <= x)) for x in places]
    assert found.distance == pytest.approx(max(gaps))
    assert 0 <= found.p <= 1
    assert found.median == np.median(new)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_the_unit_of_a_measure_does_not_matter(new, population):
    rounded = [np.round(np.array(each), 3) for each in (new, population)]
    before = two_samples(*rounded)
    # Whole thousandths: nothing is rounded together that lay apart.
    after = two_samples(*(np.round(each * 1000) for each in rounded))
    assert (before is None) == (after is None)
    if before is not None:
        assert after.distance == before.distance
        assert after.p == before.p


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_stepped_down_as_the_rule_is_read_aloud(p):
    m, order = len(p), sorted(range(len(p)), key=lambda i: p[i])
    expected, largest = [0.0] * m, 0.0
    for k, i in enumerate(order):
        largest = max(largest, min(1.0, (m - k) * p[i]))
        expected[i] = largest
    np.testing.assert_allclose(step_down(p), expected)


def test_among_many_measures_of_the_same_kind_hardly_ever_an_alarm():
    rng = np.random.default_rng(0)
    families, measures, alarms = 200, 20, 0
    for _ in range(families):
        common = rng.normal(size=(60, 1))  # measures of one image go together
        values = common + rng.normal(size=(60, measures))
        values[:, :5] = np.round(values[:, :5])  # counts
        p = [two_samples(values[:12, k], values[12:, k]).p for k in range(measures)]
        alarms += (step_down(p) <= ALPHA).any()
    # At most 2 of 200 are expected; 8 or more come once in 1000.
    assert alarms < 8


def test_a_shift_is_found_and_says_which_way():
    rng = np.random.default_rng(1)
    population, new = rng.normal(10, 2, 200), rng.normal(6, 2, 20)
    found = two_samples(new, population)
    assert found.p < 1e-5
    assert found.shift == pytest.approx(-2, abs=0.7)
    assert (found.n, found.n_population) == (20, 200)


def test_a_wider_spread_is_found_too():
    rng = np.random.default_rng(2)
    assert two_samples(rng.normal(0, 6, 60), rng.normal(0, 1, 200)).p < 1e-5


def test_too_few_and_constant_measures_are_not_tested():
    assert two_samples([1.0, 2, 3, np.nan, np.inf, 4], np.arange(20.0)) is None
    assert two_samples([0.0] * 8, [0.0] * 30) is None


def test_one_scan_of_each_patient():
    assert first_of_each(["a", "a", "b"], ["a_2", "a_1", "b_1"]).tolist() == [False, True, True]


def test_what_is_no_p_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        step_down([0.1, np.nan])
