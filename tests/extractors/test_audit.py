"""An audit through a foundation model's eye, once as it is typed; the model is a small MedSAM2, random weights."""

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from aleaseg.auditing.running import run_audit
from aleaseg.auditing.settings import AuditSettings
from aleaseg.errors import UsageError
from aleaseg.run import Run

TINY = ("--extractor", "tiny-medsam2", "--weights", "random:2")


@pytest.fixture(scope="module")
def typed(type_aleaseg, plugin):
    """type_aleaseg with the plug-in installed."""

    def _type(*words, **more):
        path = os.pathsep.join(filter(None, (str(plugin), os.environ.get("PYTHONPATH"))))
        return type_aleaseg(*words, env={"PYTHONPATH": path}, **more)

    return _type


def few(folder, source, cases):
    """Some cases of a data set in nnU-Net's layout."""
    about = json.loads((source / "dataset.json").read_text())
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for case in cases:
        shutil.copy(source / "imagesTr" / f"{case}_0000.nii.gz", folder / "imagesTr")
        shutil.copy(source / "labelsTr" / f"{case}.nii.gz", folder / "labelsTr")
    (folder / "dataset.json").write_text(json.dumps({**about, "numTraining": len(cases)}))
    return folder


def test_hippocampus_to_the_page(tmp_path, data, one_process):
    source = data / "Dataset004_Hippocampus"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))[
        :22
    ]
    folder = few(tmp_path / "Dataset004_Hippocampus", source, cases)
    # No training: the eye is what is tried here.
    tiny = {"extractor": "tiny-medsam2", "weights": "random:2", "predictions": str(folder / "labelsTr")}
    run = run_audit(asked(folder, **tiny, scenario="c"), Run(tmp_path / "run")).run
    about = run.manifest["extractor"]
    assert about["weights"] == "random (seed 2)"
    assert about["normalize"] == "foreground"
    scores = run.scores
    assert len(scores) == 44
    assert (scores["status"] == "ok").all()
    assert scores["perception_scale"].between(0.001, 1).all()
    assert run.cases["auv"].between(0, 1).all()
    record = next(run.records())
    one = record.class_maps["anterior"]
    assert one["prompt"] == "label_box"
    assert len(one["presence"]) == one["grid"][0] == one["z_range"][1] - one["z_range"][0]
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "tiny-medsam2 with RANDOM weights" in page
    # Once more with other weights is another run.
    with pytest.raises(UsageError, match="weights: 'random:2' then, 'random:3' now"):
        run_audit(asked(folder, **{**tiny, "weights": "random:3"}, scenario="c"), run)
    # New cases are looked at with the same eye.
    new = few(tmp_path / "new", source, cases[:2])
    beside = {**tiny, "reference": str(tmp_path / "run"), "weights": None}
    found = run_audit(
        asked(new, **{**beside, "extractor": "auto"}), Run(tmp_path / "compared"), page=False
    ).run
    assert found.manifest["extractor"]["name"] == "tiny-medsam2"
    mine, theirs = found.scores["perception_scale"], scores["perception_scale"][:4]
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    with pytest.raises(UsageError, match="scored with another extractor"):
        run_audit(asked(new, **{**beside, "extractor": "task"}), Run(tmp_path / "other"))


def test_lesions_on_ct_to_the_page(tmp_path, typed, data):
    done = typed(
        "audit",
        data / "ct_lesions",
        *("-o", tmp_path / "run", *TINY, "--scenario", "a", "--window", "0,255"),
        *("--predictions", data / "ct_lesions" / "labels", "--cache", tmp_path / "maps"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "RANDOM weights" in done.stderr
    assert "RANDOM weights" in done.stdout
    assert "Scenario a of the paper" in " ".join(done.stdout.split())
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert scores["perception_scale"].between(0.001, 1).all()
    assert (tmp_path / "run" / "report" / "index.html").exists()
    assert len(list((tmp_path / "maps").glob("*.safetensors"))) == 6


# -- without files of real cases --------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory, write_small):
    folder = tmp_path_factory.mktemp("small") / "data"
    write_small(folder, 6)
    return folder


def asked(dataset, **given):
    base = {"extractor": "medsam2", "weights": "random", "steps": 2, "device": "cpu"}
    return AuditSettings(dataset=str(dataset), **{**base, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"prompt": "text"},
            "cannot take --prompt text; expected one of: label_box, label_slice_boxes, pseudo",
        ),
        ({"normalize": "zscore"}, "cannot take --normalize zscore; expected one of: foreground, raw"),
        (
            {"extractor": "nothing"},
            "unknown extractor 'nothing'; expected one of: auto, task, variance, ",
        ),
        ({"scenario": "e"}, "unknown scenario 'e'; expected one of: a, b, c, d"),
        ({"scenario": "a", "normalize": "foreground"}, "--scenario a means --normalize raw"),
        ({"extractor": "task"}, "extractor `task` takes no --weights"),
        ({"extractor": "task", "weights": None, "prompt": "label_box"}, "cannot take --prompt label_box"),
        ({"window": (5.0, 5.0)}, "expected LOW,HIGH with LOW < HIGH"),
        ({"window": (-np.inf, np.inf)}, "expected LOW,HIGH with LOW < HIGH"),
        ({"window": (0.0, 5.0)}, "--window is for --normalize raw"),
        (
            {"extractor": "task", "weights": None, "scenario": "c"},
            r"expected one of: none; leave --normalize \(or --scenario\) out",
        ),
        ({"precision": "half"}, "unknown precision 'half'; expected one of: auto, float32, bfloat16"),
        ({"channel": "T2"}, r"--channel T2: data has the channels 0 \(MRI\)"),
        ({"weights": "random:x"}, "expected random or random:SEED"),
        ({"weights": "nowhere.pt"}, "nowhere.pt"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path, small, given, message):
    with pytest.raises(UsageError, match=message):
        run_audit(asked(small, **given), Run(tmp_path / "run"), page=False)
    assert not (tmp_path / "run").exists()


def test_without_labels_there_must_be_another_prompt(tmp_path, small, one_process):
    folder = tmp_path / "images"
    shutil.copytree(small / "imagesTr", folder)
    for path in folder.glob("*.nii.gz"):
        path.rename(folder / path.name.replace("_0000", ""))

    def scored(name, **given):
        given = asked(folder, **{"extractor": "tiny-medsam2", **given})
        return run_audit(given, Run(tmp_path / name), page=False).run

    with pytest.raises(
        UsageError, match=r"looks at labels, and images has none.*pseudo or auto_box"
    ) as why:
        scored("run")
    assert "--normalize raw" in str(why.value)
    with pytest.raises(UsageError, match="give them with --predictions FOLDER"):
        scored("run", prompt="pseudo", normalize="raw")
    found = scored("run", prompt="auto_box", normalize="raw")
    assert found.cases["perception_scale"].between(0.001, 1).all()
    # Boxes about somebody's predictions, for images without labels.
    given = {"predictions": str(small / "labelsTr"), "classes": "left=1,right=2"}
    scores = scored("boxed", prompt="pseudo", normalize="raw", **given).scores
    assert set(scores["class"]) == {"left", "right"}
    assert scores["perception_scale"].between(0.001, 1).all()


def test_several_channels_need_a_choice(tmp_path, small):
    folder = shutil.copytree(small, tmp_path / "data")
    for path in list((folder / "imagesTr").glob("*_0000.nii.gz")):
        shutil.copy(path, path.with_name(path.name.replace("_0000", "_0001")))
    about = json.loads((folder / "dataset.json").read_text())
    about["channel_names"] = {"0": "T1", "1": "T2"}
    (folder / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=r"has 2: 0 \(T1\), 1 \(T2\); choose one with --channel"):
        run_audit(asked(folder), Run(tmp_path / "run"), page=False)


def test_slice_by_slice_with_boxes_as_it_is_typed(tmp_path, typed, small):
    words = ("--extractor", "tiny-mobilesam", "--weights", "random:2", "--predictions", small / "labelsTr")
    done = typed("audit", small, "-o", tmp_path / "run", *words, "--pixels", "96", "--scenario", "c")
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "run")
    assert run.manifest["extractor"]["pixels"] == 96
    assert (run.scores["status"] == "ok").all()
    assert run.scores["perception_scale"].between(0.0001, 1).all()
    outlines = run.measures.query("measure == 'eye_dice'")
    assert len(outlines) == 12
    assert set(outlines["variant"]) == {"foreground"}
    assert outlines["value"].between(0, 1).all()
    about = run.manifest["columns"]["eye_dice"]
    assert (about["direction"], about["range"]) == ("low = bad", [0, 1])
    assert "own_dice" not in set(run.measures["measure"])
    assert (tmp_path / "run" / "report" / "index.html").exists()
    refused = typed("audit", small, "-o", tmp_path / "no", *words, "--pixels", "100")
    assert refused.returncode == 2
    assert "cannot take --pixels 100; expected one of: 64, 96" in " ".join(refused.stderr.split())


def test_a_second_look_never_runs_the_model(tmp_path, small, plugin, monkeypatch, one_process):
    import tiny_medsam2

    given = asked(
        small, extractor="tiny-medsam2", predictions=str(small / "labelsTr"), cache=tmp_path / "maps"
    )
    first = run_audit(given, Run(tmp_path / "one"), page=False).run
    monkeypatch.setattr(
        tiny_medsam2.TinyMedSAM2, "class_maps", lambda self, case: pytest.fail("the model was run")
    )
    second = run_audit(given, Run(tmp_path / "two"), page=False).run
    pd.testing.assert_frame_equal(first.measures, second.measures)
    assert first.measures["value"].notna().any()


def test_long_looks_are_said_before_they_start(tmp_path, small):
    said = []

    def stop(stage, done, total):
        if stage != "headers":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_audit(asked(small), Run(tmp_path / "run"), announce=said.append, progress=stop)
    assert any("RANDOM weights" in line for line in said)
    assert any(line.startswith("medsam2 runs on 6 cases: about ") for line in said)


def test_auto_takes_a_foundation_model_whose_weights_are_there(tmp_path, small, monkeypatch):
    from aleaseg.extractors import ExtractorSettings, choose_extractor, weights
    from aleaseg.readers import open_dataset

    dataset = open_dataset(small)
    auto = ExtractorSettings("auto")
    monkeypatch.setattr(weights, "find", lambda name: None)
    name, why = choose_extractor(auto, dataset, "crossfit")
    assert name == "own"
    assert "no foundation model's weights are there" in why
    monkeypatch.setattr(weights, "find", lambda name: tmp_path if name == "medsam2" else None)
    assert choose_extractor(auto, dataset, "crossfit") == ("medsam2", "its weights are there")
    monkeypatch.setattr(weights, "find", lambda name: tmp_path if name == "segvol" else None)
    name, why = choose_extractor(auto, dataset, "crossfit")
    assert name == "own"
    assert "segvol is there, but the images are not declared to be CT" in why
    nameless = replace(dataset, channels=("CT",), classes={"1": (1,), "class_2": (2,)})
    name, why = choose_extractor(auto, nameless, "crossfit")
    assert name == "own"
    assert "segvol is there, but extractor `segvol` asks for a structure by its name" in why


def test_auto_passes_the_own_network_over_where_it_does_not_suit(small, monkeypatch):
    from aleaseg import extractors
    from aleaseg.auditing.eye import choose_eye
    from aleaseg.extractors import ExtractorSettings, choose_extractor, weights
    from aleaseg.readers import open_dataset

    monkeypatch.setattr(weights, "find", lambda name: None)
    dataset = open_dataset(small)
    auto = ExtractorSettings("auto")

    def chosen(settings=auto, data=dataset, predictions="crossfit"):
        return choose_extractor(settings, data, predictions)

    name, why = chosen(data=replace(dataset, channels=("T1", "T2")))
    assert name == "task"
    assert "passed over: extractor `own` looks at one image channel, and data has 2" in why
    assert chosen(replace(auto, channel=1), replace(dataset, channels=("T1", "T2")))[0] == "own"
    bare = dataset.with_cases([replace(case, read_label=None) for case in dataset.cases])
    assert chosen(data=bare, predictions=None)[0] == "variance"
    name, why = chosen(data=bare, predictions="folder")
    assert name == "task"
    assert "told by labels where to look" in why
    assert chosen(replace(auto, weights="random"))[0] == "task"  # which says what it thinks of weights
    monkeypatch.setattr(extractors, "_LONGEST_SECONDS", 0.01)
    name, why = chosen()
    assert name == "task"
    assert "minutes of a core; `--extractor own` takes it all the same" in why
    eye = choose_eye(AuditSettings("", measures="all"), dataset, "crossfit")
    assert eye.asked.name == "task"
    assert "every reading" in eye.why


def scored_with(name, **about):
    """A reference, as far as choosing the eye looks at it."""
    made = {"name": name, **about}
    return SimpleNamespace(
        path="ref", manifest={"extractor": made, "settings": {"extractor": name, **about}}
    )


def test_without_labels_the_reference_lends_its_eye_too(small):
    from aleaseg.auditing.eye import choose_eye
    from aleaseg.readers import open_dataset

    bare = open_dataset(small)
    bare = bare.with_cases([replace(case, read_label=None) for case in bare.cases])
    free = {"prompt": "auto_box", "normalize": "raw", "weights": "random:2"}
    reference = scored_with("tiny-medsam2", **free)
    # Its channel was called CT, and so it had a window.
    made = choose_eye(
        AuditSettings("", extractor="tiny-medsam2", window=(-160.0, 240.0), **free), bare, None
    )
    reference.manifest["extractor"] |= json.loads(json.dumps(made.model.identity()))
    eye = choose_eye(AuditSettings(""), bare, None, reference)
    assert (eye.asked.name, eye.asked.prompt, eye.asked.weights) == ("tiny-medsam2", "auto_box", "random:2")
    assert eye.asked.window == (-160.0, 240.0)
    assert eye.why == "the reference was scored with it"
    with pytest.raises(UsageError, match="looks at labels, and data has none"):
        choose_eye(AuditSettings(""), bare, None, scored_with("tiny-medsam2", weights="random:2"))
    eye = choose_eye(AuditSettings(""), bare, None, scored_with("task"))
    assert eye.asked.name == "variance"
    assert "only intensities" in eye.why
    automatic = scored_with("own")
    automatic.manifest["settings"]["extractor"] = "auto"
    eye = choose_eye(AuditSettings(""), bare, None, automatic)
    assert eye.asked.name == "variance"
    assert "prompted by labels" in eye.why


@pytest.mark.parametrize("made", ["nnunet", "variance", "a_plug_in"])
def test_another_eye_than_the_references_is_refused_whatever_brings_no_weights(made):
    from aleaseg.auditing.eye import check_same_eye

    with pytest.raises(UsageError, match=f"another extractor \\(name: '{made}' there, 'task' here"):
        check_same_eye("task", None, scored_with(made))
    check_same_eye("task", None, scored_with("task"))


def test_the_network_that_was_tried_is_let_go_before_cases_are_scored(
    tmp_path, small, monkeypatch, one_process
):
    from aleaseg.auditing import running

    kept = []
    monkeypatch.setattr(running, "warnings_before", lambda eye, dataset: kept.append(eye) or [])
    run_audit(
        asked(small, extractor="tiny-medsam2", predictions=str(small / "labelsTr")),
        Run(tmp_path / "run"),
        page=False,
    )
    assert "network" not in vars(kept[0])


def test_weights_of_another_model_are_refused_before_anything_is_written(tmp_path, small):
    import torch

    torch.save({"model": {"head.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"other\.pt does not fit MedSAM2"):
        run_audit(asked(small, weights=str(tmp_path / "other.pt")), Run(tmp_path / "run"), page=False)
    assert not (tmp_path / "run").exists()
