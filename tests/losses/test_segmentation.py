"""Dice and cross-entropy per sample and class: against loops in NumPy, and where floating point ends."""

import doctest

import numpy as np
import pytest
import torch

from aleaseg.losses import segmentation
from aleaseg.losses.segmentation import class_log_probabilities, dice_and_bce


def test_examples():
    result = doctest.testmod(segmentation)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("ignoring", [True, False])
def test_is_the_definition(reference, batch, softmax, background, ignoring):
    logits, _ = batch()
    rng = np.random.default_rng(1)
    t = rng.uniform(size=(2, 3 - background, 4, 5, 6))
    inside = rng.uniform(size=(2, 1, 4, 5, 6)) > 0.4
    counted = torch.tensor(inside) if ignoring else None
    dice, bce = dice_and_bce(
        logits, torch.tensor(t), softmax=softmax, background=background, counted=counted
    )
    assert dice.shape == bce.shape == (2, 3 - background)
    for b in range(2):
        p = (reference.softmax if softmax else reference.sigmoid)(logits[b].numpy())[int(background) :]
        for c in range(len(p)):
            here = inside[b, 0] if ignoring else slice(None)
            assert dice[b, c].item() == pytest.approx(reference.dice(p[c][here], t[b, c][here]), abs=1e-12)
            assert bce[b, c].item() == pytest.approx(reference.bce(p[c][here], t[b, c][here]), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint8, torch.float32, torch.bool])
def test_a_label_map_is_its_one_hot(batch, dtype):
    logits, labels = batch()
    if dtype == torch.bool:
        labels = labels.clamp(max=1)
    one_hot = torch.cat([labels == 1, labels == 2], 1)
    for a, b in zip(
        dice_and_bce(logits, labels.to(dtype), background=True, labels=range(1, 3)),
        dice_and_bce(logits, one_hot, background=True),
        strict=True,
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("ignoring", [True, False])
def test_gradients(batch, softmax, background, ignoring):
    logits, _ = batch(shape=(3, 4), spread=3.0)
    target = torch.rand(2, 3 - background, 3, 4, dtype=torch.float64)
    noise = torch.randn_like(target)  # some of it beyond the clamp
    counted = torch.rand(2, 1, 3, 4) > 0.3 if ignoring else None

    def of(logits, noise):
        return dice_and_bce(
            logits, target, softmax=softmax, background=background, noise=noise, counted=counted, chunk=40
        )

    assert torch.autograd.gradcheck(of, (logits.requires_grad_(), noise.requires_grad_()))


def test_nothing_is_lost_at_large_logits():
    # ln(1 - p) is -200 here, where 1 - p is 0 even in float64.
    logits = torch.tensor([[[-100.0], [100.0], [-150.0]]], requires_grad=True)
    log_p, log_not = class_log_probabilities(logits.detach(), softmax=True)
    assert log_p[0, :, 0].tolist() == [-200.0, 0.0, -250.0]
    assert log_not[0, 1, 0].item() == -200.0
    _, bce = dice_and_bce(logits, torch.tensor([[[2]]]), background=True, labels=range(1, 3))
    assert bce[0].tolist() == [200.0, 250.0]
    bce.sum().backward()
    # Class 1 is wrong with all its weight: it goes down, and 0 goes up, the likeliest of the others.
    # Class 2 is missed: it goes up against class 1.
    assert logits.grad[0, :, 0].tolist() == pytest.approx([-1.0, 2.0, -1.0])


def test_half_an_even_choice_has_no_likeliest_class():
    # p = 1/2 twice, and once 1/2 + rounding: no class may be lost between "the likely one" and "the others".
    for z in ([0.0, 0.0], [1e-8, 0.0], [1e-7, 0.0]):
        log_p, log_not = class_log_probabilities(torch.tensor([z]), softmax=True)
        assert log_p[0].tolist() == pytest.approx([-np.log(2)] * 2, abs=1e-6)
        assert log_not[0].tolist() == pytest.approx([-np.log(2)] * 2, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 50, 170, 10**6])
def test_blocks_change_nothing(batch, chunk):
    logits, labels = batch()
    logits.requires_grad_()
    found = []
    for size in (chunk, None):
        dice, bce = dice_and_bce(logits, labels, background=True, labels=range(1, 3), chunk=size)
        found.append((dice, bce, torch.autograd.grad(dice.sum() + (bce**2).sum(), logits)[0]))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-15)


def test_a_sample_without_voxels_that_count_costs_nothing(batch):
    logits, labels = batch()
    logits.requires_grad_()
    counted = torch.ones_like(labels, dtype=torch.bool)
    counted[1] = False
    dice, bce = dice_and_bce(logits, labels, background=True, labels=range(1, 3), counted=counted)
    assert dice[1].tolist() == bce[1].tolist() == [0.0, 0.0]
    (dice.sum() + bce.sum()).backward()
    assert not logits.grad[1].any()
    assert logits.grad[0].all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_worked_on_in_single(batch, dtype):
    logits, labels = batch(dtype=torch.float32)
    half = logits.to(dtype).requires_grad_()
    options = {"background": True, "labels": range(1, 3)}
    dice, bce = dice_and_bce(half, labels, **options)
    assert dice.dtype == bce.dtype == torch.float32
    expected = dice_and_bce(half.detach().float(), labels, **options)
    assert torch.equal(dice, expected[0])
    assert torch.equal(bce, expected[1])
    (dice.mean() + bce.mean()).backward()
    assert half.grad.dtype == dtype
    assert half.grad.isfinite().all()


def test_channels_last(batch):
    logits, labels = batch()
    other = logits.to(memory_format=torch.channels_last_3d)
    for a, b in zip(
        dice_and_bce(logits, labels, background=True, labels=range(1, 3)),
        dice_and_bce(other, labels, background=True, labels=range(1, 3)),
        strict=True,
    ):
        assert torch.allclose(a, b)
