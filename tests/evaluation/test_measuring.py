"""One case, measured: against brute force, with everything that may be odd about it."""

from dataclasses import replace

import numpy as np
import pytest

from aleaseg.case import Case, Dataset, Voxels
from aleaseg.evaluation.columns import CASE_COLUMNS, METRIC_COLUMNS
from aleaseg.evaluation.measuring import Rules, failed_case, measure_case
from aleaseg.evaluation.predicted import PredictedFiles
from aleaseg.metrics.surface import surface_distances
from aleaseg.readers.voxels import write_nifti


@pytest.fixture
def measured(tmp_path, balls):
    """measured(reference, prediction, ...) -> rows of the classes by name, row of the case."""

    def measure(
        reference, predicted=None, soft=None, classes=None, ignore=None, perfect=False, declared=()
    ):
        classes = classes or balls.CLASSES
        voxels = Voxels(reference, balls.geometry())
        geometry = voxels.geometry
        case = Case("c", (), (), lambda: voxels, lambda: voxels, lambda: geometry, group="g")
        dataset = Dataset("d", tmp_path, "nnunet", (), classes, ("MRI",), ignore, declared=declared)
        files = PredictedFiles()
        if predicted is not None:
            write_nifti(tmp_path / "c.nii.gz", predicted, balls.geometry())
            files = replace(files, masks=(tmp_path / "c.nii.gz",))
        if soft is not None:
            np.savez(tmp_path / "c.npz", probabilities=soft)
            files = replace(files, soft=(tmp_path / "c.npz",))
        rows, whole = measure_case(case, files, Rules(dataset, dict.fromkeys(classes, 1.0), perfect))
        assert {key for row in rows for key in row} <= set(METRIC_COLUMNS)
        assert set(whole) <= {*CASE_COLUMNS, "reliability"}
        return {row["class"]: row for row in rows}, whole

    return measure


def test_the_numbers_are_those_of_each_class(measured, balls):
    label = balls.label(0)
    predicted = balls.shifted(label)
    rows, whole = measured(label, predicted)
    for name, value in (("left", 1), ("right", 2)):
        a, b = label == value, predicted == value
        row = rows[name]
        assert row["status"] == "ok"
        assert row["group"] == "g"
        assert row["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert row["iou"] == pytest.approx((a & b).sum() / (a | b).sum())
        surface = surface_distances(a, b, balls.SPACING)
        assert (row["hd95_mm"], row["assd_mm"], row["nsd"]) == surface[:3]
        assert (row["reference_voxels"], row["predicted_voxels"], row["both_voxels"]) == (
            a.sum(),
            b.sum(),
            (a & b).sum(),
        )
        assert "ece" not in row
    assert whole["status"] == "ok"
    assert whole["dice"] == pytest.approx(np.mean([rows[name]["dice"] for name in rows]))
    assert whole["voxel_mm3"] == 3.0
    assert "max_probability" not in whole


def bins(p, true, count=15):
    """ECE by hand."""
    place = np.minimum((p * count).astype(int), count - 1)
    return sum(abs(p[place == b].sum() - true[place == b].sum()) for b in range(count)) / p.size


def grown(mask, voxels=5):
    where = np.argwhere(mask)
    found = np.zeros_like(mask)
    for index in where:
        found[tuple(slice(max(0, i - voxels), i + voxels + 1) for i in index)] = True
    return found


def test_probabilities_are_calibrated_around_the_foreground_and_everywhere(measured, balls):
    label = balls.label(1)
    p = balls.probabilities(label, sharp=3.0)
    rows, whole = measured(label, p.argmax(axis=0).astype(np.uint8), soft=p)
    for value, row in enumerate(rows.values(), start=1):
        near = grown(label == value)
        assert row["ece"] == pytest.approx(
            bins(p[value][near].astype(float), label[near] == value), abs=1e-6
        )
        assert row["ece_image"] == pytest.approx(
            bins(p[value].ravel().astype(float), label.ravel() == value), abs=1e-6
        )
    sure, right = p.max(axis=0), p.argmax(axis=0) == label
    assert whole["ece_image"] == pytest.approx(bins(sure.ravel().astype(float), right.ravel()), abs=1e-6)
    assert whole["max_probability"] == pytest.approx(sure.mean(), abs=1e-6)
    assert whole["max_probability_near"] == pytest.approx(
        sure[grown(p.argmax(axis=0) > 0)].mean(), abs=1e-6
    )


def test_a_class_that_is_not_there(measured, balls):
    label = balls.label(0)
    without = np.where(label == 2, 0, label).astype(np.uint8)
    rows, whole = measured(without, without)
    assert rows["right"]["status"] == "both_empty"
    assert np.isnan([rows["right"][name] for name in ("dice", "iou", "hd95_mm", "assd_mm", "nsd")]).all()
    assert whole["dice"] == 1
    rows, whole = measured(without, without, perfect=True)
    assert (rows["right"]["dice"], rows["right"]["nsd"], rows["right"]["hd95_mm"]) == (1, 1, 0)
    diagonal = np.linalg.norm(np.multiply(balls.SHAPE, balls.SPACING))
    for pair, status in (((without, label), "reference_empty"), ((label, without), "prediction_empty")):
        rows, whole = measured(*pair)
        assert rows["right"]["status"] == status
        assert (rows["right"]["dice"], rows["right"]["nsd"]) == (0, 0)
        assert rows["right"]["hd95_mm"] == pytest.approx(diagonal)
        assert whole["dice"] == 0.5
    nothing = np.zeros_like(label)
    rows, whole = measured(nothing, nothing)
    assert np.isnan(whole["dice"])


def test_what_is_not_annotated_does_not_count(measured, balls):
    label = balls.label(0)
    predicted = balls.shifted(label)
    ignored = label.copy()
    ignored[:, :, 7:] = 9
    cut = np.where(ignored == 9, 0, label).astype(np.uint8)
    cut_prediction = np.where(ignored == 9, 0, predicted).astype(np.uint8)
    p = balls.probabilities(label)
    rows, whole = measured(ignored, predicted, ignore=9, soft=p)
    expected, _ = measured(cut, cut_prediction)
    for name in rows:
        for metric in ("status", "dice", "hd95_mm", "nsd", "reference_voxels", "predicted_voxels"):
            assert rows[name][metric] == expected[name][metric] or np.isnan(expected[name][metric])
    counted = ignored != 9
    assert whole["max_probability"] == pytest.approx(p.max(axis=0)[counted].mean(), abs=1e-6)
    for value, row in enumerate(rows.values(), start=1):
        near = grown((label == value) & counted) & counted
        for metric, where in (("ece", near), ("ece_image", counted)):
            by_hand = bins(p[value][where].astype(float), label[where] == value)
            assert row[metric] == pytest.approx(by_hand, abs=1e-6)


def test_regions_may_overlap(measured, balls):
    label = balls.label(0)
    whole_and_core = {"whole": (1, 2), "core": (2,)}
    rows, _ = measured(label, balls.shifted(label), classes=whole_and_core, declared=(1, 2))
    a, b = label > 0, balls.shifted(label) > 0
    assert rows["whole"]["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    sigmoid = np.stack([np.where(label > 0, 0.9, 0.2), np.where(label == 2, 0.7, 0.1)]).astype(np.float32)
    rows, whole = measured(label, soft=sigmoid, classes=whole_and_core, declared=(1, 2))
    assert rows["whole"]["dice"] == rows["core"]["dice"] == 1
    assert rows["core"]["ece_image"] == pytest.approx(
        bins(sigmoid[1].ravel().astype(float), label.ravel() == 2), abs=1e-6
    )
    assert whole["ece_image"] > 0.1  # always right, and not so sure


def test_a_value_that_nobody_declared_is_an_error_and_no_class(measured, balls):
    label = balls.label(0)
    label[0, 0, 0] = 7
    rows, whole = measured(label, balls.label(0))
    assert whole["status"] == "failed"
    assert "c: found the label values 7 in the reference; expected 0 and 1, 2" in whole["error"]
    assert set(rows) == set(balls.CLASSES)
    assert {row["error"] for row in rows.values()} == {whole["error"]}


def test_whatever_a_case_does_is_in_its_rows(tmp_path, balls):
    def broken():
        raise ZeroDivisionError("out of\nthe blue")

    case = Case("c", (), (), broken, broken, broken, group="g")
    rules = Rules(
        Dataset("d", tmp_path, "nnunet", (), balls.CLASSES, ()), dict.fromkeys(balls.CLASSES, 1.0)
    )
    rows, whole = measure_case(case, PredictedFiles(), rules)
    assert whole["error"] == "c: ZeroDivisionError: out of the blue"
    assert (rows, whole) == failed_case("c", "g", whole["error"], rules)
