"""Cases of several raters: their majority, their groups, and files that are not what they should be."""

import json
import pickle

import numpy as np
import pytest

from aleaseg.case import Geometry, file_stamps
from aleaseg.errors import BadVoxels, NotADataset, ShapeMismatch, Unreadable, UsageError
from aleaseg.readers.raters import open_raters, read_raters

SHAPE = (3, 4, 5)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 200, SHAPE).astype(np.uint8),
        "raters": (rng.random((4, *SHAPE)) < 0.5).astype(np.uint8),
    }


@pytest.fixture
def write(tmp_path):
    """write(case, **arrays) -> the file."""

    def _write(case, **arrays):
        path = tmp_path / "npz" / f"{case}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, **arrays)
        return path

    return _write


def write_meta(folder, entries):
    (folder / "meta.json").write_text(json.dumps(entries))


def test_the_label_is_the_majority_and_a_tie_is_inside(tmp_path, write):
    votes = np.array([[1, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0]], np.uint8)
    write("four", image=np.arange(5).reshape(1, 1, 5), raters=votes[:, None, None])
    write("three", image=np.arange(5).reshape(1, 1, 5), raters=votes[:3, None, None])
    four, three = open_raters(tmp_path).cases
    assert four.read_label().array.ravel().tolist() == [0, 1, 1, 1, 0]
    assert three.read_label().array.ravel().tolist() == [0, 1, 1, 1, 0]
    assert four.read_label().array.dtype == np.int16


def test_a_case_is_read_as_it_was_written(tmp_path, write, arrays):
    path = write("a", **arrays)
    dataset = open_raters(tmp_path)
    case = dataset["a"]
    image = case.read_image()
    np.testing.assert_array_equal(image.array, arrays["image"][None])
    assert image.array.dtype == np.float32
    assert image.geometry == case.read_geometry() == case.read_label().geometry
    assert image.geometry == Geometry(SHAPE, (1.0, 1.0, 1.0))
    assert image.geometry.affine is None
    raters = dataset["a"].read_raters().array
    assert raters.dtype == np.float32
    np.testing.assert_array_equal(raters[:, 0], arrays["raters"])
    q = case.read_confidence()
    assert q.geometry == image.geometry
    np.testing.assert_array_equal(q.array, arrays["raters"].mean(axis=0, dtype=np.float32)[None])
    assert dataset.classes == {"foreground": (1,)}
    assert file_stamps(case)[str(path)][0] == path.stat().st_size


def test_two_axes_and_floating_point_numbers_will_do(tmp_path, write):
    write("flat", image=np.eye(4), raters=np.stack([np.eye(4), np.ones((4, 4))]))
    case = open_raters(tmp_path)["flat"]
    assert case.read_geometry() == Geometry((4, 4), (1.0, 1.0))
    assert case.read_label().array.all()


def test_groups_are_patients_where_meta_json_names_them(tmp_path, write, arrays):
    for case in ("b", "a", "c", "d"):
        write(case, **arrays)
    assert [case.group for case in open_raters(tmp_path).cases] == ["a", "b", "c", "d"]
    write_meta(tmp_path, [{"case": "a", "patient": "p"}, {"case": "b", "patient": "p"}, {"case": "c"}])
    assert [case.group for case in open_raters(tmp_path).cases] == ["p", "p", "c", "d"]
    assert [case.group for case in open_raters(tmp_path, groups="[ab]").cases] == ["a", "b", "c", "d"]


def test_a_case_without_a_file_is_told(tmp_path, write, arrays):
    write("a", **arrays)
    write_meta(tmp_path, [{"case": "a", "patient": "p"}, {"case": "gone", "patient": "p"}])
    dataset = open_raters(tmp_path)
    assert [case.id for case in dataset.cases] == ["a"]
    assert [(one.case, one.check) for one in dataset.findings] == [("gone", "missing_image")]


def test_fewer_cases_are_the_same_kind_of_data_set(tmp_path, write, arrays):
    write("a", **arrays)
    write("b", **arrays)
    dataset = open_raters(tmp_path)
    fewer = dataset.with_cases(dataset.cases[:1])
    assert fewer.confidence == dataset.confidence
    assert fewer["a"].read_raters().array.shape == (4, 1, *SHAPE)


def test_nothing_is_opened_before_it_is_asked_for(tmp_path):
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "a.npz").write_bytes(b"no archive at all")
    assert len(open_raters(tmp_path)) == 1


def test_cases_travel_to_other_processes(tmp_path, write, arrays):
    write("a", **arrays)
    there = pickle.loads(pickle.dumps(open_raters(tmp_path)))
    np.testing.assert_array_equal(there["a"].read_raters().array[:, 0], arrays["raters"])
    np.testing.assert_array_equal(there["a"].read_image().array[0], arrays["image"])


# -- what cannot work -----------------------------------------------------------------------------


def read_all(tmp_path):
    """Each way to a case's file."""
    dataset = open_raters(tmp_path)
    (case,) = dataset.cases
    return [
        case.read_image,
        case.read_label,
        case.read_geometry,
        case.read_raters,
        case.read_confidence,
    ]


@pytest.mark.parametrize("missing", ["image", "raters"])
def test_a_missing_array_is_told_by_every_reader(tmp_path, write, arrays, missing):
    del arrays[missing]
    write("a", **arrays, other=np.zeros(3))
    for read in read_all(tmp_path):
        with pytest.raises(
            Unreadable, match=f"a: found no array {missing} in .*; expected the arrays image"
        ):
            read()


@pytest.mark.parametrize(
    "change",
    [
        {"raters": np.zeros((4, 3, 4, 6))},
        {"raters": np.zeros((1, *SHAPE))},
        {"raters": np.zeros(SHAPE)},
        {"image": np.zeros(5), "raters": np.zeros((4, 5))},
        {"image": np.zeros((0, 4, 5)), "raters": np.zeros((4, 0, 4, 5))},
        {"image": np.float32(3), "raters": np.zeros(4)},
    ],
    ids=["other grid", "one rater", "no axis of raters", "one axis", "no voxel", "a number"],
)
def test_shapes_that_do_not_fit_are_told_by_every_reader(tmp_path, write, arrays, change):
    write("a", **arrays | change)
    for read in read_all(tmp_path):
        with pytest.raises(ShapeMismatch, match=r"a: found image \(.* and raters \(.*expected the arrays"):
            read()


@pytest.mark.parametrize("value", [2, 255, 0.5, np.nan, -1])
def test_masks_of_other_values_than_0_and_1_are_refused(write, arrays, value):
    raters = arrays["raters"].astype(float)
    raters[2, 1, 1, 1] = value
    path = write("a", image=arrays["image"], raters=raters)
    with pytest.raises(
        BadVoxels, match=f"the values {value:g} at 1 voxels .*expected 0 outside and 1 inside"
    ):
        read_raters(path, "a")


class Bomb:
    """What is unpickled touches a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_objects_are_never_unpickled(tmp_path, write, arrays):
    touched = tmp_path / "touched"
    write("a", image=arrays["image"], raters=np.array([Bomb(touched)], dtype=object))
    for read in read_all(tmp_path):
        with pytest.raises(BadVoxels, match="raters of type object"):
            read()
    (tmp_path / "npz" / "a.npz").write_bytes(pickle.dumps(Bomb(touched)))
    for read in read_all(tmp_path):
        with pytest.raises(Unreadable):
            read()
    assert not touched.exists()


def test_texts_are_no_numbers(tmp_path, write, arrays):
    write("a", image=np.full(SHAPE, "x"), raters=arrays["raters"])
    for read in read_all(tmp_path):
        with pytest.raises(BadVoxels, match="image of type <U1"):
            read()


def test_a_file_cut_anywhere_is_unreadable(tmp_path, write, arrays):
    path = write("a", **arrays)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(Unreadable):
            open_raters(tmp_path)["a"].read_image()


def test_a_damaged_byte_does_not_pass_for_voxels(tmp_path, write, arrays):
    path = write("a", **arrays)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"raters.npy") + 40
    whole[at] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(Unreadable):
        open_raters(tmp_path)["a"].read_raters()


def test_a_header_that_claims_more_than_the_file_holds_takes_no_memory(tmp_path, arrays):
    import io
    import zipfile

    (tmp_path / "npz").mkdir()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**20, 2**10)}
    )
    with zipfile.ZipFile(tmp_path / "npz" / "a.npz", "w") as archive:
        archive.writestr("image.npy", header.getvalue() + b"\0" * 64)
        archive.writestr("raters.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(Unreadable, match="and is shorter"):
        open_raters(tmp_path)["a"].read_image()


def test_a_folder_of_another_kind_is_no_data_set(tmp_path):
    with pytest.raises(NotADataset, match="cannot be listed"):
        open_raters(tmp_path)
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "readme.txt").write_text("nothing")
    with pytest.raises(NotADataset, match=r"holds no \.npz file"):
        open_raters(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"patient": "p"}]', "3", '{"a": "p"}', "\xff"])
def test_a_damaged_meta_json_is_told(tmp_path, write, arrays, text):
    write("a", **arrays)
    (tmp_path / "meta.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"meta\.json cannot be used"):
        open_raters(tmp_path)


# -- real cases -----------------------------------------------------------------------------------


def test_real_nodules(data):
    folder = data / "lidc_4raters"
    if not folder.is_dir():
        pytest.skip(
            "no real cases of several raters here: lidc_4raters in the folder that ALEASEG_TEST_DATA names"
        )
    dataset = open_raters(folder)
    about = {entry["case"]: entry for entry in json.loads((folder / "meta.json").read_text())}
    assert len(dataset) == 505
    assert not dataset.findings
    assert len({case.group for case in dataset.cases}) == 325
    for case in dataset.cases[::50]:
        entry = about[case.id]
        assert case.group == entry["patient"]
        assert case.read_geometry().shape == case.read_image().array.shape[1:]
        assert case.read_geometry().shape == (entry["slices"], entry["size"], entry["size"])
        raters = case.read_raters().array[:, 0]
        assert [int(mask.sum()) for mask in raters] == entry["vox"]
        label = case.read_label().array
        np.testing.assert_array_equal(label == 1, raters.sum(axis=0) >= 2)
