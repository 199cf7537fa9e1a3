"""The page on nnU-Net, line by line on real scans: from selection to the prediction by the stock command."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.plugins.nnunet.options import DuoOptions, SureOptions
from aleaseg.run import read_table

KEY = DuoOptions.key
HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "nnunet.md"
OTHER_NETWORKS = PAGE.with_name("networks.md")
NAME = "Dataset004_Hippocampus"

# The page's lines are run as they stand. What makes them short, and fit for a CPU, is put around them.
SHORT = r"""
set -e
nnUNetv2_plan_and_preprocess() {
    command nnUNetv2_plan_and_preprocess "$@" -npfp 1 -np 1
    python smaller.py
}
nnUNetv2_train() { nnUNet_n_proc_DA=0 command nnUNetv2_train "$@" -device cpu; }
nnUNetv2_predict() { command nnUNetv2_predict "$@" -device cpu -npp 1 -nps 1; }
nnUNetv2_predict_from_modelfolder() {
    env -u nnUNet_extTrainer -u PYTHONPATH -u nnUNet_raw -u nnUNet_preprocessed -u nnUNet_results \
        nnUNetv2_predict_from_modelfolder "$@" -device cpu -npp 1 -nps 1
}
aleaseg() {
    case $1 in
        audit) command aleaseg "$@" --fast ;;
        select) command aleaseg "${@/#10/2}" ;;
        *) command aleaseg "$@" ;;
    esac
}
"""
SMALLER = f"""
import json
from pathlib import Path

path = Path("nnUNet_preprocessed/{NAME}/nnUNetPlans.json")
plans = json.loads(path.read_text())
one = plans["configurations"]["3d_fullres"]
one["batch_size"] = 2
one["architecture"]["arch_kwargs"]["features_per_stage"] = [
    8 for _ in one["architecture"]["arch_kwargs"]["features_per_stage"]
]
path.write_text(json.dumps(plans))
"""


def section(title, page=PAGE):
    """The text under a heading of the page."""
    return re.split(r"^## ", page.read_text(encoding="utf-8").split(f"## {title}\n")[1], flags=re.M)[0]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def lines(text):
    """What the console blocks of a text type."""
    return [
        line[2:]
        for block in blocks(text, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


@pytest.fixture
def place(data, tmp_path):
    """Twenty scans as a raw data set, and two of them as new ones."""
    source, raw = data / NAME, tmp_path / "nnUNet_raw" / NAME
    ids = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))[:20]
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / folder).mkdir(parents=True)
        for case in ids:
            shutil.copy(source / folder / f"{case}{ending}", raw / folder)
    about = json.loads((source / "dataset.json").read_text()) | {"numTraining": len(ids)}
    (raw / "dataset.json").write_text(json.dumps(about))
    (tmp_path / "new_images").mkdir()
    for case in ids[:2]:
        shutil.copy(raw / "imagesTr" / f"{case}_0000.nii.gz", tmp_path / "new_images")
    (tmp_path / "smaller.py").write_text(SMALLER)
    return tmp_path


def run(place, commands, family="DUO", **variables):
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("nnUNet_", "ALEASEG_"))
        },
        **{f"nnUNet_{name}": str(place / f"nnUNet_{name}") for name in ("raw", "preprocessed", "results")},
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE / "site"), os.environ.get("PYTHONPATH")))),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{f"ALEASEG_{family}_{name}": str(value) for name, value in variables.items()},
    }
    script = SHORT + "\n".join(commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def voxels(folder):
    import nibabel

    return {path.name: np.asarray(nibabel.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))}


@pytest.mark.slow
def test_the_page(place):
    run(
        place,
        lines(section("From selection to prediction")),
        EPOCHS=2,
        ITERATIONS=2,
        VAL_ITERATIONS=1,
        PENALTY=0.1,
    )

    preprocessed = place / "nnUNet_preprocessed" / NAME
    dropped = {
        row["case"] for row in json.loads((place / "run/selection/manifest.json").read_text())["dropped"]
    }
    assert len(dropped) == 2
    model = place / "nnUNet_results" / NAME / "nnUNetTrainerDUO__nnUNetPlans__3d_fullres"
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    train = json.loads((preprocessed / "splits_final.json").read_text())[0]["train"]
    assert not dropped & set(train)
    assert checkpoint[KEY]["cases"] == sorted(train)
    assert checkpoint[KEY]["options"]["penalty"] == 0.1
    assert checkpoint["current_epoch"] == 2
    table = read_table(model / "fold_0" / "duo_classes.csv")
    assert table["epoch"].tolist() == [0, 0, 1, 1]
    assert set(table["class"]) == {"anterior", "posterior"}
    assert np.isfinite(table[["weight", "scale", "noise"]]).all(axis=None)
    assert (model / "fold_0" / "validation" / "summary.json").is_file()

    ours, plain = voxels(place / "predictions"), voxels(place / "plain_predictions")
    assert len(ours) == 2
    assert ours.keys() == plain.keys()
    for name in ours:
        assert np.array_equal(ours[name], plain[name]), name
        assert len(np.unique(ours[name])) > 1  # something to compare
    evaluated = read_table(place / "evaluation" / "cases.csv")
    assert list(evaluated["status"]) == ["ok", "ok"]
    assert evaluated["dice"].between(0, 1).all()

    # The training goes on where it was, and another one leaves the dropped cases out of fold `all`.
    said = run(
        place,
        [
            'export nnUNet_extTrainer="$(aleaseg nnunet path)"',
            "nnUNetv2_train 4 3d_fullres 0 -tr nnUNetTrainerDUO --c",
            "nnUNetv2_train 4 3d_fullres all -tr nnUNetTrainerDUO_RW",
        ],
        EPOCHS=3,
        ITERATIONS=1,
        VAL_ITERATIONS=1,
    )
    assert read_table(model / "fold_0" / "duo_classes.csv")["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    assert "ALEASEG_DUO_PENALTY=0.1" in said
    assert (
        f"2 cases are left out of this fold's training by {place / 'run/selection/manifest.json'}, which drops 2 in "
        "all; 18 remain" in said
    )


@pytest.mark.slow
def test_another_network(place):
    """The lines of the page on networks that are for nnU-Net: trained and predicted with by its own commands."""
    typed = [
        line
        for line in lines(OTHER_NETWORKS.read_text(encoding="utf-8"))
        if line.startswith(("export", "nnUNetv2"))
    ]
    assert [line.split()[0] for line in typed] == ["export", "nnUNetv2_train", "nnUNetv2_predict"]
    prepared = "nnUNetv2_plan_and_preprocess -d 4 -c 3d_fullres"
    run(place, [prepared, *typed], EPOCHS=1, ITERATIONS=2, VAL_ITERATIONS=1)
    model = place / "nnUNet_results" / NAME / "nnUNetTrainerUMambaBotDUO__nnUNetPlans__3d_fullres"
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert any(name.endswith("mamba.A_log") for name in checkpoint["network_weights"])
    assert KEY in checkpoint
    predicted = voxels(place / "predictions")
    assert len(predicted) == 2
    assert any(len(np.unique(mask)) > 1 for mask in predicted.values())


@pytest.mark.slow
def test_evidence(place):
    """The section on evidence: stock nnU-Net predicts the largest logit, and the snippet sees the same logits."""
    about = section("Evidence, and uncertainty that is taught")
    prepared = [
        "nnUNetv2_plan_and_preprocess -d 4 -c 3d_fullres",
        'export nnUNet_extTrainer="$(aleaseg nnunet path)"',
    ]
    options = {"EPOCHS": 2, "ITERATIONS": 2, "VAL_ITERATIONS": 1}
    run(place, [*prepared, *lines(about)], "SURE", **options, BEGIN=0.5)

    model = place / "nnUNet_results" / NAME / "nnUNetTrainerSURE__nnUNetPlans__3d_fullres"
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert checkpoint[SureOptions.key]["options"]["begin"] == 0.5
    assert (checkpoint["trainer_name"], checkpoint["current_epoch"]) == ("nnUNetTrainerSURE", 2)
    table = read_table(model / "fold_0" / "sure_terms.csv")
    assert table["far"].notna().tolist() == [False, True]
    assert (table.loc[1, ["gradient", "far"]] > 0).all()
    assert (model / "fold_0" / "validation" / "summary.json").is_file()
    ours, plain = voxels(place / "sure_predictions"), voxels(place / "sure_plain_predictions")
    assert len(ours) == 2
    assert ours.keys() == plain.keys()
    for name in ours:
        assert np.array_equal(ours[name], plain[name]), name
        assert len(np.unique(ours[name])) > 1  # something to compare

    # Grids of this data set are 1 mm, as the network's: no resampling comes between logits and mask.
    (snippet,) = blocks(about, "python no-run")
    first = sorted(ours)[0]
    told = snippet.replace("hippocampus_001", first.removesuffix(".nii.gz"))
    code = told + "\nimport numpy as np\nnp.savez('u.npz', p=p, u=u)\n"
    (place / "snippet.py").write_text(code)
    run(place, ["env -u nnUNet_extTrainer python snippet.py"], "SURE")
    with np.load(place / "u.npz") as found:
        p, u = found["p"], found["u"]
    assert ((u > 0) & (u < 1)).all()
    np.testing.assert_allclose(p.sum(0), 1, rtol=1e-5)
    mask = ours[first].transpose(2, 1, 0)
    assert p.shape[1:] == u.shape == mask.shape
    assert np.array_equal(p.argmax(0), mask)
