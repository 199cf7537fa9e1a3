"""Classes in their own boxes, against whole volumes gone through once for each class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.measures import regions as module
from aleaseg.measures.boundary import REACH, boundary_contrast, boundary_shape
from aleaseg.measures.mask_quality import mask_statistics
from aleaseg.measures.regions import Regions, around, count_pairs, indices, occupied, slabs

VALUES = (1, 2, 5, 7)
labels = hnp.arrays(
    st.sampled_from([np.int16, np.int32, np.uint8]),
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
    elements=st.sampled_from([0, 0, 0, 1, 2, 5, 9]),
    fill=st.just(0),
)
classes = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
# Small values, and such as FreeSurfer's or what nobody declares, which no table has room for.
offsets = st.sampled_from([0, -3, 200_000])


def moved(label, values, offset):
    """The same label map in other numbers, background 0."""
    return np.where(label > 0, label.astype(np.int64) + offset, 0), [value + offset for value in values]


@pytest.fixture(autouse=True, scope="module")
def _small_slabs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SLAB", 20)
        yield


@settings(max_examples=80, deadline=None)
@given(labels, classes, offsets, st.integers(0, 3), st.sampled_from([0, 8]))
def test_a_window_holds_the_class_and_no_more(label, values, offset, margin, few):
    """Found one after the other, or all at once."""
    label, values = moved(label, values, offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW", few)
        found = Regions.of(label, values)
    mask, window = np.isin(label, values), found.window(values, margin)
    if not mask.any():
        assert found.mask(values, window).size == 0
        return
    for axis, part in enumerate(window):
        where = np.nonzero(mask)[axis]
        assert part.start == max(0, where.min() - margin)
        assert part.stop == min(label.shape[axis], where.max() + 1 + margin)
    np.testing.assert_array_equal(found.mask(values, window), mask[window])


@settings(max_examples=60, deadline=None)
@given(labels, classes, offsets)
def test_places_of_labels_by_a_loop(label, values, offset):
    values = sorted(set(values))
    label, values = moved(label, values, offset)
    expected = np.zeros(label.shape, int)
    for place, value in enumerate(values, start=1):
        expected[label == value] = place
    np.testing.assert_array_equal(indices(label, values), expected)
    shuffled = values[::-1]
    expected = np.where(expected > 0, len(values) + 1 - expected, 0)
    np.testing.assert_array_equal(indices(label, shuffled), expected)


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 99), st.sampled_from([None, 5, 9]))
def test_pairs_are_counted_as_masks_are(label, seed, ignore):
    other = np.random.default_rng(seed).choice([0, 1, 2, 5, 8], label.shape)
    valid = np.ones(label.shape, bool) if ignore is None else label != ignore
    found = count_pairs(label, other, VALUES, ignore)
    assert found.sum() == valid.sum()
    for a, one in enumerate(VALUES, start=1):
        assert found[a].sum() == (valid & (label == one)).sum()
        assert found[:, a].sum() == (valid & (other == one)).sum()
        for b, two in enumerate(VALUES, start=1):
            assert found[a, b] == (valid & (label == one) & (other == two)).sum()
    with pytest.raises(ValueError, match="expected the same"):
        count_pairs(label, other[:-1], VALUES)


@settings(max_examples=60, deadline=None)
@given(labels, classes, st.integers(0, 99), st.booleans())
def test_a_statistic_in_a_box_is_that_of_the_whole(label, values, seed, some):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=label.shape).astype(np.float32)
    valid = rng.random(label.shape) > 0.1 if some else None
    spacing = (2.5, 0.7, 1.1)[-label.ndim :]
    mask, found = np.isin(label, values), Regions.of(label, values)
    window = found.window(values, REACH)
    small = found.mask(values, window)
    known = None if valid is None else valid[window]
    for whole, part in (
        (mask_statistics(mask, spacing), mask_statistics(small, spacing, window=window, shape=label.shape)),
        (boundary_shape(mask), boundary_shape(small)),
        (boundary_contrast(mask, image, valid), boundary_contrast(small, image[window], known)),
    ):
        assert dict(whole) == pytest.approx(dict(part), nan_ok=True, rel=0, abs=0)


def test_no_class_and_no_voxel():
    assert Regions.of(np.zeros((0, 3), np.int16), [1]).boxes == {}
    assert Regions.of(np.ones((2, 3), np.int16), []).boxes == {}
    assert indices(np.ones((2, 3), np.int16), []).tolist() == [[0] * 3] * 2
    assert around([(slice(1, 2),), (slice(4, 5),)], (5,), 1) == (slice(0, 5),)


@given(st.integers(1, 50), st.integers(1, 30), st.integers(1, 30))
def test_slabs_are_the_whole_once(depth, height, width):
    parts = list(slabs((depth, height, width)))
    assert [k for part in parts for k in range(depth)[part]] == list(range(depth))
    assert all(
        (part.stop - part.start) * height * width <= 20 or part.stop == part.start + 1 for part in parts
    )


@settings(max_examples=60, deadline=None)
@given(labels, st.sampled_from([None, 1, 5, 7]))
def test_the_box_about_what_is_there(label, value):
    there = label != 0 if value is None else label == value
    found = occupied(label, value)
    assert (found is not None) == there.any()
    if found is not None:
        assert [(side.start, side.stop) for side in found] == [
            (int(places.min()), int(places.max()) + 1) for places in np.nonzero(there)
        ]
    assert occupied(there) == found


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 60))
def test_slabs_of_so_many_voxels(depth, height, most):
    parts = list(slabs((depth, height, 4), most))
    assert [k for part in parts for k in range(depth)[part]] == list(range(depth))
    assert all((part.stop - part.start) * height * 4 <= max(most, height * 4) for part in parts)
