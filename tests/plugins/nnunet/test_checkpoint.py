"""Checkpoints: a training goes on where it was, and stock nnU-Net takes what is made plain."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.errors import CaseError, SettingsDiffer, UsageError, WeightsRefused
from aleaseg.plugins.nnunet.checkpoint import export_plain, read_checkpoint
from aleaseg.plugins.nnunet.options import DuoOptions

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip

KEY = DuoOptions.key
NAMES = ["DUO", "DUO_EN", "DUO_RW"]
STOCK_KEYS = {
    "network_weights", "optimizer_state", "grad_scaler_state", "logging", "_best_ema", "current_epoch",
    "init_args", "trainer_name", "inference_allowed_mirroring_axes",
}  # fmt: skip


def an_epoch(trainer, make_batch, seed=0):
    trainer.on_train_epoch_start()
    outcome = [trainer.train_step(make_batch(trainer, 10 * seed + step)) for step in range(3)]
    trainer.on_train_epoch_end(outcome)
    trainer.current_epoch += 1
    return [one["loss"] for one in outcome]


def saved(trainer, name="checkpoint_latest.pth"):
    path = os.path.join(trainer.output_folder, name)
    trainer.current_epoch -= 1  # nnU-Net saves before it counts an epoch as done
    trainer.save_checkpoint(path)
    trainer.current_epoch += 1
    return Path(path)


@pytest.fixture
def a_model(make_trainer, make_batch, results):
    """A model's folder with a final and a best checkpoint, as a training of nnUNetTrainerDUO leaves it."""
    trainer = make_trainer()
    trainer.inference_allowed_mirroring_axes = (0, 2)
    an_epoch(trainer, make_batch)
    # What nnU-Net leaves in a checkpoint after an epoch: numbers of NumPy's types.
    trainer.logger.log("mean_fg_dice", np.float64(0.25), 0)
    trainer._best_ema = np.float64(0.25)
    for name in ("checkpoint_final.pth", "checkpoint_best.pth"):
        saved(trainer, name)
    folder = results("DUO").parent
    (folder / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (folder / "dataset.json").write_text(json.dumps(trainer.dataset_json))
    return folder


def everything(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }


def same(one, other):
    """Trees of tensors, dicts and lists."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return one == other


# -- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_training_goes_on_as_if_it_had_not_stopped(name, make_trainer, make_batch):
    options = {"WARMUP": 1, "PENALTY": 0.1, "EPOCHS": 5}
    whole = make_trainer(name, **options)
    an_epoch(whole, make_batch)
    path = saved(whole)
    expected = an_epoch(whole, make_batch, 1)
    again = make_trainer(name, initialize=False)
    again.load_checkpoint(path)
    assert again.current_epoch == 1
    assert an_epoch(again, make_batch, 1) == expected
    assert same(again.network.state_dict(), whole.network.state_dict())
    assert same(again.optimizer.state_dict(), whole.optimizer.state_dict())
    if name != "DUO_RW":
        assert same(again.denoising.state_dict(), whole.denoising.state_dict())


def test_the_best_can_be_brought_back_at_the_end(make_trainer, make_batch):
    """As --val_best does, with the trainer that trained."""
    trainer = make_trainer(ALPHA=0.75)
    an_epoch(trainer, make_batch)
    best = saved(trainer, "checkpoint_best.pth")
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    an_epoch(trainer, make_batch, 1)
    trainer.load_checkpoint(best)
    assert same(dict(trainer.network.state_dict()), before)
    assert trainer.denoising.epoch == 1


def test_moving_averages_go_on_too(make_trainer, make_batch):
    whole = make_trainer("DUO_RW", CERTAINTY="mahalanobis")
    an_epoch(whole, make_batch)
    path = saved(whole)
    again = make_trainer("DUO_RW", initialize=False)
    again.load_checkpoint(path)
    assert len(again.duo.state_dict()) > 0
    assert same(again.duo.state_dict(), whole.duo.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_nnunets_checkpoint_with_one_key_more(name, make_trainer, make_batch):
    trainer = make_trainer(name, ALPHA=0.75)
    an_epoch(trainer, make_batch)
    found = read_checkpoint(saved(trainer))
    assert found.keys() == STOCK_KEYS | {KEY}
    assert found["trainer_name"] == f"nnUNetTrainer{name}"
    assert same(found["network_weights"], dict(trainer.network.state_dict()))
    assert found[KEY]["options"]["alpha"] == 0.75
    stock = nnUNetTrainer.build_network_architecture(
        trainer.plans_manager, trainer.configuration_manager, 1, 3, enable_deep_supervision=False
    )
    stock.load_state_dict(found["network_weights"])  # strictly, as at inference


def test_without_the_variables_a_training_keeps_its_options(make_trainer, make_batch, monkeypatch):
    trainer = make_trainer("DUO_RW", ALPHA=0.75, EPOCHS=4, ITERATIONS=3, DEEP_SUPERVISION=0)
    path = saved(trainer)
    for name in ("ALPHA", "EPOCHS", "ITERATIONS", "DEEP_SUPERVISION"):
        monkeypatch.delenv(f"ALEASEG_DUO_{name}")
    again = make_trainer("DUO_RW", initialize=False)
    assert again.options != trainer.options
    again.load_checkpoint(path)
    assert again.options == trainer.options
    assert (again.num_epochs, again.num_iterations_per_epoch, again.enable_deep_supervision) == (
        4,
        3,
        False,
    )


def test_a_training_may_become_longer(make_trainer):
    path = saved(make_trainer("DUO_RW", EPOCHS=4))
    again = make_trainer("DUO_RW", initialize=False, EPOCHS=8)
    again.load_checkpoint(path)
    assert again.num_epochs == 8
    assert again.lr_scheduler.max_steps == 8


@pytest.mark.parametrize(("option", "value"), [("ALPHA", 1), ("PENALTY", 0.5), ("DEEP_SUPERVISION", 0)])
def test_but_not_another_one(option, value, make_trainer):
    path = saved(make_trainer())
    again = make_trainer(initialize=False, **{option: value})
    with pytest.raises(
        SettingsDiffer, match=rf"trained with {option.lower()} .*ALEASEG_DUO_{option} asks for"
    ):
        again.load_checkpoint(path)


def test_other_cases_have_no_noise(make_trainer, nnunet):
    path = saved(make_trainer())
    folds = json.loads((nnunet / "splits_final.json").read_text())
    folds[0]["train"].remove("case_2")
    (nnunet / "splits_final.json").write_text(json.dumps(folds))
    with pytest.raises(CaseError, match="case_2: found noise for it in the saved state of 4 cases"):
        make_trainer(initialize=False).load_checkpoint(path)


def test_a_stock_checkpoint_cannot_go_on(make_trainer, make_batch):
    trainer = make_trainer()
    path = os.path.join(trainer.output_folder, "checkpoint_latest.pth")
    nnUNetTrainer.save_checkpoint(trainer, path)
    with pytest.raises(UsageError, match=rf"has no '{KEY}'; .* use -pretrained_weights"):
        make_trainer(initialize=False).load_checkpoint(path)


def test_a_kill_while_saving_leaves_the_last_one(make_trainer, monkeypatch):
    trainer = make_trainer()
    path = saved(trainer)
    before = everything(path.parent)

    def killed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(str(path))
    assert everything(path.parent) == before


def test_no_checkpoint_where_none_is_wanted(make_trainer, tmp_path):
    trainer = make_trainer()
    trainer.disable_checkpointing = True
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert not (tmp_path / "checkpoint.pth").exists()


# -- made plain -----------------------------------------------------------------------------------


def test_a_plain_checkpoint_is_what_the_stock_trainer_would_have_written(a_model):
    source = a_model / "fold_0" / "checkpoint_final.pth"
    before = everything(a_model)
    (written,) = export_plain(source)
    assert written == a_model / "fold_0" / "checkpoint_final_plain.pth"
    assert {path: sha for path, sha in everything(a_model).items() if path != written} == before
    plain, ours = (torch.load(path, weights_only=False) for path in (written, source))
    assert plain.keys() == STOCK_KEYS
    assert plain["trainer_name"] == "nnUNetTrainer"
    assert plain["inference_allowed_mirroring_axes"] == (0, 2)
    for key in STOCK_KEYS - {"trainer_name", "optimizer_state", "logging"}:
        assert same(plain[key], ours[key]), key
    assert written.stat().st_size < source.stat().st_size


def test_the_stock_trainer_can_go_on_with_it(a_model, make_trainer, make_batch):
    (written,) = export_plain(a_model / "fold_0" / "checkpoint_final.pth")
    trainer = make_trainer(initialize=False)
    stock = nnUNetTrainer(
        {**trainer.plans_manager.plans, "continue_training": True}, "small", 0, trainer.dataset_json,
        torch.device("cpu"),
    )  # fmt: skip
    stock.load_checkpoint(str(written))
    trainer.load_checkpoint(str(a_model / "fold_0" / "checkpoint_final.pth"))
    first = trainer.optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(stock.optimizer.state_dict()["state"][0]["momentum_buffer"], first)
    assert np.isfinite(stock.train_step(make_batch(trainer))["loss"])


def test_a_model_is_exported_whole(a_model, tmp_path):
    before = everything(a_model)
    out = tmp_path / "plain"
    written = export_plain(a_model, out)
    assert {path.relative_to(out).as_posix() for path in written} == {
        "fold_0/checkpoint_final.pth", "fold_0/checkpoint_best.pth", "plans.json", "dataset.json",
    }  # fmt: skip
    assert sorted(everything(out)) == sorted(written)
    assert everything(a_model) == before
    assert export_plain(a_model)[0].parents[1] == a_model.with_name(f"{a_model.name}_plain")


def test_its_logits_are_ours(a_model, tmp_path, monkeypatch):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO

    export_plain(a_model, tmp_path / "plain")
    image = torch.randn(1, 16, 16, 30)
    found = []
    for folder, trainer in ((a_model, nnUNetTrainerDUO), (tmp_path / "plain", nnUNetTrainer)):
        monkeypatch.setattr(
            "nnunetv2.inference.predict_from_raw_data.recursive_find_trainer_class_by_name",
            {trainer.__name__: trainer}.__getitem__,
        )
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
        found.append(predictor.predict_logits_from_preprocessed_data(image))
    assert torch.equal(*found)
    assert found[0].std() > 0


@pytest.mark.parametrize("given", ["checkpoint", "folder"])
def test_nothing_is_overwritten(given, a_model, tmp_path):
    source = a_model if given == "folder" else a_model / "fold_0" / "checkpoint_final.pth"
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(UsageError, match="out is there already, and nothing is overwritten"):
        export_plain(source, out)
    assert out.read_text() == "mine"
    with pytest.raises(UsageError, match="is there already"):
        export_plain(source, source)


class Evil:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_what_cannot_be_exported(a_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = a_model / "fold_0" / "checkpoint_final.pth"
    with pytest.raises(WeightsRefused, match=r"nowhere\.pth is not a file"):
        export_plain(a_model / "nowhere.pth")
    (written,) = export_plain(path)
    with pytest.raises(
        UsageError,
        match=rf"written by nnUNetTrainer and has no '{KEY}' or 'aleaseg_sure' or 'aleaseg_confidence'; expected",
    ):
        export_plain(written)
    written.unlink()
    torch.save(torch.load(path, weights_only=False) | {"logging": Evil()}, path)
    for source in (path, a_model):
        with pytest.raises(WeightsRefused, match=r"checkpoint_final\.pth"):
            export_plain(source)
    assert not (tmp_path / "harm").exists()
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(WeightsRefused, match=r"checkpoint_final\.pth"):
        export_plain(path)
    (a_model / "plans.json").unlink()
    with pytest.raises(UsageError, match=r"has no plans\.json; expected a trained model"):
        export_plain(a_model)
    with pytest.raises(UsageError, match=r"has no plans\.json and dataset\.json"):
        export_plain(a_model / "fold_0")
    assert not list(a_model.parent.glob("*plain*"))
    assert not list(a_model.parent.glob(".plain*"))


def test_the_verb(a_model, type_aleaseg):
    out = a_model.parent / "elsewhere"
    done = type_aleaseg("nnunet", "export-plain", a_model, "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(out / "fold_0" / "checkpoint_final.pth")
    assert (out / "plans.json").is_file()


def test_the_verb_path(type_aleaseg):
    from aleaseg.plugins.nnunet import TRAINER_FOLDER

    done = type_aleaseg("nnunet", "path")
    assert (done.returncode, done.stdout) == (0, f"{TRAINER_FOLDER}\n")
