"""Order with a cue: against counting pair by pair, laws, closed forms, and what is not a number."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aleaseg import order


def pairs_in_order(c, x, sign):
    """Every pair, one after the other."""
    points, total = 0.0, 0
    for i in range(len(c)):
        for j in range(i + 1, len(c)):
            v = -sign * np.sign(c[i] - c[j]) * np.sign(x[i] - x[j])
            points += {-1: 1.0, 0: 0.5, 1: 0.0}[int(v)]
            total += 1
    return points / total


def mean_violated(c, x, sign):
    found = []
    for i in range(len(c)):
        for j in range(i + 1, len(c)):
            v = -sign * (c[i] - c[j]) * (x[i] - x[j])
            if v > 0:
                found.append(v)
    return np.mean(found) if found else 0.0


def average_ranks(x):
    return np.array([(x < each).sum() + ((x == each).sum() + 1) / 2 for each in x])


def few(values=6):
    """Two columns full of ties."""
    return st.integers(2, 40).flatmap(
        lambda n: st.tuples(*[arrays(np.float64, n, elements=st.integers(0, values).map(float))] * 2)
    )


@given(few(), st.sampled_from([1, -1]))
@settings(deadline=None)
def test_ur_is_counting_all_pairs(columns, sign):
    c, x = columns
    assert order.ur(c, x, sign) == pytest.approx(pairs_in_order(c, x, sign), abs=1e-12)


@given(few())
@settings(deadline=None)
def test_laws_of_ur_and_ucc(columns):
    c, x = columns
    assert order.ur(c, x, 1) + order.ur(c, -x, 1) == pytest.approx(1.0, abs=1e-12)
    assert order.ur(c, x, 1) + order.ur(c, x, -1) == pytest.approx(1.0, abs=1e-12)
    for map_ in (np.exp, lambda u: u**3 - 5):  # strictly monotone
        assert order.ur(c, map_(x), -1) == order.ur(c, x, -1)
        assert order.ucc(c, map_(x)) == pytest.approx(order.ucc(c, x), abs=1e-12, nan_ok=True)
    assert order.ucc(c, -x) == pytest.approx(-order.ucc(c, x), abs=1e-12, nan_ok=True)
    assert order.ucc(x, c) == pytest.approx(order.ucc(c, x), abs=1e-12, nan_ok=True)


@given(few())
@settings(deadline=None)
def test_ucc_is_the_correlation_of_average_ranks(columns):
    c, x = columns
    if np.ptp(c) == 0 or np.ptp(x) == 0:
        assert np.isnan(order.ucc(c, x))
    else:
        expected = np.corrcoef(average_ranks(c), average_ranks(x))[0, 1]
        assert order.ucc(c, x) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("version", ["june", "head"])
def test_official_pairs(sign, version):
    rng = np.random.default_rng(0)
    c, x = rng.integers(0, 5, (2, 40)).astype(float)
    found = []
    for i in range(40):
        for j in range(i + 1, 40):
            product = sign * (c[i] - c[j]) * (x[i] - x[j])
            tied = c[i] == c[j] and x[i] == x[j]
            found.append(product >= -1e-3 if version == "june" else product > 0 or tied)
    assert order.official_ur(c, x, sign, version) == pytest.approx(np.mean(found), abs=1e-12)


def test_official_pairs_in_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    c, x = rng.normal(size=(2, 150))
    whole = order.official_ur(c, x, -1, "head")
    monkeypatch.setattr(order, "_BLOCK", 1000)
    assert order.official_ur(c, x, -1, "head") == whole
    assert whole == pytest.approx(order.ur(c, x, -1), abs=1e-12)  # without ties they are one


@pytest.mark.parametrize("size", [1, 7, 60])
def test_closed_forms(size):
    g = np.arange(size, dtype=float)
    falls, rises = -(g**3), np.exp(g / 9)
    if size == 1:
        assert np.isnan([order.ur(g, falls, -1), order.ucc(g, falls)]).all()
        return
    assert order.ur(g, falls, -1) == 1.0
    assert order.ucc(g, falls) == -1.0
    assert order.ur(g, rises, -1) == 0.0
    assert order.ucc(g, rises) == 1.0
    assert order.ur(g, np.full(size, 0.5), -1) == order.ur(np.full(size, 0.5), g, -1) == 0.5
    assert np.isnan(order.ucc(g, np.full(size, 0.5)))


def test_two_points_and_infinite_ones():
    assert order.ur([1, 2], [4, 3], -1) == 1.0
    assert order.ucc([1, 2], [4, 3]) == -1.0
    assert order.ur([1, np.inf, np.inf], [3, 2, 1], -1) == pytest.approx(2.5 / 3)


def test_masked_points_do_not_count():
    rng = np.random.default_rng(2)
    c, x = rng.normal(size=(2, 6, 7))
    mask = rng.uniform(size=c.shape) > 0.4
    assert order.ur(c, x, 1, mask=mask) == order.ur(c[mask], x[mask], 1)
    assert order.ucc(c, x, mask=mask) == order.ucc(c[mask], x[mask])
    x[~mask] = np.nan
    assert order.ur(c, x, 1, mask=mask) == order.ur(c[mask], x[mask], 1)
    assert np.isnan(order.ur(c, x, 1, mask=np.zeros_like(mask)))


def test_inputs_are_left_alone_and_no_numbers_are_refused():
    c, x = np.array([3.0, 1.0, 2.0]), np.array([1.0, np.nan, np.nan])
    kept = c.copy()
    for of in (lambda: order.ur(c, x, 1), lambda: order.ucc(c, x)):
        with pytest.raises(ValueError, match="value is NaN at 2 of 3 points"):
            of()
    with pytest.raises(ValueError, match="NaN"):
        order.pair_ur(1, x, 1)
    with pytest.raises(ValueError, match=r"cue is \(3,\), value \(2,\)"):
        order.ur(c, [1, 2], 1)
    with pytest.raises(ValueError, match="mask"):
        order.ur(c, c, 1, mask=[1, 1, 0])
    with pytest.raises(ValueError, match="sign is 0"):
        order.ur(c, c, 0)
    with pytest.raises(ValueError, match="june"):
        order.official_ur(c, c, 1, "may")
    assert (c == kept).all()


def test_pairs_at_two_levels():
    step = np.array([0.3, 0.1, 0.0, -0.2, -1e-300])
    assert order.pair_ur(0.8, step, 1) == pytest.approx((2 + 0.5) / 5)
    assert order.pair_ur(1e-300, step, 1) == pytest.approx((2 + 0.5) / 5)  # no product that vanishes
    assert order.pair_ucc(0.8, step) == pytest.approx(0.0)
    assert order.pair_ur(1, np.zeros(4), 1) == 0.5
    assert np.isnan(order.pair_ucc(1, np.zeros(4)))
    assert np.isnan([order.pair_ur(1, [], 1), order.pair_ucc(1, [])]).all()


def test_a_million_points_are_a_matter_of_seconds():
    rng = np.random.default_rng(3)
    c, x = rng.normal(size=(2, 10**6))
    begun = time.perf_counter()
    assert order.ur(c, x, -1) == pytest.approx(0.5, abs=0.01)
    assert order.ucc(c, x) == pytest.approx(0.0, abs=0.01)
    assert time.perf_counter() - begun < 20


# -- the loss --------------------------------------------------------------------------------------


def all_steps(values):
    i, j = np.triu_indices(len(values), 1)
    return values[i] - values[j]


@given(few(), st.sampled_from([1, -1]))
@settings(deadline=None)
def test_mean_violation_is_pair_by_pair(columns, sign):
    c, x = columns
    steps = [torch.tensor(all_steps(each)) for each in (c, x)]
    assert order.mean_violation(*steps, sign).item() == pytest.approx(mean_violated(c, x, sign), abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_along_the_slope_lowers_it(sign):
    rng = np.random.default_rng(4)
    c, x = torch.tensor(rng.normal(size=(2, 30)))
    c.requires_grad_()
    x.requires_grad_()
    loss = order.mean_violation(all_steps(c), all_steps(x), sign)
    assert loss > 0
    loss.backward()
    assert c.grad is None or not c.grad.any()
    lower = x.detach() - 1e-3 * x.grad
    assert order.mean_violation(all_steps(c), all_steps(lower), sign) < loss


def test_slopes():
    rng = np.random.default_rng(5)
    c, x = torch.tensor(rng.normal(size=(2, 4, 9)))
    mask = torch.tensor(rng.uniform(size=(4, 9)) > 0.3)
    for options in ({}, {"mask": mask}, {"mask": mask, "dim": 1}):
        assert torch.autograd.gradcheck(
            lambda step, options=options: order.mean_violation(c, step, -1, **options),
            (x.clone().requires_grad_(),),
        )


def test_in_order_costs_nothing_and_masks_hold_what_is_no_number():
    c, x = torch.tensor([1.0, 2.0, torch.nan, torch.inf]), torch.tensor([-1.0, 0.0, 1.0, torch.nan])
    x.requires_grad_()
    loss = order.mean_violation(c, x, -1, mask=torch.tensor([True, True, False, False]))
    assert loss.item() == 0
    loss.backward()
    assert x.grad.tolist() == [0, 0, 0, 0]
    assert order.mean_violation(c[:0], x[:0], -1).item() == 0
    assert order.mean_violation(c[:2].half(), x[:2].half(), 1).dtype == torch.float32


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = "import sys, aleaseg.order, aleaseg.cues; sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
