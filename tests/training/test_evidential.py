"""Evidential objectives in the training loop: what they are made of, what they draw, what they leave alone."""

import numpy as np
import pytest
import torch

from aleaseg.cues import distance_map, gradient_map
from aleaseg.losses.evidential import evidential_loss
from aleaseg.losses.sure import VARIANTS, SureSettings, sure_terms
from aleaseg.training.augment import augmentation
from aleaseg.training.batches import Batch, Batches, batch_at
from aleaseg.training.copies import copy_of, write_copy
from aleaseg.training.evidential import Evidential
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.loop import fit
from aleaseg.training.objectives import is_evidential, make_objective, settings_of
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.training.schedule import Schedule

GRID = WorkingGrid((2.0, 1.0, 1.0), (8, 8, 8), (1, 1, 1))


@pytest.fixture
def cases(tmp_path):
    """Four small cases on disk; the last shows nothing."""
    rng, found = np.random.default_rng(0), []
    for number in range(4):
        label = np.zeros((8, 8, 8), np.uint8)
        if number < 3:
            label[2:6, 2:6, 2:5], label[2:6, 2:6, 5:7] = 1, 2
        label[:, :1] = IGNORE
        image = (label % 3)[None] + rng.normal(0, 0.2, (1, 8, 8, 8))
        one = copy_of(tmp_path, f"c{number}")
        write_copy(one, image.astype(np.float16), label)
        found.append(one)
    return found


def network():
    torch.manual_seed(0)
    return NetworkPlan("small").build(Preprocessing(GRID, [None], (1, 2)), train=True)


def objective(settings):
    return make_objective(settings, torch.nn.Identity(), (), 2, spacing_mm=GRID.spacing_mm)


def trained(cases, folder, settings, *, stop=None, workers=0, steps=6):
    """Losses of a training; from its checkpoint where there is one."""
    net, losses = network(), []

    def on_step(step, loss):
        losses.append(loss)
        if step == stop:
            raise KeyboardInterrupt

    fit(
        net,
        cases,
        GRID.patch,
        Schedule(steps, 2, seed=3, checkpoint_every=1, workers=workers),
        checkpoint=folder / "c.pt",
        objective=objective(settings),
        on_step=on_step,
    )
    return losses, net


def test_a_batch_brings_distance_and_gradient_of_what_the_network_sees(cases):
    made = objective(VARIANTS["sure"])
    batch = batch_at(0, cases, GRID.patch, Schedule(1, 4), augmentation("light", 3), made.maps)
    for image, target, d, g in zip(batch.image, batch.target, batch.distance, batch.gradient, strict=True):
        spacing = GRID.spacing_mm
        wanted = distance_map(target[0].numpy(), spacing=spacing, ignore_index=IGNORE)
        np.testing.assert_array_equal(d.numpy(), wanted)
        np.testing.assert_allclose(g.numpy(), gradient_map(image.numpy(), spacing=spacing))
    assert objective(VARIANTS["edl"]).maps is None, "what is not asked for is not made"
    assert batch_at(0, cases, GRID.patch, Schedule(1, 4), augmentation("light", 3)).distance is None


def test_batches_of_processes_are_those_of_this_one(cases):
    made = objective(VARIANTS["sure"])
    here, there = (
        list(Batches(cases, GRID.patch, Schedule(2, 2, workers=workers), made.maps).after(0))
        for workers in (0, 1)
    )
    for one, other in zip(here, there, strict=True):
        for name in ("image", "target", "distance", "gradient"):
            torch.testing.assert_close(
                getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True
            )
            assert getattr(one, name).dtype == getattr(other, name).dtype
        assert (one.ids, one.seed) == (other.ids, other.seed)


def test_the_loss_is_what_the_losses_say(cases):
    settings = SureSettings(begin=0.0)
    made, net = objective(settings), network()
    batch = batch_at(5, cases, GRID.patch, Schedule(9, 4), augmentation("none", 3), made.maps)
    batch = Batch(**{**batch.__dict__, "progress": 0.5})
    found = made(net, batch)
    logits = net(batch.image)
    seg = evidential_loss(logits, batch.target[:, 0], 0.5, ignore_index=IGNORE)
    more, parts = sure_terms(
        net,
        batch.image,
        logits,
        batch.target[:, 0],
        batch.distance,
        batch.gradient,
        0.5,
        (0, 5),
        settings,
    )
    torch.testing.assert_close(found, seg + more)
    assert set(parts) == {"gradient", "level", "distance", "far"}
    assert float(more.detach()) > 0


def test_before_it_begins_sure_is_edl_and_without_weights_always(cases, tmp_path):
    edl, _ = trained(cases, _folder(tmp_path, "edl"), VARIANTS["edl"])
    nothing, _ = trained(cases, _folder(tmp_path, "nothing"), settings_of("sure:beta=0:gamma=0"))
    assert nothing == edl
    sure, _ = trained(cases, _folder(tmp_path, "sure"), settings_of("sure:begin=0.5"))
    assert sure[:3] == edl[:3]
    assert sure[3:] != edl[3:]


@pytest.mark.parametrize("name", ["edl", "edl_b", "sure:begin=0", "sure2025:begin=0"])
def test_interrupted_and_gone_on_with_it_is_the_same_training(cases, tmp_path, name):
    whole, net = trained(cases, _folder(tmp_path, "whole"), settings_of(name))
    parts = _folder(tmp_path, "parts")
    with pytest.raises(KeyboardInterrupt):
        trained(cases, parts, settings_of(name), stop=3)
    rest, again = trained(cases, parts, settings_of(name))
    assert rest == whole[-len(rest) :]
    assert 2 <= len(rest) < 6
    for one, other in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_batch_that_shows_nothing_has_a_finite_loss(cases, tmp_path):
    losses, net = trained(cases[3:], _folder(tmp_path, "empty"), settings_of("sure:begin=0"), steps=3)
    assert np.isfinite(losses).all()
    assert all(torch.isfinite(one).all() for one in net.parameters())


def test_levels_of_deep_supervision_learn_evidence_and_the_finest_alone_is_ordered():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.asked, self.heads = 0, torch.nn.ModuleList(torch.nn.Conv3d(1, 3, 1) for _ in range(3))

        def forward(self, x):
            self.asked += 1
            coarser = [torch.nn.functional.avg_pool3d(x, 2**level) if level else x for level in range(3)]
            return [head(one) for head, one in zip(self.heads, coarser, strict=True)]

    torch.manual_seed(0)
    net, made = Two(), Evidential(SureSettings(begin=0.0), None)
    label = torch.zeros(2, 1, 8, 8, 8, dtype=torch.long)
    label[:, :, 2:6, 2:6, 2:6] = 1
    image = torch.randn(2, 1, 8, 8, 8)
    maps = [made.maps(x.numpy(), y[0].numpy().astype(np.uint8)) for x, y in zip(image, label, strict=True)]
    batch = Batch(
        image,
        label,
        progress=0.5,
        **{name: torch.as_tensor(np.stack([one[name] for one in maps])) for name in maps[0]},
    )
    made(net, batch).backward()
    assert net.asked == 4, "clean, whole noise, two levels"
    first, second, third = (head.weight.grad for head in net.heads)
    assert bool(first.abs().sum() > 0)
    assert bool(second.abs().sum() > 0)
    assert third is None or not bool(third.abs().sum()), "the coarsest level does not count"


def test_names_and_what_is_said_of_wrong_ones():
    assert settings_of("sure:beta=0.5:far=10") == SureSettings(beta=0.5, far=10.0)
    assert settings_of("sure:official=1").official is True
    assert is_evidential("edl_b")
    assert not is_evidential("duo")
    with pytest.raises(ValueError, match=r"'sure:alpha=1': no setting 'alpha'; expected .*begin"):
        settings_of("sure:alpha=1")
    with pytest.raises(ValueError, match="'sure:beta=x': beta is 'x'; expected a number"):
        settings_of("sure:beta=x")
    with pytest.raises(ValueError, match=r"'sure:begin=2': begin is 2"):
        settings_of("sure:begin=2")
    with pytest.raises(ValueError, match="'plain:beta=1': no setting 'beta'; expected none"):
        settings_of("plain:beta=1")


def _folder(root, name):
    (root / name).mkdir()
    return root / name
