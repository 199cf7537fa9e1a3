"""A slice of bricks is the slice of the volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.review.bricks import brick_file, put, read_slice

SIZES = st.integers(1, 70)


@settings(max_examples=25, deadline=None)
@given(st.tuples(SIZES, SIZES, SIZES), st.sampled_from(["|u1", "<i2", "<f4"]), st.data())
def test_every_slice_is_the_volume_s(tmp_path_factory, shape, kind, data):
    volume = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    path = tmp_path_factory.mktemp("bricks") / "volume.raw"
    bricks = brick_file(path, shape, np.dtype(kind))
    step = data.draw(st.integers(1, 40))
    for first in range(0, shape[0], step):
        put(bricks, first, volume[first : first + step])
    bricks.flush()
    for axis in range(3):
        k = data.draw(st.integers(0, shape[axis] - 1))
        found = read_slice(path, shape, np.dtype(kind), axis, k)
        np.testing.assert_array_equal(found, np.take(volume, k, axis=axis))
        assert found.flags.c_contiguous


def test_a_slice_beyond_the_volume_is_none_of_it(tmp_path):
    brick_file(tmp_path / "a", (4, 5, 6), np.dtype("u1")).flush()
    with pytest.raises(IndexError):
        read_slice(tmp_path / "a", (4, 5, 6), np.dtype("u1"), 0, 4)
