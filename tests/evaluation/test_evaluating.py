"""The whole of an evaluation in Python: plans, notes, processes, and folders that are not its own."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aleaseg import work
from aleaseg.case import Geometry
from aleaseg.errors import UsageError
from aleaseg.evaluation import EvaluationSettings, evaluate, evaluating, open_evaluation
from aleaseg.evaluation.predicted import Found
from aleaseg.evaluation.reference import open_reference
from aleaseg.readers.voxels import write_nifti

IDS = [f"c{index}" for index in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, balls):
    made = tmp_path_factory.mktemp("evaluated")
    balls.write_dataset(made / "data", IDS)
    balls.write_predictions(made / "soft", IDS, soft=True)
    return made


def test_what_is_written_is_read_back(folder, tmp_path):
    seen = []
    settings = EvaluationSettings(str(folder / "data"), str(folder / "soft"), tolerance="2")
    found = evaluate(settings, tmp_path / "out", progress=lambda *given: seen.append(given))
    assert seen[0] == ("evaluate", 0, 6)
    assert ("evaluate", 6, 6) in seen
    assert seen[-1] == ("report", 7, 7)  # six pictures, and the page
    again = open_evaluation(tmp_path / "out")
    assert again.settings == found.settings == settings
    pd.testing.assert_frame_equal(again.metrics, found.metrics)
    assert again.classes == ("left", "right")
    assert again.errors == {}
    assert set(again.metrics["tolerance_mm"]) == {2.0}
    assert list(again.risk["confidence"]) == [
        "max_probability",
        "max_probability_near",
        "boundary_uncertainty",
    ]
    assert again.cases["ece"].between(0, 1).all()
    text = (tmp_path / "out" / "summary.md").read_text()
    assert text.startswith("# soft against Balls\n")
    assert "| all | 6 |" in text


def test_what_has_no_counterpart_is_noted_and_counts_nowhere(folder, tmp_path, balls):
    balls.write_dataset(tmp_path / "data", ["a", "b", "c"])
    (
        tmp_path / "data" / "labelsTr" / "c.nii.gz"
    ).unlink()  # an image without a label, which nobody predicted
    (tmp_path / "data" / "labelsTr" / "b.nii.gz").unlink()  # and one that was predicted
    balls.write_predictions(tmp_path / "predicted", ["a", "b", "stranger"])
    found = evaluate(
        EvaluationSettings(str(tmp_path / "data"), str(tmp_path / "predicted")), tmp_path / "out"
    )
    assert list(found.cases["case"]) == ["a", "b"]
    assert "add the label" in found.errors["b"]
    notes = " ".join(found.manifest["notes"])
    assert "1 case(s) of the reference are incomplete and have no prediction: c." in notes
    assert "1 prediction(s) belong to no case of the reference: stranger." in notes


def test_nothing_that_could_be_measured_is_an_evaluation_too(folder, tmp_path):
    (tmp_path / "broken").mkdir()
    for case in IDS:
        (tmp_path / "broken" / f"{case}.nii.gz").write_bytes(b"broken")
    found = evaluate(EvaluationSettings(str(folder / "data"), str(tmp_path / "broken")), tmp_path / "out")
    assert sorted(found.errors) == IDS
    assert not len(found.summary)
    assert len(found.metrics) == 12


@pytest.mark.parametrize(("gib", "expected"), [(4, 1), (32, 1), (64, 2), (1024, 8)])
def test_large_volumes_are_measured_by_as_few_processes_as_fit(folder, monkeypatch, gib, expected):
    # A scan of 600 slices whose class fills the image takes 15 GB beside its masks.
    large = Geometry((600, 512, 512), (1.0, 1.0, 1.0))
    dataset = open_reference(folder / "data").dataset
    cases = [replace(case, read_geometry=lambda: large) for case in dataset.cases]
    monkeypatch.setattr(work, "memory_bytes", lambda: gib * 2**30)
    monkeypatch.setattr(work, "cores", lambda: 8)
    bytes_each, worth = evaluating._needed(cases, Found({}, ()), dataset)
    assert worth
    assert work.side_by_side(8, bytes_each) == expected


@pytest.mark.slow
def test_processes_side_by_side_say_the_same(folder, tmp_path):
    settings = EvaluationSettings(str(folder / "data"), str(folder / "soft"))
    one = evaluate(settings, tmp_path / "one", workers=1)
    two = evaluate(settings, tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(one.metrics, two.metrics)
    pd.testing.assert_frame_equal(one.cases, two.cases)


def test_distances_without_a_spacing_are_in_pixels_and_told(tmp_path, balls):
    for folder, by in (("masks", 0), ("predicted", 1)):
        balls.write_picture(
            tmp_path / folder / "a.png", np.roll((balls.label(0)[4] > 0).astype(np.uint8), by, 0)
        )
    found = evaluate(
        EvaluationSettings(str(tmp_path / "masks"), str(tmp_path / "predicted")), tmp_path / "out"
    )
    assert any("pixels" in note for note in found.manifest["notes"])
    assert found.metrics["hd95_mm"].tolist() == [1.0]


def test_folders_that_are_not_its_own(folder, tmp_path):
    with pytest.raises(UsageError, match="is not an evaluation"):
        open_evaluation(folder)
    (tmp_path / "manifest.json").write_text(json.dumps(["something else"]))
    settings = EvaluationSettings(str(folder / "data"), str(folder / "soft"))
    with pytest.raises(UsageError, match="is something else, not an evaluation"):
        evaluate(settings, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"kind": "evaluation", "settings": {}}))
    with pytest.raises(UsageError, match=r"unfinished.*metrics\.csv"):
        open_evaluation(tmp_path)
    with pytest.raises(UsageError, match="unknown both_empty 'maybe'"):
        EvaluationSettings("a", "b", both_empty="maybe")


def test_regions_and_an_ignored_label_of_nnunet(tmp_path, balls):
    data = balls.write_dataset(tmp_path / "data", ["a"])
    about = json.loads((data / "dataset.json").read_text())
    about |= {
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        "regions_class_order": [1, 2],
    }
    (data / "dataset.json").write_text(json.dumps(about))
    label = balls.label_of("a")
    ignored = label.copy()
    ignored[:2] = 3
    write_nifti(data / "labelsTr" / "a.nii.gz", ignored, balls.geometry())
    (tmp_path / "predicted").mkdir()
    write_nifti(tmp_path / "predicted" / "a.nii.gz", label, balls.geometry())
    found = evaluate(EvaluationSettings(str(data), str(tmp_path / "predicted")), tmp_path / "out")
    assert found.metrics["dice"].tolist() == [1.0, 1.0]
    assert found.metrics["reference_voxels"].tolist() == [(label[2:] > 0).sum(), (label[2:] == 2).sum()]


def test_a_class_is_not_called_as_the_rows_over_all(folder, tmp_path):
    (tmp_path / "labelsTr").mkdir()
    for case in IDS:
        shutil.copy(folder / "data" / "labelsTr" / f"{case}.nii.gz", tmp_path / "labelsTr")
    settings = EvaluationSettings(
        str(tmp_path / "labelsTr"), str(folder / "soft"), classes="all=1+2,right=2"
    )
    with pytest.raises(UsageError, match=r"has a class 'all'.*rename it"):
        evaluate(settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = evaluate(replace(settings, classes="whole=1+2,right=2"), tmp_path / "out", workers=1)
    assert found.classes == ("whole", "right")
