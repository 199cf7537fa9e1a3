"""The trainer of confidences: maps of them through all of nnU-Net, its loss, and nnU-Net's own in everything else."""

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.levels import ConfidenceMap
from aleaseg.plugins.nnunet.checkpoint import export_plain, read_checkpoint
from aleaseg.plugins.nnunet.options import ConfidenceOptions

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip

WAYS = ["soft", "weight", "regress", "sample"]
SIZE = (16, 8, 24)


def declared(classes=("left",), steps=10, labels="soft", ignore=False):
    """What `aleaseg confidence` writes into dataset.json."""
    stated = ConfidenceMap(tuple(classes), steps)
    values = {name: list(those) for name, those in stated.regions.items()}
    return {
        "labels": {"background": 0, **values, **({"ignore": stated.values[-1] + 1} if ignore else {})},
        "regions_class_order": [those[0] for those in values.values()],
        "aleaseg_confidence": {**stated.to_dict(), "labels": labels},
    }


def steps_of(classes=1, steps=10, ignore=False, seed=0, ends=False):
    """(2, 1, *SIZE) label values: for each class a hill of rising confidence; some voxels that do not count."""
    rng = np.random.default_rng(seed)
    grid = np.indices(SIZE)
    label = np.zeros((2, 1, *SIZE), np.int64)
    for sample in range(2):
        for place in range(classes):
            centre = [4 + rng.random() * 8, 3 + rng.random() * 2, 5 + 12 * place + rng.random() * 3]
            far = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
            level = np.clip(np.rint((6.5 - far) * steps / 5), 0, steps).astype(int)
            if ends:
                level = np.where(2 * level >= steps, steps, 0)
            here = (level > 0) & (label[sample, 0] == 0)
            label[sample, 0][here] = (place * steps + level)[here]
        if ignore:
            label[sample, 0, :, 2:4, 3:15] = classes * steps + 1
    return torch.from_numpy(label)


@pytest.fixture
def with_steps(make_trainer):
    """with_steps("soft", classes=2, ...): a trainer of a data set of confidences."""

    def make(way="soft", *, classes=1, steps=10, ignore=False, batch_dice=None, plans=None, **options):
        if batch_dice is not None:
            from copy import deepcopy

            plans = deepcopy(plans)
            plans["configurations"]["small"]["batch_dice"] = batch_dice
        about = declared(("left", "right")[:classes], steps, way, ignore)
        return make_trainer("Confidence", about=about, plans=plans, **options)

    return make


@pytest.fixture
def batch_of(targets_of):
    """batch_of(trainer, label): targets as nnU-Net's loader hands them over in training, without augmentation."""

    def make(trainer, label, seed=0):
        images = torch.randn((2, 1, *label.shape[2:]), generator=torch.Generator().manual_seed(seed))
        transforms = trainer.get_validation_transforms(trainer._get_deep_supervision_scales(), regions=None)
        target = targets_of(transforms, images, label)
        return {"data": images, "target": target, "keys": np.array([trainer.cases[0], trainer.cases[2]])}

    return make


def stock_of(trainer):
    """The stock trainer with the same network."""
    stock = nnUNetTrainer(
        {**trainer.plans_manager.plans, "continue_training": False}, "small", trainer.fold, trainer.dataset_json,
        torch.device("cpu"),
    )  # fmt: skip
    stock.initialize()
    stock.network.load_state_dict(trainer.network.state_dict())
    return stock


def loss_of(trainer, batch, outputs=None):
    outputs = trainer.network(batch["data"]) if outputs is None else outputs
    return trainer._loss_of(outputs, batch["target"], list(batch["keys"]), batch["data"])


# -- found ----------------------------------------------------------------------------------------


def test_found_as_nnunet_searches_external_folders(found_by_nnunet):
    found = found_by_nnunet("nnUNetTrainerConfidence")
    assert issubclass(found, nnUNetTrainer)


# -- steps, all the way to the loss -----------------------------------------------------------------


@pytest.mark.parametrize("dummy_2d", [False, True])
@pytest.mark.parametrize("ignore", [False, True])
def test_steps_survive_augmentation_where_stock_regions_are(ignore, dummy_2d, with_steps):
    """From the same draws: whatever nnU-Net makes a region of is the steps of that class here, at every output."""
    trainer = with_steps(classes=2, ignore=ignore)
    named = {
        "use_mask_for_norm": [False], "is_cascaded": False,
        "foreground_labels": trainer.label_manager.foreground_labels,
        "regions": trainer.label_manager.foreground_regions, "ignore_label": trainer.label_manager.ignore_label,
    }  # fmt: skip
    given = (np.array(SIZE), (-0.5, 0.5), trainer._get_deep_supervision_scales(), (0, 1, 2), dummy_2d)
    ours = trainer.get_training_transforms(*given, **named)
    stock = nnUNetTrainer.get_training_transforms(*given, **named)
    label = steps_of(2, ignore=ignore)[0].to(torch.int16)
    image = torch.randn(1, *SIZE)
    seen = set()
    for seed in range(12):
        made = []
        for transforms in (ours, stock):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  # nnU-Net draws from it
            made.append(transforms(image=image.clone(), segmentation=label.clone()))
        assert torch.equal(made[0]["image"], made[1]["image"])
        levels, regions = made[0]["segmentation"], made[1]["segmentation"]
        assert len(levels) == len(regions) == 3
        for level, region in zip(levels, regions, strict=True):
            assert level.dtype == torch.int16
            assert level.shape == (1, *region.shape[1:])
            assert set(level.unique().tolist()) <= set(label.unique().tolist())
            for place in range(2):
                here = (level[0] > 10 * place) & (level[0] <= 10 * place + 10)
                assert torch.equal(here, region[place])
            if ignore:
                assert torch.equal(level[0] == 21, region[2])
        seen |= set(levels[0].unique().tolist())
    assert seen == set(label.unique().tolist())  # no step is lost on the way


def test_steps_survive_the_preprocessing():
    """A step of a coarser or finer grid is one of those around it, and a steep hill has no holes."""
    resample = pytest.importorskip(
        "nnunetv2.preprocessing.resampling.default_resampling"
    ).resample_data_or_seg_to_shape
    label = steps_of(2)[:1, 0].numpy().astype(np.int8)
    for size in ((11, 8, 17), (22, 11, 40)):
        found = resample(
            label, size, np.ones(3), np.array(SIZE) / np.array(size), is_seg=True, order=1, order_z=0
        )[0]
        nearest = torch.nn.functional.interpolate(
            torch.from_numpy(label)[None].float(), size, mode="nearest-exact"
        )
        around = torch.nn.functional.max_pool3d(nearest, 3, 1, 1)[0, 0].numpy()
        least = -torch.nn.functional.max_pool3d(-nearest, 3, 1, 1)[0, 0].numpy()
        assert ((found >= least) & (found <= around)).all()
        assert (found[least > 0] > 0).all()
        assert set(np.unique(found)) <= set(np.unique(label))


# -- the loss -------------------------------------------------------------------------------------


def by_hand(way, z, label, classes, steps, ignore_at, batch_dice, threshold):
    """The loss of one output in plain NumPy: voxel by voxel from the label values."""
    z = z.detach().double().numpy().reshape(len(z), classes, -1)
    label = label.numpy().reshape(len(label), -1)
    q = np.stack(
        [np.clip(label - c * steps, 0, None) * (label <= (c + 1) * steps) for c in range(classes)], 1
    )
    q = q / steps
    w = np.ones_like(q) * (label != ignore_at)[:, None]
    q = q * w
    y = q
    if way == "weight":
        y, w = (q >= 0.5).astype(float), w * np.abs(2 * q - 1)
    if way == "sample":
        y = ((q >= np.array(threshold)[:, None, None]) & (q > 0)).astype(float)
    p = 1 / (1 + np.exp(-z))
    entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    axes = (0, 2) if batch_dice else 2
    counted = w.sum(axes)
    if way == "regress":
        return ((w * (p - y) ** 2).sum(axes) / counted).mean()
    both = (w * (p + y)).sum(axes) + 1e-5
    dice = 1 - (2 * (w * p * y).sum(axes) + 1e-5) / both
    if way == "soft":
        dice = (w * np.abs(p - y)).sum(axes) / both
    return (dice + (w * entropy).sum(axes) / counted).mean()


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize(("ignore", "supervised", "steps"), [(False, 1, 4), (True, 0, 10), (True, 1, 10)])
@pytest.mark.parametrize("way", WAYS)
def test_the_loss_is_what_is_computed_by_hand(
    way, ignore, supervised, steps, batch_dice, with_steps, plans_of, batch_of
):
    trainer = with_steps(
        way, classes=2, steps=steps, ignore=ignore, batch_dice=batch_dice, plans=plans_of(),
        DEEP_SUPERVISION=supervised, SEED=5,
    )  # fmt: skip
    trainer.current_epoch, trainer._iteration = 2, 3
    batch = batch_of(trainer, steps_of(2, steps, ignore))
    outputs = trainer.network(batch["data"])
    several = isinstance(outputs, list)
    threshold = [1 - np.random.default_rng((5, 0, 2, 3, n)).random() for n in range(2)]
    ignore_at = 2 * steps + 1 if ignore else -1
    expected = sum(
        share * by_hand(way, logits, label, 2, steps, ignore_at, batch_dice, threshold)
        for share, logits, label in zip(
            [2 / 3, 1 / 3] if several else [1],
            outputs if several else [outputs],
            batch["target"] if several else [batch["target"]],
            strict=False,
        )
    )
    assert loss_of(trainer, batch, outputs).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("way", ["soft", "weight", "sample"])
def test_of_certain_annotators_it_is_nnunets_loss_of_regions(
    way, batch_dice, with_steps, plans_of, batch_of, targets_of
):
    """With q of 0 and 1 alone: nnU-Net's own, which counts Dice from -1 to 0 and not from 0 to 1."""
    trainer = with_steps(way, classes=2, batch_dice=batch_dice, plans=plans_of())
    label = steps_of(2, ends=True)
    assert set(label.unique().tolist()) == {0, 10, 20}
    found = batch_of(trainer, label)
    regions = trainer.get_validation_transforms(
        trainer._get_deep_supervision_scales(), regions=trainer.label_manager.foreground_regions
    )
    outputs = [one.detach().requires_grad_() for one in trainer.network(found["data"])]
    ours = loss_of(trainer, found, outputs)
    stock = trainer.loss(outputs, targets_of(regions, found["data"], label))
    torch.testing.assert_close(ours, stock + 1)
    for one, other in zip(
        torch.autograd.grad(ours, outputs[:2]), torch.autograd.grad(stock, outputs[:2]), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_voxels_that_nobody_looked_at_teach_nothing(way, with_steps, batch_of):
    trainer = with_steps(way, classes=2, ignore=True, DEEP_SUPERVISION=0)
    label = steps_of(2, ignore=True)
    batch = batch_of(trainer, label)
    output = trainer.network(batch["data"])
    output.retain_grad()
    loss_of(trainer, batch, output).backward()
    ignored = (label == 21).expand_as(output)
    assert (output.grad[ignored] == 0).all()
    assert (output.grad[~ignored] != 0).float().mean() > 0.9


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_that_nobody_looked_at_costs_nothing(way, with_steps, batch_of):
    trainer = with_steps(way, ignore=True)
    batch = batch_of(trainer, torch.full((2, 1, *SIZE), 11))
    assert trainer.train_step(batch)["loss"] == 0
    assert all(bool(parameter.isfinite().all()) for parameter in trainer.network.parameters())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_step_learns(way, dimensions, with_steps, batch_of):
    trainer = with_steps(way, dimensions=dimensions)
    label = steps_of()
    batch = batch_of(trainer, label if dimensions == 3 else label[..., 8])
    trainer.on_train_epoch_start()
    losses = []
    for _ in range(12):
        trainer._iteration = 0  # of `sample` the same thresholds again
        losses.append(float(trainer.train_step(batch)["loss"]))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_half_precision_is_the_networks_and_not_the_losss(with_steps, batch_of):
    trainer = with_steps()
    batch = batch_of(trainer, steps_of())
    exact = loss_of(trainer, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss_of(trainer, batch)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.03, atol=0)


# -- draws ----------------------------------------------------------------------------------------


def test_draws_are_of_seed_and_step(with_steps, batch_of):
    losses = []
    for seed in (0, 0, 1):
        trainer = with_steps("sample", SEED=seed)
        torch.manual_seed(len(losses))  # of no account
        np.random.seed(len(losses))  # noqa: NPY002
        trainer.on_train_epoch_start()
        batch = batch_of(trainer, steps_of())
        losses.append([float(trainer.train_step(copy.deepcopy(batch))["loss"]) for _ in range(3)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_draws_are_nested_their_mean_is_q_and_every_sample_has_its_own(with_steps):
    trainer = with_steps("sample", classes=2, ignore=True)
    seen = []
    for step in range(1000):
        trainer._iteration = step
        y, weight = trainer._tables(2, torch.device("cpu"))
        seen.append(y)
        assert (y[:, 0, :11].diff() >= 0).all()  # whoever is in at a step is in at every higher one
        assert torch.equal(y[:, 0, 1:11], y[:, 1, 11:21])  # one threshold for all classes
    y = torch.stack(seen)
    assert (y[..., 0] == 0).all()
    assert (y[..., 0, 10] == 1).all()
    assert not torch.equal(y[:, 0], y[:, 1])
    q = torch.arange(11) / 10
    error = (q * (1 - q) / 2000).sqrt()
    assert ((y[:, :, 0, :11].mean((0, 1)) - q).abs() <= 4 * error + 1e-6).all()
    assert (weight[..., 21] == 0).all()
    assert (weight[..., :21] == 1).all()


# -- what it is told --------------------------------------------------------------------------------


def test_the_data_set_says_how_and_a_variable_goes_before(with_steps, results):
    assert str(with_steps("weight").strategy) == "weight"
    (log,) = results("Confidence").glob("training_log_*.txt")
    assert "Confidences, learnt by weight (10 steps of left)" in log.read_text()
    assert "Validation holds against every voxel with q > 0" in log.read_text()
    assert str(with_steps("weight", LABELS="regress").strategy) == "regress"


@pytest.mark.parametrize("value", ["softly", "threshold:.6", "sample:regions", ""])
def test_a_way_that_cannot_be_is_refused_with_those_that_can(value, with_steps):
    with pytest.raises(
        UsageError,
        match=rf"ALEASEG_CONFIDENCE_LABELS is '{value}'; expected one of soft, weight, regress, sample",
    ):
        with_steps(LABELS=value)


def damaged(what):
    about = declared(("left", "right"))
    match what:
        case "plain":
            return {"labels": {"background": 0, "left": 1}}
        case "levels":
            about["aleaseg_levels"] = {"classes": ["left"], "thresholds": [0.2, 0.6]}
            del about["aleaseg_confidence"]
        case "labels":
            about["labels"]["left"] = [1, 2, 3]
        case "order":
            about["labels"] = dict(reversed(about["labels"].items()))
        case "steps":
            about["aleaseg_confidence"]["steps"] = "many"
        case "way":
            about["aleaseg_confidence"]["labels"] = "multi"
    return about


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("plain", r"Dataset001_Small has the labels background, left, and no 'aleaseg_confidence'"),
        ("levels", r"has the levels of left, which stock nnUNetTrainer learns, and no"),
        ("labels", r"the labels of Dataset001_Small are .*\[1, 2, 3\].*; expected 10 steps of each class"),
        ("order", r"expected 10 steps of each class"),
        ("steps", r"cannot be read .*many"),
        ("way", r"cannot be read .*multi"),
    ],
)
def test_a_data_set_of_anything_else_is_refused(what, told, make_trainer):
    with pytest.raises(
        UsageError, match=rf"{told}.*aleaseg confidence DATA -o DatasetNNN_NAME --labels soft"
    ):
        make_trainer("Confidence", about=damaged(what))


# -- nnU-Net's own in everything else ---------------------------------------------------------------


@pytest.mark.parametrize("ignore", [False, True])
def test_validation_is_nnunets_own_against_every_voxel_that_was_marked(ignore, with_steps, targets_of):
    trainer = with_steps(classes=2, ignore=ignore)
    stock = stock_of(trainer)
    transforms = trainer.get_validation_transforms(
        trainer._get_deep_supervision_scales(), regions=trainer.label_manager.foreground_regions,
        ignore_label=trainer.label_manager.ignore_label,
    )  # fmt: skip
    images, label = torch.randn(2, 1, *SIZE), steps_of(2, ignore=ignore)
    target = targets_of(transforms, images, label)
    assert torch.equal(target[0][:, 0], (label[:, 0] > 0) & (label[:, 0] <= 10))
    outcome = []
    for one in (trainer, stock):
        one.on_validation_epoch_start()
        with torch.no_grad():
            outcome.append(one.validation_step({"data": images, "target": copy.deepcopy(target)}))
    assert outcome[0].keys() == outcome[1].keys()
    for key in outcome[0]:
        assert np.array_equal(outcome[0][key], outcome[1][key]), key


def test_the_network_is_nnunets_and_nothing_stands_beside_it(with_steps):
    trainer = with_steps(classes=2)
    stock = stock_of(trainer)
    ours, theirs = trainer.network.state_dict(), stock.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    assert ours["decoder.seg_layers.0.weight"].shape[0] == 2  # a sigmoid for each class
    assert len(trainer.optimizer.param_groups) == len(stock.optimizer.param_groups) == 1


# -- from checkpoint to checkpoint ------------------------------------------------------------------


def an_epoch(trainer, batch_of, seed=0):
    trainer.on_train_epoch_start()
    outcome = [trainer.train_step(batch_of(trainer, steps_of(), 10 * seed + step)) for step in range(3)]
    trainer.on_train_epoch_end(outcome)
    trainer.current_epoch += 1
    return [float(one["loss"]) for one in outcome]


def saved(trainer):
    path = os.path.join(trainer.output_folder, "checkpoint_final.pth")
    trainer.current_epoch -= 1  # nnU-Net saves before it counts an epoch as done
    trainer.save_checkpoint(path)
    trainer.current_epoch += 1
    return Path(path)


def test_a_training_goes_on_as_if_it_had_not_stopped(with_steps, batch_of):
    whole = with_steps("sample", EPOCHS=5, ITERATIONS=3, SEED=4)
    an_epoch(whole, batch_of)
    path = saved(whole)
    expected = an_epoch(whole, batch_of, 1)
    again = with_steps("sample", initialize=False)
    again.load_checkpoint(str(path))
    assert an_epoch(again, batch_of, 1) == expected
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])


def test_another_way_and_other_steps_are_another_training(with_steps, monkeypatch):
    path = saved(with_steps("weight"))
    for other, told in (
        ({"way": "soft"}, "learnt `weight` of .*now has `soft`"),
        ({"way": "weight", "steps": 4}, "steps=10.*steps=4"),
        (
            {"way": "weight", "LABELS": "soft"},
            "trained with labels None, and ALEASEG_CONFIDENCE_LABELS asks",
        ),
    ):
        with pytest.raises(SettingsDiffer, match=told):
            with_steps(**other, initialize=False).load_checkpoint(str(path))
    monkeypatch.delenv("ALEASEG_CONFIDENCE_LABELS")
    with_steps("weight", initialize=False).load_checkpoint(str(path))


def test_a_checkpoint_is_made_plain(with_steps, tmp_path):
    trainer = with_steps()
    path = saved(trainer)
    kept = read_checkpoint(path)[ConfidenceOptions.key]
    assert kept["labels"] == "soft"
    assert kept["stated"] == {"classes": ["left"], "steps": 10}
    (plain,) = export_plain(path, tmp_path / "plain.pth")
    found = read_checkpoint(plain)
    assert ConfidenceOptions.key not in found
    assert found["trainer_name"] == "nnUNetTrainer"
    stock = stock_of(with_steps())
    stock.load_checkpoint(str(plain))
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, stock.network.state_dict()[name])
