"""Mahalanobis distance: against scikit-learn and plain NumPy, and the laws of its moments."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.covariance import ledoit_wolf

from aleaseg.measures.mahalanobis import MahalanobisReference, Moments

QUICK = settings(max_examples=40, deadline=None)
shards = st.lists(
    hnp.arrays(float, st.tuples(st.integers(0, 6), st.just(3)), elements=st.floats(-100, 100)),
    min_size=1,
    max_size=5,
)


def population(cases=40, classes=3, features=5, seed=0, offset=0.0):
    """Features (N, C, F), each class about its own mean, of uneven spread, some absent."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(features, features)) * np.geomspace(1, 10, features)
    rows = rng.normal(0, 20, (classes, features)) + rng.normal(size=(cases, classes, features)) @ mix
    rows[rng.random((cases, classes)) < 0.15] = np.nan
    return rows + offset


def fitted(rows):
    return MahalanobisReference.fit({c: Moments.of(rows[:, c]) for c in range(rows.shape[1])})


def centred(rows):
    """All rows that are there, less the mean of their class."""
    parts = [one[~np.isnan(one[:, 0])] for one in np.moveaxis(rows, 1, 0)]
    return np.concatenate([part - part.mean(axis=0) for part in parts if len(part)])


def assert_moments_equal(one, other, scale):
    assert one.n == other.n
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-9, atol=1e-9 * scale**2)
    np.testing.assert_allclose(one.third, other.third, rtol=1e-9, atol=1e-9 * scale**3)
    np.testing.assert_allclose(one.fourth, other.fourth, rtol=1e-9, atol=1e-9 * scale**4)


# -- moments -----------------------------------------------------------------------------------------


def test_the_sums_of_a_class_by_hand():
    x = np.random.default_rng(0).normal(3, 2, (9, 4))
    d = x - x.mean(axis=0)
    found = Moments.of(np.concatenate([x, np.full((2, 4), np.nan)]))
    assert found.n == 9
    np.testing.assert_allclose(found.scatter, sum(np.outer(a, a) for a in d))
    np.testing.assert_allclose(found.third, sum((a @ a) * a for a in d))
    assert found.fourth == pytest.approx(sum((a @ a) ** 2 for a in d))


@QUICK
@given(shards)
def test_merged_shards_are_the_whole(parts):
    whole = Moments.of(np.concatenate(parts))
    scale = 1 + max((np.abs(part).max() for part in parts if part.size), default=0)
    merged = Moments.of(parts[0])
    for part in parts[1:]:
        merged = merged.merge(Moments.of(part))
    assert_moments_equal(merged, whole, scale)
    backwards = Moments.of(parts[-1])
    for part in parts[-2::-1]:
        backwards = Moments.of(part).merge(backwards)
    assert_moments_equal(backwards, whole, scale)


def test_references_of_merged_shards_are_that_of_the_whole_far_from_the_origin():
    rows = population(offset=1e6)
    whole = fitted(rows)
    per_class = {}
    for c in range(3):
        per_class[c] = Moments.of(rows[:11, c]).merge(Moments.of(rows[11:30, c]))
        per_class[c] = per_class[c].merge(Moments.of(rows[30:, c]))
    merged = MahalanobisReference.fit(per_class)
    np.testing.assert_allclose(merged.covariance, whole.covariance, rtol=1e-6)
    np.testing.assert_allclose(merged.distance(rows), fitted(rows - 1e6).distance(rows - 1e6), rtol=1e-6)


def test_moments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 and of 2 features"):
        Moments.of(np.zeros((1, 3))).merge(Moments.of(np.zeros((1, 2))))
    with pytest.raises(ValueError, match=r"expected \(rows, features\)"):
        Moments.of(np.zeros(3))
    with pytest.raises(ValueError, match="infinite"):
        Moments.of([[np.inf]])


# -- covariances -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cases", "features"), [(40, 5), (6, 12), (300, 3), (20, 1)])
def test_both_covariances_are_scikit_learns(cases, features):
    rows = population(cases, 3, features, offset=50.0)
    reference = fitted(rows)
    expected = ledoit_wolf(centred(rows), assume_centered=True)[0]
    np.testing.assert_allclose(reference.covariance, expected, rtol=1e-8, atol=1e-8 * np.trace(expected))
    everything = rows.reshape(-1, features)
    everything = everything[~np.isnan(everything[:, 0])]
    expected = ledoit_wolf(everything)[0]
    np.testing.assert_allclose(reference.overall_mean, everything.mean(axis=0))
    np.testing.assert_allclose(
        reference.overall_covariance, expected, rtol=1e-8, atol=1e-8 * np.trace(expected)
    )


def test_few_rows_and_many_features_are_shrunk_to_something_invertible():
    reference = fitted(population(4, 2, 30))
    assert np.linalg.eigvalsh(reference.covariance).min() > 0
    assert np.isfinite(reference.means).all()


# -- distances ---------------------------------------------------------------------------------------


def test_distances_are_those_of_plain_numpy():
    rows, new = population(), population(7, seed=1)
    reference = fitted(rows)
    sigma = ledoit_wolf(centred(rows), assume_centered=True)[0]
    everything = rows.reshape(-1, 5)
    everything = everything[~np.isnan(everything[:, 0])]
    overall = ledoit_wolf(everything)[0]
    for n in range(7):
        for c in range(3):
            d = new[n, c] - np.nanmean(rows[:, c], axis=0)
            d0 = new[n, c] - everything.mean(axis=0)
            expected = d @ np.linalg.solve(sigma, d) if np.isfinite(d).all() else np.nan
            agnostic = d0 @ np.linalg.solve(overall, d0) if np.isfinite(d0).all() else np.nan
            np.testing.assert_allclose(reference.distance(new)[n, c], expected, rtol=1e-8)
            np.testing.assert_allclose(reference.relative(new)[n, c], expected - agnostic, rtol=1e-7)


def test_distances_of_the_population_have_the_mean_f():
    rows = population(2000, 2, 4)
    assert np.nanmean(fitted(rows).distance(rows)) == pytest.approx(4, rel=1e-2)


def test_an_absent_class_has_no_distance_and_one_never_seen_neither():
    rows = population()
    rows[:, 1] = np.nan
    rows[0, 2] = np.nan
    reference = fitted(rows)
    for found in (reference.distance(np.nan_to_num(rows)), reference.relative(np.nan_to_num(rows))):
        assert np.isnan(found[:, 1]).all()
        assert np.isfinite(found[:, [0, 2]]).all()
    np.testing.assert_array_equal(np.isnan(reference.distance(rows)), np.isnan(rows[..., 0]))
    np.testing.assert_array_equal(np.isnan(reference.relative(rows)), np.isnan(rows[..., 0]))


@QUICK
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_rotation_unit_and_offset_do_not_matter(seed, factor):
    rows = population(12, 2, 4, seed=3)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
    moved = factor * rows @ turn + 7
    np.testing.assert_allclose(fitted(moved).distance(moved), fitted(rows).distance(rows), rtol=1e-6)
    np.testing.assert_allclose(
        fitted(moved).relative(moved), fitted(rows).relative(rows), rtol=1e-6, atol=1e-6
    )


@QUICK
@given(hnp.arrays(float, (4, 4), elements=st.floats(-1, 1)))
def test_without_shrinkage_no_invertible_map_matters(noise):
    def plain(rows):
        d = centred(rows)
        return dataclasses.replace(fitted(rows), covariance=d.T @ d / len(d))

    rows = population(30, 2, 4)
    moved = rows @ (5 * np.eye(4) + noise)
    np.testing.assert_allclose(plain(moved).distance(moved), plain(rows).distance(rows), rtol=1e-6)


def test_with_many_rows_shrinkage_fades_and_invertible_maps_hardly_matter():
    rows = population(20_000, 1, 3)
    moved = rows @ np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.2, 0.0, 1.0]])
    np.testing.assert_allclose(fitted(moved).distance(moved), fitted(rows).distance(rows), rtol=0.05)


def test_a_case_far_from_its_class_alone_stands_out_in_both():
    rows = population(60, 2, 3)
    new = np.nan_to_num(np.nanmean(rows, axis=0))[None].repeat(2, axis=0)
    new[1] = new[1, ::-1]  # each class looks like the other
    reference = fitted(rows)
    np.testing.assert_allclose(reference.distance(new)[0], 0, atol=1e-9)
    assert (reference.distance(new)[1] > 1).all()
    assert (reference.relative(new)[1] > reference.relative(new)[0]).all()


def test_a_direction_without_spread_does_not_count():
    # Two rows that mirror each other: Ledoit and Wolf do not shrink, and the covariance has rank 1.
    reference = MahalanobisReference.fit({1: Moments.of([[1.0, 0.0], [-1.0, 0.0]])})
    np.testing.assert_allclose(reference.distance([[[2.0, 5.0]]]), [[4.0]])


# -- edges -------------------------------------------------------------------------------------------


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no class has rows"):
        MahalanobisReference.fit({})
    with pytest.raises(ValueError, match="no class has rows"):
        MahalanobisReference.fit({1: Moments.of(np.zeros((0, 2)))})
    with pytest.raises(ValueError, match="none of 2 rows differs"):
        MahalanobisReference.fit({1: Moments.of([[1.0, 2.0]]), 2: Moments.of([[3.0, 4.0]])})
    reference = fitted(population())
    with pytest.raises(ValueError, match=r"expected \(cases, 3 classes, 5 features\)"):
        reference.distance(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="infinite"):
        reference.relative(np.full((2, 3, 5), np.inf))
