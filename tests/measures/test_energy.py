"""Aleatoric energy: the closed form, stability, and the mixture over a population."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import logsumexp, softmax

from aleaseg.measures.energy import (
    EnergyMixture,
    aleatoric_energy,
    mean_energy,
)

QUICK = settings(max_examples=50, deadline=None)
logits_of_voxels = hnp.arrays(
    float, st.tuples(st.integers(2, 5), st.integers(1, 6)), elements=st.floats(-12, 12)
)
energies = hnp.arrays(float, st.integers(0, 25), elements=st.floats(-20, -0.5).map(lambda x: round(x, 3)))


def two_groups(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(-8, 0.7, 60), rng.normal(-3, 0.5, 20)])


# -- energy of a voxel -------------------------------------------------------------------------------


def test_the_worked_example():
    assert aleatoric_energy([2.0, 0.5, -1.0]) == pytest.approx(-1.5399, abs=5e-5)


@QUICK
@given(logits_of_voxels)
def test_it_is_the_difference_of_two_energies_and_ln_of_what_the_winner_leaves(logits):
    without_largest = np.sort(logits, axis=0)[:-1]
    found = aleatoric_energy(logits)
    np.testing.assert_allclose(
        found, logsumexp(without_largest, axis=0) - logsumexp(logits, axis=0), atol=1e-9
    )
    np.testing.assert_allclose(np.exp(found), 1 - softmax(logits, axis=0).max(axis=0), atol=1e-12)
    assert (found <= math.log(1 - 1 / len(logits)) + 1e-12).all()


@QUICK
@given(logits_of_voxels, st.floats(-1e3, 1e3))
def test_an_offset_common_to_all_channels_does_not_matter(logits, offset):
    np.testing.assert_allclose(aleatoric_energy(logits + offset), aleatoric_energy(logits), atol=1e-9)


@QUICK
@given(st.integers(2, 5), st.floats(0, 700), st.floats(1e-3, 50))
def test_it_falls_as_the_winner_gains(channels, lead, more):
    logits = np.zeros((channels, 2))
    logits[-1] = lead, lead + more
    before, after = aleatoric_energy(logits)
    assert after < before


def test_it_holds_where_the_probability_rounds_to_one():
    assert aleatoric_energy([900.0, 0.0, 0.0]) == pytest.approx(-900 + math.log(2), rel=1e-14)
    assert aleatoric_energy(np.zeros(4)) == pytest.approx(math.log(0.75))


def test_the_mean_is_over_the_predicted_foreground():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (3, 5, 6, 7)).astype(np.float32)
    predicted = logits.argmax(axis=0)
    rest = 1 - softmax(logits.astype(float), axis=0).max(axis=0)
    assert mean_energy(logits, predicted > 0) == pytest.approx(np.log(rest[predicted > 0]).mean(), rel=1e-9)
    assert math.isnan(mean_energy(logits, np.zeros((5, 6, 7))))


# -- mixture of a population -------------------------------------------------------------------------


def test_the_posterior_is_scikit_learns():
    from sklearn.mixture import GaussianMixture

    values = np.sort(two_groups())
    scaled = ((values - values.min()) / np.ptp(values))[:, None]
    theirs = GaussianMixture(2, tol=1e-2, reg_covar=5e-4, max_iter=100, random_state=0).fit(scaled)
    expected = theirs.predict_proba(scaled)[:, theirs.means_.argmax()]
    np.testing.assert_allclose(EnergyMixture.fit(values).uncertainty(values), expected, atol=1e-9)


def test_two_groups_are_told_apart():
    values = two_groups()
    found = EnergyMixture.fit(values).uncertainty(values)
    assert (found[:60] < 0.05).all()
    assert (found[60:] > 0.95).all()


@settings(max_examples=15, deadline=None)
@given(energies, st.randoms())
def test_order_and_missing_ones_do_not_matter(values, random):
    shuffled = np.append(random.sample(values.tolist(), len(values)), np.nan)
    mixture = EnergyMixture.fit(values)
    assert EnergyMixture.fit(shuffled) == mixture
    found = mixture.uncertainty(shuffled)
    assert math.isnan(found[-1])
    assert ((found[:-1] >= 0) & (found[:-1] <= 1)).all()


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 10), st.floats(-50, 50))
def test_unit_and_offset_of_the_energies_do_not_matter(factor, offset):
    values = two_groups()
    moved = EnergyMixture.fit(factor * values + offset).uncertainty(factor * values + offset)
    np.testing.assert_allclose(moved, EnergyMixture.fit(values).uncertainty(values), atol=1e-6)


@pytest.mark.parametrize("values", [[], [np.nan], [-2.0], [-2.0, -2.0, -2.0], [-2.0, -2.0 + 1e-14]])
def test_where_nothing_stands_out_every_posterior_is_a_half(values):
    mixture = EnergyMixture.fit(values)
    np.testing.assert_array_equal(mixture.uncertainty([-9.0, -2.0, -0.1, np.nan]), [0.5, 0.5, 0.5, np.nan])


def test_two_different_values_are_told_apart():
    found = EnergyMixture.fit([-5.0, -1.0]).uncertainty([-5.0, -1.0])
    np.testing.assert_allclose(found, [0, 1], atol=1e-3)


def test_the_posterior_need_not_rise_with_the_energy():
    wide_above = EnergyMixture(0.0, 1.0, (0.5, 0.5), (0.4, 0.6), (0.001, 0.1))
    low, middle = wide_above.uncertainty([0.0, 0.4])
    assert low > 0.99
    assert middle < 0.2


def test_an_infinite_energy_is_refused():
    with pytest.raises(ValueError, match="1 of 2 energies are infinite"):
        EnergyMixture.fit([-1.0, -np.inf])
