"""Channels brought to a case's grid: one by one, and of many slice by slice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures import regions
from aleaseg.training import channels as module
from aleaseg.training.channels import resample, sweep
from aleaseg.training.prediction import Prediction

VALUES = (1, 3, 4)
GRIDS = st.integers(2, 3).flatmap(lambda n: st.tuples(*[st.tuples(*[st.integers(1, 9)] * n)] * 2))


def by_the_book(maps, kind, shape, label, values=VALUES):
    """All channels at once, in double: the winner, what all of them sum to, the probability of each label."""
    whole = np.stack([resample(channel, shape) for channel in maps]).astype(float)
    places = np.select([label == value for value in values], range(1, len(values) + 1), 0)
    own = np.take_along_axis(whole, places[None], 0)[0]
    winner = np.array([0, *values])[whole.argmax(axis=0)]
    if kind == "probability":
        return winner, None, own
    if kind == "logit":
        total = np.log(np.exp(whole).sum(axis=0))
        return winner, total, np.exp(own - total)
    alpha = np.log1p(np.exp(whole)) + 1
    return winner, alpha.sum(axis=0), np.take_along_axis(alpha, places[None], 0)[0] / alpha.sum(axis=0)


class Made:
    """What makes the parts of an array that are asked for, and no more."""

    def __init__(self, maps):
        self.whole, self.shape, self.dtype, self.asked = maps, maps.shape, maps.dtype, []

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, key):
        found = self.whole[key]
        self.asked.append(found.size)
        return found


KINDS = st.sampled_from(["logit", "evidence", "probability"])


@pytest.mark.parametrize("many", [2, 99])
@settings(max_examples=40, deadline=None)
@given(GRIDS, KINDS, st.sampled_from([np.float16, np.float32]), st.booleans(), st.integers(0, 99))
def test_both_ways_against_all_at_once(many, grids, kind, precision, same_grid, seed):
    grid, shape = grids
    shape = grid if same_grid else shape
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 3, (4, *grid)).astype(precision)
    label = rng.choice([0, *VALUES, 8], shape)
    before = maps.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", many)
        patch.setattr(regions, "_SLAB", 20)
        found, asked = sweep(Made(maps), kind, shape, VALUES), sweep(maps, kind, shape, VALUES, label)
    np.testing.assert_array_equal(maps, before)
    winner, total, own = by_the_book(maps, kind, shape, label)
    whole = np.sort(np.stack([resample(channel, shape) for channel in maps]), axis=0)
    clear = whole[-1] - whole[-2] > 1e-4  # where two are even up to rounding either may win
    np.testing.assert_array_equal(found.label[clear], winner[clear])
    np.testing.assert_array_equal(asked.label, found.label)
    np.testing.assert_allclose(asked.given, own, atol=2e-5)
    assert found.given is None
    assert asked.total is None
    if total is None:
        assert found.total is None
    else:
        np.testing.assert_allclose(found.total, total, rtol=1e-5, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(KINDS, st.sampled_from([(7, 9), (5, 6, 7)]), st.sampled_from([0, 0.25, -3]), st.integers(0, 99))
def test_one_class_against_a_constant_is_looked_up(kind, shape, background, seed):
    """To the last digit what all channels tell, one after the other, in single precision."""
    rng = np.random.default_rng(seed)
    maps = np.stack([np.full(shape, background), rng.normal(0, 9, shape)]).astype(np.float16)
    maps[1].flat[:3] = -20, 6e4, background
    label = rng.choice([0, 3, 8], shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "_SLAB", 20)
        assert module._looked_up(maps, kind, shape, (3,)) is None, "so few voxels are not worth it"
        patch.setattr(module, "_WORTH_A_TABLE", 1)
        assert module._looked_up(maps, kind, shape, (3,)) is not None
        found, asked = sweep(maps, kind, shape, (3,)), sweep(maps, kind, shape, (3,), label)
        plain = sweep(maps.astype(np.float32), kind, shape, (3,))
        plain_asked = sweep(maps.astype(np.float32), kind, shape, (3,), label)
    for one, other in zip((*found, *asked), (*plain, *plain_asked), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)
        maps[0].flat[-1] += 1
        assert module._looked_up(maps, kind, shape, (3,)) is None, "the background is not one number"


def test_of_a_volume_a_few_slices_are_made_at_a_time(monkeypatch):
    monkeypatch.setattr(regions, "_SLAB", 2 * 6 * 7)
    maps = np.random.default_rng(0).normal(size=(3, 20, 6, 7)).astype(np.float32)
    label = np.zeros((20, 6, 7), np.int16)
    for many in (2, 99):
        monkeypatch.setattr(module, "MANY", many)
        made = Made(maps)
        sweep(made, "logit", label.shape, (1, 2), label)
        assert max(made.asked) <= 3 * 2 * 6 * 7


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
