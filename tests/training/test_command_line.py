"""As a user types it: train, predict, evaluate; on the demo's kind of data and on real data."""

import shutil

import pytest

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.training import PredictSettings, TrainerSettings, predict


@pytest.fixture(scope="module")
def hippocampus(data, tmp_path_factory):
    """Ten real cases."""
    source, folder = data / "Dataset004_Hippocampus", tmp_path_factory.mktemp("real") / "hippocampus"
    shutil.copytree(source, folder, ignore=lambda *_: ["imagesTr", "labelsTr", "imagesTs"])
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
        for path in sorted((source / name).iterdir())[:10]:
            shutil.copy(path, folder / name)
    return folder


def test_train_predict_evaluate(hippocampus, tmp_path, type_aleaseg, type_here):
    words = (
        "train",
        hippocampus,
        "-o",
        tmp_path / "model",
        "--steps",
        "12",
        "--epochs",
        "2",
        "--device",
        "cpu",
    )
    done = type_aleaseg(*words, "--objective", "rw:alpha=1", "--batch", "2")
    assert done.returncode == 0, done.stderr
    assert "Training ..." in done.stderr
    assert "epoch 2, step 12 of 12: loss " in done.stderr
    assert f"Model: {tmp_path / 'model'}" in done.stdout
    assert "pseudo-Dice" in done.stdout
    predicted = type_aleaseg(
        "predict", tmp_path / "model", hippocampus, "-o", tmp_path / "masks", "--held-out"
    )
    assert predicted.returncode == 0, predicted.stderr
    assert "Masks: 2 in " in predicted.stdout
    assert len(list((tmp_path / "masks").glob("hippocampus_*.nii.gz"))) == 2
    measured = type_here(
        "evaluate", hippocampus, tmp_path / "masks", "-o", tmp_path / "evaluation", "--only-predicted"
    )
    assert measured.returncode == 0, measured.stderr
    assert "2 cases against" in measured.stdout


def test_what_cannot_work_is_one_line(tmp_path, type_here):
    nobody = type_here("predict", tmp_path, tmp_path, "-o", tmp_path / "p")
    assert nobody.returncode == 2
    assert "is not a trained model; expected a folder made by `aleaseg train`" in nobody.stderr
    assert not (tmp_path / "p").exists()


def test_edges_are_read():
    assert TrainerSettings("x", patch="96,96,96").patch == (96, 96, 96)
    assert TrainerSettings("x", patch=[96, 96]).patch == (96, 96)
    with pytest.raises(UsageError, match="--patch 9,x: expected two or three edges in voxels"):
        TrainerSettings("x", patch="9,x")


def test_python_goes_on_with_what_the_command_line_began(hippocampus, tmp_path, type_here, monkeypatch):
    """Paths are made whole on both sides, whatever the current folder."""
    words = ("--steps", "2", "--epochs", "1", "--device", "cpu")
    done = type_here("train", hippocampus, "-o", "model", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = type_here("predict", "model", hippocampus, "-o", "masks", "--held-out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    again = predict(PredictSettings("model", hippocampus, held_out=True), "masks")
    assert len(again.masks) == 2
    with pytest.raises(SettingsDiffer, match="probabilities: False then, True now"):
        predict(PredictSettings("model", hippocampus, held_out=True, probabilities=True), "masks")


def test_uncertainty_is_taught_and_followed_as_its_page_says(hippocampus, tmp_path, type_here, request):
    """The commands of docs/uncertainty.md, in their order, on real cases; the training is cut short."""
    import shlex

    import pandas as pd

    page = (request.config.rootpath / "docs" / "uncertainty.md").read_text()
    lines = page.replace("\\\n", " ").splitlines()
    typed = [line.lstrip("$> ") for line in lines if line.lstrip("$> ").startswith("aleaseg ")]
    assert [shlex.split(line)[1] for line in typed] == [
        "train",
        "predict",
        "evaluate",
        "predict",
        "evaluate",
    ]
    (tmp_path / "Dataset004_Hippocampus").symlink_to(hippocampus)
    for line in typed:
        levels = ("0.1", "0.3", "0.9") if "$level" in line else ("",)
        for level in levels:
            words = shlex.split(line.replace("$level", level))[1:]
            if words[0] == "train":
                words += ["--steps", "10", "--epochs", "1", "--batch", "2", "--device", "cpu"]
            done = type_here(*words, cwd=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
    first = pd.read_csv(tmp_path / "evaluation" / "cues.csv")
    assert first["ur_gradient"].notna().all()
    assert first["ur_noise"].isna().all()
    followed = pd.read_csv(tmp_path / "followed" / "cues.csv")
    assert followed[["ur_gradient", "ur_distance", "ur_noise"]].notna().all(axis=None)
    summary = pd.read_csv(tmp_path / "followed" / "summary.csv")
    assert {"ueo", "ece", "ur_noise", "dice"} <= set(summary["metric"])
