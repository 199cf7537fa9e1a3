"""Cross-entropy and error norm: against scikit-learn, SciPy and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from aleaseg.measures.label_loss import Evidence, annotated, cross_entropy, error_norm

GRID = (3, 4, 5)


def random_case(seed, channels, spread=3.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, channels, GRID).astype(np.uint8)
    label[rng.random(GRID) < 0.2] = 255
    return rng.normal(0, spread, (channels, *GRID)).astype(np.float32), label, rng.random(GRID) < 0.7


cases = st.builds(random_case, st.integers(0, 999), st.integers(2, 5), st.sampled_from([0.1, 3.0, 50.0]))


@settings(max_examples=40, deadline=None)
@given(cases)
def test_the_error_norm_is_that_of_the_softmax(case):
    logits, label, where = case
    inside = where & (label != 255)
    p = softmax(logits.astype(float), axis=0)[:, inside]
    expected = np.linalg.norm(p - np.eye(len(logits))[label[inside]].T, axis=0).mean()
    assert error_norm(logits, label, where) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert 0 <= error_norm(logits, label, where) <= np.sqrt(2) + 1e-6
    assert error_norm(iter(logits), label, where) == error_norm(logits, label, where)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_the_evidence_is_that_of_each_voxel(case):
    logits, label, where = case
    index = annotated(label, where)
    found = Evidence.of(logits, label.shape, index, label.ravel()[index])
    inside = where & (label != 255)
    flat, y = logits[:, inside].astype(float), label[inside]
    here = np.arange(y.size)
    others = flat.copy()
    others[y, here] = -np.inf
    np.testing.assert_allclose(found.margin, flat[y, here] - others.max(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.probability, softmax(flat, axis=0)[y, here], rtol=1e-4, atol=1e-30)


def test_a_confident_network_has_no_rounding_error_where_it_is_right():
    logits = np.array([[20.0], [0.0], [0.0]], np.float32)
    q = np.exp(-20.0)
    exact = np.sqrt((2 * q) ** 2 + 2 * q**2) / (1 + 2 * q)  # 1 - p is 2q / (1 + 2q)
    assert error_norm(logits, np.array([0])) == pytest.approx(exact, rel=1e-4)
    assert error_norm(logits * 1000, np.array([1])) == pytest.approx(np.sqrt(2))
    assert error_norm(logits * 1000, np.array([0])) == 0


def test_cross_entropy_is_scikit_learns():
    from sklearn.metrics import log_loss

    p = np.random.default_rng(0).dirichlet(np.ones(4), 200)
    y = np.random.default_rng(1).integers(0, 4, 200)
    own = p[np.arange(200), y]
    assert cross_entropy(own) == pytest.approx(log_loss(y, p, labels=range(4)), rel=1e-9)


def test_cross_entropy_by_hand():
    assert cross_entropy(np.ones((2, 3))) == 0
    assert cross_entropy(np.zeros(3, np.float32)) == pytest.approx(-np.log(1e-7))
    p = np.array([[0.5, np.nan], [0.25, 0.1]])
    assert cross_entropy(p, np.array([[1, 1], [1, 0]])) == pytest.approx(1.5 * np.log(2))
    assert np.isnan(cross_entropy(np.full(3, np.nan)))
    assert np.isnan(cross_entropy(p, np.zeros((2, 2), bool)))
    many = np.random.default_rng(0).random(2**20 + 7, dtype=np.float32)
    assert cross_entropy(many) == pytest.approx(-np.log(many.astype(float).clip(1e-7)).mean(), rel=1e-9)


def test_nothing_annotated_is_no_number():
    assert np.isnan(error_norm(np.zeros((2, 3)), np.full(3, 255)))
    assert np.isnan(error_norm(np.zeros((2, 3)), np.zeros(3), np.zeros(3, bool)))


def test_bad_input_says_what_was_expected():
    with pytest.raises(ValueError, match=r"shape \(4,\); expected the label's \(3,\)"):
        error_norm(np.zeros((2, 4)), np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=r"where has shape \(2,\)"):
        error_norm(np.zeros((2, 3)), np.zeros(3, np.uint8), np.ones(2, bool))
    with pytest.raises(ValueError, match="run from 0 to 2; expected class indices 0 to 1"):
        error_norm(np.zeros((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="1 channels; expected the background and at least one"):
        error_norm(np.zeros((1, 3)), np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="channel 1 holds NaN"):
        error_norm(np.array([[0.0], [np.nan]]), np.array([0]))
    with pytest.raises(ValueError, match="expected that of the probabilities"):
        cross_entropy(np.ones(3), np.ones(2, bool))
