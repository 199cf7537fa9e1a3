"""The evidential trainers from epoch to epoch: what is told, what goes on, what can be chosen, what is refused."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from aleaseg.errors import BadVoxels, SettingsDiffer, UsageError
from aleaseg.losses.sure import VARIANTS, SureSettings
from aleaseg.plugins.nnunet.checkpoint import export_plain, read_checkpoint
from aleaseg.plugins.nnunet.options import SureOptions
from aleaseg.run import read_table

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip

LABELS = {"background": 0, "left": 1, "right": 2}
IGNORED = {**LABELS, "ignore": 3}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
FROM_THE_START = {"BEGIN": 0, "START": 1}
NAMES = ["EDL", "SURE"]


def weights_of(module):
    return {name: one.clone() for name, one in module.state_dict().items() if isinstance(one, torch.Tensor)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- an epoch -------------------------------------------------------------------------------------


def test_terms_are_told_epoch_by_epoch(make_trainer, make_batch, blobs, results):
    trainer = make_trainer("SURE", EPOCHS=4, ITERATIONS=2, BEGIN=0.5, START=0.1)
    edl = make_trainer("EDL", initialize=False)
    for epoch in range(4):
        trainer.current_epoch = epoch
        trainer.on_train_epoch_start()
        trainer.on_train_epoch_end(
            [trainer.train_step(make_batch(trainer, step, drawn=blobs)) for step in range(2)]
        )
    table = read_table(results("SURE") / "sure_terms.csv")
    assert list(table.columns) == ["epoch", "ramp", "segmentation", "gradient", "level", "distance", "far"]
    assert table["epoch"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(table["ramp"], [0, 0, 0.1**0.75, 0.1**0.25])
    assert (table["segmentation"] > 0).all()
    assert table["far"].isna().tolist() == [True, True, False, False]
    assert (table.loc[2:, ["gradient", "far"]] > 0).all(axis=None)
    assert not (results("EDL") / "sure_terms.csv").exists()
    assert edl.method == "EDL"


def test_the_log_tells_the_settings(make_trainer, results):
    make_trainer("SURE", VARIANT="sure2025", BETA=0.25)
    (log,) = results("SURE").glob("training_log_*.txt")
    text = log.read_text()
    assert "beta 0.25, gamma 1.0" in text
    assert "noise mu" in text
    assert "ALEASEG_SURE_BETA=0.25" in text
    assert "train_loss is SURE's; val_loss is nnU-Net's own" in text


# -- checkpoints ----------------------------------------------------------------------------------


def an_epoch(trainer, make_batch, blobs, seed=0):
    trainer.on_train_epoch_start()
    outcome = [trainer.train_step(make_batch(trainer, 10 * seed + step, drawn=blobs)) for step in range(3)]
    trainer.on_train_epoch_end(outcome)
    trainer.current_epoch += 1
    return [float(one["loss"]) for one in outcome]


def saved(trainer, results, name="SURE"):
    path = results(name) / "checkpoint_final.pth"
    trainer.current_epoch -= 1  # nnU-Net saves before it counts an epoch as done
    trainer.save_checkpoint(str(path))
    trainer.current_epoch += 1
    return path


@pytest.mark.parametrize("variant", ["sure", "sure2025"])
def test_a_training_goes_on_as_if_it_had_not_stopped(variant, make_trainer, make_batch, blobs, results):
    whole = make_trainer("SURE", VARIANT=variant, PAIRS=100, EPOCHS=5, ITERATIONS=3, **FROM_THE_START)
    an_epoch(whole, make_batch, blobs)
    path = saved(whole, results)
    expected = an_epoch(whole, make_batch, blobs, 1)
    again = make_trainer("SURE", initialize=False)
    again.load_checkpoint(str(path))
    assert an_epoch(again, make_batch, blobs, 1) == expected
    assert same(weights_of(again.network), weights_of(whole.network))
    for key, state in whole.optimizer.state_dict()["state"].items():
        assert torch.equal(
            again.optimizer.state_dict()["state"][key]["momentum_buffer"], state["momentum_buffer"]
        )


def test_options_are_the_checkpoints(make_trainer, results, monkeypatch):
    trainer = make_trainer("SURE", VARIANT="sure2025", BETA=0.5, EPOCHS=4)
    path = saved(trainer, results)
    for name in ("VARIANT", "BETA", "EPOCHS"):
        monkeypatch.delenv(f"ALEASEG_SURE_{name}")
    again = make_trainer("SURE", initialize=False)
    again.load_checkpoint(str(path))
    assert (again.options, again.settings, again.num_epochs) == (trainer.options, trainer.settings, 4)
    other = make_trainer("SURE", initialize=False, BETA=2)
    with pytest.raises(
        SettingsDiffer, match=r"trained with beta 0\.5, and ALEASEG_SURE_BETA asks for 2\.0"
    ):
        other.load_checkpoint(str(path))


def test_a_checkpoint_of_duo_cannot_go_on(make_trainer, results):
    path = saved(make_trainer("DUO_RW"), results, "DUO_RW")
    with pytest.raises(
        UsageError, match=r"has no 'aleaseg_sure'; expected a checkpoint of nnUNetTrainerSURE"
    ):
        make_trainer("SURE", initialize=False).load_checkpoint(str(path))


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_nnunets_own_and_one_key(
    name, make_trainer, make_batch, blobs, results, monkeypatch
):
    """Stock nnU-Net reads the plain copy, sees the same logits, and could train on."""
    import json

    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer = make_trainer(name)
    trainer.inference_allowed_mirroring_axes = (0, 2)
    an_epoch(trainer, make_batch, blobs)
    path = saved(trainer, results, name)
    model = path.parents[1]
    (model / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (model / "dataset.json").write_text(json.dumps(trainer.dataset_json))
    kept = read_checkpoint(path)["aleaseg_sure"]
    assert kept.keys() == {"options", "parameter_groups"}
    out = model.with_name("plain")
    export_plain(model, out)
    ours, plain = read_checkpoint(path), read_checkpoint(out / "fold_0" / "checkpoint_final.pth")
    assert ours.keys() - plain.keys() == {"aleaseg_sure"}
    assert plain["trainer_name"] == "nnUNetTrainer"
    assert ours["trainer_name"] == f"nnUNetTrainer{name}"

    image = torch.randn(1, 16, 16, 30)
    found = []
    for folder, kind in ((model, type(trainer)), (out, nnUNetTrainer)):
        monkeypatch.setattr(
            "nnunetv2.inference.predict_from_raw_data.recursive_find_trainer_class_by_name",
            {kind.__name__: kind}.__getitem__,
        )
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
        found.append(predictor.predict_logits_from_preprocessed_data(image))
    assert torch.equal(*found)
    assert len(found[0].argmax(0).unique()) > 1
    given = {**trainer.plans_manager.plans, "continue_training": True}
    stock = nnUNetTrainer(given, "small", 0, trainer.dataset_json, torch.device("cpu"))
    stock.load_checkpoint(str(out / "fold_0" / "checkpoint_final.pth"))
    batch = make_batch(trainer)
    batch["target"] = batch["target"][:3]
    assert np.isfinite(stock.train_step(batch)["loss"])


# -- options --------------------------------------------------------------------------------------


def test_what_a_variant_leaves_open_is_an_option():
    """Every number of the settings; what makes the code of 2025 is in its variant alone."""
    numbers = {one.name for one in fields(SureSettings)} - {"official", "phantom", "move_statistics"}
    own = {one.name for one in fields(SureOptions)} - {"variant", "seed"}
    assert numbers == own - {"epochs", "iterations", "val_iterations", "deep_supervision", "selection"}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("EDL", {}, VARIANTS["edl"]),
        ("EDL", {"VARIANT": "edl_b", "KIND": "mse"}, replace(VARIANTS["edl_b"], kind="mse")),
        ("SURE", {}, VARIANTS["sure"]),
        ("SURE", {"VARIANT": "sure2025", "FAR": 100}, replace(VARIANTS["sure2025"], far=100.0)),
        (
            "SURE",
            {"NOISE": "mu", "PER_CLASS": 1, "EDGE": 5, "NEAR": 6, "LEVEL": 0, "BEGIN": 0.1},
            SureSettings(noise="mu", per_class=1, edge=5, near=6.0, level=0.0, begin=0.1),
        ),
    ],
)
def test_options_come_to_settings(name, options, expected, make_trainer):
    assert make_trainer(name, **options).settings == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SURE", {"VARIANT": "edl"}, r"ALEASEG_SURE_VARIANT is edl; expected sure or sure2025 for nnUNetTrainerSURE"),
        ("EDL", {"VARIANT": "sure"}, r"ALEASEG_SURE_VARIANT is sure; expected edl or edl_b for nnUNetTrainerEDL"),
        ("EDL", {"GAMMA": 1}, r"ALEASEG_SURE_GAMMA is set, and nnUNetTrainerEDL has the evidential loss alone"),
        ("SURE", {"BEGIN": 1}, r"ALEASEG_SURE_BEGIN is '1'; expected a number from 0 to 0\.999"),
        ("SURE", {"ALPHA": 1}, r"ALEASEG_SURE_ALPHA is set, and there is no such option"),
        ("SURE", {"VARIANT": "prius"}, r"ALEASEG_SURE_VARIANT is 'prius'; expected one of edl, edl_b, sure, sure2025"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(name, options, message, make_trainer):
    with pytest.raises(UsageError, match=message):
        make_trainer(name, **options)


def test_each_family_reads_its_own(make_trainer, monkeypatch):
    monkeypatch.setenv("ALEASEG_DUO_BETA", "0.25")
    assert make_trainer("SURE", BETA=3).settings.beta == 3
    assert make_trainer("DUO_RW").options.beta == 0.25


def test_a_selection_counts_here_too(make_trainer, tmp_path):
    with pytest.raises(UsageError, match=r"ALEASEG_SURE_SELECTION is .*, and no selection is there"):
        make_trainer("EDL", SELECTION=tmp_path / "nowhere")


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_regions_are_refused(name, make_trainer):
    with pytest.raises(
        UsageError, match=r"the labels of Dataset001_Small are regions, .* train it with nnUNetTrainer"
    ):
        make_trainer(name, labels=REGIONS)


def test_the_second_stage_of_a_cascade_is_refused(make_trainer):
    for name in NAMES:
        trainer = make_trainer(name, initialize=False)
        trainer.is_cascaded = True
        if name == "EDL":
            trainer.initialize()
            continue
        with pytest.raises(
            UsageError, match=r"small is the second stage of a cascade, whose input holds masks"
        ):
            trainer.initialize()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_a_case_with_nan_is_named_and_teaches_nothing(name, value, make_trainer, make_batch, blobs):
    trainer = make_trainer(name, **(FROM_THE_START if name == "SURE" else {}))
    batch = make_batch(trainer, drawn=blobs)
    batch["data"][1, 0, 3, 3, 3] = value
    before = weights_of(trainer.network)
    with pytest.raises(BadVoxels, match=f"^{batch['keys'][1]}: found NaN or infinity"):
        trainer.train_step(batch)
    assert same(weights_of(trainer.network), before)


@pytest.mark.parametrize("which", ["every pass", "passes with noise"])
def test_logits_that_overflow_are_left_to_the_scaler(which, make_trainer, make_batch, blobs):
    trainer = make_trainer("SURE", **FROM_THE_START)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    batch = make_batch(trainer, drawn=blobs)
    trainer.train_step(batch)
    before = weights_of(trainer.network)
    clean = batch["data"].clone()
    last = {}
    trainer.network.register_forward_pre_hook(lambda module, given: last.update(image=given[0].detach()))

    def overflow(module, given, output):
        hit = which == "every pass" or not torch.equal(last["image"], clean)
        return output * torch.nan if hit else output

    hook = trainer.network.decoder.seg_layers[-1].register_forward_hook(overflow)
    assert not np.isfinite(trainer.train_step(batch)["loss"])
    assert same(weights_of(trainer.network), before)
    assert trainer.grad_scaler.get_scale() == 2.0**7
    hook.remove()
    assert np.isfinite(trainer.train_step(batch)["loss"])
    assert not same(weights_of(trainer.network), before)


def test_logits_that_overflow_without_a_scaler_end_the_training(make_trainer, make_batch, blobs):
    trainer = make_trainer("SURE", **FROM_THE_START)
    batch = make_batch(trainer, drawn=blobs)
    calls = []

    def overflow(module, given, output):
        calls.append(1)
        return output * torch.nan if len(calls) > 1 else output

    trainer.network.decoder.seg_layers[-1].register_forward_hook(overflow)
    before = weights_of(trainer.network)
    with pytest.raises(
        UsageError,
        match=r"the batch of case_0, case_2 cannot be learnt from: logits of the images with noise",
    ):
        trainer.train_step(batch)
    assert same(weights_of(trainer.network), before)


@pytest.mark.parametrize(
    "label", [0, 1, 3], ids=["no class in any patch", "one class only", "nobody annotated"]
)
@pytest.mark.parametrize("variant", ["sure", "sure2025"])
def test_batches_without_a_boundary(variant, label, make_trainer, make_batch):
    trainer = make_trainer("SURE", labels=IGNORED, VARIANT=variant, PAIRS=100, **FROM_THE_START)
    batch = make_batch(trainer, drawn=torch.full((2, 1, 16, 8, 24), label))
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] or label == 3
    assert all(tensor.isfinite().all() for tensor in weights_of(trainer.network).values())


def test_a_patch_larger_than_the_image(make_trainer, make_batch, blobs):
    trainer = make_trainer("SURE", EDGE=40, **FROM_THE_START)
    assert np.isfinite(trainer.train_step(make_batch(trainer, drawn=blobs))["loss"])
