"""Looks at a training: at even distances, of the cases that train, and none lost or doubled by a kill."""

import json
import os
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file

from aleaseg.predictions import learning
from aleaseg.predictions.crossfit import CrossfitSettings, crossfit
from aleaseg.predictions.fitted import Crossfit
from aleaseg.predictions.learning import LOOKS, Watch, learning_file, read_learning
from aleaseg.readers import open_dataset
from aleaseg.run import Run, read_json
from aleaseg.training import foldplan
from aleaseg.training.copies import make_copies
from aleaseg.training.foldplan import FoldPlan, copies_folder, plan_file
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.planning import screened
from aleaseg.training.preprocessing import Preprocessing
from aleaseg.training.schedule import Schedule

CASES, STEPS = 4, 9


@pytest.fixture
def dataset(tmp_path, write_small, one_process):
    write_small(tmp_path / "data", CASES)
    return open_dataset(tmp_path / "data", groups=r"^(g\d)")


def fitted(path, dataset, inside=True, **given):
    run = Run(path)
    settings = {"steps": STEPS, "workers": 1, **given}
    return run, crossfit(run, dataset, CrossfitSettings(inside=inside, **settings))


class Killed(Exception):
    pass


def planned(folds, steps):
    seen = Preprocessing(WorkingGrid((1.0, 1.0), (4, 4), (0, 0)), [None], (1,))
    folds = tuple(map(tuple, folds))
    return FoldPlan(
        seen, NetworkPlan("small"), ("MR",), {"a": (1,)}, folds, {}, None, steps, 2, 0, "cpu", True, {}
    )


def test_looks_survive_a_kill_and_the_logits_are_those_without_looks(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(foldplan, "Schedule", partial(Schedule, checkpoint_every=2))
    whole, told = fitted(tmp_path / "whole", dataset)
    assert told["failed"] == {}
    homes = FoldPlan.read(whole).fold_of

    predict = learning.predict_logits
    calls = []

    def killed(*given):
        calls.append(1)
        if len(calls) > 7:  # at the second case of the fourth look, at a step with a checkpoint
            raise Killed
        return predict(*given)

    monkeypatch.setattr(learning, "predict_logits", killed)
    with pytest.raises(Killed):
        fitted(tmp_path / "parts", dataset)
    monkeypatch.setattr(learning, "predict_logits", predict)
    parts, _ = fitted(tmp_path / "parts", dataset)
    for case in homes:
        one, two = (load_file(learning_file(run, case)) for run in (whole, parts))
        assert int(two["looks"]) == LOOKS
        assert set(one) == set(two)
        for key, array in one.items():
            np.testing.assert_array_equal(two[key], array, err_msg=f"{case} {key}")
        one, two = (load_file(run.prediction_file(case)) for run in (whole, parts))
        for key, array in one.items():
            np.testing.assert_array_equal(two[key], array)

    plain, _ = fitted(tmp_path / "plain", dataset, inside=False)
    assert not (plain.path / "models" / "learning").exists()
    for case in homes:
        kept = load_file(plain.prediction_file(case))
        assert set(kept) == {"logits"}
        np.testing.assert_array_equal(kept["logits"], load_file(whole.prediction_file(case))["logits"])

    # What was watched is of the case's own mask and is read back with the prediction.
    source = Crossfit(whole, dataset)
    for case in dataset.cases:
        (prediction,) = source.read(case)
        assert prediction.model == f"fold_{homes[case.id]}"
        inside = prediction.inside
        assert inside["in_sample"].shape == prediction.maps.shape[1:]
        assert inside["in_sample"].max() <= 2
        assert {"aum", "forgetting", "cartography_confidence", "el2n"} <= set(inside)
        assert 0 <= float(inside["cartography_confidence"]) <= 1
        assert 0 <= float(inside["forgetting"]) <= LOOKS
    assert {"units", "steps"} <= set(told["folds"][0])


def test_every_case_is_watched_by_a_fold_that_trains_on_it(tmp_path):
    for count in (2, 3, 5):
        ids = [[f"c{fold}{i}" for i in range(2)] for fold in range(count)]
        watched = [Watch(Run(tmp_path), planned(ids, 250), fold, None) for fold in range(count)]
        assert sorted(case for watch in watched for case in watch.cases) == sorted(
            case for of in ids for case in of
        )
        for fold, watch in enumerate(watched):
            assert not set(watch.cases) & set(ids[fold])


@pytest.mark.parametrize("steps", [1, 3, 4, 8, 9, 250, 2000])
def test_there_are_eight_looks_however_short_the_training(tmp_path, monkeypatch, steps):
    import torch

    watch = Watch(Run(tmp_path), planned([["a"], ["b"]], steps), 0, torch.nn.Identity())
    seen = []
    monkeypatch.setattr(watch, "_look", lambda case, number: seen.append((case, number)))
    for step in range(1, steps + 1):
        watch(step)
    assert seen == [("b", number) for number in range(LOOKS)]
    assert watch.looks[-1] == steps
    assert (watch.early + 1) / LOOKS >= 0.2 > watch.early / LOOKS


def test_a_look_that_was_taken_is_not_taken_again(tmp_path, dataset, monkeypatch):
    run, _ = fitted(tmp_path / "run", dataset)
    case = dataset.cases[0].id
    before = learning_file(run, case).read_bytes()
    monkeypatch.setattr(learning, "predict_logits", lambda *given: pytest.fail("looked again"))
    monkeypatch.setattr(
        learning,
        "copy_of",
        lambda folder, case: type("P", (), {"arrays": lambda self: (None, np.zeros(1))})(),
    )
    plan = FoldPlan.read(run)
    fold = next(number for number, ids in enumerate(plan.folds) if case not in ids)
    Watch(run, plan, fold, None)._look(case, 3)
    assert learning_file(run, case).read_bytes() == before


def test_looks_at_a_mask_that_was_mended_since_are_forgotten(tmp_path, dataset):
    run, _ = fitted(tmp_path / "run", dataset)
    mended, kept = dataset.cases[0], dataset.cases[1]
    os.utime(mended.label_files[0], ns=(1, 1))
    fitted(tmp_path / "run", dataset)
    assert read_learning(run, mended.id) == {}
    assert read_learning(run, kept.id)
    assert run.prediction_file(mended.id).exists()
    assert "features_mask" in load_file(run.prediction_file(mended.id)), "late cases have an inside too"


def test_a_plan_from_before_there_were_versions_goes_on(tmp_path, dataset):
    """As it was written when there was one network, and before there was an inside."""
    run, _ = fitted(tmp_path / "run", dataset, inside=False)
    plan, kept = FoldPlan.read(run), read_json(plan_file(run))
    seen = kept["preprocessing"]
    older = {name: kept[name] for name in ("folds", "groups", "files", "steps", "batch", "seed", "device")}
    older |= {"grid": seen["grid"], "normalisation": seen["normalisation"], "values": seen["values"]}
    plan_file(run).write_text(json.dumps({**older, "channels": 1, "failed": {}}))
    assert FoldPlan.read(run).folds == plan.folds
    (run.path / "models" / "fold_1.json").unlink()
    os.utime(dataset.cases[0].label_files[0], ns=(1, 1))
    make_copies(dataset.cases, screened(dataset.cases)[0], copies_folder(run), plan.preprocessing)
    _, told = fitted(tmp_path / "run", dataset, inside=False)
    assert told["failed"] == {}
    assert run.prediction_file(dataset.cases[0].id).exists()
    assert read_json(plan_file(run))["version"] == 2
