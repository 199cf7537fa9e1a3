"""Trainings on confidences: what a batch holds, what is made small, and from a data set to an evaluation."""

import json
from dataclasses import asdict, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aleaseg.errors import UsageError
from aleaseg.evaluation import EvaluationSettings, evaluate
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import read_label, write_nifti
from aleaseg.run import read_json
from aleaseg.training import PredictSettings, TrainerSettings, predict, train
from aleaseg.training.augment import augmentation
from aleaseg.training.batches import Batch, Batches, batch_at
from aleaseg.training.copies import copy_of, write_confident_copy
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.loop import fit
from aleaseg.training.objective import _resampled
from aleaseg.training.objectives import make_objective, settings_of
from aleaseg.training.plan import NetworkPlan, TrainingPlan
from aleaseg.training.preprocessing import Preprocessing
from aleaseg.training.region_prediction import RegionPrediction
from aleaseg.training.regions import Regions
from aleaseg.training.schedule import Schedule
from aleaseg.training.targets import parse_strategy
from aleaseg.training.validation import Validation, pseudo_dice_of_regions

GRID = WorkingGrid((1.0, 1.0), (8, 12), (1, 1))
SEEN = Preprocessing(GRID, [None], (1,))
WAYS = ("threshold:0.6", "soft", "weight", "ignore:0.2,0.6", "multi:0.25,0.5,0.75", "regress", "sample",
        "sample:regions")  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def copies(tmp_path):
    """copies(q of a case, ..., way): working copies whose image shows its confidence."""

    def make(*confidences, way="soft"):
        found = []
        for index, q in enumerate(confidences):
            q = np.asarray(q, np.float32)
            q = q[None] if q.ndim == 3 else q
            noise = np.random.default_rng(index).normal(0, 0.1, q.shape[2:])
            image = (np.nan_to_num(q[0, 0]) * 2 + noise)[None].astype(np.float16)
            case = copy_of(tmp_path, f"c{index}")
            write_confident_copy(case, image, q, parse_strategy(way))
            found.append(case)
        return found

    return make


def ramp(shape=(10, 14), hard=False):
    """(1, *shape): a block, sure in its middle."""
    q = np.zeros((1, *shape), np.float32)
    q[0, 2:8, 2:9] = 1 if hard else 0.5
    q[0, 3:6, 4:8] = 1
    return q


def batch_of(cases, way, augment="none", step=0, batch=4, seed=5, patch=GRID.patch):
    made = augmentation(augment, 2, label="bilinear")
    return batch_at(step, cases, patch, Schedule(9, batch, seed=seed), made, labels=parse_strategy(way))


def network(channels=1):
    torch.manual_seed(3)
    return NetworkPlan("small").build(SEEN, train=True, regions=channels)


# -- from a case to a batch -------------------------------------------------------------------------


def test_resampled_confidences_are_linear_and_forget_what_nobody_looked_at():
    rng = np.random.default_rng(0)
    q = rng.random((2, 12, 16)).astype(np.float32)
    np.testing.assert_array_equal(SEEN.confidence(q, (12, 16)), q)
    flat = SEEN.confidence(np.full((1, 12, 16), 0.6, np.float32), (7, 9))
    assert (flat >= 0.6 - 1e-6).all(), "three of five stay three of five"
    half = q.copy()
    half[:, :, :8] = np.nan
    found = SEEN.confidence(half, (6, 8))
    assert np.isnan(found[:, :, :4]).all()
    assert np.isfinite(found[:, :, 4:]).all()
    other = half.copy()
    other[:, :, 8:] = 0.3
    np.testing.assert_allclose(SEEN.confidence(other, (6, 8))[:, :, 4:], 0.3, rtol=1e-5)


def test_a_patch_is_padded_with_what_nobody_looked_at(copies):
    cases = copies(*[ramp((5, 6))] * 4)
    batch = batch_of(cases, "soft")
    assert batch.target.dtype == batch.weight.dtype == torch.float32
    assert batch.target.shape == batch.weight.shape == (4, 1, *GRID.patch)
    assert (batch.weight.sum((1, 2, 3)) == 30).all()
    assert torch.equal(batch.weight == 0, batch.confidence.isnan())
    assert (batch.target[batch.weight == 0] == 0).all()
    assert batch_of(copies(*[ramp()] * 4), "soft").weight is None, "all voxels count alike"


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_a_function_of_seed_and_step_and_its_patches_of_no_strategy(copies, way):
    cases = copies(*[ramp()] * 4)
    one, again, later = (batch_of(cases, way, "light", step) for step in (2, 2, 3))
    for name in ("image", "target", "confidence"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.image, later.image)
    assert torch.equal(one.image, batch_of(cases, "soft", "light", 2).image)
    assert one.target.shape[1] == parse_strategy(way).levels
    assert ((one.target >= 0) & (one.target <= 1)).all()
    packed = Batches(cases, GRID.patch, Schedule(9, 4, seed=5), labels=parse_strategy(way))
    assert torch.equal(packed[2].target, one.target)


@pytest.mark.parametrize("name", ["light", "strong"])
def test_confidences_are_turned_with_the_image_and_keep_their_numbers(copies, name):
    q = ramp((24, 24)) * np.float32(0.8)
    q[:, :2] = np.nan
    cases, apart = copies(*[q] * 4), []
    for step in range(6):
        batch = batch_of(cases, "soft", name, step, patch=(24, 24))
        looked = ~batch.confidence.isnan()
        found = batch.confidence[looked]
        assert ((found >= 0) & (found <= 0.8 + 1e-6)).all(), "nothing is done to them but turning"
        assert 0.7 < float(looked.float().mean()) < 1, "what nobody looked at stays about as large"
        inside, outside = batch.image[looked & (batch.confidence > 0.7)], batch.image[batch.confidence == 0]
        apart.append(float(inside.mean() - outside.mean()))
    assert min(apart) > 0.5


def test_of_several_raters_sample_draws_one_and_validation_sees_them_fused(copies):
    raters = np.zeros((4, 1, 8, 12), np.float32)
    for rater in range(4):
        raters[rater, :, :, : 3 * rater] = 1
    stated = np.concatenate([raters.mean(axis=0)[None], raters])
    cases = copies(stated, stated, way="sample")
    seen = {
        float(y.sum()) for step in range(12) for y in batch_of(cases, "sample", step=step, batch=2).target
    }
    assert seen == {0.0, 24.0, 48.0, 72.0}
    assert torch.equal(batch_of(cases, "soft").confidence[0], torch.as_tensor(stated[0]))
    plan = TrainingPlan(
        SEEN, NetworkPlan("small"), ("US",), {"a": (1,)}, "plain", Schedule(5, 2), (), labels="sample"
    )
    says = lambda image: torch.logit(torch.as_tensor(stated[:1]).repeat(len(image), 1, 1, 1), 1e-6)  # noqa: E731
    net = torch.nn.Module()
    net.forward = says
    validated = Validation(cases, plan, Schedule(5, 2), "cpu")(net)
    assert validated.dice == {"a": 1.0}, "nothing is drawn there"


# -- what is made small -----------------------------------------------------------------------------

HARD = ("threshold:0.01", "threshold:1", "soft", "weight", "ignore:0.2,0.6", "sample", "sample:regions")


@pytest.mark.parametrize("objective", ["plain", "seg", "rw", "duo"])
def test_of_masks_every_way_trains_the_same_numbers(copies, tmp_path, objective):
    cases = copies(*[ramp((8, 12), hard=True)] * 2, ramp((6, 10), hard=True), way="threshold:.5")
    losses = {}
    # What noise is taken off is soft, and semimetric Dice is another of that.
    ways = {"plain": HARD, "duo": ("threshold:0.01", "threshold:1", "weight", "ignore:0.2,0.6")}
    for way in ways.get(objective, HARD[:4]):
        net, labels = network(), parse_strategy(way)
        made = make_objective(settings_of(objective), net, ["c0", "c1", "c2"], 1, labels=labels)
        losses[way] = []
        fit(net, cases, GRID.patch, Schedule(4, 2, seed=5, augmentation="none"), checkpoint=tmp_path / f"{way}.pt",
            objective=made, labels=labels, on_step=lambda step, loss, kept=losses[way]: kept.append(loss))  # fmt: skip
    for way, found in losses.items():
        # semimetric Dice and that by products round otherwise, and four steps carry it on
        np.testing.assert_allclose(found, losses["threshold:1"], rtol=1e-4, err_msg=way)


def test_of_masks_the_levels_of_multi_have_the_value_of_the_mask(copies):
    cases = copies(*[ramp(hard=True)] * 4)
    one, several = batch_of(cases, "threshold:.6"), batch_of(cases, "multi:.2,.5,.9")
    z = torch.randn(one.target.shape, generator=torch.Generator().manual_seed(0))
    wanted = Regions().of(z, one)
    torch.testing.assert_close(Regions().of(z.repeat(1, 3, 1, 1), several), wanted)


def test_closed_forms_of_the_plain_objectives():
    rng = np.random.default_rng(0)
    z, t, w = rng.normal(size=(2, 3, 5, 7)), rng.random((2, 3, 5, 7)), rng.random((2, 3, 5, 7)) * 3
    p, axes = 1 / (1 + np.exp(-z)), (0, 2, 3)
    bce = -(w * (t * np.log(p) + (1 - t) * np.log(1 - p))).sum(axes) / w.sum(axes)
    both = (w * (p + t)).sum(axes)
    wanted = {
        "objective": 1 - (2 * (w * p * t).sum(axes) + 1e-5) / (both + 1e-5) + bce,
        "semimetric": (w * abs(p - t)).sum(axes) / (both + 1e-5) + bce,
        "squared": (w * (p - t) ** 2).sum(axes) / w.sum(axes),
    }
    logits, target, weight = (torch.as_tensor(x) for x in (z, t, w))
    for loss, of_each in wanted.items():
        found = Regions(loss).of(logits, Batch(logits, target, weight=weight))
        assert float(found) == pytest.approx(of_each.mean(), rel=1e-5), loss


@pytest.mark.parametrize(
    ("objective", "way"), [*product(["plain", "seg", "rw"], ["weight", "soft"]), ("plain", "regress")]
)
def test_the_loss_is_finite_for_any_weights(objective, way):
    labels = parse_strategy(way)
    made = make_objective(settings_of(objective), torch.nn.Identity(), (), 2, labels=labels)
    t = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    for weight in (
        torch.zeros_like(t),
        torch.full_like(t, 1e12),
        torch.full_like(t, 1e-30),
        (t > 0.99).float(),
    ):
        z = torch.zeros_like(t).requires_grad_()
        loss = made.of(z, Batch(z, t, weight=weight))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(z.grad).all()
        if not weight.any():
            assert float(loss.detach()) == 0
            assert not z.grad.any()
    z = torch.zeros_like(t).requires_grad_()
    made.of(z, Batch(z, t, weight=(torch.arange(6) < 3).float().expand_as(t))).backward()
    assert not z.grad[..., 3:].any()
    assert z.grad[..., :3].any()


def test_deep_supervision_averages_soft_targets_by_weight_and_picks_hard_ones():
    t = torch.tensor([[[[0.0, 1.0, 0.5, 0.5], [1.0, 1.0, 0.5, 0.9]]]])
    w = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])
    like = torch.zeros(1, 1, 1, 2)
    soft = _resampled(Batch(t, t, weight=w), like, soft=True)
    torch.testing.assert_close(soft.target, torch.tensor([[[[2 / 3, 0.0]]]]))
    torch.testing.assert_close(soft.weight, torch.tensor([[[[0.75, 0.0]]]]))
    assert _resampled(Batch(t, t), like, soft=True).target[0, 0, 0].tolist() == pytest.approx([0.75, 0.6])
    hard = _resampled(Batch(t, (t > 0.5).float(), weight=w), like, soft=False)
    assert set(hard.target.unique().tolist()) <= {0.0, 1.0}
    assert set(hard.weight.unique().tolist()) <= {0.0, 1.0}
    levels = [torch.zeros(1, 1, 2, 4), like, torch.zeros(1, 1, 1, 1)]
    assert torch.isfinite(Regions("semimetric").of(levels, Batch(t, t, weight=w)))


def test_validation_counts_classes_and_the_levels_of_each_together():
    q = torch.tensor([[[[0.9, 0.6, 0.3, 0.0]], [[0.0, 0.7, 0.8, 0.0]]]])
    levels = torch.stack([(q[:, c] >= t).float() for c in range(2) for t in (0.2, 0.4, 0.6)], dim=1)
    z = torch.logit(levels, 1e-4)
    found = pseudo_dice_of_regions(z, levels, None, 3)
    assert found.tolist() == [[2, 0, 0], [2, 0, 0]]
    z[:, 0, 0, 0] = -9  # what is not above the lowest level is above no other
    assert pseudo_dice_of_regions(z, levels, None, 3).tolist() == [[1, 0, 1], [2, 0, 0]]
    blind = torch.ones_like(levels)
    blind[..., 0] = 0
    assert pseudo_dice_of_regions(z, levels, blind, 3).tolist() == [[1, 0, 0], [2, 0, 0]]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("way", ["sample:regions", "soft"])
def test_killed_it_goes_on_bit_for_bit(copies, tmp_path, way):
    cases, labels = copies(*[ramp()] * 3, ramp((5, 6))), parse_strategy(way)
    how = Schedule(6, 2, seed=4, checkpoint_every=2)

    def run(name, stop=None):
        def on_step(step, loss):
            if step == stop:
                raise Killed

        net = network()
        fit(net, cases, GRID.patch, how, checkpoint=tmp_path / name, labels=labels, on_step=on_step)
        return net.state_dict()

    whole = run("whole")
    with pytest.raises(Killed):
        run("cut", 5)
    resumed = run("cut")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_batches_of_other_processes_are_the_same(copies):
    cases = copies(*[ramp()] * 3, ramp((5, 6)))
    how = Schedule(2, 2, seed=1)
    here, there = (
        Batches(cases, GRID.patch, replace(how, workers=n), labels=parse_strategy("sample")).after(0)
        for n in (0, 1)
    )
    for one, other in zip(here, there, strict=True):
        for name in ("image", "target", "weight", "confidence"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)), name


# -- from a data set to an evaluation ---------------------------------------------------------------


def write_raters(folder, cases=6, shape=(8, 12, 12)):
    """Balls that four raters outline, each a little larger than the one before."""
    (folder / "npz").mkdir(parents=True)
    grid = np.indices(shape)
    for index in range(cases):
        rng = np.random.default_rng(index)
        middle = [n / 2 + rng.normal(0, 0.5) for n in shape]
        apart = np.sqrt(sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True)))
        raters = np.stack([apart < radius for radius in (2.2, 3, 3.6, 4.2)])
        image = (raters.mean(axis=0) * 3 + rng.normal(0, 0.2, shape)).astype(np.float32)
        np.savez(folder / "npz" / f"c{index}.npz", image=image, raters=raters.astype(np.uint8))


@pytest.fixture(scope="module")
def raters(tmp_path_factory):
    """A data set of four raters."""
    folder = tmp_path_factory.mktemp("raters")
    write_raters(folder / "data")
    return folder / "data"


def settings_for(data, **more):
    return TrainerSettings(str(data), device="cpu", **{"steps": 8, "epochs": 1, "batch": 2, **more})


@pytest.mark.parametrize("way", WAYS)
def test_train_predict_evaluate(raters, tmp_path, one_process, way):
    done = train(settings_for(raters, labels=way), tmp_path / "model")
    assert not done.failed
    plan = done.model.plan
    assert plan.labels == way
    assert TrainingPlan.read(done.model.path / "plan.json") == plan
    assert np.isfinite(done.rows[-1]["loss"])
    assert np.isfinite(done.rows[-1]["validation_loss"])
    assert "pseudo_dice/foreground" in done.rows[-1]
    asked = PredictSettings(
        str(done.model.path), str(raters), probabilities=True, held_out=True, device="cpu"
    )
    said = predict(asked, tmp_path / "masks")
    assert not said.failed
    case, mask = next(iter(said.masks.items()))
    found = read_label(mask, case).array
    levels = parse_strategy(way).levels
    with np.load(mask.with_name(f"{case}.npz")) as archive:
        assert archive["probabilities"].shape == (levels, *found.shape)
        unsure = archive["uncertainty"]
        assert ((unsure >= 0) & (unsure <= 1)).all()
        if levels == 1:
            clear = np.abs(archive["probabilities"][0].astype(float) - 0.5) > 1e-3
            np.testing.assert_array_equal((archive["probabilities"][0] > 0.5)[clear], (found == 1)[clear])
    measured = evaluate(
        EvaluationSettings(str(raters), str(tmp_path / "masks"), only_predicted=True, at=(0.5, 0.75, 1)),
        tmp_path / "evaluation",
        workers=1,
    )
    row = measured.metrics.iloc[0]
    assert row["status"] in ("ok", "prediction_empty")
    for column in ("dice@0.5", "dice@0.75", "dice@1", "soft_dice", "brier", "ece_q", "ged"):
        assert np.isfinite(row[column]), column


def test_where_confidences_are_alone_sixty_percent_is_learnt_and_said(raters, tmp_path, one_process):
    said = train(settings_for(raters, steps=1), tmp_path / "default")
    assert said.model.plan.labels == "threshold:0.6"
    assert any("0.6" in note and "no label" in note for note in said.notes)
    asked = train(settings_for(raters, steps=1, labels="threshold:.6"), tmp_path / "asked")
    ours, theirs = (one.model.network().state_dict() for one in (said, asked))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory, write_small):
    """nnU-Net's folder with labels of two classes, and confidences of two named raters that overlap a little."""
    data = tmp_path_factory.mktemp("stated") / "data"
    write_small(data, 12, faults=False, shape=(8, 12, 12))
    about = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**about, "confidence": {"scale": 10}}))
    for case in open_dataset(data).cases:
        label = case.read_label()
        for rater, (high, low) in {"anna": (10, 6), "bert": (8, 3)}.items():
            rim = {value: np.roll(label.array == value, 1, axis=-1) for value in (1, 2)}
            q = np.stack([np.where(label.array == value, high, low * rim[value]) for value in (1, 2)])
            path = data / "raters" / case.id / f"{rater}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, q.astype(np.uint8), label.geometry)
    return data


def test_classes_are_regions_that_evaluate_reads_back_by_name(two_classes, tmp_path, one_process):
    assert open_dataset(two_classes).cases[0].raters == ("anna", "bert")
    done = train(settings_for(two_classes, labels="rater-norm+soft", objective="rw"), tmp_path / "model")
    plan = done.model.plan
    assert plan.rater_norm.keys() == {"anna", "bert"}
    assert plan.build(train=False)(torch.zeros(1, 1, *plan.preprocessing.grid.patch)).shape[1] == 2
    assert (done.model.path / "duo_classes.csv").read_text().count("left") == 1
    asked = PredictSettings(
        str(done.model.path), str(two_classes), probabilities=True, held_out=True, device="cpu"
    )
    said = predict(asked, tmp_path / "masks")
    measured = {
        classes: evaluate(
            EvaluationSettings(
                str(two_classes), str(tmp_path / "masks"), only_predicted=True, at=(0.5,), classes=classes
            ),
            tmp_path / f"evaluation {classes}",
            workers=1,
        ).metrics
        for classes in (None, "right")
    }
    assert not said.failed
    whole = measured[None][measured[None]["class"] == "right"].reset_index(drop=True)
    assert np.isfinite(whole["soft_dice"]).all()
    assert whole["soft_dice"].equals(measured["right"]["soft_dice"])


def test_without_labels_the_label_is_learnt_as_ever(two_classes, tmp_path, one_process):
    done = train(settings_for(two_classes, steps=1), tmp_path / "model")
    assert done.model.plan.labels == ""
    assert done.model.plan.regions is None
    kept = read_json(done.model.path / "plan.json")
    for name in ("labels", "rater_norm"):
        del kept[name]
    (done.model.path / "plan.json").write_text(json.dumps(kept))
    assert TrainingPlan.read(done.model.path / "plan.json") == done.model.plan, "plans of before are read"


def test_a_label_map_has_the_surest_class_and_the_highest_level():
    classes = {"a": (3,), "b": (5,)}
    p = np.array([[0.9, 0.6, 0.2], [0.1, 0.8, 0.4]], np.float32)
    one = RegionPrediction(p, classes, parse_strategy("soft"))
    assert one.labels().tolist() == [3, 5, 0]
    assert one.largest == 5
    p = np.array(
        [[0.9, 0.9, 0.3, 0.1], [0.2, 0.8, 0.9, 0.1], [0.6, 0.1, 0.2, 0.1], [0.1, 0.1, 0.6, 0.6]], np.float32
    )
    several = RegionPrediction(p, classes, parse_strategy("multi:.3,.6"))
    # of a level that is reached above one that is not, nothing counts
    assert several.labels().tolist() == [1, 2, 0, 0]
    assert several.largest == 4
    np.testing.assert_allclose(several.soft.probability("a"), [0.55, 0.85, 0.3, 0.1], atol=1e-6)


# -- what cannot work -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": "perhaps"}, "no such way to learn"),
        ({"labels": "threshold:60"}, "60% is .6"),
        ({"labels": "soft", "objective": "sure"}, "exclude one another"),
        ({"labels": "multi", "objective": "edl"}, "take plain or a cell of DUO"),
        ({"labels": "regress", "objective": "rw"}, "take plain"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, more, said):
    with pytest.raises(UsageError, match=said):
        settings_for(tmp_path, **more)


@pytest.fixture
def stated(tmp_path, write_small, one_process):
    """stated(number of each class everywhere inside, ...): refused, with what is said; nothing is left."""
    data = tmp_path / "data"
    write_small(data, 4, faults=False, shape=(6, 8, 8))

    def refused(inside, labels, **more):
        about = json.loads((data / "dataset.json").read_text())
        (data / "dataset.json").write_text(json.dumps({**about, "confidence": {"scale": 10}}))
        for case in open_dataset(data).cases:
            label = case.read_label()
            q = np.stack(
                [(label.array == value) * number for value, number in zip((1, 2), inside, strict=True)]
            )
            (data / "confidencesTr").mkdir(exist_ok=True)
            write_nifti(data / "confidencesTr" / f"{case.id}.nii.gz", q.astype(np.uint8), label.geometry)
        with pytest.raises(UsageError) as error:
            train(settings_for(data, labels=labels, **more), tmp_path / "model")
        assert not (tmp_path / "model").exists()
        return str(error.value)

    return SimpleNamespace(refused=refused, data=data)


def test_nothing_to_learn_is_said_before_anything_is_trained(stated, tmp_path):
    with pytest.raises(UsageError, match="states none; expected confidencesTr"):
        train(settings_for(stated.data, labels="soft"), tmp_path / "model")
    assert "0 everywhere" in stated.refused((0, 0), "soft")
    assert "nothing that counts of left, right is in the" in stated.refused((5, 5), "weight")
    assert "of right is in" in stated.refused((10, 0), "soft")
    assert "--classes left" in stated.refused((10, 5), "threshold:.9")
    assert "of left >= 0.9, right >= 0.9 is" in stated.refused((8, 8), "multi:.5,.9")


def test_a_case_without_confidences_is_named_and_the_others_are_learnt(two_classes, tmp_path, one_process):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(two_classes, data)
    case = open_dataset(data).cases[0].id
    shutil.rmtree(data / "raters" / case)
    done = train(settings_for(data, labels="soft", steps=1), tmp_path / "model")
    assert "no confidences" in done.failed[case]
    assert asdict(done.model.plan)["failed"] == done.failed
