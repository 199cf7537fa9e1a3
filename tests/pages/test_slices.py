"""What is drawn is what is there."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.pages.places import Sought
from aleaseg.pages.slices import case_pictures, ct_window, window
from aleaseg.pages.thumbnails import drawing, line_colours, thumbnail

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
    assert pictures["places"] == [{"reason": "disagreement", "plane": 0}]
    assert {plane["name"] for plane in pictures["planes"]} == {"axial", "coronal", "sagittal"}
    (axial,) = (plane for plane in pictures["planes"] if plane["name"] == "axial")
    assert axial["size"] == [10, 12]
    assert axial["letters"] == ["R", "L", "A", "P"]
    assert set(axial["mask"]) == set(CLASSES)
    assert axial["mask"]["head"] != axial["oof"]["head"]
    assert pixels(axial["images"][0]).shape == (12, 10)
    x, y, width, height = axial["focus"]
    assert 0 <= x <= x + width <= 10
    assert 0 <= y <= y + height <= 12


def test_the_plane_of_the_first_reason_comes_first_and_the_others_are_there(volume):
    image, geometry, mask = volume
    sought = [Sought("uneven_d", "image", "d"), Sought("ghost_w", "image", "w"), Sought("noise", "image")]
    pictures = case_pictures(image, geometry, mask, None, CLASSES, sought=sought)
    assert pictures["planes"][0]["axis"] != 0
    assert [place["reason"] for place in pictures["places"]] == ["uneven_d", "ghost_w", "noise"]
    planes = [*pictures["planes"], *pictures["others"]]
    shown = [planes[place["plane"]] for place in pictures["places"]]
    assert [plane["axis"] != 0 for plane in shown] == [True, False, True]
    assert len({(plane["axis"], plane["index"]) for plane in planes}) == len(planes)


def test_confidences_lie_over_the_slice_where_annotators_are_of_two_minds(volume):
    image, geometry, mask = volume
    q = np.zeros((2, *mask.shape), np.float32)
    q[0], q[1, 0] = 0.5 * (mask == 1), 1
    q[0][mask == 2] = np.nan
    without = case_pictures(image, geometry, mask, None, CLASSES)
    pictures = case_pictures(image, geometry, mask, None, CLASSES, q=q)
    assert not any("unsure" in plane for plane in without["planes"])
    for plane, before in zip(pictures["planes"], without["planes"], strict=True):
        opacity = pixels(plane.pop("unsure"))[..., 3]
        assert plane == before  # all else is as it was
        cut = np.take(mask, plane["index"], axis=plane["axis"])
        assert opacity.shape == tuple(reversed(plane["size"]))
        assert (opacity > 0).sum() == (cut == 1).sum()
        assert set(np.unique(opacity)) <= {0, opacity.max()}


def test_a_picture_has_one_plane_as_stored():
    array = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    mask = np.zeros((4, 5), dtype=int)
    mask[3, 4] = 1
    pictures = case_pictures(array, Geometry((4, 5), (0.5, 0.25)), mask, None, CLASSES)
    (plane,) = pictures["planes"]
    assert plane["cross"] == [4, 3]
    assert plane["voxel_mm"] == [0.25, 0.5]
    assert plane["oof"] is None
    shown = pixels(plane["images"][0])
    assert shown[0, 0] == 0
    assert shown[3, 4] == 255


def test_every_channel_is_there_up_to_four():
    array = np.random.default_rng(0).random((6, 4, 5)).astype(np.float32)
    pictures = case_pictures(array, Geometry((4, 5), (1, 1)), None, None, {})
    assert len(pictures["planes"][0]["images"]) == 4


def test_a_drawing_is_a_whole_svg_with_true_proportions(volume):
    image, geometry, mask = volume
    pictures = case_pictures(image, geometry, mask, np.roll(mask, 2, 1), CLASSES)
    aspects = {"axial": 12 / 10, "coronal": 18 / 10, "sagittal": 18 / 12}
    for plane in pictures["planes"]:
        root = ElementTree.fromstring(drawing({**plane, "focus": []}))
        aspect = float(root.get("height")) / float(root.get("width"))
        assert aspect == pytest.approx(aspects[plane["name"]], rel=0.01)
        small = Image.open(io.BytesIO(thumbnail({**plane, "focus": []})))
        assert small.format == "WEBP"
        assert max(small.size) == 256
        assert small.height / small.width == pytest.approx(aspects[plane["name"]], rel=0.01)


def test_no_halo_lies_on_another_line(volume):
    image, geometry, mask = volume
    planes = case_pictures(image, geometry, mask, np.roll(mask, 1, 1), CLASSES)["planes"]
    plane = next(plane for plane in planes if plane["name"] == "axial")
    strokes = [
        path.get("stroke") for path in ElementTree.fromstring(drawing(plane)).iter() if path.get("stroke")
    ]
    halos = strokes.count("#000")
    assert strokes[:halos] == ["#000"] * halos
    assert "#000" not in strokes[halos:]
    # A colour for each class, another shade for its prediction.
    assert len(set(strokes[halos:])) == 4


def test_every_class_has_its_colour_and_one_alone_two_hues():
    colours = line_colours(10)
    assert len({colour for pair in colours for colour in pair}) == 20
    assert line_colours(23)[10] == colours[0]
    ((mask, predicted),) = line_colours(1)
    assert mask != predicted


def test_a_thumbnail_is_small_comes_close_and_shows_both_outlines():
    array = np.full((1, 512, 512), 40.0, np.float32)
    array[0, 0, 0] = 255
    mask = np.zeros((512, 512), dtype=int)
    mask[20:50, 350:400] = 1
    plane = case_pictures(array, Geometry((512, 512), (1, 1)), mask, np.roll(mask, 8, 1), {"a": (1,)})[
        "planes"
    ][0]
    x, y, width, height = map(float, ElementTree.fromstring(drawing(plane)).get("viewBox").split())
    assert width < 512
    assert x <= 700 <= 800 <= x + width
    assert y <= 40 <= 100 <= y + height
    file = thumbnail(plane)
    assert len(file) < 20_000
    seen = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    for colour in line_colours(1)[0]:
        wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(seen - wanted).sum(axis=-1) < 160).sum() > 100, colour


def test_specks_do_not_hide_the_outline_in_a_thumbnail():
    array = np.full((1, 200, 200), 40.0, np.float32)
    mask = np.zeros((200, 200), dtype=int)
    mask[40:160, 40:160] = 1
    holed = mask.copy()
    holed[50:150:4, 50:150:4] = 0
    at = Geometry((200, 200), (1, 1))
    whole, specks = (case_pictures(array, at, mask, one, {"a": (1,)})["planes"][0] for one in (mask, holed))
    assert len(specks["oof"]["a"]) > 20 * len(whole["oof"]["a"])  # the case page shows every one of them
    assert thumbnail(specks) == thumbnail(whole)
    holed[...] = 0
    holed[100, 100] = 1
    one_voxel = case_pictures(array, at, mask, holed, {"a": (1,)})["planes"][0]
    assert thumbnail(one_voxel) != thumbnail({**one_voxel, "oof": None})
