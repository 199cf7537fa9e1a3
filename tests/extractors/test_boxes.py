"""Boxes about masks: where, how far, and what is no box."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aleaseg.extractors.boxes import (
    body_box,
    checked_box,
    key_slice,
    key_slice_box,
    slice_boxes,
    tight_box,
    z_range,
)

masks = arrays(bool, st.tuples(*[st.integers(1, 7)] * 3))


@given(masks)
def test_a_tight_box_holds_every_voxel_and_touches_each_side(mask):
    for place, one in enumerate(mask):
        box = tight_box(one)
        if box is None:
            assert not one.any()
            assert place not in slice_boxes(mask)
            continue
        x0, y0, x1, y1 = (int(value) for value in box)
        inside = one[y0 : y1 + 1, x0 : x1 + 1]
        assert inside.sum() == one.sum()
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
        assert slice_boxes(mask)[place] == box


@given(masks, st.integers(0, 3))
def test_the_key_slice_is_the_largest_and_the_range_holds_all(mask, margin):
    if not mask.any():
        assert key_slice_box(mask) == {}
        return
    areas = mask.sum(axis=(1, 2))
    place = key_slice(mask)
    assert areas[place] == areas.max()
    assert (areas[:place] < areas.max()).all()
    assert list(key_slice_box(mask)) == [place]
    first, last = z_range(mask, margin)
    assert 0 <= first <= place < last <= len(mask)
    assert mask[first:last].sum() == mask.sum()
    tight = z_range(mask, 0)
    assert first == max(0, tight[0] - margin)
    assert last == min(len(mask), tight[1] + margin)


def test_the_body_is_what_is_brighter():
    image = np.zeros((5, 20, 30))
    image[:, 4:16, 7:21] = 100
    assert body_box(image) == {2: (7.0, 4.0, 20.0, 15.0)}
    assert body_box(np.zeros((4, 5, 6))) == {2: (0.0, 0.0, 5.0, 4.0)}


@pytest.mark.parametrize("form", [tuple, np.array, torch.tensor, lambda box: np.array([box])])
def test_a_box_comes_in_any_form(form):
    assert checked_box(form([1.0, 2.5, 1.0, 4.0])) == (1.0, 2.5, 1.0, 4.0)


@pytest.mark.parametrize(
    "box", [(1, 2, 3), (1, 2, 3, 4, 5), (3, 2, 1, 4), (1, 4, 3, 2), (float("nan"), 2, 3, 4)]
)
def test_what_is_no_box_is_refused(box):
    with pytest.raises(ValueError, match=r"expected \(x0, y0, x1, y1\) with x0 <= x1 and y0 <= y1"):
        checked_box(box)
