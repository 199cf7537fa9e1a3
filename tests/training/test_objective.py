"""What a training makes small: voxels that nobody annotated, DUO's cells, and going on after a kill."""

import numpy as np
import pytest
import torch

from aleaseg.losses import DUOLoss
from aleaseg.training.batches import Batch, cases_at
from aleaseg.training.copies import copy_of, write_copy
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.loop import fit
from aleaseg.training.objectives import OBJECTIVES, DuoSettings, make_objective, settings_of
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.training.schedule import Schedule

GRID = WorkingGrid((1.0, 1.0, 1.0), (8, 8, 8), (1, 1, 1))
IDS = ("a", "b", "c", "d")


def loss_of(logits, target):
    """The plain objective, without a network."""
    return make_objective(None, torch.nn.Identity(), (), 2).of(logits, Batch(logits, target))


def test_what_nobody_annotated_does_not_count():
    rng = np.random.default_rng(0)
    target = torch.as_tensor(rng.integers(0, 3, (2, 1, 4, 6, 6)))
    target[:, :, :2] = IGNORE
    logits = torch.as_tensor(rng.normal(size=(2, 3, 4, 6, 6))).requires_grad_()
    loss = loss_of(logits, target)
    loss.backward()
    loss = loss.detach()
    assert float(logits.grad[:, :, :2].abs().max()) == 0
    assert float(logits.grad[:, :, 2:].abs().max()) > 0
    other = logits.detach().clone()
    other[:, :, :2] = torch.as_tensor(rng.normal(0, 50, (2, 3, 2, 6, 6)))
    assert float(loss_of(other, target)) == pytest.approx(float(loss), rel=1e-9)
    part = loss_of(logits.detach()[:, :, 2:], target[:, :, 2:])
    assert float(part) == pytest.approx(float(loss), rel=1e-5)


def test_a_batch_that_nobody_annotated_moves_nothing():
    logits = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    loss = loss_of(logits, torch.full((1, 1, 4, 4, 4), IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().max()) == 0


@pytest.fixture
def cases(tmp_path):
    """Four small cases on disk."""
    rng, found = np.random.default_rng(0), []
    for name in IDS:
        label = np.zeros((8, 8, 8), np.uint8)
        label[2:6, 2:6, 2:5], label[2:6, 2:6, 5:7] = 1, 2
        label[:, :1] = IGNORE
        image = (label % 3)[None] + rng.normal(0, 0.2, (1, 8, 8, 8))
        one = copy_of(tmp_path, name)
        write_copy(one, image.astype(np.float16), label)
        found.append(one)
    return found


def build():
    torch.manual_seed(0)
    return NetworkPlan("small").build(Preprocessing(GRID, [None], (1, 2)), train=True)


def objective_for(network, name, ids=IDS):
    return make_objective(settings_of(name), network, ids, 2)


def test_the_ablation_begins_with_duos_own_loss_without_weights_or_noise():
    torch.manual_seed(1)
    logits, target = torch.randn(2, 3, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8))
    target[:, :, 0] = IGNORE
    found = objective_for(torch.nn.Identity(), "seg").of(logits, Batch(logits, target, IDS[:2]))
    wanted = DUOLoss(reweight=False, ignore_index=IGNORE)(logits, target)
    torch.testing.assert_close(found, wanted)
    weighted = objective_for(torch.nn.Identity(), "rw").of(logits, Batch(logits, target, IDS[:2]))
    assert weighted < found, "weights are below 1"
    torch.testing.assert_close(
        objective_for(torch.nn.Identity(), "rw:alpha=0").of(logits, Batch(logits, target, IDS[:2])), wanted
    )


def test_a_semimetric_dice_is_dices_own_on_hard_targets_and_smallest_at_soft_ones():
    torch.manual_seed(1)
    logits, target = torch.randn(2, 3, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8))
    sure = 60 * torch.nn.functional.one_hot(target[:, 0], 3).movedim(-1, 1) - 30.0
    batch = Batch(logits, target, IDS[:2])
    usual, semimetric = (objective_for(torch.nn.Identity(), name) for name in ("seg", "seg:semimetric=1"))
    torch.testing.assert_close(semimetric.of(sure, batch), usual.of(sure, batch))
    wanted = DUOLoss(reweight=False, ignore_index=IGNORE, semimetric=True)
    torch.testing.assert_close(semimetric.of(logits, batch), wanted(logits, target))
    # A third of the voxels are noise by a half: the loss at the target itself, and pushed beyond it.
    noise = torch.where(torch.rand(2, 2, 8, 8, 8) < 1 / 3, 0.5, 0.0)
    hard = torch.nn.functional.one_hot(target[:, 0], 3).movedim(-1, 1)[:, 1:].float()
    soft = (hard - noise).clamp(0, 1)
    for made, at_target in ((usual, False), (semimetric, True)):
        made.duo.beta = 1.0  # Dice alone
        rest = (1 - soft.sum(1, keepdim=True)).clamp(min=0)
        there = made.duo(torch.log(torch.cat([rest, soft], 1) + 1e-9), target, noise)
        beyond = made.duo(
            torch.log(torch.cat([1 - hard.sum(1, keepdim=True), hard], 1) + 1e-9), target, noise
        )
        assert bool(there < beyond) is at_target


@pytest.mark.parametrize("name", OBJECTIVES)
def test_killed_at_any_step_it_goes_on_with_the_same_numbers(tmp_path, cases, name):
    settings = Schedule(5, 2, checkpoint_every=1)

    def trained(checkpoint, stop=None):
        network, losses = build(), []

        def look(step, loss):
            losses.append(loss)
            if step == stop:
                raise KeyboardInterrupt

        made = objective_for(network, name)
        fit(network, cases, GRID.patch, settings, checkpoint=checkpoint, objective=made, on_step=look)
        return losses, network.state_dict(), made.state_dict()

    whole = trained(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut.pt", stop=3)
    again = trained(tmp_path / "cut.pt")
    assert again[0] == whole[0][2:]
    for mine, theirs in zip(again[1:], whole[1:], strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(value, theirs[key], rtol=0, atol=0)
            else:
                assert value == theirs[key]


def test_noise_is_learned_beside_the_network_and_projected_after_each_pass(tmp_path, cases):
    network = build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = objective_for(network, "en")
    start = made.denoising.state.epsilon.detach().clone()
    fit(network, cases, GRID.patch, Schedule(4, 2), checkpoint=tmp_path / "c.pt", objective=made)
    epsilon = made.denoising.state.epsilon.detach()
    assert made.denoising.epoch == 2
    torch.testing.assert_close(epsilon.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(epsilon.square().mean(0), torch.ones(2), atol=1e-5, rtol=0)
    assert not torch.equal(epsilon, start)
    assert network.state_dict().keys() == before.keys()


def test_the_ids_of_a_step_are_those_of_its_batch_and_a_pass_has_each_once(cases):
    settings = Schedule(4, 2)
    passes = [
        [case.id for step in pair for case in cases_at(step, cases, settings)] for pair in ((0, 1), (2, 3))
    ]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(IDS)


def test_settings_by_name():
    assert settings_of("plain") is None
    assert settings_of("duo:alpha=2:beta=0.25") == DuoSettings(True, True, alpha=2.0, beta=0.25)
    for wrong, text in (
        ("dua", "expected one of: plain, seg"),
        ("rw:gamma=1", "no setting 'gamma'"),
        ("rw:alpha=high", "alpha is 'high'; expected a number"),
        ("rw:weights=1;2", "weights is '1;2'; expected numbers"),
    ):
        with pytest.raises(ValueError, match=text):
            settings_of(wrong)
    with pytest.raises(ValueError, match="no setting 'alpha'"):
        settings_of("plain:alpha=1")


# -- several outputs ------------------------------------------------------------------------------


class Pyramid(torch.nn.Module):
    """Logits at full, half and a quarter of the resolution, each of its own convolution."""

    def __init__(self):
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Conv3d(1, 3, 1) for _ in range(3))

    def forward(self, x):
        coarser = [torch.nn.functional.avg_pool3d(x, 2**level) if level else x for level in (2, 1, 0)]
        # The finest is listed last, as networks that decode list theirs.
        return [head(one) for head, one in zip(self.heads, coarser, strict=True)][::-1]


@pytest.mark.parametrize("name", ["plain", "seg", "rw"])
def test_deep_supervision_halves_the_weight_of_each_coarser_level_and_leaves_out_the_coarsest(name):
    torch.manual_seed(1)
    network = Pyramid()
    made = objective_for(network, name)
    target = torch.randint(0, 3, (2, 1, 8, 8, 8))
    target[:, :, 0] = IGNORE
    outputs = network(torch.randn(2, 1, 8, 8, 8))
    found = made.of(outputs, Batch(outputs[0], target, IDS[:2]))
    # The nearest voxel of every second one is the one behind the middle.
    coarse = target[:, :, 1::2, 1::2, 1::2]
    parts = [
        made.of(one, Batch(one, of, IDS[:2])) for one, of in zip(outputs[:2], (target, coarse), strict=True)
    ]
    torch.testing.assert_close(found, (parts[0] + 0.5 * parts[1]) / 1.5)


def test_what_is_seen_of_several_outputs_is_the_finest():
    torch.manual_seed(1)
    network = Pyramid()
    target = torch.randint(0, 3, (2, 1, 8, 8, 8))
    outputs = network(torch.randn(2, 1, 8, 8, 8))
    several, one = objective_for(network, "rw"), objective_for(network, "rw")
    several.of(outputs, Batch(outputs[0], target, IDS[:2]))
    one.of(outputs[0], Batch(outputs[0], target, IDS[:2]))
    torch.testing.assert_close(several.seen(), one.seen())
    weights, scales = several.seen()
    assert weights.shape == scales.shape == (2,)
    # 1 / (1 + S / 2) is convex: the mean of the weights is at least the weight of the mean.
    assert bool((weights >= 1 / (1 + scales / 2) - 1e-6).all())
    assert objective_for(network, "seg").seen() is None


def test_every_level_has_its_own_noise(tmp_path, cases):
    network = Pyramid()
    made = objective_for(network, "duo")
    fit(network, cases, GRID.patch, Schedule(2, 2), checkpoint=tmp_path / "c.pt", objective=made)
    assert made.denoising.epoch == 1
    assert made.denoising.state.epsilon.grad is not None


def test_an_epochs_weights_and_scales_are_means_over_its_steps_even_after_a_kill(tmp_path, cases):
    settings = Schedule(6, 2, checkpoint_every=1, epoch_steps=3)

    def trained(checkpoint, stop=None):
        network, steps, epochs = build(), [], []
        made = objective_for(network, "rw")

        def look(step, loss):
            steps.append(made.seen().numpy())
            if step == stop:
                raise KeyboardInterrupt

        fit(
            network,
            cases,
            GRID.patch,
            settings,
            checkpoint=checkpoint,
            objective=made,
            on_step=look,
            on_epoch=epochs.append,
        )
        return steps, epochs

    steps, epochs = trained(tmp_path / "whole.pt")
    np.testing.assert_allclose(epochs[0].seen, np.mean(steps[:3], axis=0))
    np.testing.assert_allclose(epochs[1].seen, np.mean(steps[3:], axis=0))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut.pt", stop=5)
    _, later = trained(tmp_path / "cut.pt")
    np.testing.assert_array_equal(later[-1].seen, epochs[-1].seen)
