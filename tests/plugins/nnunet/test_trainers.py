"""DUO's trainers: found by nnU-Net, learning from label maps and regions, stock in everything else."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from aleaseg.errors import BadVoxels, CaseError, MissingExtra, UsageError
from aleaseg.losses import DUOLoss, FisherCertainty, MahalanobisCertainty
from aleaseg.plugins.nnunet import TRAINER_FOLDER
from aleaseg.run import read_table

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper  # isort: skip
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip

LABELS = {"background": 0, "left": 1, "right": 2}
IGNORED = {**LABELS, "ignore": 3}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
REGIONS_IGNORED = {**REGIONS, "ignore": 3}
KINDS = {
    "labels": (LABELS, 3),
    "labels 2d": (LABELS, 2),
    "ignore": (IGNORED, 3),
    "regions": (REGIONS, 3),
    "regions 2d": (REGIONS, 2),
    "regions and ignore": (REGIONS_IGNORED, 3),
}


def weights_of(module):
    return {name: one.clone() for name, one in module.state_dict().items() if isinstance(one, torch.Tensor)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nnUNetTrainerDUO", "nnUNetTrainerDUO_EN", "nnUNetTrainerDUO_RW"])
def test_found_as_nnunet_searches_external_folders(name, found_by_nnunet):
    found = found_by_nnunet(name)
    assert found.__name__ == name
    assert issubclass(found, nnUNetTrainer)


def test_the_folder_holds_one_module_and_is_no_package():
    assert [path.name for path in TRAINER_FOLDER.glob("*.py")] == ["aleaseg_trainers.py"]


def test_the_folder_is_told_without_nnunetv2_or_torch():
    code = (
        "import sys, aleaseg.plugins.nnunet as one; print(one.TRAINER_FOLDER); "
        "assert not {'torch', 'nnunetv2'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(TRAINER_FOLDER)


def test_without_nnunetv2(monkeypatch):
    for name in ("base", "trainers"):
        monkeypatch.delitem(sys.modules, f"aleaseg.plugins.nnunet.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "nnunetv2.training.nnUNetTrainer.nnUNetTrainer", None)
    with pytest.raises(MissingExtra, match=r"pip install 'aleaseg\[nnunet\]'"):
        __import__("aleaseg.plugins.nnunet.trainers")


# -- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("supervised", [1, 0], ids=["deep supervision", "one output"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_learns(kind, supervised, make_trainer, make_batch):
    labels, dimensions = KINDS[kind]
    trainer = make_trainer(labels=labels, dimensions=dimensions, DEEP_SUPERVISION=supervised)
    batch = make_batch(trainer)
    network, beside = weights_of(trainer.network), weights_of(trainer.denoising)
    trainer.on_train_epoch_start()
    first = trainer.train_step(batch)["loss"]
    assert np.isfinite(first)
    after = weights_of(trainer.network)
    moved = [name for name in network if not torch.equal(network[name], after[name])]
    assert {"encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.2.weight"} <= set(moved)
    moved = weights_of(trainer.denoising)
    assert set(moved) == {"head.weight", "head.bias", "state.epsilon"}
    assert not any(torch.equal(beside[name], tensor) for name, tensor in moved.items())
    for _ in range(12):
        last = trainer.train_step(batch)["loss"]
    assert last < first


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_weighted_as_nnunets_own(kind, make_trainer, make_batch):
    labels, dimensions = KINDS[kind]
    trainer = make_trainer("DUO_RW", labels=labels, dimensions=dimensions, ALPHA=2, BETA=0.25, RENORM=1)
    batch = make_batch(trainer)
    outputs = trainer.network(batch["data"])
    regions = "regions" in kind
    one = DUOLoss(
        alpha=2.0,
        beta=0.25,
        renorm=True,
        softmax=not regions,
        sigmoid=regions,
        ignore_index=labels.get("ignore"),
    )
    shares = [2 / 3, 1 / 3, 0]  # three outputs; the coarsest counts nothing
    expected = sum(
        share * one(output, target)
        for share, output, target in zip(shares, outputs, batch["target"], strict=True)
        if share
    )
    assert len(outputs) == 3
    assert isinstance(trainer.duo, DeepSupervisionWrapper)
    torch.testing.assert_close(trainer.duo(outputs, batch["target"]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["ignore", "regions and ignore"])
def test_ignored_voxels_teach_nothing(kind, make_trainer, make_batch):
    trainer = make_trainer(labels=KINDS[kind][0], DEEP_SUPERVISION=0)
    batch = make_batch(trainer)
    trainer.network(batch["data"])
    with torch.enable_grad():
        output = trainer.network(batch["data"])
        output.retain_grad()
        trainer._loss_of(output, batch["target"], list(batch["keys"]), batch["data"]).backward()
    target = batch["target"]
    ignored = target[:, -1:].bool() if "regions" in kind else target == 3
    ignored = ignored.expand_as(output)
    assert 0.1 < ignored.float().mean() < 0.4
    assert (output.grad[ignored] == 0).all()
    assert (output.grad[~ignored] != 0).float().mean() > 0.9


def test_label_maps_see_the_background_and_regions_do_not_have_one(make_trainer):
    assert make_trainer(labels=LABELS).network(torch.zeros(1, 1, 16, 8, 24))[0].shape[1] == 3
    trainer = make_trainer(labels=REGIONS)
    assert trainer.network(torch.zeros(1, 1, 16, 8, 24))[0].shape[1] == 2
    assert trainer.classes == ["whole", "core"]


def test_classes_are_in_the_order_of_their_values(make_trainer):
    labels = {"background": 0, "zeta": 1, "alpha": [2], "ignore": 3}
    assert make_trainer(labels={"zeta": 1, "alpha": [2], "background": 0, "ignore": 3}).classes == [
        "zeta",
        "alpha",
    ]
    assert make_trainer(labels=dict(reversed(labels.items()))).classes == ["zeta", "alpha"]


def test_the_three_trainers_differ_in_what_their_names_say(make_trainer):
    both, noise, weights = (make_trainer(name, ALPHA=0.7) for name in ("DUO", "DUO_EN", "DUO_RW"))
    assert (both.denoising is None, noise.denoising is None, weights.denoising is None) == (
        False,
        False,
        True,
    )
    batch = {"data": torch.randn(2, 1, 16, 8, 24)}
    outputs = both.network(batch["data"])
    target = [torch.ones((2, 1, *output.shape[2:]), dtype=torch.int16) for output in outputs]
    weighted, plain, alike = (one.duo(outputs, target) for one in (both, noise, weights))
    assert weighted == alike
    assert weighted < plain


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({"CERTAINTY": "fisher"}, lambda loss: any(isinstance(m, FisherCertainty) for m in loss.modules())),
        (
            {"CERTAINTY": "mahalanobis"},
            lambda loss: any(isinstance(m, MahalanobisCertainty) for m in loss.modules()),
        ),
        ({"CLASS_WEIGHTS": "1,0.5"}, None),
        ({"SHARED": "1", "PENALTY": "0.1", "INITIAL": "0.3", "DETACH_TARGET": "1"}, None),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)
def test_options_train(options, holds, make_trainer, make_batch):
    plain = make_trainer()
    trainer = make_trainer(**options)
    assert holds is None or holds(trainer.duo)
    batch = make_batch(trainer)
    losses = [trainer.train_step(batch)["loss"] for _ in range(2)]
    assert np.isfinite(losses).all()
    if "CERTAINTY" not in options or options["CERTAINTY"] == "fisher":
        assert losses[0] != plain.train_step(batch)["loss"]


def test_the_noise_begins_as_large_as_asked(make_trainer):
    for options, g in (({}, 0.05), ({"INITIAL": 0.3}, 0.3)):
        bias = make_trainer(**options).denoising.head.bias
        torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, g))


def test_the_readmes_variant_is_for_regions(make_trainer, make_batch):
    trainer = make_trainer(labels=REGIONS, VARIANT="official_readme")
    before = weights_of(trainer.denoising)
    assert np.isfinite(trainer.train_step(make_batch(trainer))["loss"])
    assert same(weights_of(trainer.denoising), before)  # its target is detached
    with pytest.raises(UsageError, match=r"official_readme, which teaches the background channel nothing"):
        make_trainer(labels=LABELS)


def test_the_feature_is_what_the_last_layer_sees(make_trainer):
    trainer = make_trainer()
    assert trainer.denoising.layer == "decoder.seg_layers.2"
    assert trainer.denoising.head.weight.shape == (2, 4)


def test_warm_up_is_without_noise(make_trainer, make_batch):
    trainer = make_trainer(WARMUP=1)
    plain = make_trainer("DUO_RW")
    batch = make_batch(trainer)
    before = weights_of(trainer.denoising.head)
    assert trainer.train_step(batch)["loss"] == plain.train_step(batch)["loss"]
    assert same(weights_of(trainer.denoising.head), before)
    trainer.on_train_epoch_end([{"loss": np.float32(0)}])
    trainer.train_step(batch)
    assert not same(weights_of(trainer.denoising.head), before)


# -- stock in everything else ---------------------------------------------------------------------


def stock_of(trainer):
    """The stock trainer with the same network."""
    stock = nnUNetTrainer(
        {**trainer.plans_manager.plans, "continue_training": False},
        "small",
        trainer.fold,
        trainer.dataset_json,
        torch.device("cpu"),
    )
    stock.initialize()
    stock.network.load_state_dict(trainer.network.state_dict())
    return stock


@pytest.mark.parametrize("kind", ["ignore", "regions"])
def test_validation_is_nnunets_own(kind, make_trainer, make_batch):
    trainer = make_trainer(labels=KINDS[kind][0])
    stock = stock_of(trainer)
    outcome = []
    for one in (trainer, stock):
        one.on_validation_epoch_start()
        with torch.no_grad():
            outcome.append(one.validation_step(copy.deepcopy(make_batch(trainer))))
    assert outcome[0].keys() == outcome[1].keys()
    for key in outcome[0]:
        assert np.array_equal(outcome[0][key], outcome[1][key]), key


def test_the_network_and_its_optimiser_are_nnunets_own(make_trainer):
    trainer = make_trainer()
    stock = stock_of(trainer)
    assert same(weights_of(trainer.network), weights_of(stock.network))
    ours, theirs = trainer.optimizer.param_groups, stock.optimizer.param_groups
    assert [len(group["params"]) for group in ours[:1]] == [len(group["params"]) for group in theirs]
    assert {key: value for key, value in ours[0].items() if key != "params"} == {
        key: value for key, value in theirs[0].items() if key != "params"
    }
    beside = {id(parameter) for parameter in trainer.denoising.parameters()}
    assert {id(parameter) for parameter in ours[1]["params"]} == beside
    assert not beside & {id(parameter) for parameter in trainer.network.parameters()}
    assert len(ours) == 2
    trainer.current_epoch = 500
    trainer.on_train_epoch_start()
    assert ours[0]["lr"] == ours[1]["lr"] < 0.01


def test_gradients_are_clipped_as_nnunets_and_the_noises_apart(make_trainer, make_batch, monkeypatch):
    trainer = make_trainer()
    batch = make_batch(trainer)
    steep = trainer._loss_of
    monkeypatch.setattr(trainer, "_loss_of", lambda *given: 1e6 * steep(*given))
    trainer.train_step(batch)
    for module in (trainer.network, trainer.denoising):
        norm = torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm()
        assert norm == pytest.approx(12, rel=1e-4)


def test_a_scaled_step_is_the_same_step(make_trainer, make_batch):
    """As under half precision, where nnU-Net scales the loss: gradients are scaled back before they are clipped."""
    plain, scaled = make_trainer(), make_trainer()
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for seed in range(3):
        batch = make_batch(plain, seed)
        assert plain.train_step(batch)["loss"] == scaled.train_step(batch)["loss"]
    for one, other in ((plain.network, scaled.network), (plain.denoising, scaled.denoising)):
        for name, tensor in weights_of(one).items():
            torch.testing.assert_close(tensor, other.state_dict()[name], rtol=1e-5, atol=1e-7)


def test_a_compiled_network_gives_its_feature_too(make_trainer, make_batch, monkeypatch):
    """As on a GPU, where nnU-Net compiles; here without generating code."""
    from functools import partial

    plain = make_trainer()
    batch = make_batch(plain)
    expected = [plain.train_step(batch)["loss"] for _ in range(3)]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(nnUNetTrainer, "_do_i_compile", lambda self: True)
    compiled = make_trainer()
    assert hasattr(compiled.network, "_orig_mod")
    before = weights_of(compiled.denoising)
    found = [compiled.train_step(batch)["loss"] for _ in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not same(weights_of(compiled.denoising), before)
    for name, tensor in weights_of(compiled.denoising).items():
        torch.testing.assert_close(tensor, plain.denoising.state_dict()[name], rtol=1e-3, atol=1e-5)


# -- an epoch -------------------------------------------------------------------------------------


def test_noise_is_projected_and_classes_are_told(make_trainer, make_batch, results):
    trainer = make_trainer(EPOCHS=3)
    assert trainer.num_epochs == 3
    for epoch in range(2):
        trainer.current_epoch = epoch
        trainer.on_train_epoch_start()
        outcome = [trainer.train_step(make_batch(trainer, seed)) for seed in range(3)]
        trainer.on_train_epoch_end(outcome)
        epsilon = trainer.denoising.state.epsilon
        torch.testing.assert_close(epsilon.mean(0), torch.zeros(2), rtol=0, atol=1e-5)
        torch.testing.assert_close(epsilon.square().mean(0), torch.ones(2), rtol=1e-5, atol=0)
    table = read_table(results("DUO") / "duo_classes.csv")
    assert list(table.columns) == ["epoch", "class", "weight", "scale", "noise"]
    assert table["epoch"].tolist() == [0, 0, 1, 1]
    assert table["class"].tolist() == ["left", "right"] * 2
    assert table["scale"].between(0, 1).all()
    assert table["weight"].between(2 / 3, 1).all()
    assert (table["noise"] > 0).all()
    np.testing.assert_allclose(table["weight"], 1 / (1 + 0.5 * table["scale"]), rtol=0.02)


def test_the_table_is_of_the_finest_output(make_trainer, make_batch, results):
    trainer = make_trainer("DUO_RW")
    batch = make_batch(trainer)
    alone = DUOLoss()
    with torch.no_grad():
        alone(trainer.network(batch["data"])[0], batch["target"][0])
    trainer.on_train_epoch_end([trainer.train_step(batch)])
    table = read_table(results("DUO_RW") / "duo_classes.csv")
    np.testing.assert_allclose(table["scale"], alone.last_scales.mean(0), rtol=1e-5)
    assert table["noise"].isna().all()


def test_the_log_tells_the_options(make_trainer, results):
    make_trainer("DUO_EN", BETA=0.25, PENALTY=0.1)
    (log,) = results("DUO_EN").glob("training_log_*.txt")
    text = log.read_text()
    assert "DUO (weights by S: no, label denoising: yes)" in text
    assert "ALEASEG_DUO_BETA=0.25" in text
    assert "ALEASEG_DUO_PENALTY=0.1" in text
    assert "val_loss is nnU-Net's own" in text


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["DUO", "DUO_RW"])
def test_a_case_with_nan_is_named_and_teaches_nothing(name, value, make_trainer, make_batch):
    trainer = make_trainer(name)
    batch = make_batch(trainer)
    batch["data"][1, 0, 3, 3, 3] = value
    before = weights_of(trainer.network)
    with pytest.raises(BadVoxels, match=f"^{batch['keys'][1]}: found NaN or infinity"):
        trainer.train_step(batch)
    assert same(weights_of(trainer.network), before)


@pytest.mark.parametrize("name", ["DUO", "DUO_RW"])
def test_logits_that_overflow_are_left_to_the_scaler(name, make_trainer, make_batch):
    """As with nnU-Net's own loss: the step is skipped, nothing learns from it, and the next one goes on."""
    trainer = make_trainer(name, CERTAINTY="mahalanobis")
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    batch = make_batch(trainer)
    trainer.train_step(batch)
    modules = [module for module in (trainer.network, trainer.duo, trainer.denoising) if module is not None]
    before = [weights_of(module) for module in modules]
    overflow = trainer.network.decoder.seg_layers[-1].register_forward_hook(
        lambda module, inputs, output: output * 1e30 * 1e30
    )
    assert np.isnan(trainer.train_step(batch)["loss"])
    assert all(same(weights_of(module), old) for module, old in zip(modules, before, strict=True))
    assert trainer.grad_scaler.get_scale() == 2.0**7
    overflow.remove()
    assert np.isfinite(trainer.train_step(batch)["loss"])
    assert not same(weights_of(trainer.network), before[0])


def test_logits_that_overflow_without_a_scaler_end_the_training(make_trainer, make_batch):
    trainer = make_trainer()
    trainer.network.decoder.seg_layers[-1].register_forward_hook(
        lambda module, inputs, output: output * 1e30 * 1e30
    )
    batch = make_batch(trainer)
    with pytest.raises(UsageError, match=r"the logits of sample 0 .* NaN or infinite"):
        trainer.train_step(batch)


def test_a_case_without_noise_is_named(make_trainer, make_batch):
    trainer = make_trainer()
    batch = make_batch(trainer)
    batch["keys"][0] = "case_9"
    with pytest.raises(CaseError, match="case_9"):
        trainer.train_step(batch)


def test_a_label_without_a_channel_is_told_with_the_cases(make_trainer, make_batch):
    trainer = make_trainer("DUO_RW")
    batch = make_batch(trainer)
    batch["target"][0][0, 0, 0, 0, 0] = 7
    with pytest.raises(UsageError, match=r"the batch of case_0, case_2 cannot be learnt from: .*7"):
        trainer.train_step(batch)


@pytest.mark.parametrize("label", [0, 1], ids=["no class in any patch", "one class only"])
def test_classes_that_are_absent(label, make_trainer, make_batch):
    trainer = make_trainer()
    batch = make_batch(trainer)
    for target in batch["target"]:
        target.fill_(label)
    losses = [trainer.train_step(batch)["loss"] for _ in range(3)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_one_foreground_class(make_trainer, make_batch):
    trainer = make_trainer(labels={"background": 0, "only": 1})
    batch = make_batch(trainer)
    for target in batch["target"]:
        target.clamp_(max=1)
    assert np.isfinite(trainer.train_step(batch)["loss"])


def test_one_case_has_no_noise_to_be_told_apart(make_trainer, nnunet):
    import json

    (nnunet / "splits_final.json").write_text(json.dumps([{"train": ["case_0"], "val": ["case_1"]}]))
    with pytest.raises(UsageError, match="nnUNetTrainerDUO cannot train with these settings"):
        make_trainer()
    assert make_trainer("DUO_RW").cases == ["case_0"]


def test_a_case_that_is_listed_twice_has_one_noise(make_trainer, make_batch, nnunet):
    folds = [{"train": ["case_0", "case_1", "case_0", "case_2"], "val": ["case_3"]}]
    (nnunet / "splits_final.json").write_text(json.dumps(folds))
    trainer = make_trainer()
    assert trainer.cases == ["case_0", "case_1", "case_2"]
    assert trainer.do_split()[0].count("case_0") == 2  # and is drawn twice as often, as nnU-Net has it
    trainer.train_step(make_batch(trainer))


def test_weights_for_other_classes(make_trainer):
    with pytest.raises(
        UsageError, match="CLASS_WEIGHTS has 3 numbers; expected 2, one for each of left, right"
    ):
        make_trainer(CLASS_WEIGHTS="1,1,1")
    with pytest.raises(UsageError, match="CLASS_WEIGHTS is set, and nnUNetTrainerDUO_EN uses no weights"):
        make_trainer("DUO_EN", CLASS_WEIGHTS="1,1")


def test_options_that_exclude_one_another(make_trainer):
    with pytest.raises(UsageError, match="nnUNetTrainerDUO cannot train with these settings"):
        make_trainer(CLASS_WEIGHTS="1,1", CERTAINTY="fisher")


def test_a_wrong_option_leaves_no_folder(make_trainer, results):
    with pytest.raises(UsageError, match="ALEASEG_DUO_BETA"):
        make_trainer(BETA=2)
    assert not results("DUO").exists()
