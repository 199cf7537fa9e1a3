"""Agreement of a mask and a prediction: against other people's code, fixed numbers, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from aleaseg.measures.label_agreement import dice, near, softmin

masks = hnp.arrays(bool, (4, 5, 6))


def test_the_fixed_numbers():
    assert softmin(np.array([1.0, 1, 1, 0])) == pytest.approx(1.36e-4, rel=2e-3)
    for s in (0.0, 0.3, 1.0):
        assert softmin(np.full((3, 4), s)) == pytest.approx(s)
    same = np.random.default_rng(0).random((5, 6)) > 0.5
    assert dice(same, same) == 1
    assert dice(same, ~same) == 0
    assert np.isnan(dice(np.zeros(3, bool), np.zeros(3, bool)))
    assert dice(np.zeros(3, bool), np.ones(3, bool)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_softmin_is_cleanlabs(seed):
    rank = pytest.importorskip("cleanlab.segmentation.rank", reason="cleanlab is not installed")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (2, 12, 10))
    logits = rng.normal(0, 3, (2, 3, 12, 10)) + 3 * (np.arange(3)[:, None, None] == labels[:, None])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    theirs, pixels = rank.get_label_quality_scores(
        labels, probabilities, method="softmin", temperature=0.1, verbose=False
    )
    given = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(given, pixels, atol=1e-12)
    np.testing.assert_allclose([softmin(one) for one in given], theirs, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(float, st.integers(1, 30), elements=st.floats(0, 1)), st.floats(0.01, 100))
def test_softmin_lies_between_the_worst_and_the_mean(scores, temperature):
    found = softmin(scores, temperature)
    assert scores.min() - 1e-9 <= found <= scores.mean() + 1e-9
    assert softmin(scores, 1e6) == pytest.approx(scores.mean(), abs=1e-5)
    assert softmin(np.append(scores, np.nan), temperature) == pytest.approx(found)


def test_softmin_of_nothing_and_of_many_is_finite_where_it_can_be():
    assert np.isnan(softmin(np.zeros(0)))
    assert np.isnan(softmin(np.full(4, np.nan)))
    assert softmin(np.zeros(10_000_00, np.float32)) == 0


@settings(max_examples=50, deadline=None)
@given(masks, masks)
def test_dice_by_hand(one, other):
    if not one.any() and not other.any():
        assert np.isnan(dice(one, other))
        return
    assert dice(one, other) == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))
    assert dice(one, other) == dice(other, one)


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(bool, (9, 11), elements=st.integers(0, 20).map(lambda n: n == 0)),
    hnp.arrays(bool, (9, 11), elements=st.integers(0, 20).map(lambda n: n == 0)),
    st.integers(0, 4),
)
def test_near_is_a_dilation_by_a_box(one, other, voxels):
    union = one | other
    expected = (
        ndimage.binary_dilation(union, np.ones((2 * voxels + 1,) * 2))
        if union.any()
        else np.ones_like(union)
    )
    np.testing.assert_array_equal(near(one, other, voxels), expected)
