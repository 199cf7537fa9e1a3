"""The training loop: it learns, goes on exactly where it was, and leaves out what nobody annotated."""

import errno

import numpy as np
import pytest
import torch

from aleaseg.errors import AleasegError, UsageError
from aleaseg.training.augment import augmentation
from aleaseg.training.batches import batch_at
from aleaseg.training.copies import WorkingCopy, copy_of, write_copy
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.inference import predict_features, predict_logits
from aleaseg.training.loop import fit
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.training.schedule import Schedule

GRID = WorkingGrid((1.0, 1.0, 1.0), (8, 12, 12), (0, 1, 1))


@pytest.fixture
def prepared(tmp_path):
    """prepared(n, shape): cases with a bright box on the working grid, on disk."""

    def _prepared(n=6, shape=(8, 12, 12)):
        cases = []
        for index in range(n):
            rng = np.random.default_rng(index)
            label = np.zeros(shape, np.uint8)
            start = [int(rng.integers(0, max(1, s // 2 - 1))) for s in shape]
            label[tuple(slice(a, a + max(1, s // 2)) for a, s in zip(start, shape, strict=True))] = 1
            image = (label * 2.0 + rng.normal(0, 0.3, shape) - 1)[None].astype(np.float16)
            case = copy_of(tmp_path, f"c{index}")
            write_copy(case, image, label)
            cases.append(case)
        return cases

    return _prepared


def network(grid=GRID, values=(1,)):
    torch.manual_seed(3)
    return NetworkPlan("small").build(Preprocessing(grid, [None], values), train=True)


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


class Killed(Exception):
    pass


def killed_at(step):
    def on_step(done, loss):
        if done == step:
            raise Killed

    return on_step


@pytest.mark.parametrize("stop", [1, 4, 5])
def test_stopped_and_resumed_is_bit_for_bit_the_uninterrupted_training(prepared, tmp_path, stop):
    cases = prepared()
    settings = Schedule(steps=7, batch=2, seed=11, checkpoint_every=2)
    whole, parts = network(), network()
    told = fit(whole, cases, GRID.patch, settings, checkpoint=tmp_path / "whole.pt")
    with pytest.raises(Killed):
        fit(
            parts,
            cases,
            GRID.patch,
            settings,
            checkpoint=tmp_path / "parts.pt",
            on_step=killed_at(stop),
        )
    assert (tmp_path / "parts.pt").exists() == (stop >= 2)
    parts = network()  # a new process knows nothing of the old weights
    again = fit(parts, cases, GRID.patch, settings, checkpoint=tmp_path / "parts.pt")
    assert again["loss"] == told["loss"]
    assert again["steps"] == 7
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(parts)[name]), name


def test_other_seeds_are_other_networks(prepared, tmp_path):
    cases = prepared()
    results = []
    for seed in (0, 1):
        net = network()
        fit(net, cases, GRID.patch, Schedule(3, 2, seed=seed), checkpoint=tmp_path / f"{seed}.pt")
        results.append(weights(net))
    assert any(not torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_finished_training_is_not_trained_again(prepared, tmp_path):
    cases, settings = prepared(), Schedule(3, 2)
    net = network()
    fit(net, cases, GRID.patch, settings, checkpoint=tmp_path / "c.pt")
    before = weights(net)
    steps = []
    fit(net, cases, GRID.patch, settings, checkpoint=tmp_path / "c.pt", on_step=lambda *s: steps.append(s))
    assert steps == []
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(net).items())


def test_it_learns_a_toy(prepared, tmp_path):
    cases = prepared(8)
    net = network()
    losses = []
    fit(
        net,
        cases[:6],
        GRID.patch,
        Schedule(60, 4, learning_rate=1e-2),
        checkpoint=tmp_path / "c.pt",
        on_step=lambda step, loss: losses.append(loss),
    )
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    for case in cases[6:]:
        image, label = case.arrays()
        found = predict_logits(net, image, GRID.patch).argmax(axis=0)
        assert 2 * (found & label).sum() / (found.sum() + label.sum()) > 0.85


def test_time_that_is_up_ends_the_training_after_the_first_steps(prepared, tmp_path):
    told = fit(
        network(), prepared(), GRID.patch, Schedule(5000, 2, seconds=0.01), checkpoint=tmp_path / "c"
    )
    assert told["stopped_by_budget"]
    assert told["steps"] == 10


def test_a_loss_that_is_no_number_stops_the_training(prepared, tmp_path):
    cases = prepared()
    np.save(cases[2].image, np.full((1, 8, 12, 12), np.nan, np.float16))
    with pytest.raises(AleasegError, match=r"the loss became nan at step [123]; expected a finite number"):
        fit(network(), cases, GRID.patch, Schedule(9, 2), checkpoint=tmp_path / "c.pt")


def test_weights_that_are_no_numbers_take_no_checkpoints_place(prepared, tmp_path):
    """The last step's: no later loss shows them."""

    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits):
            return logits.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * (np.nan if done and done[-1] == 3 else 1.0)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, image):
            return Steep.apply(self.inner(image))

    done, checkpoint = [], tmp_path / "c.pt"
    with pytest.raises(
        AleasegError, match=r"no finite numbers after step 4; the checkpoint of step 2 stays"
    ):
        fit(
            Network(),
            prepared(),
            GRID.patch,
            Schedule(4, 2, checkpoint_every=2),
            checkpoint=checkpoint,
            on_step=lambda step, loss: done.append(step),
        )
    kept = torch.load(checkpoint, weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in kept["network"].values())


def test_every_pass_shows_every_case_once(prepared):
    cases = prepared(6)
    seen = []

    class Spy(WorkingCopy):
        def arrays(self):
            seen.append(self.id)
            return super().arrays()

    spies = [Spy(case.id, case.image, case.label, case.places) for case in cases]
    settings, augment = Schedule(3, 2, seed=5), augmentation("light", 3)
    for step in range(3):
        batch = batch_at(step, spies, GRID.patch, settings, augment)
        image, target = batch.image, batch.target
        assert image.shape == (2, 1, *GRID.patch)
        assert target.shape == (2, 1, *GRID.patch)
        assert image.dtype == torch.float32
        assert set(target.unique().tolist()) <= {0, 1, IGNORE}
    assert sorted(seen) == sorted(case.id for case in cases)


def test_a_batch_depends_on_seed_and_step_alone(prepared):
    cases, settings, augment = prepared(), Schedule(9, 2, seed=5), augmentation("light", 3)
    batch_at(0, cases, GRID.patch, settings, augment)
    after = batch_at(4, cases, GRID.patch, settings, augment)
    fresh = batch_at(4, cases, GRID.patch, settings, augmentation("light", 3))
    assert torch.equal(after.image, fresh.image)
    assert torch.equal(after.target, fresh.target)
    other = batch_at(5, cases, GRID.patch, settings, augment)
    assert not torch.equal(after.image, other.image)


@pytest.mark.parametrize("shape", [(3, 5, 6), (20, 30, 7), (8, 12, 12), (1, 1, 1)])
def test_patches_and_predictions_of_smaller_and_larger_cases(prepared, shape):
    cases = prepared(4, shape)
    batch = batch_at(0, cases, GRID.patch, Schedule(1, 4), augmentation("light", 3))
    image, target = batch.image, batch.target
    assert image.shape == (4, 1, *GRID.patch)
    assert torch.isfinite(image).all()
    outside = np.prod(GRID.patch) - np.prod(np.minimum(shape, GRID.patch))
    if not outside:
        assert not (target == IGNORE).any()
    else:
        assert (target == IGNORE).any(), "padding is nobody's annotation"
    net = network().eval()
    logits = predict_logits(net, cases[0].arrays()[0], GRID.patch)
    assert logits.shape == (2, *shape)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    if shape == GRID.patch:
        with torch.inference_mode():
            direct = net(torch.as_tensor(cases[0].arrays()[0].astype(np.float32))[None])[0].numpy()
        np.testing.assert_allclose(logits, direct, atol=1e-4)


@pytest.mark.parametrize("levels", [(0, 1, 1), (1, 1, 1), (0, 0, 0), (0, 2, 2)])
@pytest.mark.parametrize("shape", [(8, 12, 12), (3, 5, 6), (9, 21, 31), (20, 13, 7), (1, 1, 1)])
def test_features_come_with_the_same_logits_on_the_grid_of_the_last_layer(shape, levels):
    grid = WorkingGrid((1.0, 1.0, 1.0), (8, 12, 12), levels)
    net = network(grid)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    logits, features = predict_features(net, image, grid.patch)
    np.testing.assert_array_equal(logits, predict_logits(net, image, grid.patch))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    for n, coarse, patch, level in zip(shape, features.shape[1:], grid.patch, levels, strict=True):
        # The last layer doubles the axes that have as many levels as any.
        halved = level == max(levels) > 0
        assert coarse == (n if not halved else -(-n // 2) if n <= patch else n // 2)
    assert not net.head._forward_pre_hooks, "the network is left as it was"


def test_features_are_what_the_last_layer_makes_the_logits_from(prepared):
    (case, *_) = prepared(1)
    net = network().eval()
    logits, features = predict_features(net, case.arrays()[0], GRID.patch)
    with torch.inference_mode():
        again = net.head(torch.as_tensor(features)[None])[0].numpy()
    np.testing.assert_allclose(again, logits, atol=1e-4)


def test_a_case_too_large_for_the_gpu_is_added_up_in_memory(prepared, monkeypatch):
    import monai.inferers

    image, net = prepared(1, (16, 24, 24))[0].arrays()[0], network()
    expected, windows, asked = (
        predict_logits(net, image, GRID.patch),
        monai.inferers.sliding_window_inference,
        [],
    )

    def full(inputs, *args, device=None, **more):
        asked.append(device)
        if device is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return windows(inputs, *args, device=device, **more)

    monkeypatch.setattr(monai.inferers, "sliding_window_inference", full)
    np.testing.assert_array_equal(predict_logits(net, image, GRID.patch), expected)
    assert asked == [None, "cpu"]


def test_features_of_two_dimensions():
    grid = WorkingGrid((1.0, 1.0), (16, 16), (2, 2))
    net = network(grid)
    image = np.random.default_rng(0).normal(size=(1, 21, 9)).astype(np.float32)
    logits, features = predict_features(net, image, grid.patch)
    assert logits.shape == (2, 21, 9)
    assert features.shape[1:] == (10, 5)


def test_a_step_is_told_before_it_is_kept(prepared, tmp_path):
    """Who looks at a step and is killed comes to that step again."""
    told = []

    def look(step, loss):
        told.append((step, (tmp_path / "c.pt").exists()))

    fit(
        network(),
        prepared(),
        GRID.patch,
        Schedule(3, 2, checkpoint_every=2),
        checkpoint=tmp_path / "c.pt",
        on_step=look,
    )
    assert told == [(1, False), (2, False), (3, True)]


# -- what a trainer asks for beside that ----------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_epochs_sgd_and_strong_augmentation_survive_a_kill(prepared, tmp_path, stop):
    cases = prepared(5, (12, 14, 12))
    settings = Schedule(
        7, 2, 0.01, seed=4, checkpoint_every=2, optimizer="sgd", epoch_steps=3, augmentation="strong"
    )

    def trained(name, on_step=lambda step, loss: None):
        net, told = network(), []
        fit(
            net,
            cases,
            GRID.patch,
            settings,
            checkpoint=tmp_path / name,
            on_step=on_step,
            on_epoch=told.append,
        )
        return net, told

    whole, told = trained("whole.pt")
    with pytest.raises(Killed):
        trained("cut.pt", killed_at(stop))
    again, later = trained("cut.pt")
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name]), name
    assert [(one.number, one.step) for one in told] == [(1, 3), (2, 6), (3, 7)]
    for mine, theirs in zip(reversed(later), reversed(told), strict=False):
        assert (mine.number, mine.loss, mine.learning_rate) == (
            theirs.number,
            theirs.loss,
            theirs.learning_rate,
        )


def test_an_epochs_loss_is_the_mean_of_its_steps_and_the_rate_falls_by_power(prepared, tmp_path):
    losses, epochs = [], []
    fit(
        network(),
        prepared(),
        GRID.patch,
        Schedule(5, 2, 0.02, epoch_steps=2),
        checkpoint=tmp_path / "c.pt",
        on_step=lambda step, loss: losses.append(loss),
        on_epoch=epochs.append,
    )
    assert [one.loss for one in epochs] == [
        np.mean(losses[:2]),
        np.mean(losses[2:4]),
        pytest.approx(losses[4]),
    ]
    rates = [0.02 * (1 - step / 5) ** 0.9 for step in (1, 3, 4)]
    assert [one.learning_rate for one in epochs] == pytest.approx(rates)
    assert all(one.seen is None for one in epochs)


def test_sgd_is_nnunets():
    from aleaseg.training.loop import _optimizer

    made = _optimizer([torch.nn.Parameter(torch.ones(1))], Schedule(1, 1, 0.01, optimizer="sgd"))
    assert isinstance(made, torch.optim.SGD)
    wanted = {"lr": 0.01, "momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}
    assert wanted.items() <= made.param_groups[0].items()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_batches_made_ahead_by_processes_are_the_same(prepared, tmp_path):
    cases, found = prepared(), []
    for workers in (0, 2):
        losses = []
        fit(
            network(),
            cases,
            GRID.patch,
            Schedule(3, 2, seed=1, workers=workers),
            checkpoint=tmp_path / f"{workers}.pt",
            on_step=lambda step, loss, kept=losses: kept.append(loss),
        )
        found.append(losses)
    assert found[0] == found[1]


def test_patches_are_about_the_places_that_are_known(prepared, tmp_path):
    """Two voxels of two classes, far apart."""
    known = prepared(1, (8, 12, 60))[0]
    mark = np.zeros((8, 12, 60), np.uint8)
    mark[4, 6, 10], mark[4, 6, 50] = 1, 2
    write_copy(known, np.load(known.image), mark)
    settings = Schedule(1, 400, seed=3)
    target = batch_at(0, [known], (8, 12, 12), settings, augmentation("none", 3)).target
    seen = [set(one.unique().tolist()) - {0} for one in target]
    share = {value: np.mean([value in one for one in seen]) for value in (1, 2)}
    # Half of the patches are about a place, either class alike; of the others about one in five holds one.
    assert share[1] == pytest.approx(0.25 + 0.5 * 11 / 49, abs=0.08)
    assert share[2] == pytest.approx(0.25 + 0.5 * 11 / 49, abs=0.08)
    write_copy(known, np.load(known.image), np.zeros_like(mark))
    batch_at(0, [known], (8, 12, 12), Schedule(1, 8), augmentation("none", 3))


def test_a_network_that_says_what_must_divide_is_predicted_in_windows_that_do(prepared):
    sizes = []

    class Picky(torch.nn.Module):
        divisor = (1, 4, 4)

        def forward(self, x):
            sizes.append(tuple(x.shape[2:]))
            return torch.cat([x, -x], 1)

    case = prepared(1, (3, 5, 30))[0]
    image = case.arrays()[0]
    logits = predict_logits(Picky(), image, GRID.patch)
    np.testing.assert_allclose(logits[0], image[0].astype(np.float32), atol=1e-3)
    assert set(sizes) == {(3, 8, 12)}


# -- checkpoints that cannot be used, or written --------------------------------------------------


@pytest.fixture
def half(prepared, tmp_path):
    """half(**changes) goes on from a checkpoint of step 2 of 6."""
    cases, settings, checkpoint = prepared(), Schedule(6, 2, checkpoint_every=2), tmp_path / "c.pt"
    with pytest.raises(Killed):
        fit(network(), cases, GRID.patch, settings, checkpoint=checkpoint, on_step=killed_at(3))

    def go_on(net=None, patch=GRID.patch, settings=settings):
        return fit(net or network(), cases, patch, settings, checkpoint=checkpoint)

    go_on.checkpoint = checkpoint
    return go_on


def test_a_checkpoint_of_another_network_is_refused_and_kept(half):
    before = half.checkpoint.read_bytes()
    torch.manual_seed(0)
    with pytest.raises(
        UsageError, match=r"c\.pt is the checkpoint of another network .*give another folder"
    ):
        half(network(values=(1, 2)))
    assert half.checkpoint.read_bytes() == before
    assert half()["steps"] == 6


def test_a_checkpoint_of_other_settings_is_refused(half):
    with pytest.raises(UsageError, match=r"made with other settings \(steps: 6 then, 9 now\)"):
        half(settings=Schedule(9, 2))
    with pytest.raises(UsageError, match=r"patch: \[8, 12, 12\] then, \[8, 8, 8\] now"):
        half(patch=(8, 8, 8))
    assert half(settings=Schedule(6, 2, checkpoint_every=1, seconds=1000))["steps"] == 6


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_checkpoint_is_named(half, content):
    half.checkpoint.write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.pt is not a complete checkpoint .*delete it"):
        half()


def test_a_checkpoint_without_settings_is_an_older_one(half):
    state = torch.load(half.checkpoint, weights_only=True)
    for name in ("settings", "patch", "seen"):
        del state[name]
    torch.save(state, half.checkpoint)
    assert half()["steps"] == 6


def test_a_full_disk_in_mid_checkpoint_leaves_the_last_one_whole(prepared, tmp_path, monkeypatch):
    from aleaseg.run import files

    cases, settings, checkpoint = prepared(), Schedule(6, 2, checkpoint_every=2), tmp_path / "c.pt"
    whole = network()
    told = fit(whole, cases, GRID.patch, settings, checkpoint=tmp_path / "whole.pt")
    written, replace = [], files.os.fsync

    def full(handle):
        written.append(handle)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    message = r"checkpoint of step 4 could not be written .*No space left.*that of step 2 is intact"
    with pytest.raises(AleasegError, match=message):
        fit(network(), cases, GRID.patch, settings, checkpoint=checkpoint)
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    assert sorted(path.name for path in tmp_path.glob("*.pt*")) == ["c.pt", "whole.pt"]
    again = network()
    assert fit(again, cases, GRID.patch, settings, checkpoint=checkpoint)["loss"] == told["loss"]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name]), name
