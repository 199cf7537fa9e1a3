"""A slice of bricks is the slice of the volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.review.bricks import EDGE, read_slice, read_volume, write_volume

SIZES = st.integers(1, 70)


@settings(max_examples=25, deadline=None)
@given(st.tuples(SIZES, SIZES, SIZES), st.sampled_from(["|u1", "<i2", "<f4"]), st.data())
def test_every_slice_is_the_volume_s(tmp_path_factory, shape, kind, data):
    volume = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    path = tmp_path_factory.mktemp("bricks") / "volume.raw"
    slabs = (volume[first : first + EDGE] for first in range(0, shape[0], EDGE))
    write_volume(path, slabs, shape, np.dtype(kind))
    np.testing.assert_array_equal(read_volume(path, shape, np.dtype(kind)), volume)
    for axis in range(3):
        k = data.draw(st.integers(0, shape[axis] - 1))
        found = read_slice(path, shape, np.dtype(kind), axis, k)
        np.testing.assert_array_equal(found, np.take(volume, k, axis=axis))
        assert found.flags.c_contiguous


def test_a_slice_beyond_the_volume_is_none_of_it(tmp_path):
    write_volume(tmp_path / "a", [np.ones((4, 5, 6), np.uint8)], (4, 5, 6), np.dtype("u1"))
    with pytest.raises(IndexError):
        read_slice(tmp_path / "a", (4, 5, 6), np.dtype("u1"), 0, 4)
