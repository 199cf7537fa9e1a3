"""Means over voxels, block by block: the same as at once."""

import math

import numpy as np
import pytest

from aleaseg.measures import logits as module
from aleaseg.measures.logits import mean_inside, voxel_blocks


def first_channel(block):
    return block[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_blocks_side_by_side_are_the_voxels_inside(monkeypatch, dtype):
    monkeypatch.setattr(module, "_CHUNK", 21)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (3, 4, 5, 6)).astype(dtype)
    inside = rng.integers(0, 3, (4, 5, 6))
    inside[1:3] = 0  # blocks without any voxel
    blocks = list(voxel_blocks(logits, inside))
    assert len(blocks) > 3
    assert all(block.dtype == np.float64 and block.shape[1] <= 7 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), logits[:, inside != 0])
    expected = logits[0][inside != 0].astype(np.float64).mean()
    assert mean_inside(first_channel, logits, inside) == pytest.approx(expected, rel=1e-12)
    turned = np.moveaxis(logits, 1, 3)  # not contiguous
    assert mean_inside(first_channel, turned, np.moveaxis(inside, 0, 2)) == pytest.approx(expected)


def test_nothing_inside_has_no_mean():
    assert math.isnan(mean_inside(first_channel, np.zeros((2, 3, 3)), np.zeros((3, 3))))
    assert math.isnan(mean_inside(first_channel, np.zeros((2, 0, 3)), np.zeros((0, 3))))


def test_the_input_is_left_as_it_was():
    logits = np.random.default_rng(0).normal(size=(2, 3, 3))
    before = logits.copy()
    mean_inside(lambda block: np.multiply(block, 0, out=block)[0], logits, np.ones((3, 3)))
    np.testing.assert_array_equal(logits, before)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(4,\); expected \(channel, \*grid\)"):
        mean_inside(first_channel, np.zeros(4), np.zeros(()))
    with pytest.raises(ValueError, match="2 channels or more"):
        mean_inside(first_channel, np.zeros((1, 4)), np.ones(4))
    with pytest.raises(ValueError, match=r"\(5,\); expected the logits' grid \(4,\)"):
        mean_inside(first_channel, np.zeros((2, 4)), np.ones(5))
    logits = np.zeros((2, 4))
    logits[1, 0] = np.inf
    assert mean_inside(first_channel, logits, [0, 1, 1, 1]) == 0.0
    with pytest.raises(ValueError, match="NaN or infinite"):
        mean_inside(first_channel, logits, np.ones(4))
