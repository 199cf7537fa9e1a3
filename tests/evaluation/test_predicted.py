"""Somebody's predictions: which file is meant, and what is wrong with it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from aleaseg.errors import BadVoxels, ShapeMismatch, Unreadable, UsageError
from aleaseg.evaluation.predicted import PredictedFiles, find_predictions, inside, read_predicted
from aleaseg.evaluation.reference import open_reference
from aleaseg.readers.voxels import lazy_case, write_nifti


@pytest.fixture
def one(tmp_path, balls):
    """A reference of one case, and a function that reads a prediction of it."""
    dataset = open_reference(balls.write_dataset(tmp_path / "data", ["c"])).dataset
    folder = tmp_path / "predictions"
    folder.mkdir()

    def read(dataset=dataset):
        found = find_predictions(folder, dataset.cases)
        return read_predicted(found.files["c"], dataset["c"], dataset, dataset["c"].read_label().geometry)

    return dataset, folder, read


def test_files_are_found_by_id_wherever_they_lie(tmp_path, balls, one):
    dataset, folder, _ = one
    other = replace(dataset.cases[0], id="d")
    for place in (
        "c.nii.gz",
        "postprocessed/c.nii.gz",
        "fold_0/validation/d.nii.gz",
        "fold_0/validation/d.npz",
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"x")
    for place in ("stranger.nii.gz", "plans.json", ".hidden.nii.gz", "c.pkl"):
        (folder / place).write_bytes(b"x")
    found = find_predictions(folder, [dataset.cases[0], other])
    assert found.files["c"] == PredictedFiles((folder / "c.nii.gz",))
    deep = folder / "fold_0" / "validation"
    assert found.files["d"] == PredictedFiles((deep / "d.nii.gz",), (deep / "d.npz",))
    assert found.others == ("stranger",)


def test_habits_of_names_are_taken_off(one, balls):
    _, folder, read = one
    write_nifti(folder / "c_seg.nii.gz", balls.label(0), balls.geometry())
    assert read().labels.any()


def test_probabilities_of_another_folder_are_not_taken(one):
    dataset, folder, _ = one
    (folder / "deep").mkdir()
    (folder / "c.nii.gz").write_bytes(b"x")
    (folder / "deep" / "c.npz").write_bytes(b"x")
    assert find_predictions(folder, dataset.cases).files["c"].soft == ()


def test_nothing_that_belongs_to_a_case(one, tmp_path):
    dataset, folder, _ = one
    with pytest.raises(UsageError, match=r"no prediction of any of the 1 cases.*c\.nii\.gz"):
        find_predictions(folder, dataset.cases)
    with pytest.raises(UsageError, match="is not a folder"):
        find_predictions(tmp_path / "nowhere", dataset.cases)


def test_a_label_map(one, balls):
    dataset, folder, read = one
    array = balls.shifted(balls.label(0))
    write_nifti(folder / "c.nii.gz", array, balls.geometry())
    found = read()
    np.testing.assert_array_equal(found.labels, array)
    np.testing.assert_array_equal(found.mask("right"), array == 2)
    assert found.soft is None
    right = open_reference(dataset.root, classes="right").dataset
    asked = read(right)
    assert set(np.unique(asked.labels)) == {0, 2}
    assert list(asked.classes) == ["right"]


def test_the_label_map_decides_and_probabilities_only_say_how_sure(one, balls):
    _, folder, read = one
    p = balls.probabilities(balls.label(0))
    np.savez(folder / "c.npz", probabilities=p)
    alone = read()
    np.testing.assert_array_equal(alone.labels, p.argmax(axis=0))
    write_nifti(
        folder / "c.nii.gz", np.zeros(balls.SHAPE, np.uint8), balls.geometry()
    )  # postprocessed away
    both = read()
    assert not both.labels.any()
    assert not both.mask("left").any()
    np.testing.assert_allclose(both.soft.probability("left"), p[1], atol=1e-6)


def test_probabilities_as_an_image(one, balls):
    _, folder, read = one
    p = balls.probabilities(balls.label(0))
    write_nifti(folder / "c.nii.gz", p, balls.geometry())
    found = read()
    np.testing.assert_array_equal(found.labels, p.argmax(axis=0))
    np.testing.assert_array_equal(found.mask("right"), p.argmax(axis=0) == 2)
    assert found.soft is not None
    write_nifti(folder / "c.nii.gz", p, balls.geometry(origin=30.0))
    with pytest.raises(ShapeMismatch, match="52 mm away"):
        read()


@pytest.mark.parametrize("values", [(2,), (1, 3), (40_000,), (1, 2, 3)])
def test_inside_is_isin(values):
    label = np.random.default_rng(0).integers(0, 5, (6, 5, 4)).astype(np.int16)
    np.testing.assert_array_equal(inside(label, values), np.isin(label, values))


def test_of_many_classes_one_mask_is_held_at_a_time(one, balls):
    dataset, folder, read = one
    shape = (32, 64, 64)
    label = np.random.default_rng(0).integers(0, 101, shape).astype(np.int16)
    write_nifti(folder / "c.nii.gz", label, balls.geometry(shape))
    wide = lazy_case("c", [folder / "c.nii.gz"], folder / "c.nii.gz")
    classes = {str(value): (value,) for value in range(1, 101)}
    many = replace(dataset, cases=(wide,), classes=classes, declared=tuple(range(1, 101)))
    tracemalloc.start()
    try:
        found = read(many)
        assert all(found.mask(name).any() for name in classes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * label.size  # a mask of each class would be 100 bytes a voxel


@pytest.mark.parametrize("top", [1, 2, 255])
def test_one_class_is_one_whatever_its_value_where_nothing_declares_it(tmp_path, balls, top):
    mask = (balls.label(0)[4] > 0).astype(np.uint8)
    balls.write_picture(tmp_path / "masks" / "a.png", mask * 255)
    balls.write_picture(tmp_path / "predicted" / "a.png", np.roll(mask, 1, axis=0) * top)
    dataset = open_reference(tmp_path / "masks").dataset
    files = find_predictions(tmp_path / "predicted", dataset.cases).files["a"]
    found = read_predicted(files, dataset["a"], dataset, dataset["a"].read_label().geometry)
    np.testing.assert_array_equal(found.mask("foreground"), np.roll(mask, 1, axis=0) > 0)


@pytest.mark.parametrize(
    ("write", "error", "said"),
    [
        (lambda b, p: p.write_bytes(b"nothing"), Unreadable, "c: found"),
        (lambda b, p: p.write_bytes(b""), Unreadable, "0 bytes"),
        (
            lambda b, p: write_nifti(p, b.label(0)[1:], b.geometry((7, 14, 12))),
            ShapeMismatch,
            r"shape \(7, 14, 12\).*\(8, 14, 12\)",
        ),
        (
            lambda b, p: write_nifti(p, b.label(0), b.geometry(spacing=(2.0, 1.0, 1.0))),
            ShapeMismatch,
            "spacing",
        ),
        (lambda b, p: write_nifti(p, b.label(0), b.geometry(origin=30.0)), ShapeMismatch, "52 mm away"),
        (
            lambda b, p: write_nifti(p, b.label(0) * 3, b.geometry()),
            BadVoxels,
            "label values 3, 6 in the prediction.*0 and 1, 2",
        ),
        (lambda b, p: write_nifti(p, b.label(0) * 1.5, b.geometry()), BadVoxels, "no whole numbers"),
    ],
    ids=["text", "empty", "shape", "spacing", "origin", "values", "fractions"],
)
def test_what_is_wrong_with_a_file_is_said(one, balls, write, error, said):
    _, folder, read = one
    write(balls, folder / "c.nii.gz")
    with pytest.raises(error, match=said):
        read()


def test_two_files_of_one_case(one, balls):
    _, folder, read = one
    for place in ("fold_0/c.nii.gz", "fold_1/c.nii.gz"):
        (folder / place).parent.mkdir()
        write_nifti(folder / place, balls.label(0), balls.geometry())
    with pytest.raises(Unreadable, match=r"2 predictions: fold_0/c\.nii\.gz, fold_1/c\.nii\.gz"):
        read()


def test_damaged_probabilities_are_an_error(one, balls):
    _, folder, read = one
    write_nifti(folder / "c.nii.gz", balls.label(0), balls.geometry())
    (folder / "c.npz").write_bytes(b"no archive")
    with pytest.raises(Unreadable, match=r"c\.npz"):
        read()
    np.savez(folder / "c.npz", probabilities=np.ones((5, *balls.SHAPE)))
    with pytest.raises(ShapeMismatch, match="5 channels"):
        read()
