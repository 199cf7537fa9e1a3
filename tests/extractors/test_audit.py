"""An audit through a foundation model's eye, as a user types it; the model is a small MedSAM2 with random weights."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from aleaseg.auditing import Settings, run_audit
from aleaseg.errors import UsageError
from aleaseg.run import Run

TINY = ("--extractor", "tiny-medsam2", "--weights", "random:2")


@pytest.fixture(scope="module")
def typed(type_aleaseg, plugin):
    """type_aleaseg with the plug-in installed."""

    def _type(*words, **more):
        return type_aleaseg(*words, env={"PYTHONPATH": str(plugin)}, **more)

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


def test_hippocampus_to_the_page(tmp_path, typed, data):
    source = data / "Dataset004_Hippocampus"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))[
        :22
    ]
    folder = few(tmp_path / "Dataset004_Hippocampus", source, cases)
    given = (*TINY, "--predictions", folder / "labelsTr")  # no training: the eye is what is tried here
    done = typed("audit", folder, "-o", tmp_path / "run", *given, "--scenario", "c", timeout=600)
    assert done.returncode == 0, done.stderr
    assert "RANDOM weights" in done.stderr
    assert "RANDOM weights" in done.stdout
    assert "Scenario c of the paper" in " ".join(done.stdout.split())
    run = Run(tmp_path / "run")
    about = run.manifest["extractor"]
    assert about["weights"] == "random (seed 2)"
    assert about["normalize"] == "foreground"
    scores = run.scores
    assert len(scores) == 44
    assert (scores["status"] == "ok").all()
    assert scores["perception_scale"].between(0.001, 1).all()
    assert run.cases["auv"].between(0, 1).all()
    record = next(run.records())
    one = record["class_maps"]["anterior"]
    assert one["prompt"] == "label_box"
    assert len(one["presence"]) == one["grid"][0] == one["z_range"][1] - one["z_range"][0]
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "tiny-medsam2 with RANDOM weights" in page
    # Once more with other weights is another run.
    again = typed("audit", folder, "-o", tmp_path / "run", *TINY[:3], "random:3", *given[4:])
    assert again.returncode == 2
    assert "weights: 'random:2' then, 'random:3' now" in again.stderr
    # New cases are looked at with the same eye.
    new = few(tmp_path / "new", source, cases[:2])
    compared = typed("score", new, "-o", tmp_path / "compared", "--reference", tmp_path / "run", *given[4:])
    assert compared.returncode == 0, compared.stderr
    found = Run(tmp_path / "compared")
    assert found.manifest["extractor"]["name"] == "tiny-medsam2"
    mine, theirs = found.scores["perception_scale"], scores["perception_scale"][:4]
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    other = typed(
        *("score", new, "-o", tmp_path / "other", "--reference", tmp_path / "run"),
        *("--extractor", "task", *given[4:]),
    )
    assert other.returncode == 2
    assert "scored with another extractor" in other.stderr


def test_lesions_on_ct_to_the_page(tmp_path, typed, data):
    done = typed(
        "audit",
        data / "ct_lesions",
        *("-o", tmp_path / "run", *TINY, "--normalize", "raw", "--window", "0,255"),
        *("--predictions", data / "ct_lesions" / "labels", "--cache", tmp_path / "maps"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
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
    return Settings(dataset=str(dataset), **{**base, **given})


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
            "unknown extractor 'nothing'; expected one of: auto, task, variance, medsam2",
        ),
        ({"scenario": "e"}, "unknown scenario 'e'; expected one of: a, b, c, d"),
        ({"scenario": "a", "normalize": "foreground"}, "--scenario a means --normalize raw"),
        ({"extractor": "task"}, "extractor `task` takes no --weights"),
        ({"extractor": "task", "weights": None, "prompt": "label_box"}, "cannot take --prompt label_box"),
        ({"window": (5.0, 5.0)}, "expected LOW,HIGH with LOW < HIGH"),
        ({"precision": "half"}, "unknown precision 'half'; expected auto, float32 or bfloat16"),
        ({"channel": "T2"}, r"--channel T2: data has the channels 0 \(MRI\)"),
        ({"weights": "random:x"}, "expected random or random:SEED"),
        ({"weights": "nowhere.pt"}, "nowhere.pt"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path, small, given, message):
    with pytest.raises(UsageError, match=message):
        run_audit(asked(small, **given), Run(tmp_path / "run"), page=False)
    assert not (tmp_path / "run").exists()


def test_without_labels_there_must_be_another_prompt(tmp_path, small, typed):
    folder = tmp_path / "images"
    shutil.copytree(small / "imagesTr", folder)
    for path in folder.glob("*.nii.gz"):
        path.rename(folder / path.name.replace("_0000", ""))
    refused = typed("score", folder, "-o", tmp_path / "run", *TINY)
    assert refused.returncode == 2
    assert "looks at labels, and images has none" in refused.stderr
    assert "--prompt pseudo or auto_box --normalize raw" in refused.stderr
    pseudo = typed(
        "score", folder, "-o", tmp_path / "run", *TINY, "--prompt", "pseudo", "--normalize", "raw"
    )
    assert pseudo.returncode == 2
    assert "give them with --predictions FOLDER" in pseudo.stderr
    done = typed(
        "score", folder, "-o", tmp_path / "run", *TINY, "--prompt", "auto_box", "--normalize", "raw"
    )
    assert done.returncode == 0, done.stderr
    cases = pd.read_csv(tmp_path / "run" / "cases.csv")
    assert cases["perception_scale"].between(0.001, 1).all()
    # Boxes about somebody's predictions, for images without labels.
    given = typed(
        "score",
        folder,
        *("-o", tmp_path / "boxed", *TINY, "--prompt", "pseudo", "--normalize", "raw"),
        *("--predictions", small / "labelsTr", "--classes", "left=1,right=2"),
    )
    assert given.returncode == 0, given.stderr
    scores = pd.read_csv(tmp_path / "boxed" / "scores.csv")
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


def test_a_second_look_never_runs_the_model(tmp_path, small, plugin, monkeypatch, one_process):
    import tiny_medsam2

    given = asked(small, extractor="tiny-medsam2", predictions=str(small / "labelsTr"))
    first = run_audit(given, Run(tmp_path / "one"), page=False, cache=tmp_path / "maps").run
    monkeypatch.setattr(
        tiny_medsam2.TinyMedSAM2, "network", property(lambda self: pytest.fail("the model was run"))
    )
    second = run_audit(given, Run(tmp_path / "two"), page=False, cache=tmp_path / "maps").run
    pd.testing.assert_frame_equal(first.measures, second.measures)
    assert first.measures["value"].notna().any()


def test_long_looks_are_said_before_they_start(tmp_path, small):
    said = []
    with pytest.raises(KeyboardInterrupt):
        run_audit(
            asked(small),
            Run(tmp_path / "run"),
            announce=said.append,
            progress=lambda stage, done, total: (_ for _ in ()).throw(KeyboardInterrupt),
        )
    assert any("RANDOM weights" in line for line in said)
    assert any(line.startswith("medsam2 looks at 6 cases: about ") for line in said)


def test_auto_takes_a_foundation_model_whose_weights_are_there(tmp_path, small, monkeypatch):
    from aleaseg.extractors import ExtractorSettings, choose_extractor, weights
    from aleaseg.readers import open_dataset

    dataset = open_dataset(small)
    auto = ExtractorSettings("auto")
    monkeypatch.setattr(weights, "find", lambda name: None)
    name, why = choose_extractor(auto, dataset, "crossfit")
    assert name == "task"
    assert "no foundation model's weights are there" in why
    monkeypatch.setattr(weights, "find", lambda name: tmp_path if name == "medsam2" else None)
    assert choose_extractor(auto, dataset, "crossfit") == ("medsam2", "its weights are there")
    monkeypatch.setattr(weights, "find", lambda name: tmp_path if name == "segvol" else None)
    name, why = choose_extractor(auto, dataset, "crossfit")
    assert name == "task"
    assert "segvol is there, but the images are not declared to be CT" in why


def test_weights_of_another_model_are_refused_before_anything_is_written(tmp_path, small):
    import torch

    torch.save({"model": {"head.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"other\.pt does not fit|none of MedSAM2's"):
        run_audit(asked(small, weights=str(tmp_path / "other.pt")), Run(tmp_path / "run"), page=False)
    assert not (tmp_path / "run").exists()
