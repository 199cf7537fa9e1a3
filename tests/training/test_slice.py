"""A slice of a prediction is the slice of its label map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.training.prediction import Prediction, resample

CLASSES = {"a": (1,), "b": (2,), "c": (5,)}
NESTED = {"whole": (1, 2, 3), "core": (2, 3), "middle": (3,)}
GRID = st.tuples(*[st.integers(1, 9)] * 3)


@settings(max_examples=40, deadline=None)
@given(GRID, GRID, st.sampled_from(["logit", "evidence", "probability", "regions"]), st.integers(0, 99))
def test_a_slice_is_that_of_the_label_map(grid, shape, kind, seed):
    maps = np.random.default_rng(seed).normal(size=(4, *grid)).astype(np.float16)
    found = Prediction(maps, kind, shape, CLASSES) if kind != "regions" else None
    found = found or Prediction(maps[:3], "logit", shape, NESTED, True)
    whole = np.stack([resample(channel, shape) for channel in found.maps])
    # Where two channels are even up to rounding either may win; a threshold may fall on either side.
    first, second = np.sort(whole, axis=0)[-2:][::-1] if kind != "regions" else (np.abs(whole).min(0), 0)
    clear = first - second > 1e-4
    for axis in range(3):
        slices = [found.slice(axis, k) for k in range(shape[axis])]
        np.testing.assert_array_equal(np.stack(slices, axis=axis)[clear], found.labels()[clear])
    assert clear.mean() > 0.9


def test_hard_labels_and_pictures():
    labels = np.arange(24).reshape(1, 2, 3, 4)
    found = Prediction(labels, "label", (2, 3, 4), {"a": (1,)})
    np.testing.assert_array_equal(found.slice(2, 1), labels[0, :, :, 1])
    with pytest.raises(ValueError, match="no slices"):
        Prediction(np.zeros((2, 3, 4)), "logit", (3, 4), {"a": (1,)}).slice(0, 0)
