"""The pages on nnU-Net, line by line on real scans: from selection or confidences to what nnU-Net predicts."""

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

from aleaseg.case import Geometry
from aleaseg.plugins.nnunet.options import ConfidenceOptions, DuoOptions, SureOptions
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import read_table

KEY = DuoOptions.key
HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "nnunet.md"
OTHER_NETWORKS = PAGE.with_name("networks.md")
CONFIDENCE = PAGE.with_name("confidence.md")
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
SMALLER = """
import json
from pathlib import Path

for path in Path("nnUNet_preprocessed").glob("*/nnUNetPlans.json"):
    plans = json.loads(path.read_text())
    one = plans["configurations"]["3d_fullres"]
    one["batch_size"] = 2
    one["architecture"]["arch_kwargs"]["features_per_stage"] = [
        8 for _ in one["architecture"]["arch_kwargs"]["features_per_stage"]
    ]
    path.write_text(json.dumps(plans))
"""
# The stock trainer, for a shorter time: what nnU-Net's own variants of its length change.
A_SHORT_STOCK_TRAINER = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerShort(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 4, 1
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


# -- confidences ----------------------------------------------------------------------------------


@pytest.fixture
def nodules(data, tmp_path):
    """Ten nodules of four raters, each of another patient, and two of their images as new ones."""
    found = sorted((data / "lidc_4raters" / "npz").glob("*.npz"))
    first = {path.name.split("_")[0]: path for path in reversed(found)}
    (tmp_path / "nodules" / "npz").mkdir(parents=True)
    (tmp_path / "new_images").mkdir()
    for number, path in enumerate(sorted(first.values())[:10]):
        shutil.copy(path, tmp_path / "nodules" / "npz")
        if number < 2:
            with np.load(path) as held:
                image = held["image"].astype(np.float32)
            write_nifti(
                tmp_path / "new_images" / f"{path.stem}_0000.nii.gz",
                image,
                Geometry(image.shape, (1, 1, 1)),
            )
    (tmp_path / "smaller.py").write_text(SMALLER)
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "short_trainer.py").write_text(A_SHORT_STOCK_TRAINER)
    return tmp_path


def predicted_and_stated(place, name):
    """case -> label map, probabilities, and how many of four raters marked each voxel; axes as in the arrays."""
    found = {}
    for case, mask in voxels(place / name).items():
        case = case.removesuffix(".nii.gz")
        with (
            np.load(place / name / f"{case}.npz") as soft,
            np.load(place / "nodules" / "npz" / f"{case}.npz") as held,
        ):
            found[case] = mask.transpose(2, 1, 0), soft["probabilities"], held["raters"].sum(axis=0)
    assert len(found) == 2
    return found


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def soft_dice(p, q):
    return 1 - np.abs(p - q).sum() / (p + q).sum()


@pytest.mark.slow
def test_levels_of_confidence_in_stock_nnunet(nodules):
    """The page's lines: written, planned, trained and predicted by nnU-Net as it is, and scored at every level."""
    typed = [
        re.sub(r"^(nnUNetv2_(train|predict) .*)$", r"\1 -tr nnUNetTrainerShort", line)
        for line in lines(section("nnU-Net without a fork", CONFIDENCE))
    ]
    assert [line.split()[0] for line in typed] == [
        "aleaseg", "nnUNetv2_plan_and_preprocess", "cp", "nnUNetv2_train", "nnUNetv2_predict", "aleaseg",
    ]  # fmt: skip
    run(nodules, ['export nnUNet_extTrainer="$PWD/short"', *typed])

    label = voxels(nodules / "nnUNet_raw" / "Dataset101_Levels" / "labelsTr")
    about = json.loads((nodules / "levels" / "dataset.json").read_text())
    assert about["aleaseg_levels"]["thresholds"] == [0.25, 0.5, 0.75]
    assert set(np.unique(np.concatenate([each.ravel() for each in label.values()]))) == {0, 1, 2, 3}
    metrics = read_table(nodules / "levels_evaluation" / "metrics.csv").set_index("case")
    for case, (mask, p, votes) in predicted_and_stated(nodules, "levels").items():
        row = metrics.loc[case]
        assert row["status"] == "ok"
        assert mask.any()  # something to compare
        for k, threshold in enumerate((0.25, 0.5, 0.75), start=1):
            assert row[f"dice@{threshold}"] == pytest.approx(dice(mask >= k, votes >= k), rel=1e-5)
        q = np.minimum.accumulate(p.astype(np.float32), axis=0).mean(axis=0)
        assert row["soft_dice"] == pytest.approx(soft_dice(q, votes / 4), rel=1e-4)
        assert row["brier_image"] == pytest.approx(((q - votes / 4) ** 2).mean(), rel=1e-4)


@pytest.mark.slow
def test_confidences_in_nnunet(nodules):
    """The page's lines with the trainer; its plain copy predicts the same."""
    typed = lines(section("nnU-Net with a trainer", CONFIDENCE))
    model = "nnUNet_results/Dataset102_Soft/nnUNetTrainerConfidence__nnUNetPlans__3d_fullres"
    said = run(
        nodules,
        [
            *typed,
            f"aleaseg nnunet export-plain {model} -o plain",
            "nnUNetv2_predict_from_modelfolder -m plain -f 0 -i new_images -o plain_predictions",
        ],
        "CONFIDENCE",
        EPOCHS=2,
        ITERATIONS=4,
        VAL_ITERATIONS=1,
    )
    assert "Confidences, learnt by soft (4 steps of foreground)" in said
    checkpoint = torch.load(nodules / model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == "nnUNetTrainerConfidence"
    assert checkpoint[ConfidenceOptions.key]["stated"] == {"classes": ["foreground"], "steps": 4}
    assert (nodules / model / "fold_0" / "validation" / "summary.json").is_file()
    metrics = read_table(nodules / "soft_evaluation" / "metrics.csv").set_index("case")
    plain = voxels(nodules / "plain_predictions")
    for case, (mask, p, votes) in predicted_and_stated(nodules, "soft").items():
        row = metrics.loc[case]
        assert row["status"] == "ok"
        assert p.shape == (1, *votes.shape)
        assert mask.any()  # something to compare
        assert np.array_equal(mask > 0, p[0] > 0.5)
        assert np.array_equal(mask, plain[f"{case}.nii.gz"].transpose(2, 1, 0))
        for k, threshold in enumerate((0.25, 0.5, 0.75), start=1):
            assert row[f"dice@{threshold}"] == pytest.approx(dice(mask > 0, votes >= k), rel=1e-5)
        q = p[0].astype(np.float32)
        assert row["soft_dice"] == pytest.approx(soft_dice(q, votes / 4), rel=1e-4)
        assert row["brier_image"] == pytest.approx(((q - votes / 4) ** 2).mean(), rel=1e-4)
