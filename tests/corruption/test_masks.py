"""Laws that every fault of a mask keeps, and what each one changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.corruption import masks
from aleaseg.corruption.masks import TRIAL

DTYPES = st.sampled_from([np.uint8, np.int16, np.int64])


def two_classes(ndim: int, dtype: type = np.uint8) -> np.ndarray:
    """Two touching blocks in the middle, (40, 40[, 40])."""
    mask = np.zeros((40,) * ndim, dtype)
    mask[(slice(12, 20), *[slice(12, 28)] * (ndim - 1))] = 1
    mask[(slice(20, 28), *[slice(12, 28)] * (ndim - 1))] = 2
    return mask


@pytest.mark.parametrize("name", TRIAL)
@settings(deadline=None, max_examples=40)
@given(ndim=st.sampled_from([2, 3]), dtype=DTYPES, seed=st.integers(0, 2**32))
def test_laws(name, ndim, dtype, seed):
    mask = two_classes(ndim, dtype)
    before = mask.copy()
    bad = TRIAL[name](mask, np.random.default_rng(seed))
    again = TRIAL[name](mask, np.random.default_rng(seed))
    assert bad.dtype == mask.dtype
    assert bad.shape == mask.shape
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(bad, again)
    assert (bad != mask).any()
    assert set(np.unique(bad)) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (masks.shift, {"voxels": (0, 0)}),
        (masks.hole, {"radius": 0}),
    ],
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_size_zero_is_the_identity_and_a_copy(fault, size, ndim):
    mask = two_classes(ndim)
    same = fault(mask, np.random.default_rng(0), **size)
    np.testing.assert_array_equal(same, mask)
    assert same is not mask


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), ndim=st.sampled_from([2, 3]))
def test_shift_moves_four_or_five_on_each_axis(seed, ndim):
    mask = two_classes(ndim)
    bad = masks.shift(mask, np.random.default_rng(seed))
    moved = np.argwhere(bad).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    assert set(np.abs(moved)) <= {4.0, 5.0}
    assert (bad > 0).sum() == (mask > 0).sum()


def test_shift_fills_with_background_and_does_not_wrap():
    mask = np.ones((20, 20), np.uint8)
    bad = masks.shift(mask, np.random.default_rng(0), voxels=(4, 4))
    assert bad.sum() == 16 * 16


def test_shift_keeps_a_flat_stack_in_view():
    mask = np.ones((4, 20, 20), np.uint8)
    assert masks.shift(mask, np.random.default_rng(0)).any()


def test_swap_exchanges_all_of_both():
    mask = two_classes(3)
    bad = masks.swap(mask, np.random.default_rng(0))
    np.testing.assert_array_equal(bad == 1, mask == 2)
    np.testing.assert_array_equal(bad == 2, mask == 1)


def test_drop_takes_exactly_one_class():
    mask = two_classes(3)
    assert sorted(set(np.unique(masks.drop(mask, np.random.default_rng(0))))) in ([0, 1], [0, 2])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), ndim=st.sampled_from([2, 3]))
def test_hole_is_a_ball_of_radius_nine(seed, ndim):
    mask = np.ones((40,) * ndim, np.uint8)
    bad = masks.hole(mask, np.random.default_rng(seed))
    taken = np.argwhere(bad == 0)
    assert np.ptp(taken, axis=0).max() <= 18
    assert np.ptp(taken, axis=0).min() >= 9


@pytest.mark.parametrize(("name", "classes"), [("swap", 1), ("drop", 0), ("hole", 0)])
def test_a_fault_that_cannot_be_made_says_so(name, classes):
    mask = np.zeros((8, 8), np.uint8)
    mask[:classes, :4] = 1
    with pytest.raises(ValueError, match=rf"found {classes} foreground classes.*expected at least"):
        TRIAL[name](mask, np.random.default_rng(0))
