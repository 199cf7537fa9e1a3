"""Channels brought to a case's grid: one by one, and of many slice by slice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.training import channels as module
from aleaseg.training.channels import resample, sweep
from aleaseg.training.prediction import Prediction

VALUES = (1, 3, 4)
GRIDS = st.integers(2, 3).flatmap(lambda n: st.tuples(*[st.tuples(*[st.integers(1, 9)] * n)] * 2))


def by_the_book(maps, kind, shape, label):
    """All channels at once, in double."""
    whole = np.stack([resample(channel, shape) for channel in maps]).astype(float)
    places = np.select([label == value for value in VALUES], range(1, 4), 0)
    total = np.log(np.exp(whole).sum(axis=0)) if kind == "logit" else None
    if kind == "evidence":
        total = (np.log1p(np.exp(whole)) + 1).sum(axis=0)
    return (
        np.array([0, *VALUES])[whole.argmax(axis=0)],
        total,
        np.take_along_axis(whole, places[None], 0)[0],
    )


@pytest.mark.parametrize("many", [2, 99])
@settings(max_examples=40, deadline=None)
@given(
    GRIDS,
    st.sampled_from(["logit", "evidence", "probability"]),
    st.sampled_from([np.float16, np.float32]),
    st.integers(0, 99),
)
def test_both_ways_against_all_at_once(many, grids, kind, precision, seed):
    grid, shape = grids
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 3, (4, *grid)).astype(precision)
    label = rng.choice([0, *VALUES, 8], shape)
    before = maps.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", many)
        found = sweep(maps, kind, shape, VALUES, label)
    np.testing.assert_array_equal(maps, before)
    winner, total, own = by_the_book(maps, kind, shape, label)
    whole = np.sort(np.stack([resample(channel, shape) for channel in maps]), axis=0)
    clear = whole[-1] - whole[-2] > 1e-4  # where two are even up to rounding either may win
    np.testing.assert_array_equal(found.label[clear], winner[clear])
    np.testing.assert_allclose(found.given, own, atol=2e-5)
    if total is None:
        assert found.total is None
    else:
        np.testing.assert_allclose(found.total, total, rtol=1e-5, atol=2e-5)


def test_a_prediction_of_many_classes():
    rng = np.random.default_rng(0)
    classes = {f"c{value}": (value,) for value in range(1, 60)}
    maps = rng.normal(0, 4, (60, 5, 6, 7)).astype(np.float16)
    label = rng.integers(0, 60, (9, 13, 11))
    one = Prediction(maps, "logit", label.shape, classes)
    whole = np.stack([resample(channel, label.shape) for channel in maps]).astype(float)
    p = np.exp(whole) / np.exp(whole).sum(axis=0)
    np.testing.assert_allclose(one.given(label), np.take_along_axis(p, label[None], 0)[0], atol=1e-6)
    assert (one.labels() == p.argmax(axis=0)).mean() > 0.999
    np.testing.assert_allclose(one.probability("c7"), p[7], atol=1e-6)


def test_values_that_sixteen_bits_do_not_hold():
    found = Prediction(np.eye(2)[:, None].repeat(3, 1), "logit", (3, 2), {"a": (70_000,)})
    assert found.labels().tolist() == [[0, 70_000]] * 3


def test_a_label_map_comes_as_it_is():
    label = np.array([[0, 3], [1, 1]], np.uint8)
    found = Prediction(label[None], "label", (2, 2), {"a": (1,), "b": (3,)})
    assert found.labels() is not None
    np.testing.assert_array_equal(found.labels(), label)
    assert found.given(label) is None
