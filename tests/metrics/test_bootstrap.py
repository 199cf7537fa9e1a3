"""The bootstrap: what a replicate counts, intervals, and statistics of several draws."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.metrics.bootstrap import Replicated, Resamples, difference, interval, nested
from aleaseg.metrics.detection import auroc, precision_at_k

# -- replicates -----------------------------------------------------------------------------------

LABELS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("pqrst")), min_size=1, max_size=30)


def columns(pairs):
    return [d for d, _ in pairs], [g for _, g in pairs]


@given(LABELS, st.booleans())
@settings(deadline=None, max_examples=40)
def test_draws_and_groups_are_drawn_as_often_as_there_are_any(pairs, crossed):
    draw, group = columns(pairs)
    made = Resamples.make(draw, group, replicates=7, crossed=crossed)
    assert (made.draws.sum(axis=1) == len(set(draw))).all()
    for name in [None] if crossed else set(draw):
        first = {g: i for i, (d, g) in enumerate(pairs) if name in (None, d)}
        assert (made.groups[:, list(first.values())].sum(axis=1) == len(first)).all()


@given(LABELS, st.booleans())
@settings(deadline=None, max_examples=40)
def test_rows_of_a_group_are_drawn_together(pairs, crossed):
    made = Resamples.make(*columns(pairs), replicates=7, crossed=crossed)
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            if one == other or (crossed and one[1] == other[1]):
                np.testing.assert_array_equal(made.groups[:, i], made.groups[:, j])


@given(LABELS)
@settings(deadline=None, max_examples=40)
def test_a_row_weighs_its_draw_times_its_group(pairs):
    made = Resamples.make(*columns(pairs), replicates=7)
    for i, (d, _) in enumerate(pairs):
        c = made.draws[:, list(made.names).index(d)]
        np.testing.assert_array_equal(made.weights[:, i], c * made.groups[:, i])


def test_groups_of_different_draws_are_drawn_apart_unless_crossed():
    draw, group = np.repeat(["a", "b"], 10), [f"p{i}" for i in range(10)] * 2
    apart, together = (Resamples.make(draw, group, replicates=5, crossed=c) for c in (False, True))
    assert (apart.groups[:, :10] != apart.groups[:, 10:]).any()
    np.testing.assert_array_equal(together.groups[:, :10], together.groups[:, 10:])


def test_one_draw_is_drawn_once():
    made = Resamples.make(["a"] * 6, list("ppqqrr"), replicates=20)
    assert (made.draws == 1).all()
    assert len(np.unique(made.weights, axis=0)) > 1


def test_the_seed_and_the_labels_say_everything():
    draw, group = np.repeat(["a", "b"], 8), np.array([f"p{i % 5}" for i in range(16)])
    order = np.random.default_rng(0).permutation(16)
    made = Resamples.make(draw, group, replicates=9)
    shuffled = Resamples.make(draw[order], group[order], replicates=9)
    np.testing.assert_array_equal(made.weights[:, order], shuffled.weights)
    assert (made.weights != Resamples.make(draw, group, replicates=9, seed=1).weights).any()


def test_selected_rows_keep_their_weights():
    made = Resamples.make(np.repeat(["a", "b"], 8), [f"p{i % 5}" for i in range(16)], replicates=9)
    for rows in (np.arange(16) > 9, np.array([3, 15, 4])):
        np.testing.assert_array_equal(made.select(rows).weights, made.weights[:, rows])


@pytest.mark.parametrize(
    ("draw", "group", "replicates", "words"),
    [
        (["a"], ["p", "q"], 5, "one label per row"),
        ([], [], 5, "N > 0"),
        (["a"], ["p"], 0, "at least 1"),
    ],
)
def test_what_cannot_be_resampled_is_refused(draw, group, replicates, words):
    with pytest.raises(ValueError, match=words):
        Resamples.make(draw, group, replicates=replicates)


# -- a statistic of several draws -----------------------------------------------------------------


def some_draws(draws=3, groups=12, per_group=2, seed=0):
    rng = np.random.default_rng(seed)
    n = groups * per_group
    draw = np.repeat([f"d{i}" for i in range(draws)], n)
    group = np.tile(np.repeat([f"p{i}" for i in range(groups)], per_group), draws)
    bad = rng.random(draw.size) < 0.4
    return bad + rng.normal(size=draw.size), bad, draw, group


def test_the_mean_over_draws_is_that_of_a_plain_loop():
    score, bad, draw, group = some_draws()
    made = Resamples.make(draw, group, replicates=40)
    for statistic in (auroc, partial(precision_at_k, k=5)):
        found = nested(statistic, score, bad, draw, made)
        parts = {name: np.flatnonzero(draw == name) for name in made.names}
        points = [statistic(score[rows], bad[rows]) for rows in parts.values()]
        assert found.point == pytest.approx(np.mean(points))
        for b, replicate in enumerate(found.replicates):
            values = []
            for index, rows in enumerate(parts.values()):
                rows = np.repeat(rows, made.groups[b, rows])
                values += [statistic(score[rows], bad[rows])] * int(made.draws[b, index])
            assert replicate == pytest.approx(np.nanmean(values))


def test_draws_of_another_scale_are_not_pooled():
    score, bad, draw, group = some_draws()
    made = Resamples.make(draw, group, replicates=40)
    moved = np.where(draw == "d1", 100 + 10 * score, score)
    point, replicates = nested(auroc, moved, bad, draw, made)
    expected = nested(auroc, score, bad, draw, made)
    assert point == expected.point
    np.testing.assert_array_equal(replicates, expected.replicates)


def test_a_draw_without_bad_cases_is_left_out():
    score, bad, draw, group = some_draws()
    made = Resamples.make(draw, group, replicates=40)
    without = bad & (draw != "d1")
    rows = draw != "d1"
    found = nested(auroc, score, without, draw, made)
    assert found.point == nested(auroc, score[rows], bad[rows], draw[rows], made.select(rows)).point
    # A replicate that drew that draw alone has no value.
    alone = made.draws[:, 1] == 3
    assert alone.any()
    np.testing.assert_array_equal(np.isnan(found.replicates), alone)


def test_no_bad_case_anywhere_has_no_value():
    score, bad, draw, group = some_draws()
    point, replicates = nested(auroc, score, bad & False, draw, Resamples.make(draw, group, replicates=5))
    assert np.isnan([point, *replicates]).all()


def test_rows_that_are_not_those_of_the_resamples_are_refused():
    score, bad, draw, group = some_draws()
    made = Resamples.make(draw, group, replicates=5)
    for part in ((score[1:], bad[1:], draw[1:]), (score, bad, draw[::-1]), (score[1:], bad, draw)):
        with pytest.raises(ValueError, match=r"resamples.select"):
            nested(auroc, *part, made)


# -- intervals ------------------------------------------------------------------------------------


def test_the_interval_holds_the_point_and_grows_with_its_level():
    score, bad, draw, group = some_draws(groups=40)
    point, replicates = nested(auroc, score, bad, draw, Resamples.make(draw, group))
    low, high = interval(replicates)
    lower, higher = interval(replicates, level=0.99)
    assert lower < low < point < high < higher


def test_copies_in_a_group_add_nothing_and_loose_copies_seem_to():
    rng = np.random.default_rng(0)
    bad = np.arange(60) < 25
    score = bad + rng.normal(size=60)
    once = np.arange(60)
    copied = np.repeat(once, 6)
    draw = np.full(360, "a")

    def width(rows, group):
        found = nested(auroc, score[rows], bad[rows], draw[: len(rows)], group)
        return np.subtract(*interval(found.replicates)[::-1])

    alone = width(once, Resamples.make(draw[:60], once))
    clustered = width(copied, Resamples.make(draw, copied))
    loose = width(copied, Resamples.make(draw, np.arange(360)))
    assert clustered == pytest.approx(alone)
    assert loose < 0.6 * clustered


def holds_the_truth(clustered, repeats=150):
    """How often the interval of an AUROC holds it; three rows of a patient share most of their score."""
    rng = np.random.default_rng(1)
    truth = 0.5 * (1 + math.erf(0.5))  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    patient = np.repeat(np.arange(50), 3)
    made = Resamples.make(np.zeros(150), patient if clustered else np.arange(150), replicates=200)
    held = 0
    for _ in range(repeats):
        bad = np.repeat(np.arange(50) < 20, 3)
        score = bad + np.sqrt(0.9) * rng.normal(size=50)[patient] + np.sqrt(0.1) * rng.normal(size=150)
        low, high = interval(nested(auroc, score, bad, np.zeros(150), made).replicates)
        held += low <= truth <= high
    return held / repeats


def test_intervals_hold_the_truth_about_as_often_as_they_say_and_need_the_groups_for_it():
    assert 0.88 <= holds_the_truth(clustered=True) <= 0.99
    assert holds_the_truth(clustered=False) < 0.85


def test_what_is_missing_is_left_out_of_an_interval():
    assert interval([np.nan, 3.0, np.nan]) == (3.0, 3.0)
    assert np.isnan(interval([np.nan])).all()
    for level in (0, 1, 95):
        with pytest.raises(ValueError, match=r"expected a share in \(0, 1\)"):
            interval([1.0], level=level)


# -- differences ----------------------------------------------------------------------------------


def test_a_measure_does_not_differ_from_itself():
    score, bad, draw, group = some_draws()
    found = nested(auroc, score, bad, draw, Resamples.make(draw, group, replicates=50))
    assert difference(found, found) == (0, 0, 0, 1)


def test_pairs_see_what_two_intervals_do_not():
    score, bad, draw, group = some_draws(groups=40)
    made = Resamples.make(draw, group)
    better = nested(auroc, score + 0.6 * bad, bad, draw, made)
    worse = nested(auroc, score, bad, draw, made)
    assert interval(worse.replicates)[1] > interval(better.replicates)[0]
    found = difference(better, worse)
    assert 0 < found.low < found.point < found.high
    assert found.p == pytest.approx(2 / 1001)
    turned = difference(worse, better)
    np.testing.assert_allclose(turned, (-found.point, -found.high, -found.low, found.p), atol=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=20, max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_small_p_goes_with_an_interval_off_zero(gaps):
    found = difference(
        Replicated(0.0, np.array(gaps, float)), Replicated(0.0, np.zeros(len(gaps))), level=0.8
    )
    if found.p < 0.15:
        assert not found.low <= 0 <= found.high
    if found.low > 0 or found.high < 0:
        assert found.p < 0.4


def test_differences_without_a_value():
    nothing = Replicated(np.nan, np.full(3, np.nan))
    assert np.isnan(difference(nothing, nothing)).all()
    with pytest.raises(ValueError, match="same Resamples"):
        difference(nothing, Replicated(0.0, np.zeros(4)))
