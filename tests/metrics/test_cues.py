"""UR and UCC of a case by gradient, distance and noise: against loops, closed forms, and cases without a score."""

import numpy as np
import pytest

from aleaseg.metrics.cues import Cue, cues_of_case, distance_cue, gradient_cue, mean_cue, noise_cue, thinned


def some_maps(seed=0, shape=(20, 24)):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(3, *shape)), rng.uniform(0, 2, shape), rng.integers(0, 7, shape).astype(float)


def slow_thinning(g, step=0.04):
    """Step by step along the sorted gradient, the nearest voxel."""
    order = np.argsort(g, kind="stable")
    kept, count = [], int(np.ceil((g.max() - g.min()) / step)) + 1
    for number in range(count):
        nearest = order[np.abs(g[order] - (g.min() + number * step)).argmin()]
        if nearest not in kept:
            kept.append(int(nearest))
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_thinning_is_step_by_step(seed):
    rng = np.random.default_rng(seed)
    g = rng.exponential(rng.choice([0.01, 0.3, 3.0]), rng.integers(1, 300))
    if seed % 2:
        g = 0.03 * np.round(g / 0.03)  # ties, none of them halfway between two steps
    found = thinned(g)
    assert sorted(found.tolist()) == sorted(slow_thinning(g))
    assert (np.diff(g[found]) > 0).all()


def test_thinning_of_few_and_of_far_apart():
    assert thinned([3.0]).tolist() == [0]
    assert thinned([2.0, 2.0, 2.0]).tolist() == [0]
    assert thinned([0.0, 1e12, 5.0]).tolist() == [0, 2, 1]  # no list of 25 trillion steps


def count(c, x, sign):
    points = [
        {1: 1.0, 0: 0.5, -1: 0.0}[int(sign * np.sign(c[i] - c[j]) * np.sign(x[i] - x[j]))]
        for i in range(len(c))
        for j in range(i)
    ]
    return np.mean(points)


def test_by_the_gradient_and_the_distance():
    u, g, d = some_maps()
    edge, near = d <= 1, d <= 4
    assert gradient_cue(u[0], g, d, thin=False).ur == pytest.approx(count(g[edge], u[0][edge], -1))
    kept = slow_thinning(g[edge])
    thin = gradient_cue(u[0], g, d)
    assert thin.points == len(kept) < edge.sum()
    assert thin.ur == pytest.approx(count(g[edge][kept], u[0][edge][kept], -1))
    du = (u[1] - u[0])[near]
    assert distance_cue(u[0], u[1], d).ur == pytest.approx(count(d[near], du, -1))


def test_by_noise():
    u, _, d = some_maps()
    u = np.round(u, 1)
    steps = (u[2] - u[1])[d <= 4]
    rises, falls = (steps > 0).sum(), (steps < 0).sum()
    found = noise_cue(u[1], u[2], d)
    assert found.points == steps.size > rises + falls
    assert found.ur == pytest.approx((rises + (steps == 0).sum() / 2) / steps.size)
    assert found.ucc == pytest.approx((rises - falls) / (rises + falls))


def test_closed_forms():
    _, g, d = some_maps()
    assert gradient_cue(np.exp(-g), g, d)[:2] == (1.0, -1.0)
    assert gradient_cue(np.exp(g), g, d)[:2] == (0.0, 1.0)
    clean = np.zeros_like(g)
    within = np.where(d <= 4, np.arange(d.size).reshape(d.shape) / d.size + d, 9.0)  # all different
    assert distance_cue(clean, -within, within)[:2] == (1.0, -1.0)
    assert noise_cue(clean, clean + 0.1, d)[:2] == (1.0, 1.0)
    for constant in (gradient_cue(clean, g, d), distance_cue(clean, clean, d), noise_cue(clean, clean, d)):
        assert constant.ur == 0.5
        assert np.isnan(constant.ucc)
        assert constant.covered


@pytest.mark.parametrize("distance", [np.inf, np.nan, 9.0])
def test_a_case_without_points_has_no_score(distance):
    u, g, _ = some_maps()
    found = cues_of_case(u[0], g, np.full_like(g, distance), {0.1: u[1], 0.9: u[2]})
    assert set(found) == {"gradient", "distance", "noise"}
    for cue in found.values():
        assert np.isnan(cue[:2]).all()
        assert cue.points == 0
        assert not cue.covered


def test_one_point_is_none():
    u, g, d = (each[:1, :1] for each in (some_maps()[0][0], some_maps()[1], np.zeros((3, 3))))
    for cue in (gradient_cue(u, g, d), distance_cue(u, u, d), noise_cue(u, u, d)):
        assert (cue.covered, cue.points) == (False, 1)


def test_voxels_that_nobody_annotated():
    u, g, d = some_maps()
    d[:10] = np.nan
    u[:, :10] = np.nan
    g[:10] = np.nan
    parts = u[:, 10:], g[10:], d[10:]
    noised = lambda u: {0.1: u[1], 0.9: u[2]}  # noqa: E731
    whole = cues_of_case(u[0], g, d, noised(u))
    assert whole == cues_of_case(parts[0][0], parts[1], parts[2], noised(parts[0]))


def test_which_levels_are_compared():
    u, g, d = some_maps()
    clean = some_maps(1)[0][0]
    found = cues_of_case(clean, g, d, {0.9: u[2], 0.25: u[1], 0.1: u[0]})
    assert found["gradient"] == gradient_cue(clean, g, d)
    assert found["noise"] == noise_cue(u[0], u[2], d)
    assert found["distance"] == distance_cue(clean, u[1], d)
    alone = cues_of_case(clean, g, d, {0.9: u[2]})
    assert alone["noise"] == noise_cue(clean, u[2], d)
    assert set(cues_of_case(clean, g, d)) == {"gradient"}


def test_means_and_coverage():
    none = Cue(np.nan, np.nan, 1)
    assert not mean_cue([none, none]).covered
    assert not mean_cue([]).covered
    found = mean_cue([none, Cue(0.25, -1.0, 4), Cue(0.75, np.nan, 4)])
    assert found == Cue(0.5, -1.0, 9)


def test_what_does_not_fit_is_told():
    u, g, d = some_maps()
    with pytest.raises(ValueError, match="one shape"):
        gradient_cue(u[0], g, d[:3])
    u[0, d == 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        gradient_cue(u[0], g, d)
