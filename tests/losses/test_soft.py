"""Losses of soft targets: where they are smallest, and against plain NumPy."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aleaseg.losses import DUOLoss, SoftDiceBCELoss, dice_and_bce, semimetric_dice, soft, squared_error

SHARES = st.floats(0, 1, width=64)


def test_examples():
    found = doctest.testmod(soft)
    assert found.attempted
    assert not found.failed


def test_is_the_definition(batch, reference):
    logits, _ = batch(classes=2)
    rng = np.random.default_rng(1)
    t, w = rng.uniform(size=(2, 2, 2, 4, 5, 6))
    p = reference.sigmoid(logits.numpy())
    dice, bce = dice_and_bce(
        logits, torch.tensor(t), softmax=False, counted=torch.tensor(w), semimetric=True
    )
    axes = (2, 3, 4)
    expected = (w * np.abs(p - t)).sum(axes) / ((w * (p + t)).sum(axes) + 1e-5)
    np.testing.assert_allclose(dice, expected, rtol=1e-10)
    np.testing.assert_allclose(
        bce, -(w * (t * np.log(p) + (1 - t) * np.log(1 - p))).sum(axes) / w.sum(axes), rtol=1e-10
    )
    same = semimetric_dice(torch.tensor(p), torch.tensor(t), torch.tensor(w))
    np.testing.assert_allclose(same, expected, rtol=1e-10)
    product, _ = dice_and_bce(logits, torch.tensor(t), softmax=False, counted=torch.tensor(w))
    np.testing.assert_allclose(
        product, 1 - (2 * (w * p * t).sum(axes) + 1e-5) / ((w * (p + t)).sum(axes) + 1e-5), rtol=1e-10
    )
    error = squared_error(logits, torch.tensor(t), torch.tensor(w))
    np.testing.assert_allclose(error, (w * (p - t) ** 2).sum(axes) / w.sum(axes), rtol=1e-5)
    np.testing.assert_allclose(squared_error(logits, torch.tensor(t)), ((p - t) ** 2).mean(axes), rtol=1e-5)


def logits_of(p):
    return torch.logit(torch.as_tensor(p, dtype=torch.float64))


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (1, 2, 7), elements=SHARES), hnp.arrays(np.float64, (1, 1, 7), elements=SHARES)
)
def test_nothing_where_p_is_t_whatever_the_weights(t, w):
    assert semimetric_dice(torch.tensor(t), torch.tensor(t), torch.tensor(w)).abs().max() == 0
    dice, _ = dice_and_bce(
        logits_of(t), torch.tensor(t), softmax=False, counted=torch.tensor(w), semimetric=True
    )
    assert dice.abs().max() < 1e-9


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (1, 2, 7), elements=SHARES),
    hnp.arrays(np.int64, (1, 2, 7), elements=st.integers(0, 1)),
)
def test_of_hard_targets_it_is_the_product_dice(p, t):
    hard = torch.tensor(t, dtype=torch.float64)
    one, other = (
        dice_and_bce(logits_of(p).clamp(-30, 30), hard, softmax=False, semimetric=way)[0]
        for way in (True, False)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("weighted", ["no", "voxels", "classes"])
def test_gradients(batch, softmax, noisy, weighted):
    logits, _ = batch(shape=(3, 4), spread=2.0)
    torch.manual_seed(0)
    classes = 3 - softmax
    target = torch.rand(2, classes, 3, 4, dtype=torch.float64)
    noise = (torch.randn_like(target) / 4).requires_grad_() if noisy else None
    shape = {"voxels": (2, 1, 3, 4), "classes": (2, classes, 3, 4)}.get(weighted)
    counted = None if shape is None else torch.rand(shape, dtype=torch.float64)

    def of(logits, noise):
        return dice_and_bce(
            logits,
            target,
            softmax=softmax,
            background=softmax,
            noise=noise,
            counted=counted,
            semimetric=True,
            chunk=40,
        )

    assert torch.autograd.gradcheck(of, (logits.requires_grad_(), noise))


def test_weight_0_leaves_a_voxel_out_and_weights_of_classes_are_their_own(batch):
    logits, _ = batch(classes=2, shape=(4, 6))
    t = torch.rand(2, 2, 4, 6, dtype=torch.float64)
    weight = torch.ones(2, 2, 4, 6, dtype=torch.float64)
    weight[0, 1, :2] = 0
    loss = SoftDiceBCELoss(reduction="none")
    cut = loss(logits[:1, 1:, 2:], t[:1, 1:, 2:])
    found = loss(logits, t, weight)
    torch.testing.assert_close(found[0, 1], cut[0, 0])
    torch.testing.assert_close(found[[0, 1, 1], [0, 0, 1]], loss(logits, t)[[0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize("weight", ["none of it", "tiny"])
def test_a_sample_without_weight_costs_nothing_and_small_weights_are_not_rescaled_away(batch, weight):
    logits, _ = batch(classes=2)
    logits.requires_grad_()
    t = torch.rand_like(logits.detach())
    w = torch.ones(2, 1, 4, 5, 6, dtype=torch.float64)
    w[1] = 0 if weight == "none of it" else 1e-30
    for loss in (SoftDiceBCELoss(reduction="none"), squared_error):
        logits.grad = None
        found = loss(logits, t, w)
        found.sum().backward()
        assert found.isfinite().all()
        assert logits.grad.isfinite().all()
        if weight == "none of it":
            assert not found[1].any()
            assert not logits.grad[1].any()


RIM = np.array([1.0] * 10 + [0.5] * 10 + [0.0] * 80)


def best_rim(t, beta, *, semimetric):
    """The p of the rim with the least loss, where core and background are right."""
    target = torch.tensor(np.where(RIM == 0.5, t, RIM))[None, None]
    grid = np.linspace(0.001, 0.999, 999)
    p = np.where(RIM == 0.5, grid[:, None], np.clip(RIM, 1e-9, 1 - 1e-9))
    dice, bce = dice_and_bce(
        logits_of(p[:, None]), target.expand(len(grid), 1, -1), softmax=False, semimetric=semimetric
    )
    return grid[(beta * dice + (1 - beta) * bce)[:, 0].argmin()]


@pytest.mark.parametrize(("t", "product", "mixed"), [(0.25, 0, 0.10), (0.5, 1, 0.62), (0.75, 1, 0.90)])
def test_the_rim_of_a_sure_core(t, product, mixed):
    """Product Dice wants all or nothing of a doubtful rim; the semimetric one wants t, with BCE or without."""
    assert best_rim(t, 1, semimetric=False) == pytest.approx(product, abs=0.002)
    assert best_rim(t, 0.5, semimetric=False) == pytest.approx(mixed, abs=0.01)
    assert best_rim(t, 1, semimetric=True) == pytest.approx(t, abs=0.002)
    assert best_rim(t, 0.5, semimetric=True) == pytest.approx(t, abs=0.002)


def test_product_dice_of_a_half():
    half = torch.full((1, 1, 50), 0.5, dtype=torch.float64)
    for p, expected in ((0.5, 0.5), (1 - 1e-9, 1 / 3)):
        dice, _ = dice_and_bce(logits_of(np.full((1, 1, 50), p)), half, softmax=False)
        assert dice.item() == pytest.approx(expected, abs=1e-4)


def test_duo_takes_it_for_its_denoised_targets(batch):
    logits, labels = batch()
    noise = torch.rand(2, 2, 4, 5, 6, dtype=torch.float64) / 2
    usual, semimetric = (
        DUOLoss(reweight=False, beta=1, reduction="none", semimetric=way)(logits, labels, noise)
        for way in (False, True)
    )
    one_hot = torch.cat([labels == 1, labels == 2], 1).double()
    y = (one_hot - noise).clamp(0, 1)
    torch.testing.assert_close(semimetric, semimetric_dice(logits.softmax(1)[:, 1:], y))
    assert not torch.allclose(usual, semimetric)
    plain = [DUOLoss(semimetric=way)(logits, labels) for way in (False, True)]
    torch.testing.assert_close(*plain)  # hard targets: one number


def test_shapes_that_do_not_fit_are_told(batch):
    logits, _ = batch(classes=2)
    with pytest.raises(ValueError, match="expected"):
        SoftDiceBCELoss()(logits, logits[:, :1].sigmoid())
    with pytest.raises(ValueError, match="expected"):
        SoftDiceBCELoss()(logits, logits.sigmoid(), torch.ones(2, 1, 4, 5, 5))
    with pytest.raises(ValueError, match="beta"):
        SoftDiceBCELoss(beta=2)
