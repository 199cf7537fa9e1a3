"""A damaged image can be looked at too: what is written of it is JSON that a browser reads."""

import json

import numpy as np
import pytest

from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_image, write_nifti
from aleaseg.review.bricks import read_slice
from aleaseg.review.decoding import decode_image, decode_prediction


@pytest.mark.parametrize(
    ("broken", "expected"),
    [((np.nan,), (-3.0, 7.0)), ((np.inf, -np.inf), (-3.0, 7.0)), ((np.nan, np.inf), (-3.0, 7.0))],
)
def test_voxels_that_are_no_number_are_in_no_range(tmp_path, write_small, broken, expected):
    write_small(tmp_path / "data", cases=1, faults=False)
    path = tmp_path / "data" / "imagesTr" / "g0_00_0000.nii.gz"
    found = read_image([path], "g0_00")
    image = np.linspace(-3, 7, found.array[0].size, dtype=np.float32).reshape(found.array[0].shape)
    for place, value in enumerate(broken):
        image[5, 5, place] = value
    write_nifti(path, image, found.geometry)
    dataset = open_dataset(tmp_path / "data")
    decode_image(tmp_path / "out", dataset["g0_00"], dataset.with_cases(()))
    about = json.loads((tmp_path / "out" / "image.json").read_text())
    json.dumps(about, allow_nan=False)
    assert tuple(about["ranges"][0]) == expected
    shown = read_slice(tmp_path / "out" / "image.0.raw", image.shape, np.dtype(about["image"][0]), 0, 5)
    np.testing.assert_array_equal(shown, image[5])


def test_an_image_of_nothing_has_a_range(tmp_path, write_small):
    write_small(tmp_path / "data", cases=1, faults=False)
    path = tmp_path / "data" / "imagesTr" / "g0_00_0000.nii.gz"
    found = read_image([path], "g0_00")
    write_nifti(path, np.full(found.array[0].shape, np.nan, np.float32), found.geometry)
    dataset = open_dataset(tmp_path / "data")
    decode_image(tmp_path / "out", dataset["g0_00"], dataset.with_cases(()))
    assert json.loads((tmp_path / "out" / "image.json").read_text())["ranges"] == [[0, 1]]


def test_a_case_of_which_nothing_is_predicted_says_so(tmp_path, write_small):
    class Nothing:
        def read(self, case):
            return []

    write_small(tmp_path / "data", cases=1, faults=False)
    dataset = open_dataset(tmp_path / "data")
    (tmp_path / "out").mkdir()
    for predictions, notes in ((Nothing(), ["Nothing is predicted of this case."]), (None, [])):
        decode_prediction(tmp_path / "out", dataset["g0_00"], dataset.with_cases(()), predictions, ())
        about = json.loads((tmp_path / "out" / "prediction.json").read_text())
        assert (about["prediction"], about["notes"]) == (None, notes)
