"""The main verb on data of every kind: what is measured, what is refused, and what is said about it."""

import dataclasses
import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest

import aleaseg
from aleaseg.auditing.beginning import begin_audit
from aleaseg.auditing.running import run_audit
from aleaseg.auditing.settings import AuditSettings
from aleaseg.case import Geometry
from aleaseg.errors import SettingsDiffer, Unreadable, UsageError
from aleaseg.measures.reasons import in_words
from aleaseg.readers import open_dataset, read_headers
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import Run

pytestmark = pytest.mark.usefixtures("one_process")
GROUPS = r"^(g\d)"
SPACING = (2.0, 1.0, 1.0)


def audit(dataset, out, page=False, **given):
    """Two folds of six steps, no page."""
    settings = AuditSettings(
        dataset=str(dataset), **{"steps": 6, "groups": GROUPS, "device": "cpu", **given}
    )
    return run_audit(settings, Run(out), page=page)


def table(run):
    return run.cases.set_index("case")


def geometry(shape):
    return Geometry(shape, SPACING[-len(shape) :], None)


@pytest.fixture
def new_cases(tmp_path, small_case):
    """new_cases(*indices): a folder of a few cases that no run has seen, of the same kind."""

    def _new(*indices, ids="n{}", bad=()):
        folder = tmp_path / ("new" + "_".join(map(str, indices)))
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        for index in indices:
            image, label = small_case(100 + index)
            if index in bad:
                label = np.roll(label, 6, axis=2)
            case = ids.format(index)
            write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", image, geometry(image.shape))
            write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label, geometry(image.shape))
        about = {
            "channel_names": {"0": "MRI"},
            "labels": {"background": 0, "left": 1, "right": 2},
            "numTraining": len(indices),
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(about))
        return folder

    return _new


# -- populations -----------------------------------------------------------------------------------


def test_fewer_than_20_cases_have_no_doubts_and_it_says_so(tmp_path, write_small):
    write_small(tmp_path / "data", 6)
    done = audit(tmp_path / "data", tmp_path / "run")
    cases = done.run.cases
    assert cases[["doubt", "image_doubt", "label_doubt", "auv"]].isna().all().all()
    assert cases[["oof_dice", "perception_scale"]].notna().all().all()
    assert not (tmp_path / "run" / "population.json").exists()
    assert any("Fewer than 20" in note and "(6)" in note for note in done.run.manifest["notes"])
    assert done.run.manifest["extractor"]["name"] == "own"
    assert "own_dice" in set(done.run.measures["measure"])
    assert done.run.manifest["population"] is None


def test_a_reference_scores_a_new_case_by_itself(tmp_path, finished, new_cases):
    one = audit(new_cases(1), tmp_path / "one", reference=str(finished.run), groups=None, steps=None)
    more = audit(
        new_cases(1, 2, 3, bad=(2,)),
        tmp_path / "more",
        reference=str(finished.run),
        groups=None,
        steps=None,
    )
    alone, among = table(one.run).loc["n1"], table(more.run).loc["n1"]
    for name in alone.index:
        same = alone[name] == among[name] or (alone[name] != alone[name] and among[name] != among[name])
        assert same, f"{name}: {alone[name]} alone, {among[name]} among others"
    doubts = table(more.run)["doubt"]
    assert doubts["n2"] > 0.5 > doubts["n1"]
    assert one.run.population == Run(finished.run).population
    assert one.run.manifest["population"]["frozen"]
    assert any("frozen population" in note for note in one.run.manifest["notes"])


def test_a_reference_takes_the_median_over_the_models_of_all_folds(tmp_path, finished, new_cases):
    from aleaseg.measures.label_agreement import dice
    from aleaseg.predictions import open_predictions
    from aleaseg.readers import open_dataset

    done = audit(new_cases(5), tmp_path / "run", reference=str(finished.run), groups=None, steps=None)
    dataset = open_dataset(tmp_path / "new5")
    each = open_predictions(done.run, dataset).read(dataset.cases[0])
    assert len(each) == 2
    label = dataset.cases[0].read_label().array
    dices = [dice(label == 1, one.mask("left")) for one in each]
    assert dices[0] != dices[1]
    row = done.run.scores.query("`class` == 'left'").iloc[0]
    assert row["oof_dice"] == pytest.approx(np.median(dices))


@pytest.mark.parametrize("missing", [1, 2])
def test_an_empty_mask_among_new_cases_is_scored_the_same_in_any_company(
    tmp_path, finished, new_cases, missing, small_case
):
    one, more = new_cases(1), new_cases(1, *range(2, 24))
    for folder in (one, more):
        label = small_case(101)[1]
        label[label == missing] = 0
        write_nifti(folder / "labelsTr" / "n1.nii.gz", label, geometry(label.shape))
    few = audit(one, tmp_path / "few", reference=str(finished.run), groups=None, steps=None)
    many = audit(more, tmp_path / "many", reference=str(finished.run), groups=None, steps=None)
    alone, among = table(few.run).loc["n1"], table(many.run).loc["n1"]
    assert alone["label_doubt"] == among["label_doubt"]
    assert alone["reasons"] == among["reasons"]


def test_unlabelled_new_cases_have_the_image_axis(tmp_path, finished, new_cases):
    folder = new_cases(1, 2)
    shutil.rmtree(folder / "labelsTr")
    (folder / "imagesTr").rename(tmp_path / "images")
    for out, dataset in (("bare", tmp_path / "images"), ("layout", folder)):
        if out == "layout":
            shutil.copytree(tmp_path / "images", folder / "imagesTr")
        done = audit(dataset, tmp_path / out, reference=str(finished.run), groups=None, steps=None)
        cases = done.run.cases
        assert cases["image_doubt"].notna().all()
        assert cases["label_doubt"].isna().all()
        assert any("no labels" in note for note in done.run.manifest["notes"])


def test_a_reference_that_cannot_serve_is_refused_before_anything_is_written(
    tmp_path, finished, new_cases, write_small
):
    folder = new_cases(1)
    about = json.loads((folder / "dataset.json").read_text())
    about["labels"] = {"background": 0, "left": 2, "right": 1}
    (folder / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=r"left=1, right=2; this data set has .*left=2"):
        audit(folder, tmp_path / "run", reference=str(finished.run), groups=None)
    write_small(tmp_path / "few", 5)
    audit(tmp_path / "few", tmp_path / "small run", extractor="variance", steps=1)
    with pytest.raises(UsageError, match="no population"):
        audit(new_cases(2), tmp_path / "run", reference=str(tmp_path / "small run"), groups=None)
    other = tmp_path / "other version"
    shutil.copytree(finished.run, other)
    for number, (axis, missing) in enumerate((("image", "bank"), ("label", "heard")), start=3):
        population = json.loads((finished.run / "population.json").read_text())
        del population[axis][missing]
        (other / "population.json").write_text(json.dumps(population))
        with pytest.raises(UsageError, match="another version"):
            audit(new_cases(number), tmp_path / "run", reference=str(other), groups=None)
    assert not (tmp_path / "run").exists()


def test_a_reference_without_models_asks_for_predictions(tmp_path, finished, new_cases):
    outside = tmp_path / "outside"
    shutil.copytree(finished.run, outside)
    manifest = json.loads((outside / "manifest.json").read_text())
    manifest["predictions"] = {"source": "folder", "path": "/gone"}
    (outside / "manifest.json").write_text(json.dumps(manifest))
    folder = new_cases(1)
    with pytest.raises(UsageError, match="--predictions FOLDER"):
        audit(folder, tmp_path / "run", reference=str(outside), groups=None)
    # With predictions of the new cases it works.
    shutil.copytree(folder / "labelsTr", tmp_path / "oof")
    done = audit(
        folder, tmp_path / "run", reference=str(outside), predictions=str(tmp_path / "oof"), groups=None
    )
    row = table(done.run).loc["n1"]
    assert row["oof_dice"] == 1
    assert row["label_doubt"] < 0.5


def test_a_reference_whose_models_are_gone_is_no_random_network(tmp_path, finished, new_cases):
    shutil.copytree(finished.run, tmp_path / "robbed")
    (tmp_path / "robbed" / "models" / "fold_1.safetensors").unlink()
    with pytest.raises(UsageError, match=r"fold_1\.safetensors"):
        audit(new_cases(1), tmp_path / "run", reference=str(tmp_path / "robbed"), groups=None)


def test_auto_takes_the_eye_of_the_reference(tmp_path, finished, new_cases, write_small):
    write_small(tmp_path / "data")
    audit(tmp_path / "data", tmp_path / "variance", extractor="variance", steps=1)
    done = audit(new_cases(1), tmp_path / "run", reference=str(tmp_path / "variance"), groups=None)
    assert done.run.manifest["extractor"]["name"] == "variance"
    assert done.run.cases["auv"].notna().all()


# -- kinds of data ---------------------------------------------------------------------------------


def test_without_labels_there_is_the_image_axis_only(tmp_path, small_case):
    (tmp_path / "data").mkdir()
    for index in range(22):
        image = small_case(index)[0]
        if index == 5:
            image = image + np.random.default_rng(1).normal(0, 60, image.shape).astype(np.float32)
        write_nifti(tmp_path / "data" / f"scan{index:02d}.nii.gz", image, geometry(image.shape))
    done = audit(tmp_path / "data", tmp_path / "run", groups=None, page=True)
    cases = table(done.run)
    assert cases["image_doubt"].idxmax() == "scan05"
    assert cases.loc["scan05", "doubt"] == cases.loc["scan05", "image_doubt"] > 0.5
    assert cases[["label_doubt", "oof_dice", "volume_mm3"]].isna().all().all()
    assert any("no labels" in note for note in done.run.manifest["notes"])
    assert done.run.manifest["extractor"]["name"] == "variance"
    assert not (tmp_path / "run" / "models").exists()
    assert done.page.exists()
    with pytest.raises(UsageError, match="no labels"):
        audit(tmp_path / "data", tmp_path / "other", groups=None, extractor="task")
    assert not (tmp_path / "other").exists()


def test_2d_png(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for index in range(22):
        h, w = np.indices((40, 48))
        mask = (h - 20 - rng.normal()) ** 2 + (w - 24 - rng.normal()) ** 2 < 100 + 10 * rng.normal()
        image = np.clip(60 + 80 * mask + rng.normal(0, 12, mask.shape), 0, 255).astype(np.uint8)
        if index == 4:
            mask = np.roll(mask, 12, axis=1)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"g{index % 2}_{index:02d}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(
            tmp_path / "data" / "masks" / f"g{index % 2}_{index:02d}.png"
        )
    done = audit(tmp_path / "data", tmp_path / "run", steps=15, page=True)
    cases = table(done.run)
    assert done.troubles == {}
    assert cases["label_doubt"].idxmax() == "g0_04"
    assert cases["depth"].isna().all()
    assert cases["perception_scale"].between(0, 1, inclusive="right").all()
    record = next(done.run.records())
    assert len(record.shape) == 2


def test_regions_an_ignore_label_and_two_channels(tmp_path, write_small, small_case):
    folder = tmp_path / "data"
    write_small(folder, 22, faults=False)
    about = json.loads((folder / "dataset.json").read_text())
    about |= {
        "labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
        "regions_class_order": [1, 2],
        "channel_names": {"0": "T1", "1": "T2"},
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    for index in range(22):
        image, label = small_case(index)
        case = f"g{index % 2}_{index:02d}"
        write_nifti(folder / "imagesTr" / f"{case}_0001.nii.gz", 500 - image, geometry(image.shape))
        label[:3] = 3
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label, geometry(image.shape))
    done = audit(folder, tmp_path / "run", steps=15)
    assert done.troubles == {}
    assert done.findings == ()
    scores = done.run.scores
    assert set(scores["class"]) == {"whole", "core"}
    whole, core = (scores[scores["class"] == name].set_index("case") for name in ("whole", "core"))
    assert (whole["volume_mm3"] > core["volume_mm3"]).all()
    assert (whole["oof_dice"] > 0.5).all()
    assert {"img_noise_0", "img_noise_1"} <= set(done.run.cases.columns)
    assert done.run.manifest["crossfit"]["values"] == [1, 2], "nothing is learnt of what nobody annotated"


def test_a_class_that_only_some_have(tmp_path, write_small, small_case):
    folder = tmp_path / "data"
    write_small(folder, 24, faults=False)
    for index in range(0, 24, 2):
        label = small_case(index)[1]
        label[label == 2] = 0
        write_nifti(folder / "labelsTr" / f"g0_{index:02d}.nii.gz", label, geometry(label.shape))
    done = audit(folder, tmp_path / "run")
    cases = table(done.run)
    assert set(cases["class_set"]) == {"left", "left+right"}
    absent = done.run.scores.query("`class` == 'right' and case == 'g0_00'").iloc[0]
    assert absent["status"] == "absent"
    assert np.isnan(absent["auv"])
    assert cases["doubt"].notna().all()


# -- inputs ----------------------------------------------------------------------------------------


def test_predictions_from_a_folder(tmp_path, finished, small_case):
    oof = tmp_path / "results" / "fold_0" / "validation"
    oof.mkdir(parents=True)
    for index in range(23):
        label = small_case(index)[1]
        probabilities = np.stack([(label == value) * 0.9 + 1 / 30 for value in range(3)])
        np.savez_compressed(oof / f"g{index % 2}_{index:02d}.npz", probabilities=probabilities)
    done = audit(
        finished.dataset, tmp_path / "run", predictions=str(tmp_path / "results"), extractor="task"
    )
    cases = table(done.run)
    assert not (tmp_path / "run" / "models").exists()
    # A scan that drowns in noise shows no border either.
    assert set(cases["label_doubt"].nlargest(3).index) == {"g1_03", "g1_13", "g0_08"}
    assert "uneven_w" in cases.loc["g0_08", "reasons"]
    assert cases.loc["g0_08", "why"] == "; ".join(in_words(cases.loc["g0_08", "reasons"]))
    assert (cases["oof_dice"].drop(["g1_03", "g1_13", "g1_23"]) == 1).all()
    assert np.isnan(cases.loc["g1_23", "oof_dice"])
    assert any(note.startswith("1 case has no prediction") for note in done.run.manifest["notes"])
    assert {about["kind"] for r in done.run.records() for about in r.class_maps.values()} == {"probability"}


def test_the_variance_extractor_leaves_the_label_axis_as_it_is(tmp_path, finished):
    done = audit(
        finished.dataset,
        tmp_path / "run",
        extractor="variance",
        predictions=str(finished.dataset / "labelsTr"),
    )
    cases = table(done.run)
    assert cases["auv"].between(0, 1).all()
    assert cases["perception_scale"].isna().all()
    assert (cases["oof_dice"] == 1).all()
    assert "intensity_variance" in set(done.run.measures["measure"])


def test_a_budget_that_bites_is_told(tmp_path, finished, one_process):
    done = audit(finished.dataset, tmp_path / "run", steps=5000, budget=0.1)
    # Two folds one after the other share what preparing and predicting leave.
    assert len(one_process) == 1
    assert 1.0 <= one_process[0] <= 0.9 * 10.0 / 2
    crossfit = done.run.manifest["crossfit"]
    assert crossfit["stopped_by_budget"]
    steps = [fold["steps"] for fold in crossfit["folds"]]
    assert all(10 <= step < 5000 for step in steps)
    note = next(note for note in done.run.manifest["notes"] if "budget" in note)
    assert "0.1 minutes" in note
    assert f"{steps[0]}, {steps[1]} of 5000" in note


# -- settings --------------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, finished):
    for given, match in (
        ({"extractor": "medsam"}, "unknown extractor"),
        ({"predictions": str(tmp_path / "nowhere")}, "is not a folder"),
        ({"predictions": str(finished.run)}, "holds no prediction of any case"),
        ({"device": "gpu"}, "unknown device"),
        ({"steps": 0}, "steps"),
        ({"groups": "("}, "regular expression"),
    ):
        with pytest.raises(UsageError, match=match):
            audit(finished.dataset, tmp_path / "run", **given)
        assert not (tmp_path / "run").exists()


def test_every_setting_is_kept_and_told_apart(tmp_path, finished):
    shutil.copytree(finished.run, tmp_path / "run")
    made = Run(tmp_path / "run").manifest["settings"]
    names = set(AuditSettings("").asked())
    assert names <= set(made)
    assert not {"accept_licence", "cache", "out"} & set(made)  # they decide no number
    settings = AuditSettings(**{name: made[name] for name in names})
    dataset = open_dataset(settings.dataset, groups=settings.groups)
    begin_audit(Run(tmp_path / "run"), settings, dataset)
    for name, other in (
        ("seed", 1),
        ("steps", 9),
        ("extractor", "task"),
        ("budget", 5.0),
        ("device", "cuda"),
        ("predictions", "/oof"),
        ("sites", "g"),
        ("reference", "/r"),
    ):
        with pytest.raises(SettingsDiffer, match=f"{name}: .* then, {other!r} now"):
            begin_audit(Run(tmp_path / "run"), dataclasses.replace(settings, **{name: other}), dataset)


def test_a_run_from_before_the_budget_had_its_name_goes_on(tmp_path, finished):
    shutil.copytree(finished.run, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["settings"]["budget"]
    manifest["settings"]["budget_minutes"] = 30.0
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    dataset = open_dataset(finished.dataset, groups=GROUPS)
    asked = AuditSettings(finished.dataset, groups=GROUPS, steps=8, budget=30.0)
    begin_audit(Run(tmp_path / "run"), asked, dataset)
    with pytest.raises(SettingsDiffer, match=r"budget: 30\.0 then, None now"):
        begin_audit(Run(tmp_path / "run"), dataclasses.replace(asked, budget=None), dataset)


def test_a_case_less_is_another_data_set(tmp_path, write_small, finished):
    shutil.copytree(finished.dataset, tmp_path / "data set")
    shutil.copytree(finished.run, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    manifest["settings"]["dataset"] = str(tmp_path / "data set")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    for name in ("imagesTr/g0_00_0000", "labelsTr/g0_00"):
        (tmp_path / "data set" / f"{name}.nii.gz").unlink()
    with pytest.raises(
        SettingsDiffer,
        match=r"cases: 24 then, 23 now; case ids: others than then; groups and sites: others than then.*--refit",
    ):
        audit(tmp_path / "data set", tmp_path / "run", steps=8, device="auto")


def test_a_corrected_mask_is_scored_again_and_the_others_are_kept(tmp_path, small_case, write_small):
    folder = tmp_path / "data"
    write_small(folder, 22)
    first = audit(folder, tmp_path / "run")
    assert table(first.run)["label_doubt"].idxmax() in ("g1_03", "g1_13")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cases").iterdir()}
    label = small_case(3)[1]
    write_nifti(folder / "labelsTr" / "g1_03.nii.gz", label, geometry(label.shape))
    again = audit(folder, tmp_path / "run")
    mended = first.run.case_file("g1_03")
    changed = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {mended}
    assert table(again.run).loc["g1_03", "oof_dice"] > 0.5


def test_the_manifest_says_what_was_run_and_which_way_columns_point(finished):
    run = Run(finished.run)
    manifest = run.manifest
    assert manifest["aleaseg"] == aleaseg.__version__
    assert {"python", "torch", "monai", "numpy"} <= set(manifest["versions"])
    assert manifest["dataset"]["classes"] == {"left": [1], "right": [2]}
    assert manifest["crossfit"]["steps"] == 8
    assert sum(manifest["crossfit"]["fold_sizes"]) == 24
    said = {"title", "short", "role", "direction", "range", "unit", "text"}
    for name in [*run.cases.columns, *run.scores.columns, *run.measures.columns]:
        assert set(manifest["columns"][name]) == said, name
    for name in set(run.measures["measure"]):
        assert manifest["columns"][name]["text"], name
    for name in ("doubt", "image_doubt", "label_doubt", "auv"):
        assert manifest["columns"][name]["direction"] == "high = bad"
        assert run.cases[name].between(0, 1).all()


def test_nothing_of_the_data_set_is_touched(finished):
    assert {path.name for path in finished.dataset.iterdir()} == {"imagesTr", "labelsTr", "dataset.json"}
    assert len(os.listdir(finished.dataset / "imagesTr")) == 24
    assert not list(finished.run.rglob("*.npy")), "working copies are taken away again"
    assert not [path for path in finished.run.rglob(".*") if path.is_file()], "nothing half-written is left"


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"extractor": "task"}, {"predictions": "own"}], ids=str)
def test_every_header_is_opened_once(tmp_path, write_small, one_process, monkeypatch, given):
    from aleaseg.readers import voxels

    write_small(tmp_path / "data", 20)
    opened = Counter()
    read = voxels.read_geometry

    def counted(path, case):
        opened[case] += 1
        return read(path, case)

    monkeypatch.setattr(voxels, "read_geometry", counted)
    done = audit(tmp_path / "data", tmp_path / "run", page=True, **given)
    assert dict(opened) == dict.fromkeys(done.run.cases["case"], 1)
    assert len(opened) == 20


def test_a_header_that_cannot_be_read_is_the_cases_fault_and_no_others(tmp_path, write_small, one_process):
    write_small(tmp_path / "data", 22)
    (tmp_path / "data" / "imagesTr" / "g0_04_0000.nii.gz").write_bytes(b"no image")
    opened = read_headers(open_dataset(tmp_path / "data"))
    with pytest.raises(Unreadable, match="g0_04"):
        opened["g0_04"].read_geometry()
    assert opened["g1_05"].read_geometry().shape == (12, 16, 16)
    done = audit(tmp_path / "data", tmp_path / "run")
    assert list(done.troubles) == ["g0_04"]


def test_scans_of_one_patient_without_groups_are_named_with_what_to_type(tmp_path, write_small):
    ids = [f"acdc_patient{number:03d}_frame{frame:02d}" for number in range(11) for frame in (1, 12)]
    write_small(tmp_path / "data", ids=ids)
    notes = audit(tmp_path / "data", tmp_path / "run", groups=None).run.manifest["notes"]
    (hint,) = [note for note in notes if "one patient" in note]
    assert "acdc_patient000_frame01 and acdc_patient000_frame12" in hint
    assert hint.endswith(r"with --groups '(patient\d+)'.")
    told = audit(tmp_path / "data", tmp_path / "grouped", groups=r"(patient\d+)").run.manifest["notes"]
    assert not [note for note in told if "one patient" in note]


def test_ids_that_name_no_patient_twice_are_no_hint(tmp_path, write_small):
    from aleaseg.auditing.notes import _one_patient_twice

    for number, ids in enumerate(
        (
            [f"hippocampus_{each:03d}" for each in range(4)],
            [f"patient{each:03d}" for each in range(4)],
            [f"compat1_{each}" for each in range(4)],
        )
    ):
        write_small(tmp_path / str(number), ids=ids, faults=False)
        assert _one_patient_twice(open_dataset(tmp_path / str(number))) == ""
