"""Faults and the hash of an image as its files hold it are those of its values."""

import hashlib

import numpy as np
import pytest

from aleaseg.case import Geometry, Stored
from aleaseg.readers.fit import image_fault, image_hash

SHAPE = (3, 8, 9)


def stored(*channels, scale=None):
    shape = channels[0].shape
    return Stored(channels, (scale,) * len(channels), Geometry(shape, (1.0,) * len(shape)))


@pytest.mark.parametrize("scale", [None, (2.5, -1000.0)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_the_hash_is_that_of_the_values_in_float32(kind, scale):
    image = stored(*(np.random.default_rng(0).integers(0, 200, (2, *SHAPE))).astype(kind), scale=scale)
    values = image.values().array
    assert values.dtype == np.float32
    wanted = hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()[:32]
    assert image_hash(image) == wanted


def test_a_fault_is_named_and_where_it_is():
    sound = np.arange(216, dtype=np.int16).reshape(SHAPE)
    assert image_fault(stored(sound)) is None
    assert image_fault(stored(sound[0])) is None
    assert image_fault(stored(np.full(SHAPE, 7, np.uint8), scale=(2.0, 1.0))) == (
        "constant",
        "every voxel is 15",
    )
    holes = np.linspace(0, 1, 216, dtype=np.float32).reshape(SHAPE)
    holes[2, 3, :4] = np.nan
    assert image_fault(stored(sound.astype(np.float32), holes)) == (
        "nan",
        "4 voxels of 216 are NaN in channel 1",
    )
    # Finite on disk, and beyond float32 with the header's scale.
    assert image_fault(stored(sound.astype(np.float64), scale=(1e38, 0.0))) == (
        "infinite",
        "212 voxels of 216 are infinite",
    )
