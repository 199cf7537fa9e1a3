"""AURC: what it must be, plain references, every order of ties, weights as multiplicities."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.metrics.risk_coverage import aurc, excess_aurc, normalised_aurc, optimal_aurc


@st.composite
def cases(draw, most=12):
    n = draw(st.integers(2, most))
    risk = draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    confidence = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    weight = [1, *draw(st.lists(st.integers(0, 3), min_size=n - 1, max_size=n - 1))]
    return np.array(risk), np.array(confidence, float), np.array(weight)


def in_order(risk):
    """AURC of risks that are already in order, the most confident first."""
    return np.mean([np.mean(risk[: k + 1]) for k in range(len(risk))])


@pytest.mark.parametrize("n", [1, 2, 10, 37])
def test_a_constant_risk_has_it_as_its_area(n):
    risk, confidence = np.full(n, 0.3), np.random.default_rng(0).random(n)
    assert aurc(risk, confidence) == pytest.approx(0.3)
    assert excess_aurc(risk, confidence) == pytest.approx(0)
    assert np.isnan(normalised_aurc(risk, confidence))
    if n == 10:
        assert aurc(risk, confidence, form="fd_shifts") == pytest.approx(0.27)


def test_a_perfect_order_has_no_excess():
    risk = np.random.default_rng(1).random(10)
    assert excess_aurc(risk, -risk) == pytest.approx(0)
    assert normalised_aurc(risk, 5 - 2 * risk) == pytest.approx(1)
    assert excess_aurc(risk, -risk, form="fd_shifts") == pytest.approx(0)
    assert normalised_aurc(risk, risk) < 0


def test_by_hand():
    # Means of the first 1, 2, 3: 0.6, 0.35, 0.3.
    assert aurc([0.1, 0.6, 0.2], [0.5, 0.9, 0.1]) == pytest.approx((0.6 + 0.35 + 0.3) / 3)
    assert optimal_aurc([0.1, 0.6, 0.2]) == pytest.approx((0.1 + 0.15 + 0.3) / 3)


@given(cases(most=5))
@settings(deadline=None, max_examples=40)
def test_ties_have_the_mean_over_their_orders(case):
    risk, confidence, _ = case
    orders = [
        in_order(risk[list(order)])
        for order in permutations(range(len(risk)))
        if (np.diff(confidence[list(order)]) <= 0).all()
    ]
    assert aurc(risk, confidence) == pytest.approx(np.mean(orders), abs=1e-9)


@given(cases())
@settings(deadline=None, max_examples=60)
def test_laws(case):
    risk, confidence, weight = case
    found = aurc(risk, confidence)
    assert aurc(risk, np.exp(confidence) - 3) == pytest.approx(found, abs=1e-12)
    assert aurc(2 * risk + 1, confidence) == pytest.approx(2 * found + 1, abs=1e-9)
    assert aurc(risk, np.zeros_like(risk)) == pytest.approx(risk.mean(), abs=1e-9)
    assert optimal_aurc(risk) <= found + 1e-9
    rows = np.repeat(np.arange(risk.size), weight)
    weighted = aurc(risk, confidence, weights=weight)
    assert weighted == pytest.approx(aurc(risk[rows], confidence[rows]), abs=1e-9)
    batch = np.stack([np.ones_like(weight), weight])
    assert aurc(risk, confidence, weights=batch) == pytest.approx([found, weighted], abs=1e-12)
    several = normalised_aurc(risk, confidence, weights=batch)
    assert several[1] == pytest.approx(normalised_aurc(risk[rows], confidence[rows]), nan_ok=True, abs=1e-6)


def fd_shifts_by_removing(risk, confidence):
    """As that package's description goes: the least confident leave one by one."""
    order = np.argsort(confidence)
    r, c, n = risk[order], confidence[order], len(risk)
    points, steps, waiting = [r.mean()], [], 0
    for i in range(n - 1):
        waiting += 1
        if i == 0 or c[i] != c[i - 1]:
            points.append(r[i + 1 :].mean())
            steps.append(waiting / n)
            waiting = 0
    if waiting:
        points.append(points[-1])
        steps.append(waiting / n)
    return sum(step * (a + b) / 2 for step, a, b in zip(steps, points[:-1], points[1:], strict=True))


@given(cases())
@settings(deadline=None, max_examples=60)
def test_the_form_of_fd_shifts(case):
    risk, confidence, _ = case
    found = aurc(risk, confidence, form="fd_shifts")
    assert found == pytest.approx(fd_shifts_by_removing(risk, confidence), abs=1e-12)


def test_a_random_order_has_the_mean_risk_whatever_n_is():
    risk = np.array([0.1, 0.5, 0.9, 0.2])
    every = [aurc(risk, np.array(order)) for order in permutations(range(4))]
    assert np.mean(every) == pytest.approx(risk.mean())
    other = [aurc(risk, np.array(order), form="fd_shifts") for order in permutations(range(4))]
    assert np.mean(other) == pytest.approx(3 / 4 * risk.mean())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"expected \(N,\) both"):
        aurc([0.1, 0.2], [1.0])
    with pytest.raises(ValueError, match="NaN"):
        aurc([0.1, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="weights are"):
        aurc([0.1, 0.2], [1.0, 2.0], weights=[1])
    with pytest.raises(ValueError, match="knows no weights"):
        aurc([0.1], [1.0], weights=[1], form="fd_shifts")
    assert np.isnan(aurc([], []))
