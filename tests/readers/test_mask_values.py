"""What the values of masks mean: one class written in several ways, grey levels, rims of interpolation, classes."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from aleaseg.checks import check
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.readers.mask_values import between_only, value_counts

SHAPE = (64, 72)


def blob(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - np.array(shape) / 2
    return np.linalg.norm(place + rng.uniform(-9, 9, len(shape)), axis=-1) < rng.uniform(6, 14)


def data_set(root, write, n=12):
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for number in range(n):
        noise = np.random.default_rng(number).integers(0, 255, SHAPE).astype(np.uint8)
        Image.fromarray(noise).save(root / "images" / f"p{number}.png")
        write(number, blob(number))
    return root


def png(root, number, array):
    Image.fromarray(array.astype(np.uint8)).save(root / "masks" / f"p{number}.png")


def smoothed(mask):
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.resize((36, 32), Image.BILINEAR).resize((72, 64), Image.BILINEAR))


@pytest.mark.parametrize("values", [(1, 1), (255, 255), (1, 255)])
def test_two_values_in_any_writing_are_one_class(tmp_path, values):
    data_set(tmp_path, lambda n, mask: png(tmp_path, n, mask * values[n % 2]))
    dataset = open_dataset(tmp_path)
    assert dict(dataset.classes) == {"foreground": (1,)}
    for number in range(4):
        np.testing.assert_array_equal(dataset[f"p{number}"].read_label().array, blob(number))
    assert [one.check for one in check(dataset).findings] == (
        ["mixed_values"] if values == (1, 255) else []
    )


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_masks_packed_with_loss_are_cut_at_half_and_said(tmp_path, quality):
    def write(number, mask):
        Image.fromarray(mask.astype(np.uint8) * 255).save(
            tmp_path / "masks" / f"p{number}.jpg", quality=quality
        )

    dataset = open_dataset(data_set(tmp_path, write))
    assert dict(dataset.classes) == {"foreground": (1,)}
    assert dataset.declared == (1,)
    findings = check(dataset).findings
    assert [(one.severity, one.check) for one in findings] == [("note", "grey_mask")]
    assert "12 of 12 masks" in findings[0].found
    for number in range(12):
        np.testing.assert_array_equal(dataset[f"p{number}"].read_label().array, blob(number))


def test_smoothed_masks_are_cut_at_half_and_said(tmp_path):
    dataset = open_dataset(data_set(tmp_path, lambda n, mask: png(tmp_path, n, smoothed(mask))))
    assert [one.check for one in check(dataset).findings] == ["grey_mask"]
    for number in range(12):
        label = dataset[f"p{number}"].read_label().array
        np.testing.assert_array_equal(label, smoothed(blob(number)) >= 128)


def test_a_name_can_be_given_to_the_one_class(tmp_path):
    data_set(tmp_path, lambda n, mask: png(tmp_path, n, smoothed(mask)))
    dataset = open_dataset(tmp_path, classes="lesion")
    assert dict(dataset.classes) == {"lesion": (1,)}


def test_one_grey_mask_among_plain_ones_is_an_error_of_its_case(tmp_path):
    data_set(tmp_path, lambda n, mask: png(tmp_path, n, smoothed(mask) if n == 3 else mask * 255))
    assert [(one.case, one.check) for one in check(open_dataset(tmp_path)).errors] == [
        ("p3", "undeclared_value")
    ]


def test_1_and_255_in_one_mask_are_refused_with_what_to_type(tmp_path):
    def write(number, mask):
        border = ndimage.binary_dilation(mask, iterations=2) & ~mask
        png(tmp_path, number, mask + 255 * border)

    data_set(tmp_path, write)
    with pytest.raises(
        UsageError, match=r"--classes foreground=1\+255, or --classes foreground=1,border=255"
    ):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, classes="foreground=1+255")
    assert dict(dataset.classes) == {"foreground": (1, 255)}


def test_grey_masks_among_0_and_1_are_refused(tmp_path):
    data_set(tmp_path, lambda n, mask: png(tmp_path, n, mask if n % 2 else smoothed(mask)))
    with pytest.raises(UsageError, match="write all masks alike"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("how", ["jpg", "smoothed"])
def test_grey_levels_between_several_classes_are_refused(tmp_path, how):
    def write(number, mask):
        label = (
            85 * mask + 85 * ndimage.binary_dilation(mask, iterations=6) + 85 * blob(number + 50)
        ).astype(np.uint8)
        if how == "jpg":
            Image.fromarray(label).save(tmp_path / "masks" / f"p{number}.jpg")
        else:
            small = Image.fromarray(label).resize((36, 32), Image.BILINEAR)
            png(tmp_path, number, np.asarray(small.resize((72, 64), Image.BILINEAR)))

    data_set(tmp_path, write)
    with pytest.raises(UsageError, match="write them again as PNG"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_true_classes_stay_classes(tmp_path, count):
    """Regions with an inside, however many, are no grey levels."""

    def write(number, mask):
        stripes = 1 + np.arange(SHAPE[1]) * count // SHAPE[1]
        png(
            tmp_path,
            number,
            np.broadcast_to(stripes, SHAPE) * np.ones(SHAPE) * (np.arange(SHAPE[0]) > 9)[:, None],
        )

    dataset = open_dataset(data_set(tmp_path, write, n=3))
    assert list(dataset.classes) == [f"class_{value}" for value in range(1, count + 1)]
    assert not {one.check for one in check(dataset).findings} & {"grey_mask", "interpolated_mask"}


class TestRims:
    def test_a_mask_resampled_linearly_has_a_rim_of_lower_values(self):
        mask = 2.0 * blob(0, (20, 40, 44)) + 0.0
        rim = np.round(ndimage.zoom(mask, 1.3, order=1)).astype(np.int16)
        assert [value for value, _ in between_only(rim)] == [1]
        assert between_only(np.round(ndimage.zoom(mask, 1.3, order=0)).astype(np.int16)) == []

    def test_a_wall_two_voxels_thick_is_a_class(self):
        inner = blob(1, (20, 40, 44))
        wall = ndimage.binary_dilation(inner, iterations=2) & ~inner
        assert between_only(2 * wall + 3 * inner) == []
        assert between_only(1 * wall + 3 * inner) == []

    @pytest.mark.parametrize("values", [2, 3, 9])
    def test_noise_is_no_rim(self, values):
        assert between_only(np.random.default_rng(0).integers(0, values, (20, 30, 30))) == []

    def test_check_tells_it(self, tmp_path):
        def write(number, mask):
            wide = ndimage.binary_dilation(mask)
            png(tmp_path, number, 2 * mask + 1 * (wide & ~mask))

        found = check(open_dataset(data_set(tmp_path, write, n=3))).findings
        assert {one.check for one in found} == {"interpolated_mask"}


def test_a_mask_without_background_is_told(tmp_path):
    data_set(tmp_path, lambda n, mask: png(tmp_path, n, 1 + mask), n=3)
    found = check(open_dataset(tmp_path, classes="a=1,b=2")).findings
    assert [one.check for one in found] == ["no_background"] * 3


@pytest.mark.parametrize("top", [1, 4, 300, 100_000])
@pytest.mark.parametrize("shape", [(6, 9, 11), (20, 31)])
def test_values_are_counted_as_sorting_them_does(top, shape):
    label = np.random.default_rng(top).integers(-2, top, shape).astype(np.int32)
    values, counts = np.unique(label, return_counts=True)
    assert value_counts(label) == dict(zip(values.tolist(), counts.tolist(), strict=True))
