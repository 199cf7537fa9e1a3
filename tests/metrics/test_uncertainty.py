"""UEO, NCC, GED, soft Dice and entropy: against loops, closed forms, and what is empty."""

import numpy as np
import pytest

from aleaseg.metrics import uncertainty
from aleaseg.metrics.overlap import count_overlap, dice
from aleaseg.metrics.uncertainty import ged, ncc, soft_dice, ueo


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [7, 2**22])
def test_ueo_is_threshold_by_threshold(seed, block, monkeypatch):
    monkeypatch.setattr(uncertainty, "_BLOCK", block)
    rng = np.random.default_rng(seed)
    u = np.round(rng.uniform(size=(6, 7)) ** 3, 2).astype(np.float64)  # on thresholds
    wrong = rng.uniform(size=u.shape) < u
    taus = np.arange(1, 100) / 100
    found = [dice(count_overlap(wrong, u > tau), both_empty=1.0) for tau in taus]
    assert ueo(u, wrong) == pytest.approx(max(found), abs=1e-12)


def test_closed_forms_of_ueo():
    wrong = np.array([True, False, False, True])
    assert ueo(wrong.astype(float), wrong) == 1.0
    assert ueo(np.zeros(4), wrong) == 0.0
    assert ueo(np.ones(4), wrong) == pytest.approx(2 * 2 / 6)
    assert ueo(np.full(4, 0.01), wrong) == 0.0  # above, and not at
    assert ueo(np.zeros(4), np.zeros(4, bool)) == 1.0
    assert ueo(np.ones(4), np.zeros(4, bool)) == 0.0  # at no threshold is nothing uncertain
    with pytest.raises(ValueError, match="no NaN"):
        ueo([np.nan, 0.5], [True, False])
    with pytest.raises(ValueError, match="bool"):
        ueo([0.5, 0.5], [1, 0])


def test_ncc():
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(2, 5, 6))
    assert ncc(u, v) == pytest.approx(np.corrcoef(u.ravel(), v.ravel())[0, 1])
    assert ncc(u, 3 * u - 7) == pytest.approx(1.0)
    assert ncc(u, -u) == pytest.approx(-1.0)
    assert np.isnan(ncc(u, np.ones_like(u)))
    assert np.isnan(ncc([], []))
    with pytest.raises(ValueError, match="one shape"):
        ncc(u, v[:2])


def plain_ged(samples, raters):
    def d(a, b):
        either = (a | b).sum()
        return 1 - (a & b).sum() / either if either else 0.0

    def mean(one, other):
        return np.mean([d(a, b) for a in one for b in other])

    return 2 * mean(samples, raters) - mean(samples, samples) - mean(raters, raters)


@pytest.mark.parametrize("seed", range(4))
def test_ged_is_over_all_pairs(seed, monkeypatch):
    monkeypatch.setattr(uncertainty, "_BLOCK", 11)
    rng = np.random.default_rng(seed)
    samples, raters = rng.uniform(size=(3, 5, 6)) > 0.6, rng.uniform(size=(4, 5, 6)) > 0.5
    samples[0] = False
    raters[0] = False
    assert ged(samples, raters) == pytest.approx(plain_ged(samples, raters))
    assert ged(samples, samples) == pytest.approx(0.0, abs=1e-12)
    assert ged(samples, raters) >= 0
    assert ged(samples[1:2], raters) == pytest.approx(plain_ged(samples[1:2], raters))


def test_ged_of_empty_masks():
    empty, full = np.zeros((2, 4, 4), bool), np.ones((2, 4, 4), bool)
    assert ged(empty, empty) == 0
    assert ged(empty, full) == 2
    assert ged(empty[:1], full[:1]) == 2
    for samples, raters in ((empty[:0], full), (empty[0, 0, 0], full), (empty.astype(int), full)):
        with pytest.raises(ValueError, match="at least 1"):
            ged(samples, raters)


def test_soft_dice():
    rng = np.random.default_rng(2)
    p, q = rng.uniform(size=(2, 6, 7))
    assert soft_dice(p, q) == pytest.approx(1 - abs(p - q).sum() / (p + q).sum())
    assert soft_dice(p, p) == 1.0
    hard = p > 0.5, q > 0.5
    assert soft_dice(*hard) == pytest.approx(dice(count_overlap(*hard)))
    assert soft_dice(1 - hard[0], hard[0]) == 0.0
    empty = np.zeros(3)
    assert np.isnan(soft_dice(empty, empty))
    assert soft_dice(empty, empty, both_empty=1.0) == 1.0
    with pytest.raises(ValueError, match="predicted goes from"):
        soft_dice(p + 1, q)
    with pytest.raises(ValueError, match="one shape"):
        soft_dice(p, q[:2])
