"""Learning dynamics: against all looks held at once, and what must hold of any training."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from aleaseg.measures.learning_dynamics import Dynamics

NAMES = ("aum", "forgetting", "cartography_confidence", "cartography_variability", "el2n")

GRID = (4, 5, 3)


def random_training(seed, channels, looks):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, channels, GRID).astype(np.uint8)
    label[rng.random(GRID) < 0.2] = 255
    logits = rng.normal(0, 2, (looks, channels, *GRID)).astype(np.float32)
    return logits, label, rng.random(GRID) < 0.7


trainings = st.builds(random_training, st.integers(0, 999), st.integers(2, 5), st.integers(1, 7))


def reference(logits, label, where, early):
    """The formulas, voxel by voxel, with all looks at hand."""
    found = {name: [] for name in NAMES}
    for v in np.argwhere(where & (label != 255)):
        f = logits[(slice(None), slice(None), *v)].astype(float)  # (look, channel)
        y = label[tuple(v)]
        p = softmax(f, axis=1)
        margin = f[:, y] - np.delete(f, y, axis=1).max(axis=1)
        right = margin > 0
        forgotten = sum(a and not b for a, b in pairwise(right))
        found["aum"].append(margin.mean())
        found["forgetting"].append(forgotten if right.any() else len(f))
        found["cartography_confidence"].append(p[:, y].mean())
        found["cartography_variability"].append(p[:, y].std())
        found["el2n"].append(np.linalg.norm(p[early] - np.eye(f.shape[1])[y]))
    return {name: np.mean(values) for name, values in found.items()}


def watched(logits, label, where=None, early=0):
    dynamics = Dynamics.start(label, where)
    for number, look in enumerate(logits):
        dynamics.update(look, early=number >= early)
    return dynamics


@settings(max_examples=30, deadline=None)
@given(trainings, st.data())
def test_equals_the_formulas(training, data):
    logits, label, where = training
    early = data.draw(st.integers(0, len(logits) - 1))
    found = watched(logits, label, where, early).summary()
    expected = reference(logits, label, where, early)
    assert list(found) == list(NAMES)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(trainings)
def test_saving_and_loading_between_looks_changes_nothing(training):
    logits, label, where = training
    saved = Dynamics.start(label, where)
    for number, look in enumerate(logits):
        file = io.BytesIO()
        np.savez(file, **saved.to_arrays())
        file.seek(0)
        saved = Dynamics.from_arrays(np.load(file))
        saved.update(iter(look), early=number >= 1)
    straight = watched(logits, label, where, early=1)
    np.testing.assert_equal(saved.summary(), straight.summary())
    np.testing.assert_equal(saved.to_arrays(), straight.to_arrays())


def test_what_was_given_out_is_not_written_to():
    logits, label, where = random_training(0, 3, 4)
    dynamics = watched(logits[:2], label, where)
    before = {name: array.copy() for name, array in dynamics.to_arrays().items()}
    given_out = dynamics.to_arrays()
    dynamics.update(logits[2])
    np.testing.assert_equal(given_out, before)


def test_one_look_does_not_vary_and_forgets_nothing_it_knew():
    logits, label, where = random_training(1, 3, 1)
    found = watched(logits, label, where).summary()
    assert found["cartography_variability"] == 0
    f, y = logits[0], np.where(label == 255, 0, label)
    inside = where & (label != 255)
    wrong = (f.argmax(axis=0) != y)[inside]
    assert found["forgetting"] == pytest.approx(wrong.mean())


@pytest.mark.parametrize("channels", [2, 4])
def test_a_perfect_network_is_sure_and_forgets_nothing(channels):
    label = np.random.default_rng(0).integers(0, channels, GRID).astype(np.uint8)
    perfect = np.stack([40.0 * (label == k) - 20.0 for k in range(channels)])
    found = watched([perfect] * 5, label).summary()
    assert found["aum"] == pytest.approx(40)
    assert found["forgetting"] == 0
    assert found["cartography_confidence"] == pytest.approx(1)
    assert found["cartography_variability"] == pytest.approx(0, abs=1e-6)
    assert found["el2n"] < 1e-6
    swapped = watched([perfect] * 5, ((label + 1) % channels).astype(np.uint8)).summary()
    assert swapped["aum"] == pytest.approx(-40)
    assert swapped["forgetting"] == 5  # never learned counts as every look
    assert swapped["cartography_confidence"] < 1e-6
    assert swapped["el2n"] == pytest.approx(np.sqrt(2))


def test_forgetting_counts_the_falls():
    right, wrong = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    tie = np.array([[1.0], [1.0]])
    label = np.array([0], np.uint8)
    for looks, falls in (
        ([wrong, right, wrong, right, wrong], 2),
        ([wrong, wrong, right], 0),
        ([right, wrong, wrong], 1),
        ([right, tie], 1),  # a tie is not right
        ([wrong, wrong], 2),
    ):
        assert watched(looks, label).summary()["forgetting"] == falls


def test_el2n_is_of_the_first_early_look():
    logits, label, where = random_training(2, 3, 5)
    dynamics = watched(logits, label, where, early=2)
    assert dynamics.summary()["el2n"] == watched(logits[2:3], label, where).summary()["el2n"]
    assert np.isnan(watched(logits, label, where, early=9).summary()["el2n"])


def test_logits_of_any_size_stay_finite():
    logits = np.array([[1e4, -1e4, 3e4], [-1e4, 1e4, -3e4]], np.float32)
    found = watched([logits, -logits], np.array([0, 0, 1], np.uint8)).summary()
    assert np.isfinite(list(found.values())).all()
    assert found["cartography_variability"] == pytest.approx(0.5)
    assert found["aum"] == pytest.approx(0)


def test_half_precision_and_a_part_of_a_volume_are_fine():
    logits, label, where = random_training(3, 3, 3)
    half = watched(logits.astype(np.float16), label, where).summary()
    assert half == pytest.approx(watched(logits, label, where).summary(), abs=0.05)
    dynamics = Dynamics.start(label, where)
    count = np.count_nonzero(where & (label != 255))
    assert {dynamics.margin.dtype, dynamics.confidence.dtype, dynamics.deviation.dtype} == {
        np.dtype("float32")
    }
    dynamics.update(logits[0])
    assert {dynamics.margin.dtype, dynamics.confidence.dtype, dynamics.deviation.dtype} == {
        np.dtype("float32")
    }
    per_voxel = (
        sum(array.nbytes for array in dynamics.to_arrays().values() if array.shape == (count,)) / count
    )
    assert per_voxel <= 24


def test_without_voxels_or_looks_there_is_no_number():
    label = np.full(GRID, 255, np.uint8)
    assert np.isnan(list(watched(np.zeros((2, 2, *GRID)), label).summary().values())).all()
    assert np.isnan(list(Dynamics.start(np.zeros(GRID, np.uint8)).summary().values())).all()


def test_bad_input_says_what_was_expected():
    dynamics = Dynamics.start(np.array([0, 1], np.uint8))
    with pytest.raises(ValueError, match=r"channel 0 has shape \(3,\); expected the label's \(2,\)"):
        dynamics.update(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="channel 0 holds NaN"):
        dynamics.update(np.full((2, 2), np.nan))
    assert dynamics.looks == 0
    with pytest.raises(ValueError, match="lack margin, looks"):
        Dynamics.from_arrays(
            {k: v for k, v in dynamics.to_arrays().items() if k not in ("margin", "looks")}
        )
