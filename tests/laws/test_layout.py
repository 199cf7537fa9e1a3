"""How classes lie to each other: against pair by pair in plain NumPy, and what many classes cost."""

import json
from itertools import combinations

import numpy as np
import pytest

from aleaseg.measures.layout import NEIGHBOURS, Layout


def bodies(classes, cases=60, seed=0, present=0.8):
    """(cases, classes, 3) centroids in mm: each class at its place, give or take 5 mm; some are not there."""
    rng = np.random.default_rng(seed)
    usual = rng.uniform(0, 400, (classes, 3))
    found = usual + rng.normal(0, 5, (cases, classes, 3)) + rng.normal(0, 50, (cases, 1, 3))
    found[rng.random((cases, classes)) > present] = np.nan
    return found


def slowly(centroid):
    """The median vector and the mean squared distance of each pair that at least five cases have."""
    found = {}
    for a, b in combinations(range(centroid.shape[1]), 2):
        vectors = centroid[:, b] - centroid[:, a]
        vectors = vectors[~np.isnan(vectors).any(axis=1)]
        if len(vectors) >= 5:
            found[a, b] = np.median(vectors, axis=0), (vectors**2).sum(axis=1).mean()
    return found


@pytest.mark.parametrize("classes", [2, 5, NEIGHBOURS + 1])
def test_few_classes_are_all_compared(classes):
    centroid = bodies(classes)
    layout, expected = Layout.fit(centroid), slowly(centroid)
    assert list(map(tuple, layout.pairs.tolist())) == list(expected)
    np.testing.assert_array_equal(layout.usual, [usual for usual, _ in expected.values()])


def test_of_many_classes_each_is_compared_with_those_nearest_to_it():
    centroid = bodies(40)
    layout, expected = Layout.fit(centroid), slowly(centroid)
    chosen = set()
    for a in range(40):
        by_distance = sorted((far, pair) for pair, (_, far) in expected.items() if a in pair)
        chosen |= {pair for _, pair in by_distance[:NEIGHBOURS]}
    assert list(map(tuple, layout.pairs.tolist())) == sorted(chosen)
    np.testing.assert_array_equal(
        layout.usual, [expected[tuple(pair)][0] for pair in layout.pairs.tolist()]
    )


def test_pairs_do_not_grow_with_the_square_of_the_classes():
    for classes in (50, 100, 200):
        assert len(Layout.fit(bodies(classes)).pairs) <= classes * NEIGHBOURS


def test_one_as_usual_minus_one_swapped():
    centroid = bodies(3, present=1)
    layout = Layout.fit(centroid)
    usual = centroid[:1] * 0
    usual[0, 1:] = layout.usual[:2]  # the pairs of the first class
    np.testing.assert_allclose(layout.along(usual)[0, :2], 1)
    np.testing.assert_allclose(layout.along(-usual)[0, :2], -1)


def test_two_that_lie_far_apart_are_seen_when_they_are_swapped():
    centroid = bodies(60, present=1)
    layout = Layout.fit(centroid)
    compared = set(map(tuple, layout.pairs.tolist()))
    a, b = next(pair for pair in combinations(range(60), 2) if pair not in compared)
    swapped = centroid[:1].copy()
    swapped[0, [a, b]] = swapped[0, [b, a]]
    theirs = np.isin(layout.pairs, [a, b]).any(axis=1)
    assert layout.along(centroid[:1]).min() > 0
    assert layout.along(swapped)[0, theirs].min() < -1


def test_what_is_not_there_or_lies_at_one_place_has_no_order():
    centroid = bodies(4, present=1)
    centroid[:, 1] = centroid[:, 0] + np.random.default_rng(1).normal(0, 0.2, (60, 3))
    centroid[4:, 3] = np.nan  # four cases have it
    assert Layout.fit(centroid).pairs.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize(("classes", "dims"), [(0, 3), (1, 2), (1, 3), (4, 2), (30, 3)])
def test_frozen_and_thawed(classes, dims):
    centroid = bodies(classes)[..., :dims]
    layout = Layout.fit(centroid)
    thawed = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    np.testing.assert_array_equal(thawed.along(centroid), layout.along(centroid))
    assert thawed.along(centroid).shape == (60, len(layout.pairs))
