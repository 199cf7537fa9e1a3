"""Confidences beside images: layouts, scales, classes, raters, and files that are not what they should be."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from aleaseg.case import Confidence, file_stamps, usable_confidence
from aleaseg.checks import check
from aleaseg.errors import BadVoxels, ShapeMismatch, UsageError
from aleaseg.readers import open_dataset

SHAPE = (4, 5, 6)
CLASSES = {"background": 0, "a": 1, "b": 2}


def tenths(seed=0, classes=2):
    """Confidences from 0 to 10, each of them somewhere."""
    rng = np.random.default_rng(seed)
    q = rng.permuted(np.resize(np.arange(11), (classes, *SHAPE)), axis=None)
    return q.astype(np.uint8)


@pytest.fixture
def root(tmp_path, write, image, label):
    """An nnU-Net data set of three cases with two classes and labels."""
    for case in ("x_1", "x_2", "y"):
        write(tmp_path / f"imagesTr/{case}_0000.nii.gz", image + len(case))
        write(tmp_path / f"labelsTr/{case}.nii.gz", label)
    declare(tmp_path)
    return tmp_path


def declare(root, **confidence):
    about = {"channel_names": {"0": "US"}, "labels": CLASSES, "numTraining": 3, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(
        json.dumps(about | ({"confidence": confidence} if confidence else {}))
    )


def checks_of(dataset):
    return [(one.case, one.severity, one.check) for one in check(dataset).findings]


# -- one annotator --------------------------------------------------------------------------------


def test_a_4d_file_has_the_class_on_its_last_axis(root, write):
    for case in ("x_1", "x_2", "y"):
        path = write(root / f"confidencesTr/{case}.nii.gz", tenths())
    dataset = open_dataset(root)
    case = dataset["y"]
    found = case.read_confidence()
    assert found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, (tenths() / 10).astype(np.float32))
    assert found.geometry == case.read_geometry()
    assert dataset.confidence == Confidence(10.0, "mean", "the numbers of all files")
    assert "the scale of the confidences is 10, as their numbers tell" in dataset.account.guesses
    assert case.confidence_files == (path,)
    assert file_stamps(case)[str(path)][0] == path.stat().st_size
    assert case.read_raters is None
    assert not check(dataset).errors
    assert dataset.account.used == 9
    # The label is the one that was drawn.
    assert case.label_files
    assert set(np.unique(case.read_label().array)) == {0, 1, 2}


def test_the_scale_is_of_the_data_set_and_not_of_a_case(root, write):
    write(root / "confidencesTr/x_1.nii.gz", np.minimum(tenths(), 1))
    write(root / "confidencesTr/x_2.nii.gz", tenths())
    q = open_dataset(root)["x_1"].read_confidence().array
    assert q.max() == np.float32(0.1)


@pytest.mark.parametrize(("scale", "top"), [(1, 0.9), (10, 7), (100, 60), (100, 7.5)])
def test_a_declared_scale_is_kept_whatever_the_numbers(root, write, scale, top):
    declare(root, scale=scale)
    write(root / "confidencesTr/y.nii.gz", np.full((2, *SHAPE), top, np.float32))
    dataset = open_dataset(root)
    assert dataset.confidence == Confidence(scale, "mean", "dataset.json")
    np.testing.assert_allclose(dataset["y"].read_confidence().array, top / scale, rtol=1e-6)
    # What is typed goes before what is declared.
    assert open_dataset(root, scale=1000).confidence == Confidence(1000, "mean", "--scale")


def test_one_file_for_each_class(root, write):
    q = tenths()
    write(root / "confidencesTr/x_1_a.nii.gz", q[0])
    write(root / "confidencesTr/x_1_b.nii.gz", q[1])
    write(root / "confidencesTr/x_2_b.nii.gz", q[1])
    write(root / "confidencesTr/x_2_c.nii.gz", q[1])
    dataset = open_dataset(root)
    np.testing.assert_allclose(dataset["x_1"].read_confidence().array, q / 10, rtol=1e-6)
    only_b = dataset["x_2"].read_confidence().array
    assert np.isnan(only_b[0]).all()  # nobody said anything of it: not looked at
    np.testing.assert_allclose(only_b[1], q[1] / 10, rtol=1e-6)
    assert [path for path, _ in dataset.account.passed_over] == ["confidencesTr/x_2_c.nii.gz"]


def test_chosen_classes_are_those_channels(root, write):
    write(root / "confidencesTr/y.nii.gz", tenths())
    (only,) = open_dataset(root, classes="b")["y"].read_confidence().array
    np.testing.assert_allclose(only, tenths()[1] / 10, rtol=1e-6)


def test_declared_classes_name_the_channels_and_ignore_is_not_looked_at(root, write):
    declare(root, scale=10, classes=["b", "unknown"], ignore=-1)
    q = tenths().astype(np.int16)
    q[0, 0] = -1
    write(root / "confidencesTr/y.nii.gz", q)
    found = open_dataset(root)["y"].read_confidence().array
    assert np.isnan(found[0]).all()
    assert np.isnan(found[1, 0]).all()
    np.testing.assert_allclose(found[1, 1:], q[0, 1:] / 10, rtol=1e-6)


def test_without_labels_the_label_is_half_and_more(root, write):
    for path in (root / "labelsTr").iterdir():
        path.unlink()
    q = np.zeros((2, *SHAPE), np.float32)
    q[0, 0], q[0, 1], q[1, 1], q[1, 2] = 0.5, 0.6, 0.8, 0.49
    for case in ("x_1", "x_2"):
        write(root / f"confidencesTr/{case}.nii.gz", q)
    dataset = open_dataset(root)
    assert dataset.has_labels
    assert dataset.confidence.makes_label
    label = dataset["x_1"].read_label().array
    assert [int(part.max()) for part in label] == [1, 2, 0, 0]
    assert label.dtype == np.int16
    assert [case.id for case in dataset.cases] == ["x_1", "x_2"]
    found = checks_of(dataset)
    assert ("y", "error", "missing_label") in found
    assert ("", "note", "label_of_confidence") in found
    assert not [one for one in found if one[2] == "labels_not_found"]


def test_regions_share_values(tmp_path, write, image):
    write(tmp_path / "imagesTr/y_0000.nii.gz", image)
    q = np.zeros((2, *SHAPE), np.float32)
    q[0, :3], q[1, :2], q[1, 3] = 0.9, 0.6, 0.7
    write(tmp_path / "confidencesTr/y.nii.gz", q)
    about = {"channel_names": {"0": "US"}, "labels": {"whole": [1, 2], "core": 2}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    label = open_dataset(tmp_path)["y"].read_label().array
    # In both: the core's value. In the core alone, which no value says: the surest one's.
    assert [int(part.max()) for part in label] == [2, 2, 1, 2]


@pytest.mark.parametrize("name", ["confidence", "confidences"])
def test_a_folder_of_pictures(tmp_path, name):
    rng = np.random.default_rng(0)
    for folder in ("images", name):
        (tmp_path / folder).mkdir()
    for case in ("p0", "p1"):
        Image.fromarray(rng.integers(0, 255, (8, 9), dtype=np.uint8)).save(tmp_path / f"images/{case}.png")
        Image.fromarray(np.full((8, 9), 51, np.uint8)).save(tmp_path / f"{name}/{case}.png")
    Image.fromarray(np.full((8, 9), 255, np.uint8)).save(tmp_path / f"{name}/p1.png")
    with pytest.raises(UsageError, match="up to 255"):
        open_dataset(tmp_path)
    (tmp_path / "confidence.json").write_text('{"scale": 255, "classes": ["lesion"]}')
    dataset = open_dataset(tmp_path)
    assert dict(dataset.classes) == {"lesion": (1,)}
    assert dataset.confidence == Confidence(255, "mean", "confidence.json", makes_label=True)
    np.testing.assert_allclose(dataset["p0"].read_confidence().array, np.full((1, 8, 9), 0.2), rtol=1e-6)
    assert not check(dataset).errors


def test_one_way_to_write_sixty_percent_is_as_good_as_another(root, write):
    declare(root, scale=100)
    write(root / "confidencesTr/y.nii.gz", np.full((2, *SHAPE), 60, np.uint8))
    assert (open_dataset(root)["y"].read_confidence().array == np.float32(0.6)).all()


# -- the scale --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "scale"),
    [([0, 0.5, 1], 1), ([0, 3, 10], 10), ([0, 2], 10), ([0, 50.5], 100), ([0, 1, 11], 100), ([0, 0], 1)],
)
def test_what_the_numbers_tell(root, write, numbers, scale):
    write(root / "confidencesTr/y.nii.gz", np.resize(numbers, (2, *SHAPE)).astype(np.float32))
    assert open_dataset(root).confidence.scale == scale


@pytest.mark.parametrize(
    ("numbers", "readings"),
    [
        ([0, 1], ["--scale 1 ", "--scale 10 "]),
        ([0, 2.5], ["--scale 10 ", "--scale 100"]),
        ([0, 255], ["--scale 255"]),
        ([0, 1000.5], ["--scale 1001"]),
    ],
)
def test_what_has_two_readings_is_refused_with_both(root, write, numbers, readings):
    write(root / "confidencesTr/y.nii.gz", np.resize(numbers, (2, *SHAPE)).astype(np.float32))
    with pytest.raises(UsageError, match="cannot be told") as refused:
        open_dataset(root)
    assert all(reading in str(refused.value) + " " for reading in readings)
    assert open_dataset(root, scale=1000).confidence.scale == 1000


def test_a_scale_without_confidences_is_refused(root):
    with pytest.raises(UsageError, match=r"--scale 10 is given, .* states no confidences"):
        open_dataset(root, scale=10)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"scale": 0}', '{"scale": "x"}', '{"scale": true}', '{"classes": "a"}']
)
def test_a_declaration_that_cannot_be_used_is_told(root, write, text):
    write(root / "confidencesTr/y.nii.gz", tenths())
    (root / "confidence.json").write_text(text)
    with pytest.raises(UsageError, match=r"confidence\.json"):
        open_dataset(root)


# -- bad files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1, 11, np.inf, -np.inf, 10.5])
def test_numbers_out_of_scale_are_an_error_of_their_case(root, write, value):
    declare(root, scale=10)
    q = tenths().astype(np.float32)
    q[1, 2, 2, 2] = value
    write(root / "confidencesTr/x_1.nii.gz", q)
    write(root / "confidencesTr/y.nii.gz", tenths())
    dataset = open_dataset(root)
    with pytest.raises(BadVoxels, match=f"x_1: found confidences of {value:g} at 1 voxels .* 0 to 10"):
        dataset["x_1"].read_confidence()
    found = checks_of(dataset)
    assert ("x_1", "error", "confidence_values") in found
    assert ("x_2", "note", "no_confidence") in found
    assert not [one for one in found if one[0] == "y" and one[1] == "error"]


def test_another_grid_is_told_by_the_check_and_by_who_uses_it(root, write):
    from aleaseg.case import Geometry
    from aleaseg.readers.voxels import write_nifti

    (root / "confidencesTr").mkdir()
    write_nifti(root / "confidencesTr/y.nii.gz", tenths()[:, :3], Geometry((3, 5, 6), (1, 1, 1)))
    dataset = open_dataset(root)
    assert ("y", "error", "confidence_shape") in checks_of(dataset)
    with pytest.raises(ShapeMismatch, match="y: found confidences of shape"):
        usable_confidence(dataset["y"], SHAPE)


def test_another_place_is_told(root, geometry):
    from dataclasses import replace

    from aleaseg.readers.voxels import write_nifti

    (root / "confidencesTr").mkdir()
    moved = geometry.affine.copy()
    moved[0, 3] += 20
    write_nifti(root / "confidencesTr/y.nii.gz", tenths(), replace(geometry, affine=moved))
    assert ("y", "error", "confidence_geometry") in checks_of(open_dataset(root))


def test_another_number_of_classes_says_what_to_declare(root, write):
    write(root / "confidencesTr/y.nii.gz", tenths(classes=1)[0])
    with pytest.raises(
        ShapeMismatch, match=r"1 classes .* 2, one channel for each of a, b; .*y_a\.nii\.gz"
    ):
        open_dataset(root)["y"].read_confidence()


def test_two_files_for_one_thing(root, write):
    write(root / "confidencesTr/y.nii.gz", tenths())
    write(root / "confidencesTr/y_a.nii.gz", tenths()[0])
    dataset = open_dataset(root)
    assert dataset["y"].read_confidence is None
    assert ("y", "error", "two_confidences") in checks_of(dataset)


def test_a_class_without_any_confidence_is_named(root, write):
    q = tenths()
    q[1] = 0
    for case in ("x_1", "x_2", "y"):
        write(root / f"confidencesTr/{case}.nii.gz", q)
    (note,) = [one for one in check(open_dataset(root)).notes if one.check == "empty_confidence"]
    assert "'b'" in note.expected


def test_a_damaged_file_is_unreadable_and_the_others_decide_the_scale(root, write):
    write(root / "confidencesTr/x_1.nii.gz", tenths())
    (root / "confidencesTr/y.nii.gz").write_bytes(b"\x1f\x8b nothing")
    dataset = open_dataset(root)
    assert dataset.confidence.scale == 10
    assert ("y", "error", "unreadable_confidence") in checks_of(dataset)


def test_confidences_travel_to_other_processes(root, write):
    write(root / "confidencesTr/y.nii.gz", tenths())
    there = pickle.loads(pickle.dumps(open_dataset(root)))
    np.testing.assert_allclose(there["y"].read_confidence().array, tenths() / 10, rtol=1e-6)


# -- raters -----------------------------------------------------------------------------------------


def masks(*rows):
    """A label map (*SHAPE) whose slices hold one value each."""
    return np.broadcast_to(np.array(rows, np.uint8)[:, None, None], SHAPE).copy()


def test_label_maps_of_raters_are_averaged_by_class(root, write):
    write(root / "raters/y/ann.nii.gz", masks(1, 1, 2, 0))
    write(root / "raters/y/bob.nii.gz", masks(1, 2, 2, 0))
    write(root / "raters/x_1/bob.nii.gz", masks(1, 2, 2, 0))
    write(root / "raters/nobody/bob.nii.gz", masks(1, 2, 2, 0))
    dataset = open_dataset(root)
    case = dataset["y"]
    assert case.raters == ("ann", "bob")
    assert case.read_raters().array.shape == (2, 2, *SHAPE)
    q = case.read_confidence().array
    assert q[:, :, 0, 0].T.tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0, 0]]
    assert dataset.confidence.scale == 1
    found = check(dataset)
    assert [(one.case, one.found) for one in found.notes if one.check == "missing_rater"] == [
        ("x_1", "nothing of ann")
    ]
    assert ("raters/nobody/bob.nii.gz", "masks of raters of no case that the data set has") in (
        dataset.account.passed_over
    )


def test_confidences_of_raters_have_one_scale_and_those_who_differ_are_named(tmp_path, write, image):
    about = {"channel_names": {"0": "US"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    write(tmp_path / "imagesTr/y_0000.nii.gz", image)
    write(tmp_path / "raters/y/ann.nii.gz", masks(10, 5, 0, 0))
    write(tmp_path / "raters/y/bob.nii.gz", masks(1, 1, 0, 0))
    dataset = open_dataset(tmp_path)
    assert dataset.confidence.scale == 10
    q = dataset["y"].read_confidence().array
    np.testing.assert_allclose(q[0, :, 0, 0], [0.55, 0.3, 0, 0], rtol=1e-6)
    (note,) = [one for one in check(dataset).notes if one.check == "rater_scales"]
    assert note.found == "their highest confidences are ann 10, bob 1"


def test_raters_of_pictures_without_labels(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for case in ("p0", "p1", "p2"):
        Image.fromarray(rng.integers(0, 255, (8, 9), dtype=np.uint8)).save(tmp_path / f"images/{case}.png")
        for rater in range(3):
            path = tmp_path / f"raters/{case}/{rater}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((8, 9), np.uint8)
            mask[: rater + 1] = 255
            Image.fromarray(mask).save(path)
    dataset = open_dataset(tmp_path)
    q = dataset["p1"].read_confidence().array
    np.testing.assert_allclose(q[0, :4, 0], [1, 2 / 3, 1 / 3, 0], rtol=1e-6)
    assert dataset["p1"].read_label().array[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert len(dataset.classes) == 1
    assert not check(dataset).errors


def test_several_whole_numbers_of_raters_without_classes_have_two_readings(tmp_path, write, image):
    write(tmp_path / "images/y.nii.gz", image)
    write(tmp_path / "raters/y/ann.nii.gz", masks(1, 2, 0, 0))
    with pytest.raises(UsageError, match="classes, or confidences in one class"):
        open_dataset(tmp_path)
    assert list(open_dataset(tmp_path, scale=10).classes) == ["foreground"]
    told = open_dataset(tmp_path, classes="a=1,b=2")
    assert told["y"].read_confidence().array[:, :, 0, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_what_a_rater_did_not_look_at_is_left_to_the_others(root, write):
    declare(root, scale=1, ignore=-1)
    looked = np.full((2, *SHAPE), 0.5, np.float32)
    blind = np.full((2, *SHAPE), -1, np.float32)
    for name, q in (("ann", looked), ("bob", blind)):
        write(root / f"raters/y/{name}.nii.gz", q)
    assert (open_dataset(root)["y"].read_confidence().array == 0.5).all()


def test_two_folders_of_confidences_are_refused(root, write):
    write(root / "raters/y/ann.nii.gz", masks(1, 1, 2, 0))
    write(root / "confidencesTr/y.nii.gz", tenths())
    with pytest.raises(UsageError, match=r"confidencesTr/ and in raters/"):
        open_dataset(root)


@pytest.mark.parametrize("how", ["mean", "majority", "staple"])
def test_raters_are_fused_as_asked(root, write, how):
    for name, rows in (("a", (1, 1, 1, 0)), ("b", (1, 1, 0, 0)), ("c", (1, 0, 0, 0))):
        write(root / f"raters/y/{name}.nii.gz", masks(*rows))
    dataset = open_dataset(root, fuse=how)
    assert dataset.confidence.fuse == how
    q = dataset["y"].read_confidence().array[0, :, 0, 0]
    expected = {"mean": [1, 2 / 3, 1 / 3, 0], "majority": [1, 1, 0, 0]}
    if how in expected:
        np.testing.assert_allclose(q, expected[how], rtol=1e-6)
    else:
        assert (np.diff(q) <= 0).all()
        assert q[0] > 0.9
    with pytest.raises(UsageError, match="expected one of mean, majority, staple"):
        open_dataset(root, fuse="median")


# -- BIDS -------------------------------------------------------------------------------------------


@pytest.fixture
def bids(tmp_path, write, image):
    for subject in ("01", "02"):
        write(tmp_path / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", image + int(subject))
    return tmp_path


def derived(bids, subject, name):
    return bids / f"derivatives/doubt/sub-{subject}/anat/sub-{subject}_{name}_probseg.nii.gz"


def test_probseg_of_each_label(bids, write):
    for subject in ("01", "02"):
        write(derived(bids, subject, "label-GM"), np.full(SHAPE, 0.5, np.float32))
        write(derived(bids, subject, "label-WM"), np.full(SHAPE, 1, np.float32))
        write(derived(bids, subject, "space-MNI_label-WM"), np.full(SHAPE, 1, np.float32))
    dataset = open_dataset(bids)
    assert dict(dataset.classes) == {"GM": (1,), "WM": (2,)}
    # Whole numbers alone would be refused elsewhere; the standard says 0 to 1.
    assert dataset.confidence == Confidence(1.0, "mean", "BIDS", makes_label=True)
    case = dataset["sub-01_T1w"]
    assert [float(q.max()) for q in case.read_confidence().array] == [0.5, 1.0]
    assert (case.read_label().array == 2).all()
    assert case.read_raters is None


def test_probseg_of_four_dimensions_has_a_label_map(bids, write):
    q = np.stack([np.full(SHAPE, 0.25), np.full(SHAPE, 0.75)]).astype(np.float32)
    for subject in ("01", "02"):
        path = bids / f"derivatives/doubt/sub-{subject}/anat/sub-{subject}_probseg.nii.gz"
        write(path, q)
        path.with_name(f"sub-{subject}_probseg.json").write_text('{"LabelMap": ["WM", "GM"]}')
    dataset = open_dataset(bids)
    assert list(dataset.classes) == ["WM", "GM"]
    assert [float(one.max()) for one in dataset["sub-02_T1w"].read_confidence().array] == [0.25, 0.75]


def test_raters_of_probseg_are_told_by_desc(bids, write):
    for subject in ("01", "02"):
        for rater, value in (("ann", 0.2), ("bob", 0.6)):
            write(derived(bids, subject, f"desc-{rater}_label-GM"), np.full(SHAPE, value, np.float32))
    case = open_dataset(bids)["sub-01_T1w"]
    assert case.raters == ("ann", "bob")
    np.testing.assert_allclose(case.read_confidence().array, 0.4, rtol=1e-6)


def test_probseg_of_other_classes_than_the_labels_is_no_confidence(bids, write, label):
    for subject in ("01", "02"):
        write(bids / f"derivatives/labels/sub-{subject}/anat/sub-{subject}_T1w_seg.nii.gz", label)
        write(derived(bids, subject, "label-CSF"), np.full(SHAPE, 0.5, np.float32))
    dataset = open_dataset(bids)
    assert dataset.confidence is None
    assert dataset.account.known["probability map"] == 2
