"""Disagreement of raters: a plain reference, golden numbers, laws, and real raters."""

import doctest
import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aleaseg.metrics import agreement
from aleaseg.metrics.agreement import mean_confidence, rater_disagreement
from aleaseg.readers.raters import open_raters

MASKS = st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(bool, shape)
)


def reference(raters):
    """Pair after pair, voxel sets in place of arrays."""
    marked = [set(np.flatnonzero(mask)) for mask in raters]
    overlaps = [len(a & b) / len(a | b) for a, b in combinations(marked, 2) if a | b]
    return 1 - sum(overlaps) / len(overlaps) if overlaps else np.nan


@given(MASKS)
@settings(deadline=None)
def test_it_is_the_plain_reference(raters):
    np.testing.assert_allclose(rater_disagreement(raters), reference(raters), atol=1e-12)


@given(MASKS, st.integers(0, 100))
@settings(deadline=None)
def test_it_lies_in_0_to_1_and_knows_no_order(raters, seed):
    found = rater_disagreement(raters)
    assert np.isnan(found) or 0 <= found <= 1
    rng = np.random.default_rng(seed)
    np.testing.assert_allclose(rater_disagreement(rng.permutation(raters)), found, atol=1e-12)
    np.testing.assert_allclose(rater_disagreement(np.flip(raters, axis=1)), found, atol=1e-12)


@given(MASKS)
@settings(deadline=None)
def test_equal_masks_agree_and_disjoint_ones_do_not(raters):
    if raters[0].any():
        assert rater_disagreement(np.stack([raters[0]] * 3)) == 0
        if not raters[0].all():
            assert rater_disagreement(np.stack([raters[0], ~raters[0]])) == 1


def test_by_hand():
    one = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    assert rater_disagreement(one[:2]) == pytest.approx(1 - 1 / 3)
    # One mask is empty: its two pairs have an IoU of 0.
    assert rater_disagreement(one) == pytest.approx(1 - (1 / 3 + 0 + 0) / 3)


def test_pairs_of_empty_masks_are_left_out():
    one = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    assert rater_disagreement(one) == 1
    assert np.isnan(rater_disagreement(np.zeros((3, 4), bool)))


@pytest.mark.parametrize(
    "raters", [np.zeros((2, 3)), np.zeros((1, 3), bool), np.zeros(4, bool)], ids=["numbers", "one", "flat"]
)
def test_what_is_no_set_of_masks_is_refused(raters):
    with pytest.raises(ValueError, match=r"expected bool \(R, \*spatial\) with R >= 2"):
        rater_disagreement(raters)


def test_examples():
    result = doctest.testmod(agreement)
    assert result.attempted > 0
    assert result.failed == 0


def test_real_raters_disagree_as_their_meta_says(data):
    folder = data / "lidc_4raters"
    if not folder.is_dir():
        pytest.skip(
            "no real cases of several raters here: lidc_4raters in the folder that ALEASEG_TEST_DATA names"
        )
    dataset = open_raters(folder)
    entries = json.loads((folder / "meta.json").read_text())[::7]
    assert len(entries) == 73
    found = [
        1 - rater_disagreement(dataset[entry["case"]].read_raters().array[:, 0] > 0) for entry in entries
    ]
    # The file holds four decimals.
    np.testing.assert_allclose(found, [entry["mean_pairwise_iou"] for entry in entries], atol=6e-5)


@given(arrays(np.float32, (3, 4), elements=st.sampled_from([0, 0.25, 0.5, 1, np.nan])))
@settings(deadline=None)
def test_mean_confidence_is_that_of_whatever_was_marked(q):
    marked = [float(value) for value in q.ravel() if value > 0]
    expected = sum(marked) / len(marked) if marked else np.nan
    np.testing.assert_allclose(mean_confidence(q), expected, rtol=1e-6)


def test_of_raters_who_agree_there_is_no_doubt_and_no_disagreement():
    masks = np.repeat(np.eye(4, dtype=bool)[None], 3, axis=0)
    assert mean_confidence(masks.mean(axis=0)) == 1
    assert rater_disagreement(masks) == 0
