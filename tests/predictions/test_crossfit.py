"""Cross-fitting: the same numbers in any company of processes, and after any kill."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aleaseg.errors import AleasegError, UsageError
from aleaseg.predictions.crossfit import CrossfitSettings, crossfit, plan_crossfit
from aleaseg.predictions.fitted import Crossfit
from aleaseg.readers import open_dataset
from aleaseg.run import Run
from aleaseg.training.foldplan import FoldPlan

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def processes_of(folder):
    """Living processes whose command line names the folder."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and any(str(folder).encode() in word for word in words):
                found[int(path.name)] = words
    return found


def started(finished, out, cores=1):
    """`aleaseg score` with the settings of the finished run in a process group of its own."""
    script = Path(sys.executable).with_name("aleaseg")
    return subprocess.Popen(
        [script, "score", finished.dataset, "-o", out, *finished.options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": str(cores)},
    )


def wait_for(condition, process, seconds=240, every=0.1):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until, "it takes too long"
        time.sleep(every)


def same_tables(run, other):
    for name in ("cases.csv", "scores.csv", "measures.csv", "population.json", "check.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


@linux
def test_killed_in_training_and_in_scoring_nothing_is_lost_or_doubled(finished, tmp_path, type_aleaseg):
    run = Run(tmp_path / "run")
    predictions, cases, models = (run.path / name for name in ("predictions", "cases", "models"))

    # Only the parent dies, as by the system's memory killer: the folds notice and end.
    process = started(finished, run.path)
    wait_for(
        lambda: any(b"aleaseg.predictions.fold" in w for w in processes_of(run.path).values()), process
    )
    children = set(processes_of(run.path)) - {process.pid}
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 60
    while set(processes_of(run.path)) & children and time.monotonic() < until:
        time.sleep(0.2)
    assert not set(processes_of(run.path)) & children, "a fold outlived its parent"

    # Everything dies in the middle of scoring, on two cores as on most machines.
    process = started(finished, run.path, cores=2)
    wait_for(lambda: cases.is_dir() and len(list(cases.glob("*.json"))) >= 5, process, every=0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in cases.glob("*.json")}
    assert len(kept) >= 5, "nothing was finished"
    assert len(list(predictions.glob("*.safetensors"))) == 24
    weights = {path.name: path.stat().st_mtime_ns for path in models.glob("*.safetensors")}
    for content, _ in kept.values():
        json.loads(content)

    again = type_aleaseg("score", finished.dataset, "-o", run.path, *finished.options)
    assert again.returncode == 0, again.stderr
    for name, (content, stamp) in kept.items():
        assert (cases / name).read_bytes() == content
        assert (cases / name).stat().st_mtime_ns == stamp, "a finished case was done again"
    assert {path.name: path.stat().st_mtime_ns for path in models.glob("*.safetensors")} == weights
    assert len(list(cases.glob("*.json"))) == 24
    same_tables(run.path, finished.run)


def test_in_one_process_the_numbers_are_the_same(finished, tmp_path, one_process):
    from aleaseg.auditing.running import run_audit
    from aleaseg.auditing.settings import AuditSettings

    made = Run(finished.run).manifest["settings"]
    settings = {name: made[name] for name in ("dataset", "groups", "steps")}
    done = run_audit(AuditSettings(**settings, device="cpu"), Run(tmp_path / "run"), page=False)
    same_tables(done.run.path, finished.run)


def test_another_seed_has_other_numbers(finished, tmp_path, one_process):
    from aleaseg.auditing.running import run_audit
    from aleaseg.auditing.settings import AuditSettings

    made = Run(finished.run).manifest["settings"]
    settings = {name: made[name] for name in ("dataset", "groups", "steps")}
    done = run_audit(AuditSettings(**settings, device="cpu", seed=1), Run(tmp_path / "run"), page=False)
    first, other = (Run(path).cases["oof_dice"].to_numpy() for path in (finished.run, done.run.path))
    assert (first != other).mean() > 0.5


def test_every_case_is_predicted_by_the_network_that_did_not_see_it(finished):
    from aleaseg.predictions.networks import fold_network
    from aleaseg.training.inference import predict_logits

    run = Run(finished.run)
    dataset = open_dataset(finished.dataset, groups=r"^(g\d)")
    plan = FoldPlan.read(run)
    assert sorted(plan.fold_of) == [case.id for case in dataset.cases]
    source = Crossfit(run, dataset)
    for number, fold in enumerate(plan.folds):
        assert len({dataset[case].group for case in fold}) == 1
        case = dataset[fold[0]]
        small, patch = plan.preprocessing.image(case, case.read_image()), plan.preprocessing.grid.patch
        by_fold = [predict_logits(fold_network(run, plan, k), small, patch) for k in range(2)]
        (kept,) = source.read(case)
        np.testing.assert_allclose(kept.maps, by_fold[number], rtol=2e-3, atol=2e-3)
        assert np.abs(kept.maps - by_fold[1 - number]).max() > 0.05


def test_cases_that_cannot_be_trained_on_are_named_and_left_out(tmp_path, write_small, one_process):
    from aleaseg.case import Geometry
    from aleaseg.readers.voxels import write_nifti

    folder = tmp_path / "data"
    write_small(folder, 8)
    (folder / "imagesTr" / "g0_00_0000.nii.gz").write_bytes(b"")
    nan = np.zeros((12, 16, 16), np.float32)
    nan[3] = np.nan
    write_nifti(folder / "imagesTr" / "g1_01_0000.nii.gz", nan, Geometry((12, 16, 16), (2, 1, 1), None))
    wrong = np.ones((12, 16, 15), np.uint8)
    write_nifti(folder / "labelsTr" / "g0_02.nii.gz", wrong, Geometry((12, 16, 15), (2, 1, 1), None))
    flat = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    for name, array in (("imagesTr/g1_03_0000", flat), ("labelsTr/g1_03", flat.round().astype(np.uint8))):
        write_nifti(folder / f"{name}.nii.gz", array, Geometry((16, 16), (1, 1), None))
    dataset = open_dataset(folder, groups=r"^(g\d)")
    run = Run(tmp_path / "run")
    told = crossfit(run, dataset, CrossfitSettings(steps=2, workers=1))
    assert set(told["failed"]) == {"g0_00", "g1_01", "g0_02", "g1_03"}
    for case, text in told["failed"].items():
        assert text.startswith(f"{case}: found ")
        assert "\n" not in text
    assert "NaN" in told["failed"]["g1_01"]
    assert "2D" in told["failed"]["g1_03"] or "shape" in told["failed"]["g1_03"]
    assert told["fold_sizes"] == [2, 2]
    assert len(list((run.path / "predictions").glob("*"))) == 4


def test_too_few_groups_are_refused(tmp_path, write_small, one_process):
    write_small(tmp_path / "data", 4)
    dataset = open_dataset(tmp_path / "data", groups="^g")
    with pytest.raises(UsageError, match=r"at least two groups of cases; found 1 among 4"):
        crossfit(Run(tmp_path / "run"), dataset, CrossfitSettings(steps=2, workers=1))


@pytest.mark.parametrize(("folds", "many", "found"), [(None, 13, 3), (None, 14, 5), (4, 13, 4)])
def test_folds_follow_the_number_of_cases_unless_they_are_asked_for(
    tmp_path, write_small, one_process, monkeypatch, folds, many, found
):
    monkeypatch.setattr("aleaseg.predictions.folds._MANY", many)
    write_small(tmp_path / "data", 13)
    dataset = open_dataset(tmp_path / "data")
    dataset = dataset.with_cases(
        [replace(case, group="two" if number < 2 else case.id) for number, case in enumerate(dataset.cases)]
    )
    asked = CrossfitSettings(folds=folds, steps=1, workers=1)
    plan = plan_crossfit(Run(tmp_path / "run"), dataset, asked, lambda *told: None)
    assert len(set(plan.groups.values())) == 12, "13 cases, two of them of one patient"
    assert len(plan.folds) == found


def test_an_absurd_case_or_an_odd_error_is_one_failed_case(tmp_path, write_small, one_process):
    from dataclasses import replace

    from aleaseg.case import Geometry
    from aleaseg.readers.voxels import write_nifti

    folder = tmp_path / "data"
    write_small(folder, 7)
    noise = np.random.default_rng(0).random((12, 16, 16)).astype(np.float32)
    for name, array in (("imagesTr/g0_02_0000", noise), ("labelsTr/g0_02", (noise > 0.5).astype(np.uint8))):
        write_nifti(folder / f"{name}.nii.gz", array, Geometry((12, 16, 16), (300, 100, 100), None))
    dataset = open_dataset(folder, groups=r"^(g\d)")
    odd = replace(dataset["g0_04"], read_image=lambda: [][1])
    cases = [odd if case.id == odd.id else case for case in dataset.cases]
    told = crossfit(Run(tmp_path / "run"), dataset.with_cases(cases), CrossfitSettings(steps=2, workers=1))
    assert set(told["failed"]) == {"g0_02", "g0_04"}
    assert "g0_02: found a spacing of 300 x 100 x 100 mm" in told["failed"]["g0_02"]
    assert told["failed"]["g0_04"] == "g0_04: IndexError: list index out of range"


def test_more_label_values_than_can_be_trained_are_refused_at_the_door(tmp_path):
    from aleaseg.case import Dataset

    many = Dataset("d", tmp_path, "nnunet", (), {f"c{v}": (v,) for v in range(1, 300)}, ("CT",))
    with pytest.raises(UsageError, match=r"d has 299 label values; at most 254 .*--classes"):
        crossfit(Run(tmp_path / "run"), many, CrossfitSettings())
    assert not (tmp_path / "run").exists()


def test_a_new_case_that_the_reference_knows_is_predicted_by_the_network_that_did_not_see_it(finished):
    from dataclasses import replace

    run = Run(finished.run)
    dataset = open_dataset(finished.dataset, groups=r"^(g\d)")
    known = dataset.cases[0]
    home = FoldPlan.read(run).fold_of[known.id]
    stranger = replace(known, id="n1", group="n1")
    digest = next(record.image_hash for record in run.records() if record.case == known.id)
    (kept,) = Crossfit(run, dataset).read(known)
    assert len(Crossfit(run, dataset, new=True).read(stranger)) == 2
    for case, hashes in (
        (stranger, {"n1": digest}),
        (replace(known, id="n1"), {}),
        (replace(known, group=known.id), {}),
    ):
        source = Crossfit(run, dataset, new=True, image_hashes=hashes)
        assert source._unbiased(case) == [home]
        (one,) = source.read(case)
        np.testing.assert_allclose(one.maps, kept.maps, rtol=2e-3, atol=2e-3)
    other = next(case.group for case in dataset.cases if case.group != known.group)
    both = Crossfit(run, dataset, new=True, image_hashes={"n1": digest})
    assert both.read(replace(stranger, group=other)) == [], "each network saw one of the two"


@pytest.mark.parametrize("network", ["unet", "umamba"])
def test_any_network_is_cross_fitted_and_every_measure_looks_into_it(
    tmp_path, write_small, one_process, network
):
    from aleaseg.extractors import make_extractor
    from aleaseg.predictions import open_predictions
    from aleaseg.scoring import score_cases

    write_small(tmp_path / "data", 4, faults=False)
    dataset, run = open_dataset(tmp_path / "data", groups=r"^(g\d)"), Run(tmp_path / "run")
    asked = CrossfitSettings(folds=2, steps=2, inside=True, network=network)
    told = crossfit(run, dataset, asked)
    assert told["network"] == {"name": network, "size": "tiny", "deep_supervision": False, "dropout": 0.0}
    assert FoldPlan.read(run).network.name == network
    run.update_manifest(predictions={"source": "crossfit"}, crossfit=told)
    eye = make_extractor("task", dataset, open_predictions(run, dataset))
    assert score_cases(run, dataset, eye, {}) == {}
    for record in run.records():
        assert record.status == "ok", record.error
        known = {(one.measure, one.variant) for one in record.measures if one.value is not None}
        looked = {"tta_information", "el2n", "aum", "in_sample_dice", "fisher", "effective_rank"}
        assert {*((name, "") for name in looked), ("perception_scale", "foreground")} <= known
        assert len(record.features["mask"]["left"]) == len(record.features["mask"]["right"]) == 8
    stranger = replace(dataset.cases[0], id="n1", group="n1")
    assert len(Crossfit(run, dataset, new=True).read(stranger)) == 2


def test_a_fold_that_dies_is_one_line_and_the_next_start_goes_on(finished, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.run, run.path)
    (run.path / "models" / "fold_1.json").unlink()
    (run.path / "models" / "fold_1.safetensors").write_bytes(b"damaged")
    dataset = open_dataset(finished.dataset)
    with pytest.raises(
        AleasegError, match=r"^fold 1 of cross-fitting stopped: .*run the same command"
    ) as caught:
        crossfit(run, dataset, CrossfitSettings(steps=8))
    assert "\n" not in str(caught.value)
    assert (run.path / "models" / "fold_0.json").exists()
