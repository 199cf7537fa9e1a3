"""Detection metrics: their laws, plain references, scikit-learn, and what they refuse."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.metrics.detection import auroc, average_precision, fpr_at_tpr, lift_at_k, precision_at_k

EVERY = [
    auroc,
    average_precision,
    partial(precision_at_k, k=3),
    partial(lift_at_k, k=3),
    fpr_at_tpr,
]
EVERY_ONE = pytest.mark.parametrize("metric", EVERY, ids=["auroc", "ap", "precision", "lift", "fpr"])


@st.composite
def cases(draw, weighted=False):
    """Scores with ties, which are bad (some, not all), and weights 0 to 3 with both kinds left."""
    n = draw(st.integers(4, 25))
    score = draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n))
    bad = [True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))]
    weight = [1, 1, *draw(st.lists(st.integers(0, 3), min_size=n - 2, max_size=n - 2))]
    found = np.array(score, float), np.array(bad), np.array(weight)
    return found if weighted else found[:2]


# -- laws -----------------------------------------------------------------------------------------


@given(cases())
@settings(deadline=None, max_examples=40)
def test_a_score_turned_round_has_the_rest_of_the_area(case):
    score, bad = case
    assert auroc(-score, bad) == pytest.approx(1 - auroc(score, bad), abs=1e-12)
    assert auroc(score, ~bad) == pytest.approx(1 - auroc(score, bad), abs=1e-12)


@EVERY_ONE
@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_only_the_order_of_scores_counts(metric, case):
    score, bad = case
    assert metric(np.exp(score / 3) - 7, bad) == metric(score, bad)
    shuffled = np.random.default_rng(0).permutation(len(score))
    assert metric(score[shuffled], bad[shuffled]) == pytest.approx(metric(score, bad), abs=1e-12)


@EVERY_ONE
@given(case=cases(weighted=True))
@settings(deadline=None, max_examples=40)
def test_a_weight_is_a_multiplicity(metric, case):
    score, bad, weight = case
    rows = np.repeat(np.arange(len(score)), weight)
    np.testing.assert_allclose(
        metric(score, bad, weights=weight), metric(score[rows], bad[rows]), atol=1e-12
    )


@EVERY_ONE
@given(case=cases(weighted=True))
@settings(deadline=None, max_examples=6)
def test_a_batch_of_weights_is_a_loop(metric, case):
    score, bad, weight = case
    # More sets than are worked on at a time, stored either way round.
    batch = np.random.default_rng(0).integers(0, 3, (300, len(score)))
    batch[0] = weight
    one_by_one = [metric(score, bad, weights=weights) for weights in batch]
    for stored in (batch, np.asfortranarray(batch), batch.astype(np.uint16), batch.astype(float)):
        np.testing.assert_allclose(metric(score, bad, weights=stored), one_by_one, atol=1e-12)


@pytest.mark.parametrize("metric", [auroc, average_precision, fpr_at_tpr])
@given(case=cases(weighted=True), factor=st.floats(0.1, 10))
@settings(deadline=None, max_examples=40)
def test_the_unit_of_weight_cancels(metric, case, factor):
    score, bad, weight = case
    found = metric(score, bad, weights=factor * weight)
    # A rate that equals the target exactly may round to either side of it.
    if metric is not fpr_at_tpr or not np.isclose(_rates(score, bad, weight)[0], 0.95).any():
        assert found == pytest.approx(metric(score, bad, weights=weight), abs=1e-9)


def test_bounds_are_attained():
    bad = np.arange(10) < 4
    best, worst = -np.arange(10), np.arange(10)
    assert auroc(best, bad) == average_precision(best, bad) == precision_at_k(best, bad, 4) == 1
    assert fpr_at_tpr(best, bad) == auroc(worst, bad) == precision_at_k(worst, bad, 4) == 0
    assert lift_at_k(best, bad, 4) == 2.5
    assert fpr_at_tpr(worst, bad) == 1


def test_a_score_that_says_nothing_is_chance():
    score, bad = np.zeros(10), np.arange(10) < 4
    assert auroc(score, bad) == 0.5
    assert average_precision(score, bad) == pytest.approx(0.4)
    assert precision_at_k(score, bad, 3) == pytest.approx(0.4)
    assert lift_at_k(score, bad, 3) == pytest.approx(1)
    assert fpr_at_tpr(score, bad) == 1


# -- references -----------------------------------------------------------------------------------


def _rates(score, bad, weight):
    """TPR and FPR at every threshold, from the definition."""
    flagged = score >= np.unique(score)[:, None]
    return [(flagged * weight)[:, kind].sum(1) / weight[kind].sum() for kind in (bad, ~bad)]


@given(cases(weighted=True))
@settings(deadline=None, max_examples=40)
def test_area_is_the_share_of_pairs_in_order(case):
    score, bad, weight = case
    gap = score[bad][:, None] - score[~bad]
    pairs = weight[bad][:, None] * weight[~bad]
    expected = (pairs * ((gap > 0) + (gap == 0) / 2)).sum() / pairs.sum()
    assert auroc(score, bad, weights=weight) == pytest.approx(expected, abs=1e-12)


@given(cases(weighted=True), st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
@settings(deadline=None, max_examples=40)
def test_fpr_is_the_least_of_the_thresholds_that_find_enough(case, tpr):
    score, bad, weight = case
    true, false = _rates(score, bad, weight)
    assert fpr_at_tpr(score, bad, tpr, weights=weight) == pytest.approx(false[true >= tpr].min(), abs=1e-12)


@given(cases(), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_precision_is_the_mean_over_orders_of_the_tied(case, k):
    score, bad = case
    rng = np.random.default_rng(0)
    orders = np.array([np.lexsort((rng.random(len(score)), -score))[:k] for _ in range(2000)])
    assert precision_at_k(score, bad, k) == pytest.approx(bad[orders].mean(), abs=0.06)


def test_precision_with_one_lot_of_ties_by_hand():
    # One is found above; of the three tied, one bad, a third of it falls on the second place.
    score, bad = [9, 5, 5, 5, 1], [True, True, False, False, False]
    assert precision_at_k(score, bad, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert lift_at_k(score, bad, 2) == pytest.approx((1 + 1 / 3) / 2 / 0.4)


@given(cases(weighted=True))
@settings(deadline=None, max_examples=50)
def test_areas_are_those_of_scikit_learn(case):
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, bad, weight = case
    for weights in (None, weight, weight / 7):
        expected = roc_auc_score(bad, score, sample_weight=weights)
        assert auroc(score, bad, weights=weights) == pytest.approx(expected, abs=1e-12)
        expected = average_precision_score(bad, score, sample_weight=weights)
        assert average_precision(score, bad, weights=weights) == pytest.approx(expected, abs=1e-12)


def test_a_rate_that_is_just_reached_counts_in_floating_point():
    # 0.55 * 100 is 55.00000000000001: the fifty-fifth bad case has to do all the same.
    score = np.arange(200, 0, -1)
    bad = np.zeros(200, bool)
    bad[:55] = bad[100:145] = True
    assert fpr_at_tpr(score, bad, 0.55) == 0


def test_infinite_scores_are_in_order():
    assert auroc([np.inf, 1, 0, -np.inf], [True, True, False, False]) == 1


# -- edges ----------------------------------------------------------------------------------------


@EVERY_ONE
@pytest.mark.parametrize("bad", [[True] * 4, [False] * 4, []])
def test_one_kind_alone_has_no_value(metric, bad):
    score = np.arange(len(bad))
    assert np.isnan(metric(score, np.array(bad, bool)))
    assert np.isnan(metric(score, np.array(bad, bool), weights=np.ones((3, len(bad))))).all()


@EVERY_ONE
def test_a_replicate_that_lost_a_kind_has_no_value(metric):
    weights = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 2, 2], [0, 0, 0, 0]])
    found = metric([4, 3, 2, 1], [True, True, False, False], weights=weights)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True])


def test_fewer_cases_than_are_read_have_no_precision():
    assert np.isnan(precision_at_k([2, 1], [True, False], 3))
    assert precision_at_k([2, 1], [True, False], 2) == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, np.nan], [True, False]), "1 of 2 scores are NaN"),
        (([1, 2, 3], [True, False]), r"\(3,\) and bad is \(2,\)"),
        (([[1, 2]], [[True, False]]), r"expected \(N,\)"),
        (([1, 2], [1, 0]), "expected bool"),
    ],
)
@EVERY_ONE
def test_what_is_refused(metric, arguments, words):
    with pytest.raises(ValueError, match=words):
        metric(*arguments)


@pytest.mark.parametrize("weights", [[1, -1], [1, np.nan], [np.inf, 1]])
def test_weights_that_count_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="negative or not finite"):
        auroc([1, 2], [True, False], weights=weights)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 2)])
def test_weights_of_other_cases_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(2,\) or \(B, 2\)"):
        auroc([1, 2], [True, False], weights=np.ones(shape))


def test_places_and_rates_out_of_range_are_refused():
    for metric in (precision_at_k, lift_at_k):
        with pytest.raises(ValueError, match="k is 0"):
            metric([1, 2], [True, False], 0)
    for tpr in (0, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"expected a share in \(0, 1\]"):
            fpr_at_tpr([1, 2], [True, False], tpr)
