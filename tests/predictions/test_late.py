"""Cases mended or changed after the networks were trained: predicted by networks that saw no relative of theirs."""

import os
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from aleaseg.predictions import late
from aleaseg.predictions.crossfit import CrossfitSettings, crossfit
from aleaseg.readers import open_dataset
from aleaseg.run import Run
from aleaseg.training.foldplan import FoldPlan

SETTINGS = CrossfitSettings(steps=2, workers=1)


@pytest.fixture
def broken(tmp_path, write_small, one_process):
    """A data set with one broken image, cross-fitted, and what the broken file should have held."""
    folder = tmp_path / "data"
    write_small(folder, 8)
    image = folder / "imagesTr" / "g0_00_0000.nii.gz"
    content = image.read_bytes()
    image.write_bytes(b"")
    run = Run(tmp_path / "run")
    told = crossfit(run, open_dataset(folder, groups=r"^(g\d)"), SETTINGS)
    assert set(told["failed"]) == {"g0_00"}
    return folder, run, image, content


def asked(monkeypatch):
    """Which fold each case is predicted by."""
    found = {}
    predict = late._predict

    def spy(run, plan, item):
        case, fold = item
        found[case.id] = fold
        return predict(run, plan, item)

    monkeypatch.setattr(late, "_predict", spy)
    return found


def test_mended_and_changed_cases_are_predicted_by_the_fold_of_their_group(broken, monkeypatch):
    folder, run, image, content = broken
    other = folder / "imagesTr" / "g1_03_0000.nii.gz"
    image.write_bytes(content)
    before = load_file(run.prediction_file("g1_03"))["logits"]
    other.write_bytes((folder / "imagesTr" / "g1_05_0000.nii.gz").read_bytes())
    same = folder / "labelsTr" / "g0_02.nii.gz"
    os.utime(same, ns=(1, 1))
    kept = load_file(run.prediction_file("g0_02"))["logits"]
    found = asked(monkeypatch)
    dataset = open_dataset(folder, groups=r"^(g\d)")
    told = crossfit(run, dataset, SETTINGS)
    homes = {case[:2]: fold for case, fold in FoldPlan.read(run).fold_of.items()}
    assert found == {"g0_00": homes["g0"], "g0_02": homes["g0"], "g1_03": homes["g1"]}
    assert told["failed"] == {}
    assert run.prediction_file("g0_00").exists()
    after = load_file(run.prediction_file("g1_03"))["logits"]
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, load_file(run.prediction_file("g1_05"))["logits"])
    np.testing.assert_array_equal(load_file(run.prediction_file("g0_02"))["logits"], kept)
    found.clear()
    crossfit(run, dataset, SETTINGS)
    assert found == {}, "nothing changed since"


def test_what_is_still_broken_or_has_relatives_everywhere_is_named(broken):
    folder, run, _, _ = broken
    (folder / "imagesTr" / "g1_01_0000.nii.gz").write_bytes(b"")
    os.utime(folder / "labelsTr" / "g1_03.nii.gz", ns=(1, 1))
    dataset = open_dataset(folder, groups=r"^(g\d)")
    joined = {"g1_03": "g0_and_g1", "g0_02": "g0_and_g1"}
    cases = [replace(case, group=joined.get(case.id, case.group)) for case in dataset.cases]
    told = crossfit(run, dataset.with_cases(cases), SETTINGS)
    assert set(told["failed"]) == {"g0_00", "g1_01", "g1_03"}
    assert "relatives of the case" in told["failed"]["g1_03"]
    for case in told["failed"]:
        assert not run.prediction_file(case).exists(), "a prediction of other files"
