"""Masks grown and shrunk by shifting, against SciPy's filters."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from aleaseg.measures.morphology import grown, grown_by_box, shrunk

masks = hnp.arrays(bool, hnp.array_shapes(max_dims=3, max_side=8))


@settings(max_examples=80, deadline=None)
@given(masks, st.integers(1, 3), st.data())
def test_along_some_axes(mask, times, data):
    axes = data.draw(st.sets(st.integers(0, mask.ndim - 1)))
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    for axis in set(range(mask.ndim)) - axes:
        cross = cross & (np.arange(3) == 1).reshape(
            [3 if other == axis else 1 for other in range(mask.ndim)]
        )
    before = mask.copy()
    np.testing.assert_array_equal(
        grown(mask, axes, times), ndimage.binary_dilation(mask, cross, iterations=times)
    )
    np.testing.assert_array_equal(
        shrunk(mask, axes, times), ndimage.binary_erosion(mask, cross, iterations=times, border_value=1)
    )
    np.testing.assert_array_equal(mask, before)


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(0, 4))
def test_by_a_box(mask, voxels):
    box = np.ones((2 * voxels + 1,) * mask.ndim)
    np.testing.assert_array_equal(grown_by_box(mask, voxels), ndimage.binary_dilation(mask, box))
