"""Dice and IoU: laws, conventions for empty masks, and MONAI where it means the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from aleaseg.metrics.overlap import Overlap, count_overlap, dice, iou, pooled

MASKS = arrays(bool, (3, 4, 5))


@given(MASKS, MASKS)
@settings(deadline=None, max_examples=60)
def test_laws(a, b):
    found = count_overlap(a, b)
    d, j = dice(found), iou(found)
    either = np.logical_or(a, b).sum()
    if not either:
        assert np.isnan(d)
        assert np.isnan(j)
        assert dice(found, both_empty=1) == iou(found, both_empty=1) == 1
        return
    assert dice(count_overlap(b, a)) == d
    assert 0 <= j <= d <= 1
    assert j == pytest.approx(d / (2 - d))
    assert dice(count_overlap(a, a)) == (1 if a.any() else pytest.approx(np.nan, nan_ok=True))
    assert d == 2 * sum(x and y for x, y in zip(a.flat, b.flat, strict=True)) / (a.sum() + b.sum())
    if not (a & b).any():
        assert d == j == 0


def test_one_empty_mask_is_a_miss_and_not_left_out():
    empty, full = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    for pair in ((empty, full), (full, empty)):
        assert dice(count_overlap(*pair)) == iou(count_overlap(*pair), both_empty=1) == 0


def test_monai_agrees_where_the_reference_is_there():
    import torch
    from monai.metrics import compute_dice, compute_iou

    rng = np.random.default_rng(0)
    a, b = rng.random((2, 6, 7, 8)) > 0.6
    one, other = (torch.as_tensor(mask)[None, None].float() for mask in (b, a))
    found = count_overlap(a, b)
    assert dice(found) == pytest.approx(float(compute_dice(one, other)), rel=1e-6)
    assert iou(found) == pytest.approx(float(compute_iou(one, other)), rel=1e-6)


def test_pooled_voxels_are_those_of_one_large_case():
    rng = np.random.default_rng(1)
    cases = [(rng.random((4, 5)) > 0.5, rng.random((4, 5)) > 0.4) for _ in range(3)]
    counts = Overlap(*zip(*(count_overlap(*pair) for pair in cases), strict=True))
    large = count_overlap(*(np.concatenate(masks) for masks in zip(*cases, strict=True)))
    assert dice(pooled(counts)) == pytest.approx(dice(large))
    twice = dice(pooled(counts, [[1, 1, 1], [2, 0, 1]]))
    assert twice.shape == (2,)
    assert twice[0] == pytest.approx(dice(large))
    large = count_overlap(*(np.concatenate([m[0], m[0], m[2]]) for m in zip(*cases, strict=True)))
    assert twice[1] == pytest.approx(dice(large))


def test_many_cases_at_once():
    np.testing.assert_array_equal(dice(Overlap([1, 0, 0], [1, 0, 2], [1, 0, 0])), [1, np.nan, 0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\) of bool and \(2, 3\)"):
        count_overlap(np.ones((2, 2), bool), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="int"):
        count_overlap(np.ones(2, int), np.ones(2, bool))
