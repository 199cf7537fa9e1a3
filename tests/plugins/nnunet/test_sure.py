"""The evidential trainers: found by nnU-Net, their loss, their passes, and nnU-Net's own in everything else."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from aleaseg.cues import distance_map, gradient_map
from aleaseg.losses.evidential import evidential_loss
from aleaseg.losses.sure import VARIANTS, SureSettings, sure_terms
from aleaseg.plugins.nnunet.options import SureOptions

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
def test_found_as_nnunet_searches_external_folders(name, found_by_nnunet):
    found = found_by_nnunet(f"nnUNetTrainer{name}")
    assert found.__name__ == f"nnUNetTrainer{name}"
    assert issubclass(found, nnUNetTrainer)


# -- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "labels", "dimensions", "supervised"),
    [
        ("EDL", LABELS, 3, 1),
        ("EDL", IGNORED, 2, 0),
        ("SURE", LABELS, 2, 1),
        ("SURE", LABELS, 3, 0),
        ("SURE", IGNORED, 3, 1),
    ],
)
def test_a_step_learns(name, labels, dimensions, supervised, make_trainer, make_batch):
    options = FROM_THE_START if name == "SURE" else {}
    trainer = make_trainer(
        name, labels=labels, dimensions=dimensions, DEEP_SUPERVISION=supervised, **options
    )
    batch = make_batch(trainer)
    before = weights_of(trainer.network)
    trainer.on_train_epoch_start()
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(8)]
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
