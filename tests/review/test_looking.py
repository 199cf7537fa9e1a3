"""What is looked at first, and what a random sample says of the rest."""

from math import comb

import numpy as np
import pytest

from aleaseg.review.decisions import Decision
from aleaseg.review.looking import bad_in_all, drawn_order, faults_per_minute, found_bad, sample_of

NAN = np.nan


def test_without_any_verdict_the_order_is_that_of_the_doubt():
    doubt = np.array([0.1, 0.9, 0.4, NAN])
    rate = faults_per_minute(doubt, [20, 20, 20, 20], [NAN] * 4, [NAN] * 4)
    assert list(np.argsort(-rate)) == [1, 2, 3, 0]
    np.testing.assert_allclose(rate[:3], 2 * doubt[:3])  # two looks a minute


def test_verdicts_and_times_teach_it():
    rng = np.random.default_rng(0)
    doubt = rng.uniform(size=400)
    bad = (doubt > 0.6).astype(float)  # what is doubted less is never bad
    slices = np.where(np.arange(400) % 2, 10, 40)
    seconds = 2.0 * slices
    seen = np.arange(400) < 200
    rate = faults_per_minute(doubt, slices, np.where(seen, bad, NAN), np.where(seen, seconds, NAN))
    new = ~seen
    clear = new & (doubt > 0.65)
    assert rate[new & (doubt < 0.55)].max() < 0.1 * rate[clear].min()
    few, many = rate[clear & (slices == 10)].mean(), rate[clear & (slices == 40)].mean()
    # A minute finds 3 faults of 20 seconds each, or 0.75 of 80.
    assert few == pytest.approx(3, rel=0.1)
    assert many == pytest.approx(0.75, rel=0.1)


def test_it_rises_with_the_doubt():
    rng = np.random.default_rng(1)
    doubt = np.sort(rng.uniform(size=60))
    bad = np.where(rng.uniform(size=60) < 0.5, rng.integers(0, 2, 60), NAN)
    rate = faults_per_minute(doubt, np.full(60, 9), bad, np.full(60, NAN))
    assert (np.diff(rate) >= -1e-12).all()
    assert len(faults_per_minute([], [], [], [])) == 0


def tails(cases, bad_in_total, size, x):
    """(P(x or more), P(x or fewer)) by counting."""
    ways = [
        comb(bad_in_total, k) * comb(cases - bad_in_total, size - k) if k <= size else 0
        for k in range(size + 1)
    ]
    return sum(ways[x:]) / comb(cases, size), sum(ways[: x + 1]) / comb(cases, size)


@pytest.mark.parametrize(
    ("cases", "size", "x"), [(20, 8, 2), (20, 8, 0), (30, 30, 4), (25, 1, 1), (50, 20, 20)]
)
def test_the_interval_is_exact(cases, size, x):
    fits = [total for total in range(x, cases - size + x + 1) if min(tails(cases, total, size, x)) > 0.025]
    assert bad_in_all(cases, size, x) == (min(fits), max(fits))


def test_the_interval_covers_the_truth_at_least_as_often_as_it_says():
    for total in (0, 1, 5, 20, 59, 60):
        inside = 0.0
        for x in range(max(0, total - 45), min(15, total) + 1):
            low, high = bad_in_all(60, 15, x)
            p = comb(total, x) * comb(60 - total, 15 - x) / comb(60, 15)
            inside += p * (low <= total <= high)
        assert inside >= 0.95


def test_nothing_looked_at_says_nothing():
    assert bad_in_all(40, 0, 0) == (0, 40)


def test_only_what_nobody_chose_counts_as_the_sample():
    order = drawn_order([f"c{n}" for n in range(30)], "seed")
    assert order == drawn_order(sorted(order), "seed")
    assert order != drawn_order(order, "another")
    bad = dict.fromkeys(order[:10], False) | {order[3]: True}
    # Found outside the sample, by its doubt: it counts as found, not as drawn.
    bad |= {order[20]: True, order[25]: True}
    found = sample_of(order, bad)
    assert (found.size, found.bad, found.cases, found.found) == (10, 1, 30, 3)
    assert found.low == 3
    assert found.left_low == 0
    assert found.left_high == found.high - 3 <= 18
    whole = sample_of(order, {case: case == order[0] for case in order})
    assert (whole.low, whole.high, whole.left_low, whole.left_high) == (1, 1, 0, 0)


def test_who_is_unsure_does_not_count_and_a_half_is_enough():
    def one(case, rater, verdict, class_name=""):
        return Decision(case, class_name, rater, verdict, "", None, "", 0)

    said = [
        one("a", "ann", "keep"), one("a", "bob", "unsure"), one("b", "ann", "keep"), one("b", "bob", "re-scan"),
        one("c", "ann", "keep"), one("c", "bob", "keep"), one("c", "eve", "drop"), one("d", "ann", "unsure"),
        one("e", "ann", "drop", "liver"),
    ]  # fmt: skip
    assert found_bad(said) == {"a": False, "b": True, "c": False}
