"""All slices in one picture."""

import io

import numpy as np
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.pages.mosaics import background_window, mosaic

SHAPE = (7, 20, 16)


def pixels(file):
    picture = Image.open(io.BytesIO(file))
    assert picture.format == "WEBP"
    return np.asarray(picture.convert("RGB")).astype(int)


def test_every_slice_has_its_tile_in_order():
    volume = np.broadcast_to(np.arange(7.0)[:, None, None], SHAPE)
    seen = pixels(mosaic(volume, Geometry(SHAPE, (2.0, 1.0, 1.0)), (0.0, 6.0)))[..., 0]
    rows, columns = seen.shape[0] // 114, round(seen.shape[1] / 92)
    middles = [seen[114 * (k // columns) + 56, 92 * (k % columns) + 45] for k in range(7)]
    assert rows * columns >= 7
    np.testing.assert_allclose(middles, np.arange(7) * 255 / 6, atol=6)


def test_the_mask_is_outlined_on_its_slice_alone():
    mask = np.zeros(SHAPE, int)
    mask[2, 5:15, 4:12] = 1
    at = Geometry(SHAPE, (2.0, 1.0, 1.0))
    plain = pixels(mosaic(np.zeros(SHAPE), at, (0.0, 1.0)))
    drawn = pixels(mosaic(np.zeros(SHAPE), at, (0.0, 1.0), mask, {"a": (1,)}))
    changed = np.argwhere(np.abs(drawn - plain).max(axis=-1) > 60)
    assert len(changed) > 50
    assert np.ptp(changed[:, 0]) < 114
    assert np.ptp(changed[:, 1]) < 94


def test_what_lies_in_the_air_is_seen_in_the_window_of_the_background():
    rng = np.random.default_rng(0)
    volume = rng.normal(5, 1, (4, 40, 40))
    volume[:, 10:30, 10:30] += 1000
    volume[:, 32:36, 10:30] += 40  # a faint copy
    low, high = background_window(volume)
    assert low <= 6
    assert 40 / (high - low) > 0.25
    assert high < 1000
    assert background_window(np.full((2, 3, 3), np.nan)) == (0.0, 1.0)
