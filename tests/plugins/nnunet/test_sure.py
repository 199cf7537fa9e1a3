"""The evidential trainers: found by nnU-Net, their loss, their passes, and nnU-Net's own in everything else."""

import copy
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import torch

from aleaseg.cues import distance_map, gradient_map
from aleaseg.errors import BadVoxels, SettingsDiffer, UsageError
from aleaseg.losses.evidential import evidential_loss
from aleaseg.losses.sure import VARIANTS, SureSettings, sure_terms
from aleaseg.plugins.nnunet import TRAINER_FOLDER
from aleaseg.plugins.nnunet.checkpoint import export_plain, read_checkpoint
from aleaseg.plugins.nnunet.options import SureOptions
from aleaseg.run import read_table

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class  # isort: skip

LABELS = {"background": 0, "left": 1, "right": 2}
IGNORED = {**LABELS, "ignore": 3}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
FROM_THE_START = {"BEGIN": 0, "START": 1}
NAMES = ["EDL", "SURE"]


def weights_of(module):
    return {name: one.clone() for name, one in module.state_dict().items() if isinstance(one, torch.Tensor)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def passes():
    """passes(trainer): a list to which every forward pass of its network adds the image."""

    def watch(trainer):
        seen = []
        trainer.network.register_forward_pre_hook(
            lambda module, given: seen.append(given[0].detach().clone())
        )
        return seen

    return watch


# -- found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_found_as_nnunet_searches_external_folders(name):
    found = recursive_find_python_class(
        str(TRAINER_FOLDER),
        f"nnUNetTrainer{name}",
        None,
        base_folder=str(TRAINER_FOLDER),
        cleanup_imports_from_base_folder=True,
    )
    assert found.__name__ == f"nnUNetTrainer{name}"
    assert issubclass(found, nnUNetTrainer)


# -- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("supervised", [1, 0], ids=["deep supervision", "one output"])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("labels", [LABELS, IGNORED], ids=["labels", "ignore"])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_learns(name, labels, dimensions, supervised, make_trainer, make_batch):
    options = FROM_THE_START if name == "SURE" else {}
    trainer = make_trainer(
        name, labels=labels, dimensions=dimensions, DEEP_SUPERVISION=supervised, **options
    )
    batch = make_batch(trainer)
    before = weights_of(trainer.network)
    trainer.on_train_epoch_start()
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(12)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    after = weights_of(trainer.network)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {"encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.2.weight"} <= moved


@pytest.mark.parametrize("form", ["a", "b"])
def test_outputs_are_weighted_as_nnunets_own(form, make_trainer, make_batch):
    trainer = make_trainer("EDL", labels=IGNORED, FORM=form, KIND="log", EPOCHS=4, ITERATIONS=10)
    batch = make_batch(trainer)
    trainer.current_epoch, trainer._iteration = 1, 5
    outputs = trainer.network(batch["data"])
    assert len(outputs) == 3
    expected = sum(
        share * evidential_loss(logits, target[:, 0], 0.375, form, "log", ignore_index=3)
        for share, logits, target in zip([2 / 3, 1 / 3], outputs, batch["target"], strict=False)
    )
    found = trainer._loss_of(outputs, batch["target"], list(batch["keys"]), batch["data"])
    torch.testing.assert_close(found, expected)


def test_what_sure_adds_is_of_the_finest_output(make_trainer, make_batch, blobs, passes):
    """The loss itself, from the same maps and draws; the clean pass and three with noise."""
    trainer = make_trainer("SURE", BEGIN=0.25, BETA=3, SEED=7, EPOCHS=4, ITERATIONS=10)
    batch = make_batch(trainer, drawn=blobs)
    trainer.current_epoch, trainer._iteration = 2, 5
    seen = passes(trainer)
    *targets, distance, gradient = batch["target"]
    outputs = trainer.network(batch["data"])
    found = trainer._loss_of(outputs, batch["target"], list(batch["keys"]), batch["data"])
    assert len(seen) == 4
    assert torch.equal(seen[0], batch["data"])
    assert not any(torch.equal(image, batch["data"]) for image in seen[1:])
    segmentation = sum(
        share * evidential_loss(logits, target[:, 0], 0.625)
        for share, logits, target in zip([2 / 3, 1 / 3], outputs, targets, strict=False)
    )
    settings = SureSettings(begin=0.25, beta=3.0)
    added, terms = sure_terms(
        trainer.network, batch["data"], outputs[0], targets[0][:, 0], distance, gradient, 0.625,
        (7, 0, 2, 5), settings,
    )  # fmt: skip
    assert added > 0
    assert all(terms[name] > 0 for name in ("gradient", "far"))
    assert torch.equal(found, segmentation + added) or torch.allclose(
        found, segmentation + added, rtol=1e-6
    )


def test_before_its_time_sure_is_edl_bit_for_bit(make_trainer, make_batch, blobs, passes):
    sure, edl = make_trainer("SURE", EPOCHS=10, ITERATIONS=2), make_trainer("EDL", EPOCHS=10, ITERATIONS=2)
    seen = passes(sure)
    for epoch in range(4):
        assert same(weights_of(sure.network), weights_of(edl.network)), epoch
        for trainer in (sure, edl):
            trainer.current_epoch = epoch
            trainer.on_train_epoch_start()
        for step in range(2):
            batch = make_batch(edl, 10 * epoch + step, drawn=blobs)
            edl.train_step(batch)
            sure.train_step(make_batch(sure, 10 * epoch + step, drawn=blobs))
    assert len(seen) == 3 * 2 * 1 + 2 * 4  # from .3 of the training on
    assert not same(weights_of(sure.network), weights_of(edl.network))


def test_without_its_weights_sure_is_edl_bit_for_bit(make_trainer, make_batch):
    sure, edl = make_trainer("SURE", BETA=0, GAMMA=0, BEGIN=0), make_trainer("EDL", initialize=False)
    assert sure.settings == replace(VARIANTS["edl"], begin=0.0)
    edl.options = SureOptions()  # the variables are SURE's
    edl.initialize()
    for step in range(3):
        batch = make_batch(edl, step)
        assert len(batch["target"]) == 3
        assert edl.train_step(batch)["loss"] == sure.train_step(make_batch(sure, step))["loss"]
    assert same(weights_of(sure.network), weights_of(edl.network))


def test_progress_is_told_by_epoch_and_iteration(make_trainer, make_batch):
    trainer = make_trainer("EDL", EPOCHS=4, ITERATIONS=2)
    told = []
    for epoch in range(4):
        trainer.current_epoch = epoch
        trainer.on_train_epoch_start()
        for step in range(2):
            told.append(trainer.progress)
            trainer.train_step(make_batch(trainer, step))
    np.testing.assert_allclose(told, np.arange(8) / 8)
    trainer.train_step(make_batch(trainer))
    trainer.train_step(make_batch(trainer))
    assert trainer.progress == 1  # whoever steps on is at the end


@pytest.mark.parametrize("name", NAMES)
def test_ignored_voxels_teach_nothing(name, make_trainer, make_batch, blobs):
    trainer = make_trainer(
        name, labels=IGNORED, DEEP_SUPERVISION=0, **(FROM_THE_START if name == "SURE" else {})
    )
    drawn = blobs.clone()
    drawn[:, :, :, 3:5, 4:20] = 3
    batch = make_batch(trainer, drawn=drawn)
    output = trainer.network(batch["data"])
    output.retain_grad()
    trainer._loss_of(output, batch["target"], list(batch["keys"]), batch["data"]).backward()
    ignored = (drawn == 3).expand_as(output)
    assert (output.grad[ignored] == 0).all()
    assert (output.grad[~ignored] != 0).float().mean() > 0.9


def test_draws_are_of_seed_and_step(make_trainer, make_batch, blobs):
    trainer, again, other = (
        make_trainer("SURE", **FROM_THE_START),
        make_trainer("SURE"),
        make_trainer("SURE", SEED=1),
    )
    losses = []
    for one in (trainer, again, other):
        torch.manual_seed(len(losses))  # of no account
        np.random.seed(len(losses))  # noqa: NPY002
        batch = make_batch(one, drawn=blobs)
        losses.append([float(one.train_step(copy.deepcopy(batch))["loss"]) for _ in range(2)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


# -- maps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("supervised", [1, 0], ids=["deep supervision", "one output"])
def test_maps_are_of_the_sample_as_it_was_augmented(supervised, make_trainer, plans_of, blobs):
    """Through all of nnU-Net's augmentation, with lengths of an anisotropic grid and voxels that do not count."""
    plans = plans_of()
    plans["configurations"]["small"]["spacing"] = [3.0, 1.0, 1.5]
    trainer = make_trainer("SURE", labels=IGNORED, plans=plans, DEEP_SUPERVISION=supervised)
    size = trainer.configuration_manager.patch_size
    transforms = trainer.get_training_transforms(
        np.array(size), (-0.5, 0.5), trainer._get_deep_supervision_scales(), (0, 1, 2), False,
        use_mask_for_norm=[False], foreground_labels=[1, 2], ignore_label=3,
    )  # fmt: skip
    image, label = torch.randn(1, *size), blobs[0].to(torch.int16)
    label[:, :, :, 8:10] = 3
    for seed in range(6):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # nnU-Net draws from it
        made = transforms(image=image.clone(), segmentation=label.clone())
        *targets, distance, gradient = made["segmentation"]
        assert len(targets) == (3 if supervised else 1)
        finest = targets[0][0].numpy()
        expected = distance_map(finest, spacing=[3, 1, 1.5], ignore_index=3)
        np.testing.assert_array_equal(distance.numpy(), expected)
        assert np.isnan(distance.numpy()[finest == 3]).all()
        assert (finest == 3).any()
        expected = gradient_map(made["image"].numpy(), spacing=[3, 1, 1.5])
        np.testing.assert_array_equal(gradient.numpy(), expected)
        assert distance.dtype == gradient.dtype == torch.float32
    assert not np.array_equal(finest, label[0])  # it was augmented


def test_only_sure_has_maps(make_trainer):
    given = (np.array([16, 8, 24]), (-0.5, 0.5), None, (0, 1, 2), False)
    made = make_trainer("EDL").get_training_transforms(*given)(
        image=torch.randn(1, 16, 8, 24), segmentation=torch.ones(1, 16, 8, 24, dtype=torch.int16)
    )
    assert made["segmentation"].shape == (1, 16, 8, 24)


def test_phantoms_are_of_2025(make_trainer, make_batch):
    nothing = torch.zeros((2, 1, 16, 8, 24), dtype=torch.int64)
    for variant, is_there in (("sure", False), ("sure2025", True)):
        trainer = make_trainer("SURE", VARIANT=variant, **FROM_THE_START, PAIRS=100)
        batch = make_batch(trainer, drawn=nothing)
        assert bool(batch["target"][-2].isfinite().all()) == is_there
        assert np.isfinite(trainer.train_step(batch)["loss"])


# -- stock in everything else ---------------------------------------------------------------------


def stock_of(trainer):
    """The stock trainer with the same network."""
    stock = nnUNetTrainer(
        {**trainer.plans_manager.plans, "continue_training": False}, "small", trainer.fold, trainer.dataset_json,
        torch.device("cpu"),
    )  # fmt: skip
    stock.initialize()
    stock.network.load_state_dict(trainer.network.state_dict())
    return stock


def test_validation_is_nnunets_own(make_trainer, make_batch):
    trainer = make_trainer("SURE", labels=IGNORED)
    stock = stock_of(trainer)
    batch = make_batch(trainer)
    batch["target"] = batch["target"][:-2]  # nnU-Net validates without augmentation, and without maps
    outcome = []
    for one in (trainer, stock):
        one.on_validation_epoch_start()
        with torch.no_grad():
            outcome.append(one.validation_step(copy.deepcopy(batch)))
    assert outcome[0].keys() == outcome[1].keys()
    for key in outcome[0]:
        assert np.array_equal(outcome[0][key], outcome[1][key]), key


def test_nothing_stands_beside_the_network(make_trainer):
    trainer = make_trainer("SURE")
    stock = stock_of(trainer)
    assert same(weights_of(trainer.network), weights_of(stock.network))
    ours, theirs = trainer.optimizer.param_groups, stock.optimizer.param_groups
    assert len(ours) == len(theirs) == 1
    assert {key: value for key, value in ours[0].items() if key != "params"} == {
        key: value for key, value in theirs[0].items() if key != "params"
    }
    learned = {id(parameter) for parameter in trainer.network.parameters()}
    assert {id(parameter) for parameter in ours[0]["params"]} == learned


def test_noise_does_not_enter_the_running_statistics(make_trainer, make_batch, blobs, with_norm):
    plans = with_norm("BatchNorm3d")

    def statistics(name, **options):
        trainer = make_trainer(name, plans=plans, DEEP_SUPERVISION=1, **options)
        trainer.on_train_epoch_start()
        trainer.train_step(make_batch(trainer, drawn=blobs))
        return {key: value for key, value in trainer.network.state_dict().items() if "running" in key}

    plain = statistics("EDL")
    kept = statistics("SURE", **FROM_THE_START)
    moved = statistics("SURE", VARIANT="sure2025", PAIRS=100)
    assert len(plain) > 4
    assert same(kept, plain)
    assert not same(moved, plain)


def test_a_scaled_step_is_the_same_step(make_trainer, make_batch, blobs):
    """As under half precision, where nnU-Net scales the loss."""
    plain, scaled = make_trainer("SURE", **FROM_THE_START), make_trainer("SURE")
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for seed in range(3):
        batch = make_batch(plain, seed, drawn=blobs)
        np.testing.assert_allclose(
            plain.train_step(batch)["loss"], scaled.train_step(batch)["loss"], rtol=1e-5
        )
    for name, tensor in weights_of(plain.network).items():
        torch.testing.assert_close(tensor, scaled.network.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_half_precision_is_the_networks_and_not_the_losss(make_trainer, make_batch, blobs):
    trainer = make_trainer("SURE", **FROM_THE_START)
    batch = make_batch(trainer, drawn=blobs)
    given = (batch["target"], list(batch["keys"]), batch["data"])
    exact = trainer._loss_of(trainer.network(batch["data"]), *given)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = trainer.network(batch["data"])
        assert outputs[0].dtype == torch.bfloat16
        half = trainer._loss_of(outputs, *given)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.03, atol=0)
    half.backward()
    assert all(
        parameter.grad.isfinite().all()
        for parameter in trainer.network.parameters()
        if parameter.grad is not None
    )


def test_a_compiled_network_takes_the_same_steps(make_trainer, make_batch, blobs, monkeypatch):
    """As on a GPU, where nnU-Net compiles; here without generating code."""
    plain = make_trainer("SURE", **FROM_THE_START)
    batch = make_batch(plain, drawn=blobs)
    expected = [plain.train_step(batch)["loss"] for _ in range(3)]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(nnUNetTrainer, "_do_i_compile", lambda self: True)
    compiled = make_trainer("SURE")
    assert hasattr(compiled.network, "_orig_mod")
    np.testing.assert_allclose([compiled.train_step(batch)["loss"] for _ in range(3)], expected, rtol=1e-4)


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
    stock = stock_of(trainer)
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
        match=r"the batch of case_0, case_2 cannot be learned from: logits of the images with noise",
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
