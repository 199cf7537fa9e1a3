"""Paired differences: laws, plain references, groups, and what is not said of few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aleaseg.metrics.paired import (
    case_resamples,
    holm,
    mean_over_cases,
    mean_with_interval,
    paired_difference,
    repeated_difference,
    signed_rank,
)

VALUES = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=12, max_size=12)


def with_missing(seed, shape=(3, 20)):
    rng = np.random.default_rng(seed)
    values = rng.random(shape)
    values[rng.random(shape) < 0.2] = np.nan
    return values


def test_the_mean_is_over_cases_and_then_over_classes():
    values = with_missing(0)
    resamples = case_resamples(np.repeat(np.arange(10), 2), replicates=40, seed=3)
    found = mean_over_cases(values, resamples)
    assert found.point == pytest.approx(np.nanmean(np.nanmean(values, axis=1)))
    for b, weight in enumerate(resamples.weights):
        rows = np.repeat(np.arange(20), weight)
        assert found.replicates[b] == pytest.approx(np.nanmean(np.nanmean(values[:, rows], axis=1)))


def test_a_class_without_cases_does_not_count():
    values = np.array([[1.0, 2.0, 3.0], [np.nan] * 3])
    assert mean_over_cases(values, case_resamples(list("abc"))).point == 2
    nothing = mean_with_interval([np.nan] * 3, list("abc"))
    assert np.isnan(nothing[:3]).all()
    assert nothing[3:] == (0, 0)


@given(VALUES, VALUES)
@settings(deadline=None, max_examples=30)
def test_laws_of_the_difference(first, second):
    group = list("aabbccddeeff")
    there, back = paired_difference(first, second, group), paired_difference(second, first, group)
    assert there.difference == pytest.approx(-back.difference, nan_ok=True)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), nan_ok=True)
    assert there.p == pytest.approx(back.p, nan_ok=True)
    both = ~np.isnan(np.add(first, second))
    assert there.cases == both.sum()
    if both.any():
        assert there.difference == pytest.approx(there.second - there.first)
        assert there.first == pytest.approx(np.mean(np.array(first)[both]))
    same = paired_difference(first, first, group)
    if same.cases:
        assert (same.difference, same.p) == (0, 1)
        assert same.groups < 5 or (same.low, same.high) == (0, 0)


def test_a_sure_difference_keeps_its_interval_off_zero_and_a_mere_scatter_does_not():
    rng = np.random.default_rng(0)
    first = rng.random(40)
    gain = paired_difference(first, first + 0.02 + rng.normal(0, 0.02, 40), range(40))
    assert 0 < gain.low < 0.02 < gain.high < 0.04
    assert gain.p < 0.001
    scatter = paired_difference(first, first + rng.normal(0, 0.02, 40), range(40))
    assert scatter.low < 0 < scatter.high
    assert scatter.p > 0.05


def test_cases_of_one_patient_are_not_independent():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(8), 10)
    first = rng.random(80)
    second = first + rng.normal(0, 0.1, 8)[patient]  # one difference for all ten of a patient
    apart = paired_difference(first, second, range(80))
    together = paired_difference(first, second, patient)
    assert together.difference == apart.difference
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert together.groups == 8
    assert (
        together.p
        == stats.wilcoxon(np.array([(second - first)[patient == p].mean() for p in range(8)])).pvalue
    )
    assert together.p > apart.p


def test_fewer_than_five_groups_have_no_interval():
    found = paired_difference(range(20), np.arange(20) + 1.0, np.arange(20) % 4)
    assert found.difference == 1
    assert np.isnan([found.low, found.high]).all()
    known = paired_difference(range(20), np.arange(20) + 1.0, np.arange(20) % 5)
    assert (known.low, known.high) == (1, 1)


def test_the_rank_test_is_scipys_on_the_mean_over_classes():
    first, second = with_missing(2), with_missing(3)
    gaps = second - first
    rows = np.nanmean(gaps[:, (~np.isnan(gaps)).any(axis=0)], axis=0)
    assert signed_rank(gaps, range(20)) == pytest.approx(stats.wilcoxon(rows).pvalue)
    assert signed_rank([0.0, 0.0, np.nan], list("abc")) == 1
    assert np.isnan(signed_rank([np.nan], ["a"]))
    assert signed_rank([0.1], ["a"]) == 1


def test_resamples_are_shared_and_order_free():
    group = np.repeat(list("abcdefgh"), 2)
    values = np.random.default_rng(4).random(16)
    shared = case_resamples(group, replicates=200)
    found = mean_with_interval(values, group, shared)
    assert found == mean_with_interval(values, group, shared)
    order = np.random.default_rng(0).permutation(16)
    again = mean_with_interval(values[order], group[order], case_resamples(group[order], replicates=200))
    assert again == pytest.approx(found)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected one shape"):
        paired_difference([1.0], [1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="with N = 2"):
        mean_over_cases([1.0], case_resamples(["a", "b"]))


# -- several trainings of each --------------------------------------------------------------------


def scattered(seed=0, seeds=3, cases=40):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 0.9, (seeds, cases)), [f"p{index // 2}" for index in range(cases)]


def test_a_constant_gap_is_found_without_scatter():
    baseline, group = scattered()
    found = repeated_difference(baseline, baseline + 0.02, group)
    np.testing.assert_allclose([found.difference, found.low, found.high], 0.02, atol=1e-12)
    assert (found.signs, found.claim) == ("+++", "helps")
    assert repeated_difference(baseline, baseline - 0.02, group)[3:] == ("---", "harms")


def test_the_other_way_round_it_is_the_same_turned_over():
    (one, group), (other, _) = scattered(0), scattered(1)
    there, back = repeated_difference(other, one, group), repeated_difference(one, other, group)
    np.testing.assert_allclose(
        [there.difference, there.low, there.high], [-back.difference, -back.high, -back.low], atol=1e-12
    )
    assert there.signs == back.signs.translate(str.maketrans("+-", "-+"))


def test_the_interval_is_that_of_a_plain_bootstrap_of_groups():
    (one, group), (other, _) = scattered(0), scattered(1)
    one += np.repeat(np.random.default_rng(2).normal(0, 0.1, 20), 2)
    found = repeated_difference(other, one, group)
    gaps = (one - other).mean(axis=0).reshape(20, 2)
    rng = np.random.default_rng(3)
    plain = [gaps[rng.integers(0, 20, 20)].mean() for _ in range(4000)]
    np.testing.assert_allclose([found.low, found.high], np.quantile(plain, [0.025, 0.975]), atol=0.006)
    alone = repeated_difference(other, one, np.arange(40))
    assert found.high - found.low > 1.1 * (alone.high - alone.low)


def test_one_seed_that_disagrees_takes_the_claim_away():
    baseline, group = scattered()
    gain = np.array([[0.1], [-0.01], [0.1]])
    found = repeated_difference(baseline, baseline + gain, group)
    assert found.low > 0
    assert (found.signs, found.claim) == ("+-+", "no claim")
    assert repeated_difference(baseline, baseline + abs(gain), group).claim == "helps"


def test_seeds_that_agree_claim_nothing_where_the_interval_holds_0():
    baseline, group = scattered()
    gain = np.where(np.arange(40) == 0, 0.5, 0.0)
    found = repeated_difference(baseline, baseline + gain, group)
    assert found.low == 0 < found.high
    assert (found.signs, found.claim) == ("+++", "no claim")


def test_a_single_training_claims_nothing_and_an_equal_one_has_the_sign_0():
    baseline, group = scattered(seeds=1)
    assert repeated_difference(baseline, baseline + 0.1, group)[3:] == ("+", "no claim")
    assert repeated_difference(baseline, baseline, group)[3:] == ("0", "no claim")


@pytest.mark.parametrize("second", [np.zeros((3, 5)), np.zeros(40)])
def test_what_is_not_paired_by_seed_is_refused(second):
    with pytest.raises(ValueError, match="expected one shape"):
        repeated_difference(np.zeros((3, 40)), second, np.arange(40))


def test_over_several_classes_it_is_the_paired_difference_of_the_mean_over_seeds():
    rng = np.random.default_rng(4)
    first, second = rng.uniform(0.4, 0.9, (2, 3, 2, 30))
    second[:, 1, 5:9] = np.nan
    group = np.arange(30) // 2
    found = repeated_difference(first, second, group)
    by_class = paired_difference(first.mean(axis=0), second.mean(axis=0), group)
    np.testing.assert_allclose(found[:3], by_class[2:5])


def rejected_one_by_one(p, level):
    """Holm's procedure as it is told: from the smallest p on, as long as it lies below level / how many are left."""
    order, found = sorted(range(len(p)), key=lambda place: p[place]), set()
    for done, place in enumerate(order):
        if p[place] > level / (len(p) - done):
            break
        found.add(place)
    return found


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_procedure_rejects(p, level):
    corrected = holm(p)
    assert {place for place, value in enumerate(corrected) if value <= level} >= rejected_one_by_one(
        p, level * (1 - 1e-9)
    )
    assert {
        place for place, value in enumerate(corrected) if value <= level * (1 - 1e-9)
    } <= rejected_one_by_one(p, level)
    assert (corrected >= p).all()
    assert (corrected <= 1).all()


def test_holm_passes_over_what_is_no_comparison():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert np.isnan(holm([np.nan])).all()
