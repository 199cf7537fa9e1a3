"""Entropy of the softmax: against SciPy, and its laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from scipy.stats import entropy

from aleaseg.measures.entropy import mean_entropy, softmax_entropy

QUICK = settings(max_examples=50, deadline=None)
logits_of_voxels = hnp.arrays(
    float, st.tuples(st.integers(2, 5), st.integers(1, 6)), elements=st.floats(-50, 50)
)


@QUICK
@given(logits_of_voxels)
def test_it_is_scipys_in_parts_of_ln_c(logits):
    expected = entropy(softmax(logits, axis=0), axis=0) / np.log(len(logits))
    np.testing.assert_allclose(softmax_entropy(logits), expected, atol=1e-9)
    assert mean_entropy(logits, np.ones(logits.shape[1])) == pytest.approx(expected.mean(), abs=1e-9)


@QUICK
@given(logits_of_voxels, st.floats(-1e3, 1e3), st.randoms())
def test_an_offset_and_the_order_of_the_channels_do_not_matter(logits, offset, random):
    found = softmax_entropy(logits)
    assert ((found >= 0) & (found <= 1)).all()
    order = random.sample(range(len(logits)), len(logits))
    np.testing.assert_allclose(softmax_entropy(logits[order] + offset), found, atol=1e-9)


def test_two_classes_at_the_ends_and_between():
    assert mean_entropy(np.zeros((7, 3, 3)), np.ones((3, 3))) == pytest.approx(1)
    assert softmax_entropy([[1e4], [-1e4], [0.0]]).tolist() == [0.0]
    p = 0.9
    expected = -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)
    assert softmax_entropy([math.log(p), math.log(1 - p)]) == pytest.approx(expected, rel=1e-12)


def test_only_voxels_that_count_do():
    logits = np.zeros((2, 2, 2), np.float32)
    logits[0, 0] = 5000
    assert mean_entropy(logits, [[1, 1], [0, 0]]) == 0
    assert mean_entropy(logits, [[0, 0], [2, 1]]) == 1
    assert math.isnan(mean_entropy(logits, np.zeros((2, 2))))
    with pytest.raises(ValueError, match="grid"):
        mean_entropy(logits, np.ones(4))
