"""Confident learning: against cleanlab, by hand, and what must hold of any case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures.confident_learning import Thresholds, case_issue_share, issue_share

GRID = (5, 6, 4)


def random_case(seed, channels, sure=1.5):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, channels, GRID).astype(np.uint8)
    logits = rng.normal(0, 1.5, (channels, *GRID)) + sure * (
        np.arange(channels)[:, None, None, None] == label
    )
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    label[rng.random(GRID) < 0.1] = 255
    return p, label, rng.random(GRID) < 0.8


cases = st.builds(random_case, st.integers(0, 999), st.integers(2, 5))


def reference(p, label, where, t):
    """The rule, voxel by voxel."""
    issues = []
    for v in np.argwhere(where & (label != 255)):
        here = p[(slice(None), *v)]
        confident = [k for k in range(len(p)) if here[k] >= t[k] - 1e-6]
        best = max(confident, key=lambda k: here[k], default=None)
        issues.append(best is not None and best != label[tuple(v)])
    return np.mean(issues)


@settings(max_examples=30, deadline=None)
@given(cases)
def test_equals_the_rule(case):
    p, label, where = case
    thresholds = Thresholds.of(p, label, where)
    share = issue_share(p, label, thresholds, where)
    assert share == pytest.approx(reference(p, label, where, thresholds.values))
    assert share == case_issue_share(p, label, where)
    assert share == issue_share(iter(p), label, Thresholds.of(iter(p), label, where), where)
    assert 0 <= share <= 1


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_thresholds_and_issues_are_cleanlabs(channels):
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed")
    p, label, _ = random_case(channels, channels)
    known = label != 255
    rows, y = p[:, known].T.astype(np.float32), label[known].astype(int)
    thresholds = Thresholds.of(p, label)
    np.testing.assert_allclose(thresholds.values, count.get_confident_thresholds(y, rows), rtol=1e-5)
    # Of several confident classes cleanlab takes the likeliest of all classes, the paper the likeliest
    # of the confident ones: compared where that is the same.
    confident = rows >= thresholds.values - 1e-6
    same = (confident.sum(axis=1) < 2) | confident[np.arange(len(rows)), rows.argmax(axis=1)]
    assert same.mean() > 0.9
    _, off_diagonal = count.compute_confident_joint(
        y[same],
        rows[same],
        thresholds=thresholds.values,
        calibrate=False,
        return_indices_of_off_diagonals=True,
    )
    assert len(off_diagonal) > 0
    found = issue_share(rows[same].T, y[same], thresholds)
    assert found == pytest.approx(len(off_diagonal) / same.sum())


@settings(max_examples=20, deadline=None)
@given(cases, st.integers(0, 99))
def test_the_order_of_the_channels_does_not_matter(case, seed):
    p, label, where = case
    order = np.random.default_rng(seed).permutation(len(p))
    renamed = np.append(np.argsort(order), [255])[np.where(label == 255, len(p), label)]
    assert case_issue_share(p[order], renamed, where) == case_issue_share(p, label, where)


def test_a_sure_network_that_agrees_has_no_issue_and_one_that_disagrees_has_only_issues():
    label = np.array([0, 0, 1, 2], np.uint8)
    sure = np.eye(3)[label].T
    population = Thresholds(total=np.array([8.0, 8.0, 8.0]), count=np.array([10, 10, 10]))
    assert issue_share(sure, label, population) == case_issue_share(sure, label) == 0
    assert issue_share(sure, (label + 1) % 3, population) == 1
    unsure = np.full((3, 4), 1 / 3)
    assert issue_share(unsure, label, population) == 0  # confident of nothing: nothing is said
    assert case_issue_share(unsure, label) == 0  # a tie is no evidence


def test_a_class_that_was_never_given_is_never_confident():
    label = np.array([0, 0], np.uint8)
    p = np.array([[0.1, 0.2], [0.9, 0.8]])
    assert Thresholds.of(p, label).values.tolist() == [pytest.approx(0.15), np.inf]
    assert case_issue_share(p, label) == 0


def test_nothing_annotated_is_no_number():
    p = np.full((2, 3), 0.5)
    assert np.isnan(case_issue_share(p, np.full(3, 255)))
    assert case_issue_share(p[:, :1], np.array([1])) == 0  # one voxel reaches its own threshold


def test_bad_input_says_what_was_expected():
    p, label = np.full((2, 3), 0.5), np.array([0, 1, 1])
    two, three = Thresholds.of(p, label), Thresholds(np.ones(3), np.ones(3, int))
    with pytest.raises(ValueError, match="got 2 channels; expected those of the thresholds, 3"):
        issue_share(p, label, three)
    with pytest.raises(ValueError, match="got 3 channels; expected those of the thresholds, 2"):
        issue_share(np.full((3, 3), 1 / 3), label, two)
    with pytest.raises(ValueError, match="got 0 channels"):
        case_issue_share(iter(p), label)
