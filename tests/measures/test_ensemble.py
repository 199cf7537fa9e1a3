"""Disagreement of several predictions: by hand, against SciPy, and what must hold of any ensemble."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from aleaseg.measures.ensemble import mutual_information, pairwise_dice

GRID = (3, 5, 4)


def random_members(seed, members, channels, spread=2.0):
    logits = np.random.default_rng(seed).normal(0, spread, (members, channels, *GRID))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return p.astype(np.float32)


ensembles = st.builds(
    random_members,
    st.integers(0, 999),
    st.integers(2, 5),
    st.integers(2, 4),
    st.sampled_from([0.1, 2.0, 30.0]),
)


@settings(max_examples=30, deadline=None)
@given(ensembles, st.integers(0, 99))
def test_information_is_scipys(p, seed):
    where = np.random.default_rng(seed).random(GRID) < 0.6
    inside = p[:, :, where].astype(float)
    total = entropy(inside.mean(axis=0), axis=0).mean()
    expected = total - entropy(inside, axis=1).mean()
    assert mutual_information(p, where) == pytest.approx(expected, abs=1e-5)
    assert mutual_information(list(p), where) == mutual_information(p, where)


@settings(max_examples=30, deadline=None)
@given(ensembles)
def test_information_lies_between_none_and_all_there_is(p):
    members, channels = p.shape[:2]
    information = mutual_information(p)
    assert 0 <= information <= entropy(p.mean(axis=0, dtype=float), axis=0).mean() + 1e-6
    assert information <= np.log(min(members, channels)) + 1e-6
    assert mutual_information(p[::-1]) == pytest.approx(information, abs=1e-9)
    assert mutual_information(np.concatenate([p, p])) == pytest.approx(information, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(ensembles)
def test_identical_members_agree(p):
    same = np.stack([p[0]] * 3)
    assert mutual_information(same) == pytest.approx(0, abs=1e-7)
    labels = same.argmax(axis=1)
    found = pairwise_dice(labels, range(p.shape[1]))
    there = [(labels == c).any() for c in range(p.shape[1])]
    np.testing.assert_array_equal(found, np.where(there, 1.0, np.nan))


def test_members_that_are_sure_and_apart_have_all_the_information():
    apart = np.eye(3)[:, :, None]
    assert mutual_information(apart) == pytest.approx(np.log(3))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 5))
def test_pairwise_dice_is_the_mean_over_pairs(seed, members):
    labels = np.random.default_rng(seed).integers(0, 4, (members, 4, 5)).astype(np.uint8)
    found = pairwise_dice(labels, [1, (2, 3)])
    for value, wanted in zip(found, ([1], [2, 3]), strict=True):
        masks = [np.isin(label, wanted) for label in labels]
        overlaps = [
            2 * (masks[i] & masks[j]).sum() / (masks[i].sum() + masks[j].sum())
            for i in range(members)
            for j in range(i)
        ]
        assert value == pytest.approx(np.mean(overlaps))
    np.testing.assert_allclose(pairwise_dice(labels[::-1], [1, (2, 3)]), found)


def test_pairwise_dice_where_a_class_is_missing():
    labels = np.array([[1, 0], [0, 0], [0, 0]])
    assert pairwise_dice(labels, [1])[0] == pytest.approx(1 / 3)  # two of three pairs disagree
    assert pairwise_dice(labels[:2], [1])[0] == 0
    assert np.isnan(pairwise_dice(labels, [2])[0])
    assert pairwise_dice(labels, []).shape == (0,)


def test_large_volumes_are_read_in_blocks():
    p = np.random.default_rng(0).random((2, 2**18 + 5), dtype=np.float32)
    p = np.stack([p, 1 - p], axis=1)
    total = entropy(p.mean(axis=0, dtype=float), axis=0).mean()
    expected = total - entropy(p.astype(float), axis=1).mean()
    assert mutual_information(p) == pytest.approx(expected, rel=1e-6)


def test_bad_input_says_what_was_expected():
    p = random_members(0, 2, 2)
    assert np.isnan(mutual_information(p, np.zeros(GRID, bool)))
    with pytest.raises(ValueError, match="got 1 predictions of the case; expected at least 2"):
        mutual_information(p[:1])
    with pytest.raises(ValueError, match="at least 2"):
        pairwise_dice(np.zeros((1, 3)), [1])
    with pytest.raises(ValueError, match="expected one shape"):
        pairwise_dice([np.zeros(3), np.zeros(4)], [1])
    with pytest.raises(ValueError, match="expected that of the grid"):
        mutual_information(p, np.ones(3, bool))
    with pytest.raises(ValueError, match="expected probabilities"):
        mutual_information(p - 0.5)
