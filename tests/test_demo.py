"""The synthetic data set: the same for one seed, faulty where it says so, and like a CT."""

import json

import numpy as np
import pytest

from aleaseg.bench import phantom as demo
from aleaseg.corruption import images, masks
from aleaseg.errors import UsageError


def voxels(path):
    import nibabel as nib

    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "data"
    return folder, demo.make_dataset(folder, cases=10, seed=5)


def test_layout_is_nnunets(made):
    folder, _ = made
    about = json.loads((folder / "dataset.json").read_text())
    assert about["numTraining"] == 10
    assert about["labels"] == {"background": 0, **demo.CLASSES}
    labels = sorted(path.name for path in (folder / "labelsTr").iterdir())
    images_there = sorted(path.name for path in (folder / "imagesTr").iterdir())
    assert labels[0] == "siteA_000.nii.gz"
    assert [name.replace(".nii.gz", "_0000.nii.gz") for name in labels] == images_there
    assert len(labels) == 10


def test_voxels_and_geometry(made):
    import nibabel as nib

    folder, _ = made
    image = nib.load(folder / "imagesTr" / "siteB_001_0000.nii.gz")
    label = nib.load(folder / "labelsTr" / "siteB_001.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    assert image.shape == label.shape == (80, 64, 32)
    np.testing.assert_allclose(image.header.get_zooms(), (4.0, 4.0, 5.0))
    np.testing.assert_allclose(image.affine, label.affine)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_faults_are_written_down_and_real(made):
    folder, faults = made
    assert json.loads((folder / "faults.json").read_text()) == faults
    assert len(faults) == 2
    for case, fault in faults.items():
        what, _, name = fault.partition(":")
        assert name in {"mask": masks.TRIAL, "image": images.TRIAL}[what]
        index = int(case[-3:])
        image, label = demo.phantom(np.random.default_rng([5, 1, index]), demo.SITES[index % 3])
        image_there = voxels(folder / "imagesTr" / f"{case}_0000.nii.gz").transpose(2, 1, 0)
        label_there = voxels(folder / "labelsTr" / f"{case}.nii.gz").transpose(2, 1, 0)
        assert (image_there != image).any() == (what == "image")
        assert (label_there != label).any() == (what == "mask")


def test_forty_cases_hold_every_kind_of_fault_and_leave_room_to_drop_them(tmp_path, monkeypatch):
    blank = np.ones((4, 5, 6), np.int16), np.arange(120, dtype=np.uint8).reshape(4, 5, 6) % 5
    monkeypatch.setattr(demo, "phantom", lambda rng, site: blank)
    monkeypatch.setattr(demo, "SHAPE", (4, 5, 6))
    faults = demo.make_dataset(tmp_path / "data", cases=40, seed=0)
    assert sorted(faults.values()) == sorted(demo.FAULTS)
    assert len(faults) == 8, "more than a fifth could not be left out without harm"


def test_the_same_seed_gives_the_same_voxels():
    for index in range(3):
        first = demo.phantom(np.random.default_rng([0, 1, index]), demo.SITES[index])
        again = demo.phantom(np.random.default_rng([0, 1, index]), demo.SITES[index])
        other = demo.phantom(np.random.default_rng([1, 1, index]), demo.SITES[index])
        for a, b, c in zip(first, again, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert (a != c).any()


@pytest.mark.parametrize("index", range(4))
def test_it_looks_like_an_abdomen(index):
    image, label = demo.phantom(np.random.default_rng([0, 1, index]), demo.SITES[index % 3])
    hu = {name: float(np.median(image[label == value])) for name, value in demo.CLASSES.items()}
    assert 85 < hu["liver"] < 130
    assert hu["lesion"] < hu["liver"] - 40
    assert 140 < hu["kidney_right"] < 220
    assert np.median(image[:, :3]) < -950, "air above the patient"
    assert (image > 300).mean() > 0.001, "bone"
    centre = {name: np.argwhere(label == value).mean(axis=0) for name, value in demo.CLASSES.items()}
    assert centre["kidney_right"][2] < centre["kidney_left"][2], "the patient's left is on the right"
    assert centre["liver"][2] < 40
    assert centre["liver"][0] > centre["kidney_right"][0]
    sizes = np.bincount(label.ravel(), minlength=5)[1:]
    assert (sizes > 50).all()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UsageError, match="holds other files"):
        demo.make_dataset(tmp_path, cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
