"""Somebody's predictions: nnU-Net's tree, one file per case, and whatever may be wrong with them."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from aleaseg.case import Case, Dataset, Geometry, Voxels
from aleaseg.errors import BadVoxels, CaseError, ShapeMismatch, Unreadable, UsageError
from aleaseg.predictions.folder import PredictionFolder
from aleaseg.readers.voxels import write_nifti, write_png

SHAPE = (4, 5, 6)
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 1.0), None)
CLASSES = {"left": (1,), "right": (2,)}
REGIONS = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


def dataset(tmp_path, ids=("a", "b", "c"), classes=CLASSES, geometry=GEOMETRY):
    cases = [Case(i, (), (), lambda: None, lambda: None, lambda: geometry) for i in ids]
    return Dataset("d", tmp_path, "nnunet", tuple(cases), classes, ("MRI",))


def probabilities(channels=3, shape=SHAPE, seed=0):
    p = np.random.default_rng(seed).random((channels, *shape)).astype(np.float32)
    return p / p.sum(axis=0)


def save(path, key="probabilities", array=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{key: probabilities() if array is None else array})
    return path


def test_nnunets_tree_without_fold_all(tmp_path):
    trainer = tmp_path / "oof" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    save(trainer / "fold_0" / "validation" / "a.npz", array=probabilities(seed=1))
    save(trainer / "fold_1" / "validation" / "b.npz")
    save(trainer / "fold_all" / "validation" / "c.npz")
    save(trainer / "fold_all" / "validation" / "a.npz", array=probabilities(seed=9))
    write_nifti(trainer / "fold_0" / "validation" / "a.nii.gz", np.ones(SHAPE, np.uint8), GEOMETRY)
    (trainer / "fold_0" / "validation" / "summary.json").write_text("{}")
    found = PredictionFolder(tmp_path / "oof", dataset(tmp_path))
    assert len(found) == 2
    a, b, c = found.dataset.cases
    (one,) = found.read(a)
    assert one.kind == "probability", "the npz is preferred to the label map beside it"
    np.testing.assert_allclose(one.maps, probabilities(seed=1))
    assert len(found.read(b)) == 1
    assert found.read(c) == []


def with_masks(tmp_path, ids):
    """A data set whose masks are a block, a little elsewhere in each case."""
    masks = {}
    for at, name in enumerate(ids):
        masks[name] = np.zeros(SHAPE, np.uint8)
        masks[name][1:3, 1:4, at % 3 : 4] = 1
    found = dataset(tmp_path, ids, {"a": (1,)})
    cases = [replace(c, read_label=lambda m=masks[c.id]: Voxels(m, GEOMETRY)) for c in found.cases]
    return replace(found, cases=tuple(cases)), masks


def test_copies_of_the_masks_and_nothing_at_all_are_told(tmp_path):
    found, masks = with_masks(tmp_path, ids := [f"c{n}" for n in range(6)])
    for name, change in {
        "copies": lambda m: m,
        "empty": lambda m: m * 0,
        "real": lambda m: np.roll(m, 1, 2),
    }.items():
        (tmp_path / name).mkdir()
        for case in ids:
            write_nifti(tmp_path / name / f"{case}_seg.nii.gz", change(masks[case]), GEOMETRY)
    told = {
        name: PredictionFolder(tmp_path / name, found).oddities() for name in ("copies", "empty", "real")
    }
    assert "the masks themselves" in told["copies"][0]
    assert "all empty" in told["empty"][0]
    assert told["real"] == []


def test_names_are_matched_as_evaluate_matches_them(tmp_path):
    (tmp_path / "p/a").mkdir(parents=True)
    write_nifti(tmp_path / "p/a/a_seg.nii.gz", np.ones(SHAPE, np.uint8), GEOMETRY)
    found = PredictionFolder(tmp_path / "p", dataset(tmp_path))
    assert len(found) == 1
    assert found.read(found.dataset.cases[0])[0].kind == "label"
    with pytest.raises(UsageError, match="it holds a_seg"):
        PredictionFolder(tmp_path / "p", dataset(tmp_path, ("z",)))


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("probabilities", "probability"),
        ("softmax", "probability"),
        ("logits", "logit"),
        ("arr_0", "probability"),
    ],
)
def test_keys(tmp_path, key, kind):
    save(tmp_path / "a.npz", key, np.log(probabilities()) if key == "logits" else None)
    (one,) = PredictionFolder(tmp_path, dataset(tmp_path)).read(dataset(tmp_path).cases[0])
    assert one.kind == kind
    assert not one.regions


def test_nifti_label_maps_and_probabilities(tmp_path):
    label = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    write_nifti(tmp_path / "a.nii.gz", label, GEOMETRY)
    found = PredictionFolder(tmp_path, dataset(tmp_path))
    (one,) = found.read(found.dataset.cases[0])
    assert one.kind == "label"
    np.testing.assert_array_equal(one.labels(), label)


def test_2d_predictions_of_nnunet_have_one_slice(tmp_path):
    flat = Geometry((5, 6), (1.0, 1.0), None)
    save(tmp_path / "a.npz", array=probabilities(shape=(1, 5, 6)))
    found = PredictionFolder(tmp_path, dataset(tmp_path, geometry=flat))
    (one,) = found.read(found.dataset.cases[0])
    assert one.maps.shape == (3, 5, 6)


def test_regions_are_known_by_their_channels(tmp_path):
    data = dataset(tmp_path, classes=REGIONS)
    save(tmp_path / "a.npz", array=probabilities(3))
    save(tmp_path / "b.npz", array=probabilities(4))
    found = PredictionFolder(tmp_path, data)
    assert found.read(data.cases[0])[0].regions
    assert not found.read(data.cases[1])[0].regions


def damaged(path, what):
    content = save(path).read_bytes()
    match what:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("these are not the bytes")
        case "bytes flipped":
            middle = len(content) // 2
            path.write_bytes(content[: middle - 60] + bytes(60) + content[middle:])
        case "bare array":
            with path.open("wb") as file:
                np.save(file, probabilities())
        case "bare pickle":
            path.write_bytes(pickle.dumps([1, 2, 3]))
        case "objects":
            np.savez(path, probabilities=np.array([{"a": 1}], dtype=object))
        case "other zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("readme.txt", "hello")
        case "nan":
            save(path, array=np.full((3, *SHAPE), np.nan))
        case "texts":
            save(path, array=np.full((3, *SHAPE), "x"))
        case "other keys":
            np.savez(path, alpha=np.zeros(3), beta=np.zeros(3))
        case "scalar":
            save(path, array=np.float32(1))
        case "folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize(
    "what",
    [
        "truncated",
        "empty",
        "text",
        "bytes flipped",
        "bare array",
        "bare pickle",
        "objects",
        "other zip",
        "nan",
        "texts",
        "other keys",
        "scalar",
        "folder",
    ],
)
def test_a_damaged_file_is_one_line_about_its_case(tmp_path, what):
    damaged(tmp_path / "a.npz", what)
    save(tmp_path / "b.npz")
    found = PredictionFolder(tmp_path, dataset(tmp_path))
    with pytest.raises(CaseError) as caught:
        found.read(found.dataset.cases[0])
    text = str(caught.value)
    assert text.startswith("a: found ")
    assert "; expected " in text
    assert "\n" not in text
    assert "a.npz" in text
    assert len(found.read(found.dataset.cases[1])) == 1


def test_a_pickle_is_never_run(tmp_path):
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (mark.write_text, ("boom",))

    for name, content in (
        ("a", lambda path: path.write_bytes(pickle.dumps(Bomb()))),
        ("b", lambda path: np.savez(path, probabilities=np.array([Bomb()], dtype=object))),
    ):
        content(tmp_path / f"{name}.npz")
    mark.unlink(missing_ok=True)
    found = PredictionFolder(tmp_path, dataset(tmp_path))
    for case in found.dataset.cases[:2]:
        with pytest.raises(Unreadable):
            found.read(case)
    assert not mark.exists()


def test_wrong_shape_and_wrong_model(tmp_path):
    save(tmp_path / "a.npz", array=probabilities(shape=(4, 6, 5)))
    save(tmp_path / "b.npz", array=probabilities(6))
    save(tmp_path / "c.npz", array=probabilities(2))
    found = PredictionFolder(tmp_path, dataset(tmp_path))
    a, b, c = found.dataset.cases
    with pytest.raises(
        ShapeMismatch, match=r"a: found a prediction of shape \(4, 6, 5\) in a.npz; .*\(4, 5, 6\)"
    ):
        found.read(a)
    for case, channels in ((b, 6), (c, 2)):
        with pytest.raises(ShapeMismatch, match=rf"{channels} channels .* expected 3 \(background and 2"):
            found.read(case)


def test_a_damaged_nifti_says_prediction(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    found = PredictionFolder(tmp_path, dataset(tmp_path))
    with pytest.raises(Unreadable, match=r"a: found .*; expected a prediction; predict the case again"):
        found.read(found.dataset.cases[0])


def test_nothing_of_this_data_set(tmp_path):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "other" / "zzz.npz")
    save(tmp_path / "all" / "fold_all" / "validation" / "a.npz")
    for name in ("empty", "other", "all"):
        with pytest.raises(UsageError, match=r"holds no prediction of any case of d; .* such as a\.npz"):
            PredictionFolder(tmp_path / name, dataset(tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        PredictionFolder(tmp_path / "nowhere", dataset(tmp_path))


def test_one_channel_of_probabilities_is_the_foreground(tmp_path):
    p = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    write_nifti(tmp_path / "a.nii.gz", p, GEOMETRY)
    write_nifti(tmp_path / "b.nii.gz", p * 7, GEOMETRY)
    one = dataset(tmp_path, classes={"lesion": (1,)})
    found = PredictionFolder(tmp_path, one)
    (a,) = found.read(one.cases[0])
    assert a.kind == "probability"
    np.testing.assert_allclose(a.probability("lesion"), p, atol=1e-6)
    np.testing.assert_array_equal(a.mask("lesion"), p > 0.5)
    with pytest.raises(Unreadable, match=r"b: found values from .* in b\.nii\.gz"):
        found.read(one.cases[1])
    with pytest.raises(ShapeMismatch, match="1 channels"):
        PredictionFolder(tmp_path, dataset(tmp_path)).read(one.cases[0])


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pictures_are_label_maps(tmp_path, ending):
    from PIL import Image

    label = np.random.default_rng(0).integers(0, 3, (5, 6)).astype(np.uint8)
    if ending == ".png":
        write_png(tmp_path / "a.png", label)
    else:
        Image.fromarray(label).save(tmp_path / "a.tif")
    found = PredictionFolder(tmp_path, dataset(tmp_path, geometry=Geometry((5, 6), (1.0, 1.0), None)))
    (one,) = found.read(found.dataset.cases[0])
    np.testing.assert_array_equal(one.labels(), label)
    if ending == ".png":
        write_png(tmp_path / "a.png", (label > 0).astype(np.uint8) * 255)
        found.dataset = dataset(
            tmp_path, classes={"lesion": (1,)}, geometry=found.dataset.cases[0].read_geometry()
        )
        np.testing.assert_array_equal(found.read(found.dataset.cases[0])[0].mask("lesion"), label > 0)


def test_as_many_regions_as_values_and_background_are_regions(tmp_path):
    classes = {"whole": (1, 2), "core": (2,), "rim": (1,)}
    maps = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    save(tmp_path / "a.npz", array=maps)
    found = PredictionFolder(tmp_path, dataset(tmp_path, classes=classes))
    (one,) = found.read(found.dataset.cases[0])
    assert one.regions
    np.testing.assert_array_equal(one.mask("whole"), maps[0] > 0.5)
    save(tmp_path / "a.npz", array=probabilities(3))
    (plain,) = PredictionFolder(tmp_path, dataset(tmp_path)).read(found.dataset.cases[0])
    assert not plain.regions


def test_a_softmax_over_overlapping_classes_is_known_by_its_sum(tmp_path):
    """Three classes that overlap, two label values: three channels are either."""
    classes = {"whole": (1, 2), "core": (2,), "rim": (1,)}
    for dtype in (np.float32, np.float16):
        maps = probabilities(3).astype(dtype)
        save(tmp_path / "a.npz", array=maps)
        found = PredictionFolder(tmp_path, dataset(tmp_path, classes=classes))
        (one,) = found.read(found.dataset.cases[0])
        assert not one.regions
        np.testing.assert_array_equal(one.mask("whole"), maps.argmax(0) > 0)


def test_classes_that_were_not_asked_for_become_background(tmp_path):
    some = replace(dataset(tmp_path, classes={"b": (2,), "d": (4,)}), declared=(1, 2, 3, 4))
    p = probabilities(5)
    label = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.uint8)
    save(tmp_path / "a.npz", array=p)
    save(tmp_path / "b.npz", "logits", np.log(p))
    write_nifti(tmp_path / "c.nii.gz", label, GEOMETRY)
    found = PredictionFolder(tmp_path, some)
    a, b, c = (found.read(case)[0] for case in some.cases)
    np.testing.assert_allclose(a.maps, np.stack([p[0] + p[1] + p[3], p[2], p[4]]), rtol=1e-5)
    for name in some.classes:
        np.testing.assert_allclose(b.probability(name), a.probability(name), rtol=1e-4)
    np.testing.assert_array_equal(c.labels(), np.where(label % 2, 0, label))


def test_the_readers_know_what_was_declared(tmp_path, write_small):
    from aleaseg.readers import open_dataset

    write_small(tmp_path, 2)
    assert open_dataset(tmp_path, classes="right").declared == (1, 2)


class TestWhatNumbersTheseAre:
    """Numbers from outside are checked against what they claim to be."""

    soft = probabilities()
    logits = np.log(soft) + 3

    @pytest.mark.parametrize(
        ("key", "array", "said"),
        [
            ("probabilities", (soft * 255).astype(np.uint8), "divide them by 255"),
            ("softmax", np.round(soft * 100), "divide them by"),
            ("probabilities", soft * 100, "divide them by 100"),
            ("probabilities", logits - 9, "under the key `logits`"),
            ("arr_0", logits - 9, "under the key `logits`"),
            ("probabilities", 1000 + soft, "save probabilities"),
            ("probabilities", soft / 2, "add up to"),
            ("probabilities", 1 / (1 + np.exp(-logits)), "add up to"),
            ("logits", soft, "under the key `probabilities`"),
        ],
    )
    def test_other_numbers_are_refused_with_what_to_do(self, tmp_path, key, array, said):
        save(tmp_path / "a.npz", key, array)
        one = dataset(tmp_path)
        with pytest.raises(Unreadable, match=said):
            PredictionFolder(tmp_path, one).read(one.cases[0])

    @pytest.mark.parametrize("kind", [np.float16, np.float64])
    def test_rounding_is_no_fault(self, tmp_path, kind):
        save(tmp_path / "a.npz", "probabilities", self.soft.astype(kind))
        one = dataset(tmp_path)
        assert PredictionFolder(tmp_path, one).read(one.cases[0])[0].kind == "probability"

    def test_percents_and_bytes_as_pictures_are_refused(self, tmp_path):
        flat = Geometry((9, 12), (1.0, 1.0), None)
        one = dataset(tmp_path, classes={"lesion": (1,)}, geometry=flat)
        write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (9, 12)).astype(np.uint8))
        with pytest.raises(BadVoxels, match="probabilities as bytes or percents"):
            PredictionFolder(tmp_path, one).read(one.cases[0])

    def test_label_values_that_mean_nothing_are_refused(self, tmp_path):
        write_nifti(tmp_path / "a.nii.gz", np.full(SHAPE, 7, np.uint8), GEOMETRY)
        one = dataset(tmp_path)
        with pytest.raises(BadVoxels, match="the label values 7"):
            PredictionFolder(tmp_path, one).read(one.cases[0])

    def test_another_grid_is_refused(self, tmp_path):
        moved = np.eye(4)[:, [2, 1, 0, 3]]
        there = Geometry(SHAPE, (1.0, 1.0, 1.0), moved)
        elsewhere = moved.copy()
        elsewhere[0, 3] = 5
        write_nifti(tmp_path / "a.nii.gz", np.zeros(SHAPE, np.uint8), replace(there, affine=elsewhere))
        one = dataset(tmp_path, geometry=there)
        with pytest.raises(ShapeMismatch, match="another grid"):
            PredictionFolder(tmp_path, one).read(one.cases[0])


class TestSeveralPredictions:
    def test_two_folds_of_one_case_are_refused_by_their_paths(self, tmp_path):
        for fold in (0, 1):
            save(tmp_path / "oof" / f"fold_{fold}" / "validation" / "a.npz")
        save(tmp_path / "oof" / "fold_1" / "validation" / "b.npz")
        found = PredictionFolder(tmp_path / "oof", dataset(tmp_path))
        with pytest.raises(Unreadable, match=r"fold_0/validation/a\.npz, fold_1/validation/a\.npz"):
            found.read(found.dataset.cases[0])
        assert len(found.read(found.dataset.cases[1])) == 1

    def test_two_forms_in_two_folders_are_two(self, tmp_path):
        save(tmp_path / "oof" / "one" / "a.npz")
        write_nifti(tmp_path / "oof" / "two" / "a.nii.gz", np.ones(SHAPE, np.uint8), GEOMETRY)
        found = PredictionFolder(tmp_path / "oof", dataset(tmp_path))
        with pytest.raises(Unreadable, match="2 predictions"):
            found.read(found.dataset.cases[0])

    def test_postprocessed_ones_below_are_passed_over(self, tmp_path):
        save(tmp_path / "oof" / "a.npz", array=probabilities(seed=1))
        save(tmp_path / "oof" / "postprocessed" / "a.npz", array=probabilities(seed=2))
        (one,) = PredictionFolder(tmp_path / "oof", dataset(tmp_path)).read(dataset(tmp_path).cases[0])
        np.testing.assert_allclose(one.maps, probabilities(seed=1))

    def test_fold_all_alone_is_said(self, tmp_path):
        save(tmp_path / "oof" / "fold_all" / "validation" / "a.npz")
        with pytest.raises(UsageError, match="fold_all saw every case"):
            PredictionFolder(tmp_path / "oof", dataset(tmp_path))
