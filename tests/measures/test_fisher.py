"""Fisher certainty: SciPy's trigamma, and the ends of the range."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import polygamma

from aleaseg.measures import fisher
from aleaseg.measures.fisher import fisher_certainty

QUICK = settings(max_examples=50, deadline=None)


def test_no_evidence_is_no_certainty():
    assert polygamma(1, 1) == pytest.approx(math.pi**2 / 6)  # a = 1
    logits = np.full((3, 2, 2), -2000.0)
    predicted = np.array([[0, 1], [1, 2]])
    assert fisher_certainty(logits, predicted).tolist() == [0, 0]
    assert fisher_certainty(logits + 1e6, predicted) == pytest.approx([1, 1], abs=1e-5)


def test_it_is_the_mean_trigamma_where_the_class_is_predicted(monkeypatch):
    monkeypatch.setattr(fisher, "_CHUNK", 7)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (4, 5, 6, 7)).astype(np.float32)
    predicted = logits.argmax(axis=0)
    predicted[predicted == 2] = 0
    alpha = np.log1p(np.exp(logits.astype(float))) + 1
    expected = [
        1 - np.mean([polygamma(1, a) for a in alpha[c][predicted == c]]) * 6 / math.pi**2 for c in (1, 3)
    ]
    found = fisher_certainty(logits, predicted)
    np.testing.assert_allclose(found, [expected[0], np.nan, expected[1]], rtol=1e-10)


@QUICK
@given(hnp.arrays(float, (3, 6), elements=st.floats(-30, 30)), st.floats(0.01, 30))
def test_more_evidence_is_more_certainty_within_the_range(logits, more):
    predicted = np.array([0, 1, 1, 2, 2, 2])
    before, after = fisher_certainty(logits, predicted), fisher_certainty(logits + more, predicted)
    assert ((before >= 0) & (after <= 1) & (after >= before)).all()


def test_a_class_that_is_not_predicted_has_none():
    logits = np.zeros((3, 4))
    assert np.isnan(fisher_certainty(logits, np.zeros(4, int))).all()
    assert fisher_certainty(np.zeros((2, 0)), np.zeros(0, int)).tolist() == pytest.approx(
        [math.nan], nan_ok=True
    )


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="2 channels or more"):
        fisher_certainty(np.zeros((1, 4)), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"\(5,\); expected the logits' grid \(4,\)"):
        fisher_certainty(np.zeros((2, 4)), np.zeros(5, int))
    with pytest.raises(ValueError, match="classes 0 to 2; expected 0 to 1"):
        fisher_certainty(np.zeros((2, 4)), [0, 1, 2, 0])
    with pytest.raises(ValueError, match="NaN or infinite"):
        fisher_certainty([[0.0], [np.nan]], [1])
    assert np.isfinite(fisher_certainty([[np.nan], [0.0]], [1])).all()  # a channel that does not count
