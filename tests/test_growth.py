"""A data set that grows: new cases are scored, old ones stay; drift is told; all is compared anew when asked."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from aleaseg.case import Geometry, usable_image
from aleaseg.predictions import crossfit, fold
from aleaseg.predictions.networks import fold_network
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_label, write_nifti
from aleaseg.run import Run, read_table
from aleaseg.training.foldplan import FoldPlan
from aleaseg.training.inference import predict_logits


def add(folder, small_case, ids, *, seed, change=lambda image: image):
    """Put more small cases into a data set."""
    for number, case in enumerate(ids):
        image, label = small_case(number, seed)
        geometry = Geometry(image.shape, (2.0, 1.0, 1.0), None)
        write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", change(image).astype(np.float32), geometry)
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label, geometry)


def shift(data, predictions):
    """Predictions of what has none: the masks a voxel lower, every third one two."""
    predictions.mkdir(exist_ok=True)
    for number, path in enumerate(sorted(data.glob("labelsTr/*.nii.gz"))):
        if not (predictions / path.name).exists():
            label = read_label(path, path.stem)
            moved = np.roll(label.array, 2 if number % 3 == 0 else 1, 1).astype(np.uint8)
            write_nifti(predictions / path.name, moved, label.geometry)


def lines(run):
    """Case -> its row of cases.csv, as text, without what only grown runs have."""
    table = read_table(run / "cases.csv").drop(columns="batch", errors="ignore")
    return dict(zip(table["case"], table.to_csv(index=False).splitlines()[1:], strict=True))


@pytest.fixture(scope="module")
def grown(tmp_path_factory, write_small, small_case, type_here):
    """30 cases audited, 12 alike and then 10 with blurred images brought in; the folders of each stage."""
    folder = tmp_path_factory.mktemp("grown")
    data, run = folder / "data", folder / "run"
    write_small(data, 30, ids=[f"old_{number:02d}" for number in range(30)], faults=False)
    shift(data, folder / "predicted")
    asked = (data, "-o", run, "--predictions", folder / "predicted")
    stages = [type_here("score", *asked)]
    shutil.copytree(run, folder / "first")
    add(data, small_case, [f"mid_{number:02d}" for number in range(12)], seed=3)
    shift(data, folder / "predicted")
    stages.append(type_here("score", *asked))
    shutil.copytree(run, folder / "second")
    from scipy.ndimage import gaussian_filter

    add(
        data,
        small_case,
        [f"new_{number:02d}" for number in range(10)],
        seed=5,
        change=lambda image: gaussian_filter(image, 1.5),
    )
    shift(data, folder / "predicted")
    stages.append(type_here("audit", *asked))
    for stage in stages:
        assert stage.returncode == 0, stage.stderr
    return folder, stages


def test_what_was_there_stays_as_it_was(grown):
    folder, _ = grown
    first, now = lines(folder / "first"), lines(folder / "run")
    assert len(first) == 30
    assert len(now) == 52
    assert {case: now[case] for case in first} == first
    populations = [(folder / stage / "population.json").read_bytes() for stage in ("first", "run")]
    assert populations[0] == populations[1]


def test_each_batch_is_named(grown):
    folder, _ = grown
    batch = read_table(folder / "run" / "cases.csv").set_index("case")["batch"]
    assert set(batch[batch.index.str.startswith("old")]) == {0}
    assert set(batch[batch.index.str.startswith("mid")]) == {1}
    assert set(batch[batch.index.str.startswith("new")]) == {2}
    arrivals = Run(folder / "run").manifest["arrivals"]
    assert [len(each["cases"]) for each in arrivals] == [12, 10]
    assert Run(folder / "run").manifest["dataset"]["cases"] == 52


def test_cases_of_the_same_kind_raise_no_alarm(grown):
    folder, stages = grown
    drift = Run(folder / "second").manifest["drift"]
    assert drift["cases"] == 12
    assert drift["tests"] > 30
    assert drift["alarms"] == 0
    assert "12 cases came in since the population was made" in " ".join(stages[1].stdout.split())
    assert "No drift" in stages[1].stdout


def test_blurred_scans_raise_one_that_says_what_differs(grown):
    folder, stages = grown
    drift = read_table(folder / "run" / "drift.csv")
    latest = drift[drift["part"] == "batch 2"].set_index("measure")
    sharp = latest.loc["img_sharp_h"]
    assert sharp["drifts"]
    assert sharp["shift"] < -2
    assert sharp["p_adjusted"] <= 0.01
    assert sharp["new_50"] == pytest.approx(sharp["shift"])
    assert not drift["drifts"][drift["measure"] == "volume_mm3"].any()
    said = " ".join(stages[2].stdout.split())
    assert "Drift: the new cases differ from the population in" in said
    assert "The scans are of another kind" in said
    assert "(batch 2) lower by" in said


def test_called_again_nothing_changes(grown, type_here):
    folder, _ = grown
    again = folder / "again"
    shutil.copytree(folder / "run", again)
    before = {name: (again / name).read_bytes() for name in ("cases.csv", "drift.csv", "population.json")}
    done = type_here("score", folder / "data", "-o", again, "--predictions", folder / "predicted")
    assert done.returncode == 0
    assert {name: (again / name).read_bytes() for name in before} == before
    assert len(Run(again).manifest["arrivals"]) == 2


def test_a_refit_compares_all_anew_as_a_new_run_would(grown, type_here):
    folder, _ = grown
    refitted, fresh = folder / "refitted", folder / "fresh"
    shutil.copytree(folder / "run", refitted)
    asked = ("score", folder / "data", "--predictions", folder / "predicted")
    assert type_here(*asked, "-o", refitted, "--refit").returncode == 0
    assert type_here(*asked, "-o", fresh).returncode == 0
    assert (refitted / "cases.csv").read_bytes() == (fresh / "cases.csv").read_bytes()
    population = json.loads((refitted / "population.json").read_text())
    assert population == json.loads((fresh / "population.json").read_text())
    assert population["cases"] == 52
    manifest = Run(refitted).manifest
    assert manifest["arrivals"] is None
    assert manifest["drift"] is None
    assert manifest["settings"]["cases"] == 52
    assert not (refitted / "drift.csv").exists()


def test_a_refit_that_was_begun_in_parts_is_merged_as_one(grown, type_here):
    folder, _ = grown
    run = folder / "in_parts"
    shutil.copytree(folder / "run", run)
    asked = ("score", folder / "data", "--predictions", folder / "predicted", "-o", run)
    part = type_here(*asked, "--part", "1/1", "--refit")
    assert part.returncode == 0, part.stderr
    done = type_here("merge", run, "--no-page")
    assert done.returncode == 0, done.stderr
    assert Run(run).population["cases"] == 52
    assert Run(run).manifest["drift"] is None
    assert not (run / "parts").exists()


def test_cases_that_are_gone_need_a_word(grown, type_here):
    folder, _ = grown
    run, kept = folder / "fewer", {}
    shutil.copytree(folder / "run", run)
    asked = ("score", folder / "data", "--predictions", folder / "predicted", "-o", run)
    try:
        for path in (*folder.glob("data/*/old_07*"),):
            kept[path] = path.read_bytes()
            path.unlink()
        done = type_here(*asked)
        assert done.returncode == 2
        assert "--refit" in done.stderr
        assert type_here(*asked, "--refit").returncode == 0
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert "old_07" not in lines(run)


def test_drift_against_another_run(grown, tmp_path, small_case, type_here):
    folder, _ = grown
    data = tmp_path / "data"
    add(data, small_case, [f"x_{number:02d}" for number in range(6)], seed=9)
    shutil.copy(folder / "data" / "dataset.json", data / "dataset.json")
    shift(data, tmp_path / "predicted")
    asked = ("score", data, "--predictions", tmp_path / "predicted", "--reference", folder / "first")
    done = type_here(*asked, "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    drift = read_table(tmp_path / "run" / "drift.csv")
    assert set(drift["part"]) == {"all"}
    assert not drift["drifts"].any()
    assert set(drift["n_population"]) <= {30, 29}


def run_folds_here(run, plan, todo, workers, seconds, progress):
    for number in todo:
        fold.main(str(run.path), number, seconds)


@pytest.fixture(scope="module")
def crossfitted(tmp_path_factory, write_small, small_case, type_here):
    """20 cases audited by cross-fitting, four more brought in, audited again; the folders of each stage."""
    folder = tmp_path_factory.mktemp("crossfitted")
    data, run = folder / "data", folder / "run"
    write_small(data, 20)
    asked = ("score", data, "-o", run, "--groups", r"^(g\d)", "--steps", "4")
    with pytest.MonkeyPatch.context() as patch:
        # Folds by this process, which has imported what they need.
        patch.setattr(crossfit, "run_folds", run_folds_here)
        stages = [type_here(*asked)]
    shutil.copytree(run, folder / "first")
    add(data, small_case, ["g0_30", "g0_31", "g1_30", "g1_31"], seed=3)
    stages.append(type_here(*asked))
    shutil.copytree(run, folder / "second")
    stages.append(type_here(*asked, "--refit"))
    for stage in stages:
        assert stage.returncode == 0, stage.stderr
    return folder


def written(run, kind):
    """When the files of a folder of a run were last written."""
    return {path.name: path.stat().st_mtime_ns for path in (run / kind).iterdir() if path.is_file()}


NEW = {"g0_30", "g0_31", "g1_30", "g1_31"}


def test_only_new_cases_are_predicted_and_scored_by_networks_that_saw_none_of_their_group(crossfitted):
    first, second = Run(crossfitted / "first"), Run(crossfitted / "second")
    for kind, new in (("cases", 4), ("models", 0), ("predictions", 4)):
        before, after = written(first.path, kind), written(second.path, kind)
        same = {name for name in before if after[name] == before[name]}
        # The plan keeps the files of all cases, and how far it is.
        assert before.keys() - same <= {"plan.json"}, kind
        assert len(after.keys() - before.keys()) == new, kind
    before, now = lines(first.path), lines(second.path)
    assert now.keys() - before.keys() == NEW
    assert {case: now[case] for case in before} == before
    assert second.population == first.population
    plan, dataset = FoldPlan.read(second), open_dataset(crossfitted / "data")
    (held_g0,) = (fold for fold, held in enumerate(plan.folds) if {case[:2] for case in held} == {"g0"})
    for case in dataset.cases:
        if case.id in NEW:
            kept = load_file(second.prediction_file(case.id))["logits"]
            small, patch = plan.preprocessing.image(case, usable_image(case)), plan.preprocessing.grid.patch
            by = [predict_logits(fold_network(second, plan, fold), small, patch) for fold in (0, 1)]
            far = [np.abs(logits.astype(np.float32) - kept).max() for logits in by]
            held_out = held_g0 if case.id.startswith("g0") else 1 - held_g0
            assert far[held_out] < 0.02 < far[1 - held_out]


def test_a_refit_keeps_the_networks_and_compares_all_anew(crossfitted):
    second, run = Run(crossfitted / "second"), Run(crossfitted / "run")
    assert run.population["cases"] == 24
    assert run.manifest["arrivals"] is None
    assert lines(run.path).keys() == lines(second.path).keys()
    for kind in ("cases", "models", "predictions"):
        before, after = written(second.path, kind), written(run.path, kind)
        assert {name for name in before if after[name] != before[name]} <= {"plan.json"}, kind
