"""Trainings: they learn, they go on where they were, and two processes do what one does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aleaseg.losses import DUOLoss, LabelDenoising

IDS = ["a", "b", "c", "d"]


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.InstanceNorm3d(8), nn.ReLU(), nn.Conv3d(8, 3, 1))


def cases():
    """Four images (4, 1, 8, 8, 8) of two blocks, and their labels; the last label is shifted."""
    rng = np.random.default_rng(0)
    labels = np.zeros((4, 1, 8, 8, 8), int)
    for i in range(4):
        at = rng.integers(0, 4)
        labels[i, 0, at : at + 4, 1:4, 2:6], labels[i, 0, at : at + 4, 4:7, 2:6] = 1, 2
    images = torch.tensor(labels + rng.normal(0, 0.3, labels.shape), dtype=torch.float32)
    labels[3] = np.roll(labels[3], 1, axis=1)
    return images, torch.tensor(labels)


class Training:
    """A loop with DUO and denoising."""

    def __init__(self, lr=0.1, **options):
        self.network = small_network()
        self.denoising = LabelDenoising(self.network, IDS, 2, **options)
        self.duo = DUOLoss()
        self.optimizer = torch.optim.SGD(
            [*self.network.parameters(), *self.denoising.parameters()], lr=lr, momentum=0.9
        )

    def step(self, chosen):
        images, labels = cases()
        logits = self.network(images[chosen])
        noise = self.denoising.noise([IDS[i] for i in chosen], logits)
        loss = self.duo(logits, labels[chosen], noise) + self.denoising.penalty()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def epoch(self):
        losses = [self.step([0, 1]), self.step([2, 3])]
        self.denoising.end_epoch()
        return losses

    def save(self):
        parts = (self.network, self.denoising, self.optimizer)
        return [part.state_dict() for part in parts]

    def load(self, states):
        for part, state in zip((self.network, self.denoising, self.optimizer), states, strict=True):
            part.load_state_dict(state)


def test_it_learns_and_keeps_its_constraints():
    training = Training(initial=0.05, penalty=0.1)
    images, labels = cases()
    before = (training.network(images[:3]).argmax(1, keepdim=True) == labels[:3])[labels[:3] > 0]
    for _ in range(30):
        training.epoch()
    after = (training.network(images[:3]).argmax(1, keepdim=True) == labels[:3])[labels[:3] > 0]
    assert before.float().mean() < 0.5
    assert after.float().mean() > 0.8
    epsilon = training.denoising.state.epsilon
    assert torch.allclose(epsilon.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(epsilon.square().mean(0), torch.ones(2), atol=1e-5)
    assert not torch.allclose(epsilon, Training().denoising.state.epsilon, atol=1e-3)  # they were learned


def test_a_training_that_goes_on_has_the_same_next_loss(tmp_path):
    options = {"initial": 0.1, "penalty": 0.1, "warm_up": 2}
    whole = Training(**options)
    for _ in range(3):
        whole.epoch()
    whole.step([0, 1])
    torch.save(whole.save(), tmp_path / "checkpoint.pt")
    following = [whole.step([2, 3]), whole.denoising.end_epoch(), *whole.epoch()]

    # Made with other noise and another order of the cases: what counts is what was saved.
    resumed = Training(**options, seed=7)
    resumed.load(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert resumed.denoising.epoch == 3
    assert [resumed.step([2, 3]), resumed.denoising.end_epoch(), *resumed.epoch()] == following


def test_resuming_with_other_cases_is_refused():
    training = Training()
    other = LabelDenoising(small_network(), ["a", "b", "c", "e"], 2)
    with pytest.raises(Exception, match="d: found noise for it in the saved state"):
        other.load_state_dict(training.denoising.state_dict())


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    running = [
        subprocess.Popen(
            [sys.executable, script, tmp_path, str(rank)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    one, two, alone = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("0", "1", "alone")
    )
    assert one.keys() == alone.keys()
    for key in alone:
        assert torch.equal(one[key], two[key]), f"{key} differs between the processes"
        assert torch.allclose(one[key], alone[key], atol=1e-5), f"{key} is not what one process learns"
