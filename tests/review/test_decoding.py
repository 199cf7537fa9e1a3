"""A damaged image can be looked at too: what is written of it is JSON that a browser reads."""

import json
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from aleaseg.pages.planes import planes_through
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_image, write_nifti
from aleaseg.review import decoding
from aleaseg.review.bricks import read_slice
from aleaseg.review.decoding import decode_image, decode_prediction
from aleaseg.review.solid import coarse, steps_of
from aleaseg.review.volumes import Volumes
from aleaseg.where.kept import DoubtMap


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


def test_the_map_of_doubt_is_written_as_it_is_kept(tmp_path, write_small):
    write_small(tmp_path / "data", cases=1, faults=False)
    dataset = open_dataset(tmp_path / "data")
    (tmp_path / "out").mkdir()
    shape = dataset["g0_00"].read_geometry().shape
    doubt = np.random.default_rng(0).random(shape).astype(np.float32)
    for kept, said in ((DoubtMap.of(doubt, 0.1), "|u1"), (DoubtMap.of(doubt[1:], 0.1), None), (None, None)):
        decode_prediction(tmp_path / "out", dataset["g0_00"], dataset.with_cases(()), None, (), kept)
        about = json.loads((tmp_path / "out" / "prediction.json").read_text())
        assert about["doubt"] == said
        if said:
            shown = read_slice(tmp_path / "out" / "doubt.raw", shape, np.dtype(said), 1, 7)
            np.testing.assert_array_equal(shown, kept.bytes_of()[:, 7])
        elif kept is not None:
            assert "The map of doubt is" in about["notes"][0]


def test_a_case_of_which_nothing_is_predicted_says_so(tmp_path, write_small):
    class Nothing:
        def read(self, case):
            return []

    write_small(tmp_path / "data", cases=1, faults=False)
    dataset = open_dataset(tmp_path / "data")
    (tmp_path / "out").mkdir()
    for predictions, notes in ((Nothing(), ["There is no prediction for this case."]), (None, [])):
        decode_prediction(tmp_path / "out", dataset["g0_00"], dataset.with_cases(()), predictions, ())
        about = json.loads((tmp_path / "out" / "prediction.json").read_text())
        assert (about["prediction"], about["notes"]) == (None, notes)


@pytest.mark.parametrize(
    ("kind", "slope", "intercept", "stored", "sent"),
    [
        ("u1", 1, 0, "|u1", "|u1"),
        ("i2", 1, 0, "<i2", "<i2"),
        ("u2", 1, 0, "<u2", "<u2"),
        ("i4", 1, 0, "<i2", "<i2"),  # what is whole and fits
        ("f4", 1, 0, "<i2", "<i2"),
        ("f4", 1, 0.5, "<f4", "<f4"),
        ("i2", 1, -1024, "<i2", "<i2"),  # a CT
        ("u1", 0.5, 3, "|u1", "<f4"),  # scaled when it is looked at
        ("i2", -0.25, 0.1, "<i2", "<f4"),
        ("i4", 0.1, 0, "<f4", "<f4"),
    ],
)
def test_what_is_shown_are_the_values_of_the_file(
    tmp_path, write_small, kind, slope, intercept, stored, sent
):
    write_small(tmp_path / "data", cases=1, faults=False)
    path = tmp_path / "data" / "imagesTr" / "g0_00_0000.nii.gz"
    old = nibabel.load(path)
    low, high = {"u1": (0, 255), "u2": (40_000, 60_000)}.get(kind, (-900, 3000))
    values = np.random.default_rng(0).integers(low, high, old.shape).astype(kind)
    new = nibabel.Nifti1Image(values, old.affine)
    new.header.set_slope_inter(slope, intercept)
    nibabel.save(new, path)
    dataset = open_dataset(tmp_path / "data")
    case = dataset["g0_00"]
    image = case.read_image()
    np.testing.assert_allclose(
        image.array[0], values.T * np.float64(slope) + intercept, rtol=1e-6, atol=1e-3
    )
    decode_image(tmp_path / "run" / "x", case, dataset.with_cases(()))
    about = json.loads((tmp_path / "run" / "x" / "image.json").read_text())
    assert about["image"] == [stored]
    assert about["ranges"] == [[pytest.approx(image.array.min()), pytest.approx(image.array.max())]]
    volumes = Volumes(SimpleNamespace(manifest={}), dataset, None, lambda _: (), tmp_path / "run", 10**9)
    try:
        for plane in planes_through((3, 4, 5), image.geometry):
            found = volumes.slice("x", "image", plane.axis, plane.index)
            assert found.kind == sent
            shown = np.frombuffer(found.content, sent).reshape(found.size)
            np.testing.assert_array_equal(shown, plane.cut(image.array[0]))
        whole = volumes.whole("x", "image")
        np.testing.assert_array_equal(np.frombuffer(whole.content, sent), image.array.ravel())
    finally:
        volumes.close()


def test_a_large_volume_is_not_sent_whole(tmp_path, write_small, monkeypatch):
    write_small(tmp_path / "data", cases=1, faults=False)
    dataset = open_dataset(tmp_path / "data")
    monkeypatch.setattr(decoding, "_WHOLE", 1000)
    decode_image(tmp_path / "run" / "x", dataset["g0_00"], dataset.with_cases(()))
    volumes = Volumes(SimpleNamespace(manifest={}), dataset, None, lambda _: (), tmp_path / "run", 10**9)
    try:
        with pytest.raises(IndexError, match="slice by slice"):
            volumes.whole("x", "image")
        assert volumes.slice("x", "image", 0, 0) is not None
        assert volumes.slice("x", "prediction", 0, 0) is None
    finally:
        volumes.close()


def test_a_piece_of_one_voxel_is_still_there_when_it_is_made_small():
    rng = np.random.default_rng(0)
    label = np.zeros((50, 300, 301), np.uint8)
    at = rng.integers(0, label.shape, (12, 3))
    label[tuple(at.T)] = 1 + np.arange(12)
    steps = steps_of(label.shape, (3.0, 0.5, 0.5))
    assert steps[0] == 1
    assert max(-(-size // step) for size, step in zip(label.shape, steps, strict=True)) <= 128
    found = coarse(label, steps)
    assert set(np.unique(found)) == set(np.unique(label))
    assert (found[tuple((at // steps).T)] >= label[tuple(at.T)]).all()
    plain = np.array(
        [[[label[d : d + steps[0], h : h + steps[1], w : w + steps[2]].max() for w in range(0, 301, steps[2])]
          for h in range(0, 300, steps[1])] for d in range(0, 50, steps[0])]
    )  # fmt: skip
    np.testing.assert_array_equal(found, plain)
