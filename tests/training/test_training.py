"""A training from a folder to a model: what it writes, and that nothing is lost."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aleaseg.case import Geometry
from aleaseg.errors import AleasegError, SettingsDiffer, UsageError
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import read_json, read_table
from aleaseg.training import TrainerSettings, open_model, train
from aleaseg.training.plan import NetworkPlan


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def numbers(folder, name="training.csv"):
    """The table without what depends on the clock."""
    return read_table(folder / name).drop(columns="seconds", errors="ignore")


def test_what_a_training_writes(quick):
    told, lines = [], []
    done = quick.train(objective="duo", progress=lambda *three: told.append(three), announce=lines.append)
    folder = done.model.path
    assert sorted(path.name for path in folder.iterdir()) == [
        "duo_classes.csv",
        "manifest.json",
        "model.safetensors",
        "plan.json",
        "splits_final.json",
        "training.csv",
        "training.html",
    ]
    assert ("prepare", 10, 10) in told
    assert [done for stage, done, total in told if stage == "fit"] == [1, 2, 3, 4, 5, 6]
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1, step 2 of 6: loss ")
    table = read_table(folder / "training.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["step"].tolist() == [2, 4, 6]
    assert table["learning_rate"].is_monotonic_decreasing
    assert table[["loss", "validation_loss", "pseudo_dice", "seconds"]].notna().all(axis=None)
    by_class = table[["pseudo_dice/left", "pseudo_dice/right"]]
    np.testing.assert_allclose(by_class.mean(axis=1), table["pseudo_dice"])
    classes = read_table(folder / "duo_classes.csv")
    assert classes["class"].tolist() == ["left", "right"] * 3
    # 1 / (1 + S / 2) is convex: the mean weight is no less than that of the mean S.
    assert (classes["weight"] >= 1 / (1 + classes["scale"] / 2) - 1e-6).all()
    assert classes["scale"].between(0, 1).all()
    manifest = read_json(folder / "manifest.json")
    assert manifest["settings"]["dataset"] == str(quick.data)
    assert manifest["settings"]["objective"] == "duo"
    assert manifest["report"]["steps"] == 6
    assert {*table.columns, *classes.columns} - {"pseudo_dice/left", "pseudo_dice/right"} <= set(
        manifest["columns"]
    )
    (fold,) = read_json(folder / "splits_final.json")
    assert len(fold["val"]) == 2
    assert sorted(fold["train"] + fold["val"]) == sorted(
        path.name[:5] for path in quick.data.glob("labelsTr/*")
    )
    assert done.failed == {}


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_killed_it_goes_on_with_the_same_numbers(quick, kill_at, monkeypatch, stop):
    from aleaseg.training import planning

    monkeypatch.setitem(planning._CHECKPOINT_EVERY, "cpu", 2)
    quick.train("whole", objective="duo")
    with pytest.raises(kill_at.error):
        quick.train("cut", objective="duo", progress=kill_at(stop))
    assert (quick.path / "cut" / "checkpoint.pt").exists() == (stop > 2)
    steps = []
    done = quick.train("cut", objective="duo", progress=lambda stage, step, total: steps.append(step))
    assert steps == list(range(1 + 2 * ((stop - 1) // 2), 7)), "from the last checkpoint on"
    same(quick.path / "whole", quick.path / "cut")
    for name in ("training.csv", "duo_classes.csv"):
        assert numbers(quick.path / "whole", name).equals(numbers(quick.path / "cut", name))
    assert not (quick.path / "cut" / "prepared").exists()
    assert done.rows[-1]["epoch"] == 3


def test_killed_while_cases_are_prepared_it_goes_on_and_does_not_prepare_them_again(quick, monkeypatch):
    from aleaseg.training import copies

    made, aside = [], copies.aside

    def writing(path):
        made.append(path)
        if len(made) == 10:
            raise KeyboardInterrupt
        return aside(path)

    monkeypatch.setattr(copies, "aside", writing)
    with pytest.raises(KeyboardInterrupt):
        quick.train("cut")
    before = len(made)
    quick.train("cut")
    assert len(made) - before == 3 * (10 - (before - 1) // 3)
    monkeypatch.undo()


def test_a_finished_training_is_not_trained_again(quick):
    first = quick.train()
    before = (first.model.path / "model.safetensors").stat().st_mtime_ns
    again = quick.train(progress=lambda *three: pytest.fail("something was done"))
    assert again.rows == first.rows
    assert (first.model.path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(SettingsDiffer, match=r"made with other settings \(seed: 0 then, 1 now\)"):
        quick.train(seed=1)


def test_seeds_differ_and_objectives_differ_but_the_split_does_not(quick):
    quick.train("a", steps=2, epochs=1)
    quick.train("b", steps=2, epochs=1, seed=1)
    first, second = weights(quick.path / "a"), weights(quick.path / "b")
    assert any(not torch.equal(first[name], second[name]) for name in first)
    splits = [(quick.path / name / "splits_final.json").read_text() for name in "ab"]
    assert splits[0] == splits[1]


@pytest.mark.parametrize("network", ["unet", "swin_unetr"])
def test_other_networks_and_other_patches(quick, network):
    done = quick.train(network=network, steps=2, epochs=1, batch=1)
    plan = done.model.plan
    assert plan.network == NetworkPlan(network, "tiny")
    if network == "swin_unetr":
        assert plan.preprocessing.grid.patch == (32, 32, 64), "as small as it can be trained"
    assert np.isfinite(done.rows[0]["loss"])
    assert done.model.network() is not None


def test_all_cases_may_be_trained_on(quick):
    lines = []
    done = quick.train(held_out=0.0, announce=lines.append)
    assert len(done.model.plan.train) == 10
    assert "validation –, pseudo-Dice –" in lines[0]
    assert all(np.isnan(row["validation_loss"]) and row["loss"] > 0 for row in done.rows)
    assert "Pseudo-Dice" in done.page.read_text()


def test_the_papers_protocol_on_two_steps(quick):
    """Everything as the preset has it but the size of the patch and of the network."""
    done = quick.train(
        preset="paper", size="tiny", patch=(8, 16, 16), steps=2, epochs=None, batch=None, objective="duo"
    )
    plan = done.model.plan
    assert plan.network == NetworkPlan("unet", "tiny", deep_supervision=True)
    how = plan.schedule
    assert (how.optimizer, how.learning_rate, how.batch) == ("sgd", 0.01, 2)
    assert (how.augmentation, how.epoch_steps, how.steps) == ("strong", 2, 2)
    assert plan.preprocessing.grid.spacing_mm == (2.0, 1.0, 1.0), "the median, not a coarser one"
    assert len(done.rows) == 1
    assert set(weights(done.model.path)) == set(done.model.network().state_dict())


def test_pictures_of_two_channels_with_an_ignore_label(tmp_path, one_process):
    """2D, two channels, a stripe that nobody annotated, and a region of two label values."""
    rng = np.random.default_rng(0)
    geometry = Geometry((40, 36), (1.0, 1.0), None)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(6):
        label = np.zeros((40, 36), np.uint8)
        label[8:28, 8 + index : 24] = 1
        label[14:20, 12:18] = 2
        label[:, -3:] = 3
        for channel in range(2):
            image = (label % 3 * (channel + 1) + rng.normal(0, 0.3, label.shape)).astype(np.float32)
            write_nifti(tmp_path / "data" / "imagesTr" / f"c{index}_{channel:04d}.nii.gz", image, geometry)
        write_nifti(tmp_path / "data" / "labelsTr" / f"c{index}.nii.gz", label, geometry)
    about = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        "regions_class_order": [1, 2],
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(about))
    done = train(
        TrainerSettings(str(tmp_path / "data"), steps=2, epochs=1, objective="rw", device="cpu"),
        tmp_path / "model",
    )
    assert done.model.plan.channels == ("T1", "T2")
    assert done.model.plan.preprocessing.values == (1, 2)
    assert len(done.model.plan.preprocessing.grid.patch) == 2
    assert {"pseudo_dice/whole", "pseudo_dice/core"} <= done.rows[0].keys()
    classes = read_table(tmp_path / "model" / "duo_classes.csv")
    assert classes["class"].tolist() == ["label 1", "core"]


# -- bad input ------------------------------------------------------------------------------------


def test_a_class_that_no_case_shows(quick, tmp_path):
    about = json.loads((quick.data / "dataset.json").read_text())
    about["labels"]["tumour"] = 3
    (quick.data / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=r"none of the 8 cases .* shows tumour .*--classes left,right"):
        quick.train("model")
    assert not (tmp_path / "model").exists(), "nothing is left of what cannot work"
    assert quick.train("model", classes="left,right", steps=1, epochs=1).rows


def test_a_patch_that_divides_badly_and_one_of_other_axes(quick, tmp_path):
    with pytest.raises(
        UsageError, match=r"9 x 12 x 12 is not divisible by 2 x 2 x 2.*8 x 12 x 12 or 10 x 12 x 12"
    ):
        quick.train(patch=(9, 12, 12))
    with pytest.raises(UsageError, match=r"is not divisible by .* the nearest that fit"):
        quick.train(patch=(10, 18, 18), network="unet")
    with pytest.raises(UsageError, match="--patch has 2 edges, and the images have 3 axes"):
        quick.train(patch=(8, 12))
    with pytest.raises(UsageError, match="there is no network 'vnet'; expected one of small, unet"):
        quick.train(network="vnet")
    assert not (tmp_path / "model").exists()


def test_a_patch_larger_than_every_volume_is_padded(quick):
    done = quick.train(patch=(16, 24, 24), steps=2, epochs=1)
    assert done.model.plan.preprocessing.grid.patch == (16, 24, 24)
    assert np.isfinite(done.rows[0]["validation_loss"])


def test_a_bad_case_is_named_and_the_others_are_trained_on(quick):
    first = next(quick.data.glob("imagesTr/*"))
    first.write_bytes(b"no image")
    done = quick.train(steps=1, epochs=1)
    ((case, text),) = done.failed.items()
    assert first.name.startswith(case)
    assert case in text
    assert case not in (*done.model.plan.train, *done.model.plan.held_out)


def test_the_same_image_on_both_sides_is_taken_out_of_the_training(quick):
    split = quick.train("first", steps=1, epochs=1).model.plan
    held, other = split.held_out[0], split.train[0]
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        source = quick.data / folder / f"{held}{ending}"
        (quick.data / folder / f"{other}{ending}").write_bytes(source.read_bytes())
    done = quick.train("second", steps=1, epochs=1)
    assert done.model.plan.held_out == split.held_out
    assert other not in done.model.plan.train
    assert done.notes == (
        f"{other} is left out of the training: its image is that of {held}, which is held out.",
    )


def test_a_full_disk_in_mid_checkpoint(quick, monkeypatch):
    from aleaseg.training import checkpoint, planning

    monkeypatch.setitem(planning._CHECKPOINT_EVERY, "cpu", 2)
    quick.train("whole")
    written, write = [], checkpoint.write_aside

    def full(path, content):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_aside", full)
        with pytest.raises(AleasegError, match=r"step 4 could not be written .*that of step 2 is intact"):
            quick.train("cut")
    quick.train("cut")
    same(quick.path / "whole", quick.path / "cut")
    assert numbers(quick.path / "whole").equals(numbers(quick.path / "cut"))


def test_a_full_disk_while_cases_are_prepared_is_no_fault_of_a_case(quick, monkeypatch):
    from aleaseg.training import copies

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(copies, "aside", full)
        with pytest.raises(
            AleasegError, match=r"working copy of g0_00 could not be written .*No space left"
        ):
            quick.train()
    assert quick.train(steps=6).failed == {}


def test_folders_that_are_no_training(quick, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UsageError, match="holds other files and is not a training"):
        quick.train("other")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="is something else, not a training"):
        quick.train("run")
    with pytest.raises(UsageError, match="is not a trained model"):
        open_model(tmp_path / "run")


def test_a_model_that_is_not_finished_or_not_its_own(quick, kill_at):
    with pytest.raises(kill_at.error):
        quick.train("cut", progress=kill_at(3))
    with pytest.raises(UsageError, match="is not finished; run the same `aleaseg train` again"):
        open_model(quick.path / "cut")
    done = quick.train(steps=1, epochs=1)
    other = quick.train("other", network="unet", steps=1, epochs=1)
    content = (other.model.path / "model.safetensors").read_bytes()
    (done.model.path / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match="holds the weights of another network than"):
        open_model(done.model.path).network()
    (done.model.path / "model.safetensors").write_bytes(content[:100])
    with pytest.raises(UsageError, match="is damaged"):
        open_model(done.model.path).network()


def test_copies_that_were_deleted_are_asked_for(quick, kill_at):
    import shutil

    with pytest.raises(kill_at.error):
        quick.train(progress=kill_at(3))
    shutil.rmtree(Path(quick.path / "model" / "prepared"))
    with pytest.raises(UsageError, match="lacks the working copies of 10 cases"):
        quick.train()
    (quick.path / "model" / "plan.json").unlink()
    assert len(quick.train().rows) == 3


def test_nothing_to_train_on(tmp_path, write_small, one_process):
    write_small(tmp_path / "data", 4, faults=False, shape=(8, 12, 12))
    for path in (tmp_path / "data" / "labelsTr").iterdir():
        path.unlink()
    (tmp_path / "data" / "labelsTr").rmdir()
    with pytest.raises(UsageError, match="has no case with a label"):
        train(TrainerSettings(str(tmp_path / "data"), device="cpu"), tmp_path / "model")
    assert not (tmp_path / "model").exists()
