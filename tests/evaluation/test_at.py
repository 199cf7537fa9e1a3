"""Predictions against confidences: every reference, soft scores, raters, and networks that learnt levels."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aleaseg.case import Case, Dataset, Voxels
from aleaseg.errors import UsageError
from aleaseg.evaluation import CompareSettings, EvaluationSettings, compare, evaluate
from aleaseg.evaluation.at import name_references
from aleaseg.evaluation.columns import AT, case_columns, metric_columns, metrics_at, metrics_in
from aleaseg.evaluation.measuring import Rules, measure_case
from aleaseg.evaluation.predicted import PredictedFiles
from aleaseg.labelling import LabellingSettings, write_labels
from aleaseg.levels import ConfidenceMap, LevelMap
from aleaseg.metrics.calibration import calibration_error
from aleaseg.metrics.surface import surface_distances
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_label, write_nifti

ONE = {"left": (1,)}


@pytest.fixture
def measured(tmp_path, balls):
    """measured(q, ...) -> row of the one class; the label is q >= .5."""

    def measure(q, predicted=None, soft=None, at=(0.5, 0.8), raters=None, label=None):
        label = (np.nan_to_num(q[0]) >= 0.5).astype(np.int16) if label is None else label
        geometry = balls.geometry()
        read = [Voxels(label, geometry), Voxels(q, geometry), Voxels(raters, geometry)]
        case = Case(
            "c", (), (), lambda: read[0], lambda: read[0], lambda: geometry, group="g",
            read_confidence=lambda: read[1], read_raters=None if raters is None else lambda: read[2],
        )  # fmt: skip
        files = PredictedFiles()
        if predicted is not None:
            write_nifti(tmp_path / "c.nii.gz", predicted, geometry)
            files = PredictedFiles((tmp_path / "c.nii.gz",))
        if soft is not None:
            np.savez(tmp_path / "c.npz", probabilities=soft)
            files = PredictedFiles(files.masks, (tmp_path / "c.npz",))
        dataset = Dataset("d", tmp_path, "nnunet", (), ONE, ("US",))
        rows, whole = measure_case(case, files, Rules(dataset, {"left": 1.0}, at=at))
        assert {key for row in rows for key in row} <= set(metric_columns(at))
        assert set(whole) <= {*case_columns(at), "reliability"}
        assert not whole.get("error"), whole["error"]
        return rows[0]

    return measure


@pytest.fixture
def q(balls):
    """A ball, sure in its middle and less so outwards; tenths."""
    grid = np.indices(balls.SHAPE)
    apart = np.sqrt(sum((g - n / 2 + 0.5) ** 2 for g, n in zip(grid, balls.SHAPE, strict=True)))
    return np.clip(np.round(1.4 - apart / 4, 1), 0, 1)[None].astype(np.float32)


def test_one_mask_against_every_reference(measured, balls, q):
    predicted = balls.shifted((q[0] >= 0.6).astype(np.uint8))
    row = measured(q, predicted)
    for threshold in (0.5, 0.8):
        a, b = q[0] >= threshold - 1e-6, predicted == 1
        assert row[f"dice@{threshold:g}"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        surface = surface_distances(a, b, balls.SPACING)
        assert tuple(row[f"{name}@{threshold:g}"] for name in AT[2:]) == surface[:3]
    assert row["dice"] == row["dice@0.5"] != row["dice@0.8"]
    hard = (predicted == 1).astype(float)
    assert row["soft_dice"] == pytest.approx(1 - np.abs(hard - q[0]).sum() / (hard + q[0]).sum())
    assert row["brier_image"] == pytest.approx(((hard - q[0]) ** 2).mean())
    assert row["brier"] >= row["brier_image"]


def test_soft_scores_are_those_of_the_probabilities(measured, q):
    rng = np.random.default_rng(0)
    p = np.clip(q[0] + rng.normal(0, 0.1, q.shape[1:]), 0, 1).astype(np.float32)
    row = measured(q, soft=np.stack([1 - p, p]))
    assert row["soft_dice"] == pytest.approx(1 - np.abs(p - q[0]).sum() / (p + q[0]).sum(), rel=1e-5)
    assert row["brier_image"] == pytest.approx(((p - q[0]) ** 2).mean(), rel=1e-5)
    expected = calibration_error(p.ravel(), q[0].ravel()).ece
    assert row["ece_q_image"] == pytest.approx(expected)
    u, v = (x.ravel() * (1 - x.ravel()) for x in (p.astype(float), q[0].astype(float)))
    assert row["ncc"] == pytest.approx(np.corrcoef(u, v)[0, 1], rel=1e-4)


def test_who_says_q_itself_is_perfect(measured, q):
    row = measured(q, soft=np.stack([1 - q[0], q[0]]))
    assert row["soft_dice"] == 1
    assert row["brier"] == row["brier_image"] == 0
    assert row["ece_q"] == pytest.approx(0, abs=1e-7)
    assert row["ncc"] == pytest.approx(1)
    assert "ged" not in row


def test_calibration_against_shares_and_against_what_comes_true():
    rng = np.random.default_rng(0)
    share = rng.random(500)
    p = np.clip(share + 0.2, 0, 1)
    bins = np.minimum((p * 15).astype(int), 14)
    expected = sum(
        abs(p[bins == b].mean() - share[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    )
    assert calibration_error(p, share).ece == pytest.approx(expected)
    true = rng.random(500) < share
    assert calibration_error(p, true) == calibration_error(p, true.astype(float))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        calibration_error(p, share * 3)


def test_what_nobody_looked_at_counts_nowhere(measured, q):
    blind = q.copy()
    blind[0, :3] = np.nan
    predicted = (q[0] >= 0.6).astype(np.uint8)
    predicted[:3] = 1
    row = measured(blind, predicted)
    a, b = q[0, 3:] >= 0.8 - 1e-6, predicted[3:] == 1
    assert row["dice@0.8"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    nothing = measured(np.full_like(q, np.nan), predicted, label=predicted.astype(np.int16))
    assert np.isnan(nothing["dice@0.5"])
    assert "brier" not in nothing


def test_raters(measured, q):
    masks = np.stack([q[0] >= t for t in (0.2, 0.5, 0.8)]).astype(np.float32)
    mean = masks.mean(axis=0)[None]
    row = measured(mean, (q[0] >= 0.5).astype(np.uint8), raters=masks[:, None])

    def d(a, b):
        return 1 - (a & b).sum() / (a | b).sum()

    each = masks > 0
    mask = q[0] >= 0.5
    expected = 2 * np.mean([d(mask, y) for y in each]) - np.mean([d(y, z) for y in each for z in each])
    assert row["ged"] == pytest.approx(expected)
    alone = measured(masks[:1], masks[0].astype(np.uint8), raters=masks[:1, None])
    assert alone["ged"] == pytest.approx(0, abs=1e-12)
    empty = np.zeros_like(masks)
    nobody = measured(empty[:1], empty[0].astype(np.uint8), raters=empty[:, None])
    assert nobody["ged"] == 0
    assert np.isnan(nobody["soft_dice"])


def test_a_class_that_neither_has(measured, q):
    row = measured(np.zeros_like(q), np.zeros(q.shape[1:], np.uint8))
    assert np.isnan(row["dice@0.5"])
    assert row["brier_image"] == 0


# -- networks that learnt levels ------------------------------------------------------------------------


@pytest.fixture
def learnt(tmp_path, balls, q):
    """A data set of tenths with one case, and a folder for predictions of four levels."""
    data, out = tmp_path / "data", tmp_path / "predicted"
    for folder in ("imagesTr", "confidencesTr"):
        (data / folder).mkdir(parents=True)
    out.mkdir()
    write_nifti(
        data / "imagesTr/c_0000.nii.gz", np.random.default_rng(0).normal(size=balls.SHAPE), balls.geometry()
    )
    write_nifti(data / "confidencesTr/c.nii.gz", q[0], balls.geometry())
    about = {"channel_names": {"0": "US"}, "labels": {"background": 0, "left": 1}, "file_ending": ".nii.gz"}
    (data / "dataset.json").write_text(json.dumps(about))
    level_map = LevelMap(("left",), (0.2, 0.4, 0.6, 0.8))
    (out / "dataset.json").write_text(json.dumps({"aleaseg_levels": level_map.to_dict()}))
    return data, out, level_map


def test_each_level_is_held_against_its_own_threshold(tmp_path, learnt, balls, q):
    data, out, level_map = learnt
    write_nifti(out / "c.nii.gz", level_map.encode(q)[0].astype(np.uint8), balls.geometry())
    found = evaluate(EvaluationSettings(data, out, at=(0.2, 0.5, 0.6, 0.8)), tmp_path / "e", workers=1)
    row = found.metrics.iloc[0]
    assert row["dice@0.2"] == row["dice@0.6"] == row["dice@0.8"] == 1
    # .5 was not learnt: there q^ >= .5 stands for it, and likewise for the label; of levels that is q >= .4.
    a, b = q[0] >= 0.5 - 1e-6, q[0] >= 0.4 - 1e-6
    assert row["dice@0.5"] == row["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_probabilities_of_levels_become_a_confidence(tmp_path, learnt, balls, q):
    data, out, level_map = learnt
    p = np.stack([(q[0] >= t - 1e-6) * 0.9 for t in level_map.thresholds]).astype(np.float32)
    p[0] = 0.3 * p[0]  # the first level is missed everywhere: nothing is above it
    np.savez(out / "c.npz", probabilities=p)
    found = evaluate(EvaluationSettings(data, out, at=(0.2, 0.8)), tmp_path / "e", workers=1)
    row = found.metrics.iloc[0]
    assert row["dice@0.8"] == 0
    expected = np.minimum.accumulate(p, axis=0).mean(axis=0)
    assert row["brier_image"] == pytest.approx(((expected - q[0]) ** 2).mean(), rel=1e-5)
    # nnU-Net's map has the highest level, although the first one is off; it decides.
    exported = np.zeros(balls.SHAPE, np.uint8)
    for k in range(4):
        exported[p[k] > 0.5] = k + 1
    write_nifti(out / "c.nii.gz", exported, balls.geometry())
    again = evaluate(EvaluationSettings(data, out, at=(0.2, 0.8)), tmp_path / "e2", workers=1)
    assert again.metrics.iloc[0]["dice@0.8"] == 1


@pytest.mark.parametrize("wrong", ["channels", "values", "classes"])
def test_predictions_of_other_levels_are_an_error_of_the_case(tmp_path, learnt, balls, wrong):
    data, out, _ = learnt
    if wrong == "channels":
        np.savez(out / "c.npz", probabilities=np.zeros((3, *balls.SHAPE), np.float32))
    else:
        write_nifti(
            out / "c.nii.gz", np.full(balls.SHAPE, 5 * (wrong == "values"), np.uint8), balls.geometry()
        )
    if wrong == "classes":
        other = LevelMap(("other",), (0.2, 0.4)).to_dict()
        (out / "dataset.json").write_text(json.dumps({"aleaseg_levels": other}))
    found = evaluate(EvaluationSettings(data, out, at=(0.2,)), tmp_path / "e", workers=1)
    text = {
        "channels": "4, one for each level",
        "values": "levels from 0 to 4",
        "classes": "levels of other",
    }
    assert text[wrong] in found.errors["c"]


# -- networks that learnt confidences -------------------------------------------------------------------


def test_a_channel_of_confidences_is_q_and_any_value_of_a_class_is_its_mask(tmp_path, learnt, balls, q):
    """As stock nnU-Net exports what `nnUNetTrainerConfidence` learnt: the first value of each class."""
    data, out, _ = learnt
    stated = ConfidenceMap(("right", "left"), 10)
    (out / "dataset.json").write_text(json.dumps({"aleaseg_confidence": stated.to_dict()}))
    p = np.stack([np.zeros_like(q[0]), 0.8 * q[0]]).astype(np.float32)
    np.savez(out / "c.npz", probabilities=p)
    at = {"at": (0.5, 0.6)}
    row = evaluate(EvaluationSettings(data, out, **at), tmp_path / "e", workers=1).metrics.iloc[0]
    mask = p[1] >= 0.5 - 1e-6
    for r in (0.5, 0.6):
        there = q[0] >= r - 1e-6
        expected = 2 * (mask & there).sum() / (mask.sum() + there.sum())
        assert row[f"dice@{r:g}"] == pytest.approx(expected)
    assert 0 < row["dice@0.5"] < 1
    assert row["brier_image"] == pytest.approx(((p[1] - q[0]) ** 2).mean(), rel=1e-5)
    # A label map decides what is predicted, the probabilities how sure.
    there = q[0] >= 0.3 - 1e-6
    write_nifti(out / "c.nii.gz", (11 * there).astype(np.uint8), balls.geometry())
    again = evaluate(EvaluationSettings(data, out, at=(0.3,)), tmp_path / "e2", workers=1).metrics.iloc[0]
    assert again["dice@0.3"] == 1
    assert again["brier_image"] == row["brier_image"]


@pytest.mark.parametrize("wrong", ["channels", "values", "classes"])
def test_predictions_of_other_confidences_are_an_error_of_the_case(tmp_path, learnt, balls, wrong):
    data, out, _ = learnt
    stated = ConfidenceMap(("other" if wrong == "classes" else "left",), 4)
    (out / "dataset.json").write_text(json.dumps({"aleaseg_confidence": stated.to_dict()}))
    if wrong == "channels":
        np.savez(out / "c.npz", probabilities=np.zeros((4, *balls.SHAPE), np.float32))
    else:
        write_nifti(
            out / "c.nii.gz", np.full(balls.SHAPE, 5 * (wrong == "values"), np.uint8), balls.geometry()
        )
    found = evaluate(EvaluationSettings(data, out, at=(0.2,)), tmp_path / "e", workers=1)
    text = {
        "channels": "1, one for each class",
        "values": "levels from 0 to 4",
        "classes": "levels of other",
    }
    assert text[wrong] in found.errors["c"]


@pytest.mark.parametrize("key", ["aleaseg_levels", "aleaseg_confidence"])
@pytest.mark.parametrize("said", [{}, {"classes": ["left"], "steps": "many", "thresholds": "x"}, 3])
def test_what_label_values_mean_is_never_guessed(tmp_path, learnt, balls, key, said):
    data, out, _ = learnt
    write_nifti(out / "c.nii.gz", np.zeros(balls.SHAPE, np.uint8), balls.geometry())
    (out / "dataset.json").write_text(json.dumps({key: said}))
    with pytest.raises(
        UsageError, match=rf"'{key}' in .*dataset\.json cannot be read .*; copy the dataset"
    ):
        evaluate(EvaluationSettings(data, out, at=(0.2,)), tmp_path / "e", workers=1)
    assert not (tmp_path / "e").exists()


# -- from end to end ---------------------------------------------------------------------------------------


@pytest.fixture
def nodules(tmp_path, balls):
    """Eight cases of four raters each, and predictions of them that are a little large."""
    (tmp_path / "nodules" / "npz").mkdir(parents=True)
    for n in range(8):
        grid = np.indices(balls.SHAPE)
        centre = np.array(balls.SHAPE) / 2 - 0.5 + np.random.default_rng(n).uniform(-0.5, 0.5, 3)
        apart = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
        raters = np.stack([apart < radius for radius in (2.2, 2.8, 3.3, 3.8)]).astype(np.uint8)
        np.savez(
            tmp_path / "nodules" / "npz" / f"n{n}.npz",
            image=np.random.default_rng(n).normal(size=balls.SHAPE),
            raters=raters,
        )
        for name, radius in (("large", 3.5), ("small", 2.5)):
            (tmp_path / name).mkdir(exist_ok=True)
            write_nifti(
                tmp_path / name / f"n{n}.nii.gz", (apart < radius).astype(np.uint8), balls.geometry()
            )
            p = 1 / (1 + np.exp(3 * (apart - radius)))
            np.savez(tmp_path / name / f"n{n}.npz", probabilities=np.stack([1 - p, p]).astype(np.float32))
    return tmp_path


def test_thresholds_that_make_one_mask_are_one_column(nodules):
    dataset = open_dataset(nodules / "nodules")
    at, titles, notes = name_references(dataset, (0.5, 0.6, 0.75, 1.0))
    assert at == (0.5, 0.6, 1.0)
    assert titles == {
        "0.5": "q >= 0.5, 2 of 4 raters", "0.6": "q >= 0.6, 3 of 4 raters", "1": "q >= 1, 4 of 4 raters",
    }  # fmt: skip
    assert notes == ["0.75 asks for 3 of 4 raters, as 0.6 does: one mask, and one column."]


def test_as_it_is_typed(nodules, type_aleaseg, type_here):
    out = nodules / "e"
    done = type_aleaseg(
        "evaluate", nodules / "nodules", nodules / "large", "-o", out, "--at", ".5,.6,.75,1"
    )
    assert done.returncode == 0, done.stderr
    assert "q >= 0.6, 3 of 4 raters" in done.stdout
    assert "GED" in done.stdout
    metrics = pd.read_csv(out / "metrics.csv")
    assert [name for name in metrics if name.startswith("dice")] == [
        "dice",
        "dice@0.5",
        "dice@0.6",
        "dice@1",
    ]
    np.testing.assert_array_equal(metrics["dice"], metrics["dice@0.5"])
    summary = (out / "summary.md").read_text()
    assert "## Against every reference" in summary
    assert "3 of 4 raters" in summary
    page = (out / "index.html").read_text()
    assert (
        page.index('id="references"') < page.index("q &gt;= 0.6, 3 of 4 raters") < page.index("soft Dice")
    )
    # Large masks are best where one rater is enough, and worst where all must agree.
    assert page.count('--strength:1.00"') >= len(("dice", "iou", "nsd"))
    about = json.loads((out / "manifest.json").read_text())
    assert about["columns"]["dice@0.6"]["title"] == "Dice at 0.6"
    assert about["columns"]["ged"]["direction"] == "low = good"
    again = type_here("evaluate", nodules / "nodules", nodules / "large", "-o", out, "--at", "1,.5,.75,.6")
    assert again.returncode == 0, again.stderr


def test_two_models_are_compared_at_every_reference(nodules):
    settings = CompareSettings(reference=nodules / "nodules", at=(0.5, 1.0)).evaluation
    made, page = compare(
        [nodules / "small", nodules / "large"], nodules / "c", settings=settings, workers=1
    )
    rows = made.rows[made.rows["class"] == "all"].set_index("metric")
    assert rows.loc["dice@1", "verdict"] == "worse"
    assert rows.loc["dice@0.5", "difference"] > rows.loc["dice@1", "difference"]
    assert "soft_dice" in rows.index
    assert "Dice at 1" in page.read_text()
    evaluate(
        replace(settings, predictions=str(nodules / "large"), fuse="majority"), nodules / "other", workers=1
    )
    with pytest.raises(UsageError, match="--fuse differ"):
        compare([nodules / "c" / "evaluations" / "small", nodules / "other"], nodules / "c2")


@pytest.mark.parametrize("at", [".5,x", "0", "60", "", "nan"])
def test_what_cannot_be_a_threshold(at):
    with pytest.raises(UsageError, match="--at"):
        EvaluationSettings("r", "p", at=at)


def test_a_data_set_without_confidences_is_refused(tmp_path, balls):
    data = balls.write_dataset(tmp_path / "data", ["a", "b"])
    predicted = balls.write_predictions(tmp_path / "p", ["a", "b"])
    with pytest.raises(UsageError, match="states no confidences"):
        evaluate(EvaluationSettings(data, predicted, at=".5"), tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_columns_are_found_by_their_names():
    names = [*metric_columns((0.6,))]
    assert list(metrics_in(names))[:9] == list(metrics_in(metric_columns(())))
    assert set(metrics_in(names)) - set(metrics_in(metric_columns(()))) == set(metrics_at((0.6,)))
    assert metrics_in(["dice@0.6"])["dice@0.6"].higher_is_better


@pytest.mark.parametrize("labels", ["multi:.25,.5,.75", "soft"])
def test_from_raters_to_nnunet_and_from_its_predictions_to_scores(nodules, labels):
    """Without a training: what `confidence` wrote is exported by nnU-Net's own label manager, and read back."""
    handling = pytest.importorskip("nnunetv2.utilities.label_handling.label_handling")
    written, out = nodules / "Dataset101_Nodules", nodules / "exported"
    write_labels(LabellingSettings(nodules / "nodules", labels=labels), written, workers=1)
    about = json.loads((written / "dataset.json").read_text())
    manager = handling.LabelManager(about["labels"], about["regions_class_order"])
    regions = manager.foreground_regions
    assert manager.num_segmentation_heads == len(regions) == (1 if labels == "soft" else 3)
    out.mkdir()
    (out / "dataset.json").write_text(json.dumps(about))  # as nnU-Net leaves it beside predictions
    expected = {}
    for case, entry in about["dataset"].items():
        label = read_label(written / entry["label"], case)
        with np.load(nodules / "nodules" / "npz" / f"{case}.npz") as held:
            q = held["raters"].mean(axis=0).astype(np.float32)
        if labels == "soft":
            p = (label.array / np.float32(4))[None] * np.float32(0.9)
        else:
            p = np.stack([np.isin(label.array, region) for region in map(np.atleast_1d, regions)])
            p = np.where(p, 0.9, 0.1).astype(np.float32)
        exported = manager.convert_probabilities_to_segmentation(p)
        assert set(np.unique(exported)) <= set(manager.all_labels)
        write_nifti(out / f"{case}.nii.gz", exported.astype(np.uint8), label.geometry)
        np.savez(out / f"{case}.npz", probabilities=p)
        expected[case] = q, p.mean(axis=0)
    at = (0.25, 0.5, 0.75)
    found = evaluate(EvaluationSettings(nodules / "nodules", out, at=at), nodules / "e", workers=1)
    rows = found.metrics.set_index("case")
    for case, (q, p) in expected.items():
        row = rows.loc[case]
        assert row["soft_dice"] == pytest.approx(1 - np.abs(p - q).sum() / (p + q).sum(), rel=1e-5)
        assert row["brier_image"] == pytest.approx(((p - q) ** 2).mean(), rel=1e-5)
        for r in at:
            mask, there = (q >= r if labels != "soft" else 0.9 * q > 0.5), q >= r
            assert row[f"dice@{r:g}"] == pytest.approx(
                2 * (mask & there).sum() / (mask.sum() + there.sum())
            )
