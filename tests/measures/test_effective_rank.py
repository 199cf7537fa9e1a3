"""Effective rank and participation ratio: fixed numbers, their order, and their tie to S."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.measures.effective_rank import effective_rank, participation_ratio
from aleaseg.spectral import semantic_perception_scale, singular_value_energies

QUICK = settings(max_examples=60, deadline=None)
energies = hnp.arrays(
    float, st.integers(1, 12), elements=st.one_of(st.just(0.0), st.floats(1e-9, 1e9))
).filter(lambda energy: energy.sum() > 0)


@QUICK
@given(energies)
def test_both_lie_between_one_and_the_rank_in_this_order(energy):
    ratio, rank = participation_ratio(energy), effective_rank(energy)
    assert 1 - 1e-9 <= ratio <= rank * (1 + 1e-9)
    assert rank <= np.count_nonzero(energy) * (1 + 1e-9)


@QUICK
@given(energies, st.floats(1e-150, 1e150), st.randoms())
def test_unit_order_and_empty_directions_do_not_matter(energy, factor, random):
    other = factor * np.array([*random.sample(energy.tolist(), len(energy)), 0.0, 0.0])
    assert effective_rank(other) == pytest.approx(effective_rank(energy), rel=1e-9)
    assert participation_ratio(other) == pytest.approx(participation_ratio(energy), rel=1e-9)


@QUICK
@given(energies)
def test_by_the_formulas(energy):
    p = energy / energy.sum()
    entropy = -sum(x * math.log(x) for x in p if x > 0)
    assert effective_rank(p) == pytest.approx(math.exp(entropy), rel=1e-9)
    assert participation_ratio(p) == pytest.approx(energy.sum() ** 2 / (energy**2).sum(), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 48])
def test_k_equal_directions_count_k(k):
    energy = np.zeros(96)
    energy[:k] = 3.0
    assert effective_rank(energy) == pytest.approx(k)
    assert participation_ratio(energy) == pytest.approx(k)


def test_the_effective_rank_is_r_to_the_s():
    maps = np.random.default_rng(0).normal(size=(3, 6, 5, 4))
    p = singular_value_energies(maps)
    np.testing.assert_allclose(effective_rank(p), 6.0 ** semantic_perception_scale(maps), rtol=1e-9)
    # Roy and Vetterli's own: of the amplitudes.
    s = np.linalg.svd(maps.reshape(3, 6, 20), compute_uv=False)
    q = s / s.sum(axis=1, keepdims=True)
    theirs = np.exp(-(q * np.log(q)).sum(axis=1))
    np.testing.assert_allclose(effective_rank(singular_value_energies(maps, power=1)), theirs, rtol=1e-9)


def test_no_energy_counts_no_direction_and_a_missing_one_is_missing():
    energy = [[0.0, 0.0], [1.0, 1.0], [np.nan, 1.0]]
    np.testing.assert_allclose(effective_rank(energy), [0, 2, np.nan])
    np.testing.assert_allclose(participation_ratio(energy), [0, 2, np.nan])
    p = singular_value_energies(np.zeros((2, 3, 4, 5)))
    assert effective_rank(p).tolist() == participation_ratio(p).tolist() == [0, 0]


@pytest.mark.parametrize("count", [effective_rank, participation_ratio])
def test_bad_input_is_named(count):
    with pytest.raises(ValueError, match="negative or infinite"):
        count([1.0, -0.1])
    with pytest.raises(ValueError, match="negative or infinite"):
        count([1.0, np.inf])
    with pytest.raises(ValueError, match=r"shape \(\); expected \(\.\.\., r\)"):
        count(1.0)
    with pytest.raises(ValueError, match="at least one per map"):
        count(np.zeros((3, 0)))
