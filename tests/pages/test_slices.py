"""What is drawn is what is there."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.pages.slices import case_pictures, ct_window, thumbnail, window

CLASSES = {"head": (1,), "tail & <b>": (2,)}
SHAPE = (9, 12, 10)


@pytest.fixture
def volume():
    """An image (channel, D, H, W), its geometry, and a mask."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 2, 1, 1, 1
    mask = np.zeros(SHAPE, dtype=int)
    mask[2:6, 3:7, 2:5], mask[2:6, 3:7, 5:8] = 1, 2
    image = np.random.default_rng(0).normal(100, 20, (1, *SHAPE))
    return image, Geometry(SHAPE, (2.0, 1.0, 1.0), affine), mask


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_window_is_the_first_to_the_99th_percentile():
    values = np.arange(1001, dtype=np.float32)
    assert window(values) == pytest.approx((10, 990))
    values[0] = np.inf
    assert np.isfinite(window(values)).all()


@pytest.mark.parametrize(
    ("inside", "limits"), [(60, (-160, 240)), (-800, (-1350, 150)), (700, (-500, 1300))]
)
def test_a_ct_has_the_window_of_what_lies_in_the_mask(inside, limits):
    assert ct_window(np.full(5, inside)) == limits
    assert ct_window(np.array([])) == (-160, 240)
    volume = np.full((1, 4, 5, 6), -1000.0)
    mask = np.zeros((4, 5, 6), dtype=int)
    mask[1:3, 1:3, 1:3] = 1
    volume[0][mask > 0] = inside
    at = Geometry((4, 5, 6), (1, 1, 1))
    assert case_pictures(volume, at, mask, None, {}, is_ct=True)["windows"] == [list(limits)]
    # Rescaled to 0 and more it has no Hounsfield units.
    rescaled = case_pictures(volume + 1000, at, mask, None, {}, is_ct=True)["windows"]
    assert rescaled != [list(limits)]


def test_constant_and_nan_images_are_drawn_grey():
    for array in (np.full((4, 5), 7.0), np.full((4, 5), np.nan)):
        picture = case_pictures(array[None], Geometry((4, 5), (1, 1)), None, None, CLASSES)
        assert pixels(picture["planes"][0]["images"][0]).shape == (4, 5)


def test_a_volume_has_three_planes_with_both_outlines(volume):
    image, geometry, mask = volume
    pictures = case_pictures(image, geometry, mask, np.roll(mask, 2, 1), CLASSES)
    assert pictures["why"] == "disagreement"
    assert [plane["name"] for plane in pictures["planes"]] == ["axial", "coronal", "sagittal"]
    axial = pictures["planes"][0]
    assert axial["size"] == [10, 12]
    assert axial["letters"] == ["R", "L", "A", "P"]
    assert set(axial["mask"]) == set(CLASSES)
    assert axial["mask"]["head"] != axial["oof"]["head"]
    assert pixels(axial["images"][0]).shape == (12, 10)
    x, y, width, height = axial["focus"]
    assert 0 <= x <= x + width <= 10
    assert 0 <= y <= y + height <= 12


def test_a_picture_has_one_plane_as_stored():
    array = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    mask = np.zeros((4, 5), dtype=int)
    mask[3, 4] = 1
    pictures = case_pictures(array, Geometry((4, 5), (0.5, 0.25)), mask, None, CLASSES)
    (plane,) = pictures["planes"]
    assert pictures["voxel"] == [3, 4]
    assert plane["voxel_mm"] == [0.25, 0.5]
    assert plane["oof"] is None
    shown = pixels(plane["images"][0])
    assert shown[0, 0] == 0
    assert shown[3, 4] == 255


def test_every_channel_is_there_up_to_four():
    array = np.random.default_rng(0).random((6, 4, 5)).astype(np.float32)
    pictures = case_pictures(array, Geometry((4, 5), (1, 1)), None, None, {})
    assert len(pictures["planes"][0]["images"]) == 4


def test_a_thumbnail_is_a_whole_svg_with_true_proportions(volume):
    image, geometry, mask = volume
    pictures = case_pictures(image, geometry, mask, np.roll(mask, 2, 1), CLASSES)
    for plane, aspect in zip(pictures["planes"], (12 / 10, 18 / 10, 18 / 12), strict=True):
        root = ElementTree.fromstring(thumbnail({**plane, "focus": []}))
        assert float(root.get("height")) / float(root.get("width")) == pytest.approx(aspect, rel=0.01)
        assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}


def test_a_thumbnail_comes_close_to_a_small_mask():
    array = np.random.default_rng(0).random((1, 200, 200)).astype(np.float32)
    mask = np.zeros((200, 200), dtype=int)
    mask[20:30, 150:160] = 1
    plane = case_pictures(array, Geometry((200, 200), (1, 1)), mask, None, CLASSES)["planes"][0]
    x, y, width, height = map(float, ElementTree.fromstring(thumbnail(plane)).get("viewBox").split())
    assert width < 200
    assert x <= 300 <= 320 <= x + width
    assert y <= 40 <= 60 <= y + height
