"""Labels of confidences: levels both ways, what stock nnU-Net takes, and the command as it is typed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from aleaseg.case import Geometry
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.labelling import LabellingSettings, write_labels
from aleaseg.labelling.label import Labeller
from aleaseg.levels import ConfidenceMap, LevelMap, at_least
from aleaseg.readers import open_dataset
from aleaseg.readers.splits import read_splits
from aleaseg.readers.voxels import read_label, write_nifti
from aleaseg.training.targets import parse_strategy

SHAPE = (3, 8, 9)
GEOMETRY = Geometry(
    SHAPE, (2.0, 1.0, 1.0), np.array([[0, 0, 1.0, 3], [0, 1, 0, 2], [2, 0, 0, 1], [0, 0, 0, 1]])
)


def confidences(seed, classes=1):
    """Tenths; of two classes one on each side."""
    rng = np.random.default_rng(seed)
    q = rng.permuted(np.resize(np.arange(11), (classes, *SHAPE)), axis=None).astype(np.uint8)
    if classes == 2:
        q[0, ..., 4:], q[1, ..., :4] = 0, 0
    return q


@pytest.fixture
def root(tmp_path):
    """Six cases of three patients, one class."""
    return write_set(tmp_path / "data", {"lesion": 1})


def write_set(root, labels, classes=1):
    for n in range(6):
        for folder in ("imagesTr", "confidencesTr"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(100 + n).normal(size=SHAPE).astype(np.float32)
        write_nifti(root / f"imagesTr/p{n // 2}_{n}_0000.nii.gz", image, GEOMETRY)
        write_nifti(root / f"confidencesTr/p{n // 2}_{n}.nii.gz", confidences(n, classes), GEOMETRY)
    about = {
        "channel_names": {"0": "US"},
        "labels": {"background": 0, **labels},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def written(root, out, **options):
    made = write_labels(LabellingSettings(root, **options), out, workers=1)
    about = json.loads((out / "dataset.json").read_text())
    return made, about


def label_of(out, about, case):
    return read_label(out / about["dataset"][case]["label"], case).array


# -- levels, both ways -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (2, 12), elements=st.sampled_from([0, 0.1, 0.2, 0.5, 0.6, 0.9, 1])),
    st.integers(1, 4),
)
def test_levels_and_regions_are_exact_both_ways(q, m):
    q[1][q[0] >= 0.1] = 0  # one class a voxel
    thresholds = (0.2, 0.5, 0.6, 1.0)[:m]
    level_map = LevelMap(("a", "b"), thresholds)
    label, lost = level_map.encode(q)
    assert lost == 0
    found = level_map.decode(label)
    for c in range(2):
        for k, threshold in enumerate(thresholds):
            np.testing.assert_array_equal(found[c] > k, at_least(q[c], threshold))
    for number, (name, values) in enumerate(level_map.regions.items()):
        c, k = divmod(number, m)
        np.testing.assert_array_equal(np.isin(label, values), at_least(q[c], thresholds[k]), err_msg=name)
    assert LevelMap.from_dict(json.loads(json.dumps(level_map.to_dict()))) == level_map


def test_regions_are_called_by_their_thresholds():
    assert LevelMap(("a",), (0.2, 0.4, 0.6, 0.8, 1)).regions["at_least_40"] == (2, 3, 4, 5)
    assert LevelMap(("a", "b"), (0.25, 1 / 3)).regions == {
        "a_at_least_25": (1, 2), "a_at_least_33.3": (2,), "b_at_least_25": (3, 4), "b_at_least_33.3": (4,),
    }  # fmt: skip


def test_two_classes_at_one_voxel_are_counted_and_the_surer_is_kept():
    label, lost = LevelMap(("a", "b"), (0.2, 0.6)).encode(
        np.array([[0.3, 0.9, 0], [0.7, 0.9, 0.2]], np.float32)
    )
    assert label.tolist() == [4, 2, 3]
    assert lost == 2


def test_nnunet_exports_the_highest_level_although_a_lower_one_is_off():
    label_handling = pytest.importorskip("nnunetv2.utilities.label_handling.label_handling")
    labeller = Labeller.of(parse_strategy("multi"), {"a": (1,), "b": (2,)}, {})
    declared = labeller.declared(with_ignore=True)
    manager = label_handling.LabelManager(declared["labels"], declared["regions_class_order"])
    assert manager.ignore_label == 9
    assert manager.num_segmentation_heads == 8
    p = np.zeros((8, 1, 3), np.float32)
    p[[0, 2], 0, 0] = 0.9  # levels 1 and 3 of a, not 2
    p[4:6, 0, 1] = 0.9  # levels 1 and 2 of b
    exported = manager.convert_probabilities_to_segmentation(p)
    level_map = labeller.level_map
    assert level_map.decode(exported)[:, 0].tolist() == [[3, 0, 0], [0, 2, 0]]
    np.testing.assert_allclose(level_map.confidence(p)[:, 0], [[0.225, 0, 0], [0, 0.45, 0]], rtol=1e-6)


# -- data sets --------------------------------------------------------------------------------------------


def test_threshold(root, tmp_path):
    out = tmp_path / "Dataset101_x"
    made, about = written(root, out, labels="threshold:.6")
    assert not made.failed
    assert about["labels"] == {"background": 0, "lesion": 1}
    assert "regions_class_order" not in about
    for n in range(6):
        case = f"p{n // 2}_{n}"
        np.testing.assert_array_equal(label_of(out, about, case), confidences(n)[0] >= 6)
        assert about["dataset"][case]["images"] == [str(root / f"imagesTr/{case}_0000.nii.gz")]
    assert not (out / "imagesTr").exists()
    # It is a data set like any other.
    again = open_dataset(out)
    assert len(again) == 6
    assert not again.findings
    assert again.cases[0].read_geometry() == again.cases[0].read_label().geometry


def test_ignore(root, tmp_path):
    out = tmp_path / "Dataset101_x"
    _, about = written(root, out, labels="ignore:.2,.6")
    assert about["labels"] == {"background": 0, "lesion": 1, "ignore": 2}
    q = confidences(0)[0]
    np.testing.assert_array_equal(label_of(out, about, "p0_0"), np.where(q >= 6, 1, np.where(q <= 2, 0, 2)))


def test_multi(root, tmp_path):
    out = tmp_path / "Dataset101_x"
    _, about = written(root, out, labels="multi")
    assert about["labels"] == {
        "background": 0, "at_least_20": [1, 2, 3, 4], "at_least_40": [2, 3, 4], "at_least_60": [3, 4], "at_least_80": 4,
    }  # fmt: skip
    assert about["regions_class_order"] == [1, 2, 3, 4]
    assert about["aleaseg_levels"] == {"classes": ["lesion"], "thresholds": [0.2, 0.4, 0.6, 0.8]}
    q = confidences(0)[0].astype(int)
    np.testing.assert_array_equal(label_of(out, about, "p0_0"), np.minimum(q // 2, 4))


@pytest.mark.parametrize("way", ["soft", "weight", "regress", "sample", "rater-norm+soft"])
def test_confidences_themselves_in_tenths(root, tmp_path, way):
    if way.startswith("rater-norm"):
        with pytest.raises(UsageError, match="several raters"):
            written(root, tmp_path / "Dataset101_x", labels=way)
        return
    made, about = written(root, tmp_path / "Dataset101_x", labels=way)
    assert about["labels"] == {"background": 0, "lesion": list(range(1, 11))}
    assert about["regions_class_order"] == [1]
    assert about["aleaseg_confidence"] == {"classes": ["lesion"], "steps": 10, "labels": way}
    np.testing.assert_array_equal(label_of(tmp_path / "Dataset101_x", about, "p0_0"), confidences(0)[0])
    assert any("nnUNetTrainerConfidence" in note and f"`{way}`" in note for note in made.notes)
    assert not any("rounded" in note for note in made.notes)


def test_confidences_of_several_classes_and_of_voxels_that_nobody_looked_at(tmp_path):
    root, out = write_set(tmp_path / "data", {"a": 1, "b": 2}, classes=2), tmp_path / "Dataset101_x"
    about = json.loads((root / "dataset.json").read_text()) | {"confidence": {"scale": 10, "ignore": 99}}
    (root / "dataset.json").write_text(json.dumps(about))
    q = confidences(0, 2)
    q[:, 0] = 99
    write_nifti(root / "confidencesTr/p0_0.nii.gz", q, GEOMETRY)
    made, about = written(root, out, labels="soft")
    assert about["labels"] == {
        "background": 0, "a": list(range(1, 11)), "b": list(range(11, 21)), "ignore": 21
    }  # fmt: skip
    assert about["regions_class_order"] == [1, 11]
    expected = np.where(q[0] > 0, q[0], np.where(q[1] > 0, 10 + q[1], 0))
    expected[0] = 21
    np.testing.assert_array_equal(label_of(out, about, "p0_0"), expected)
    assert any(note == "72 voxels do not count: their label is `ignore`" for note in made.notes)


def test_what_lies_between_two_steps_is_rounded_and_said(root, tmp_path):
    about = json.loads((root / "dataset.json").read_text()) | {"confidence": {"scale": 100}}
    (root / "dataset.json").write_text(json.dumps(about))
    for n in range(6):
        percent = np.full(SHAPE, 10 * n, np.uint8)
        percent[0, 0, :3] = (4, 26, 95)
        write_nifti(root / f"confidencesTr/p{n // 2}_{n}.nii.gz", percent, GEOMETRY)
    made, about = written(root, tmp_path / "Dataset101_x", labels="soft")
    assert label_of(tmp_path / "Dataset101_x", about, "p0_1")[0, 0, :4].tolist() == [0, 3, 10, 1]
    assert "18 voxels are between two steps and were rounded to one of 10" in made.notes


def test_regions_that_share_values_have_no_map_of_confidences(tmp_path):
    root = write_set(tmp_path / "data", {"whole": [1, 2], "core": 2}, classes=2)
    with pytest.raises(UsageError, match="soft writes the levels of classes that exclude one another"):
        written(root, tmp_path / "Dataset101_x", labels="soft")


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_map_of_confidences_is_exact_both_ways_and_never_half_a_step_off(m, classes, seed):
    rng = np.random.default_rng(seed)
    stated = ConfidenceMap(tuple("abc"[:classes]), m)
    one, place = rng.integers(0, m + 1, 50), rng.integers(0, classes, 50)
    q = np.where(np.arange(classes)[:, None] == place, one / np.float32(m), 0).astype(np.float32)
    label, lost = stated.encode(q)
    assert lost == 0
    np.testing.assert_array_equal(label, np.where(one > 0, place * m + one, 0))
    np.testing.assert_array_equal(stated.decode(label), q)
    for name, values in stated.regions.items():
        np.testing.assert_array_equal(np.isin(label, values), q["abc".index(name)] > 0)
    between = rng.random((1, 50)).astype(np.float32)
    single = ConfidenceMap(("a",), m)
    assert np.abs(single.decode(single.encode(between)[0]) - between).max() <= 0.5 / m + 1e-5
    assert ConfidenceMap.from_dict(json.loads(json.dumps(stated.to_dict()))) == stated


def test_several_classes_side_by_side(tmp_path):
    root, out = write_set(tmp_path / "data", {"a": 1, "b": 2}, classes=2), tmp_path / "Dataset101_x"
    _, about = written(root, out, labels="multi:.3,.7")
    q = confidences(0, 2)
    label = label_of(out, about, "p0_0")
    np.testing.assert_array_equal(np.isin(label, about["labels"]["a_at_least_30"]), q[0] >= 3)
    np.testing.assert_array_equal(label == about["labels"]["b_at_least_70"], q[1] >= 7)


def test_classes_that_collide_are_counted_and_refused_above_a_share(tmp_path):
    root, out = write_set(tmp_path / "data", {"a": 1, "b": 2}, classes=2), tmp_path / "Dataset101_x"
    full = np.full((2, *SHAPE), 8, np.uint8)
    full[1] = 9
    write_nifti(root / "confidencesTr/p0_0.nii.gz", full, GEOMETRY)
    with pytest.raises(UsageError, match=r"reach the first threshold at 216 of .* --overlap 0\.\d"):
        written(root, out, labels="threshold:.6")
    assert not (out / "dataset.json").exists()
    made, about = written(root, tmp_path / "Dataset102_x", labels="threshold:.6", overlap=0.9)
    assert any("collide" in note for note in made.notes)
    assert (label_of(tmp_path / "Dataset102_x", about, "p0_0") == 2).all()


def test_regions_keep_their_values(tmp_path):
    root, out = (
        write_set(tmp_path / "data", {"whole": [1, 2], "core": 2}, classes=2),
        tmp_path / "Dataset101_x",
    )
    with pytest.raises(UsageError, match="regions_class_order"):
        written(root, out, labels="threshold:.6")
    about = json.loads((root / "dataset.json").read_text()) | {"regions_class_order": [1, 2]}
    (root / "dataset.json").write_text(json.dumps(about))
    _, made = written(root, out, labels="threshold:.6", overlap=1)
    assert made["labels"] == {"background": 0, "whole": [1, 2], "core": 2}
    assert made["regions_class_order"] == [1, 2]
    with pytest.raises(UsageError, match="share label values"):
        written(root, tmp_path / "Dataset102_x", labels="multi")


def test_what_nobody_looked_at_is_ignored(root, tmp_path):
    about = json.loads((root / "dataset.json").read_text()) | {"confidence": {"scale": 10, "ignore": -1}}
    (root / "dataset.json").write_text(json.dumps(about))
    q = confidences(0).astype(np.int16)
    q[:, 0] = -1
    write_nifti(root / "confidencesTr/p0_0.nii.gz", q, GEOMETRY)
    out = tmp_path / "Dataset101_x"
    made, about = written(root, out, labels="multi:.5,1")
    assert about["labels"]["ignore"] == 3
    assert (label_of(out, about, "p0_0")[0] == 3).all()
    assert any("72 voxels do not count" in note for note in made.notes)


def test_splits_are_by_patient(root, tmp_path):
    out = tmp_path / "Dataset101_x"
    _, about = written(root, out, groups=r"^(p\d)", folds=3)
    splits = read_splits(out / "splits_final.json")
    assert len(splits) == 3
    for fold in splits:
        assert not {case[:2] for case in fold["train"]} & {case[:2] for case in fold["val"]}
        assert sorted(fold["train"] + fold["val"]) == sorted(about["dataset"])


def test_a_bad_case_stops_no_other(root, tmp_path):
    (root / "confidencesTr/p0_0.nii.gz").write_bytes(b"nothing")
    write_nifti(root / "confidencesTr/p0_1.nii.gz", confidences(1)[:, :2], Geometry((2, 8, 9), (2, 1, 1)))
    made, about = written(root, tmp_path / "Dataset101_x")
    assert sorted(made.failed) == ["p0_0", "p0_1"]
    assert "confidences of shape (2, 8, 9)" in made.failed["p0_1"]
    assert about["numTraining"] == len(about["dataset"]) == 4


def test_pictures_stay_where_they_are(tmp_path):
    root, out = tmp_path / "data", tmp_path / "Dataset101_x"
    for folder in ("images", "confidence"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(3):
        Image.fromarray(rng.integers(0, 255, (8, 9, 3), dtype=np.uint8)).save(root / f"images/{n}.png")
        Image.fromarray(rng.integers(0, 101, (8, 9), dtype=np.uint8)).save(root / f"confidence/{n}.png")
    _, about = written(root, out, scale=100)
    assert about["file_ending"] == ".png"
    assert len(about["channel_names"]) == 3
    q = np.asarray(Image.open(root / "confidence/1.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(out / "labelsTr/1.png")), q >= 60)


def test_raters_of_archives_get_images_that_nnunet_reads(tmp_path):
    root, out = tmp_path / "data", tmp_path / "Dataset101_x"
    (root / "npz").mkdir(parents=True)
    rng = np.random.default_rng(0)
    raters = rng.integers(0, 2, (3, 4, *SHAPE), dtype=np.uint8)
    for n in range(3):
        np.savez(root / f"npz/c{n}.npz", image=rng.normal(size=SHAPE), raters=raters[n])
    _, about = written(root, out, labels="multi:.25,.5,.75,1")
    np.testing.assert_array_equal(label_of(out, about, "c1"), raters[1].sum(axis=0))
    _, soft = written(root, tmp_path / "Dataset102_x", labels="soft")
    assert soft["aleaseg_confidence"]["steps"] == 4  # as many as raters
    np.testing.assert_array_equal(label_of(tmp_path / "Dataset102_x", soft, "c1"), raters[1].sum(axis=0))
    again = open_dataset(out)
    np.testing.assert_allclose(
        again["c1"].read_image().array, open_dataset(root)["c1"].read_image().array, rtol=1e-6
    )


def test_the_same_command_goes_on_and_another_is_refused(root, tmp_path):
    out = tmp_path / "Dataset101_x"
    _, first = written(root, out)
    (out / "dataset.json").unlink()
    _, again = written(root, out)
    assert first == again
    with pytest.raises(SettingsDiffer, match="labels"):
        written(root, out, labels="multi")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "sample:regions"}, "a threshold is drawn for each sample; take sample"),
        ({"labels": "threshold:60"}, r"60% is \.6"),
        ({"overlap": 2}, "overlap"),
        ({"labels": "rater-norm+multi"}, "several raters"),
    ],
)
def test_what_cannot_work_is_refused(root, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        written(root, tmp_path / "Dataset101_x", **options)
    assert not (tmp_path / "Dataset101_x").exists()


def test_a_data_set_without_confidences_and_a_bad_name_are_refused(tmp_path, write_small):
    write_small(tmp_path / "data", 2)
    with pytest.raises(UsageError, match="states no confidences"):
        written(tmp_path / "data", tmp_path / "Dataset101_x")
    with pytest.raises(UsageError, match="nnU-Net wants a name such as Dataset101_data"):
        written(tmp_path / "data", tmp_path / "x")


def test_as_it_is_typed(root, tmp_path, type_aleaseg, type_here):
    out = tmp_path / "Dataset101_x"
    done = type_aleaseg(
        "confidence", root, "-o", out, "--labels", "multi:.2,.6", "--as", "nnunet", "--groups", r"^(p\d)"
    )
    assert done.returncode == 0, done.stderr
    assert "at_least_60" in done.stdout
    assert "nnUNetv2_plan_and_preprocess -d 101" in done.stdout.replace("\n", " ")
    assert json.loads((out / "manifest.json").read_text())["settings"]["labels"] == "multi:0.2,0.6"
    refused = type_here("confidence", root, "-o", tmp_path / "Dataset102_x", "--labels", "softly")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    (root / "confidencesTr/p0_0.nii.gz").write_bytes(b"nothing")
    assert type_here("confidence", root, "-o", tmp_path / "Dataset103_x").returncode == 1


@pytest.mark.slow
def test_stock_nnunet_plans_and_preprocesses_what_was_written(root, tmp_path, monkeypatch):
    pytest.importorskip("nnunetv2")
    import os
    import subprocess
    import sys

    out = tmp_path / "raw" / "Dataset101_x"
    written(root, out, labels="multi", groups=r"^(p\d)", folds=3)
    places = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "prepared", "nnUNet_results": "results"}
    environment = {name: str(tmp_path / place) for name, place in places.items()}
    module = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"
    command = f"import {module} as e; e.plan_and_preprocess_entry()"
    options = ["-d", "101", "--verify_dataset_integrity", "-npfp", "1", "-np", "1", "-c", "2d"]
    done = subprocess.run(
        [sys.executable, "-c", command, *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "verify_dataset_integrity Done" in done.stdout
    assert list((tmp_path / "prepared" / "Dataset101_x").glob("nnUNetPlans_2d/*.b2nd"))
