"""Evidential losses: against loops in NumPy and SciPy, closed forms, slopes, and voxels that do not count."""

import math

import numpy as np
import pytest
import torch
from scipy import special

from aleaseg.losses.evidential import evidential_loss, evidential_terms, probabilities, uncertainty

KINDS = ("digamma", "log", "mse")


def plain(logits, target, kind, ignored=None):
    """The terms voxel by voxel, as the paper's formulas read."""
    K = logits.shape[1]
    ace, kl = [], []
    tp, fp, fn = np.zeros((3, K))
    for b, *x in np.ndindex(target.shape):
        if target[(b, *x)] == ignored:
            continue
        z = logits[(b, slice(None), *x)].astype(np.float64)
        y = np.eye(K)[target[(b, *x)]]
        alpha = np.log1p(np.exp(z)) + 1
        A = alpha.sum()
        p = alpha / A
        if kind == "mse":
            ace.append(((y - p) ** 2).sum() + (p * (1 - p)).sum() / (A + 1))
        else:
            psi = special.digamma if kind == "digamma" else np.log
            ace.append((y * (psi(A) - psi(alpha))).sum())
        a = (alpha - 1) * (1 - y) + 1
        kl.append(
            ((a - 1) * (special.digamma(a) - special.digamma(a.sum()))).sum()
            + special.gammaln(a.sum())
            - special.gammaln(a).sum()
            - special.gammaln(K)
        )
        t = y + 1e-3
        tp, fp, fn = tp + p * t, fp + p * (1 - t), fn + (1 - p) * t
    w = np.clip(fp / (fp + fn + 1e-5), 0.2, 0.8)
    dice = tp / (tp + w * fp + (1 - w) * fn + 1e-5)
    return np.mean(ace), np.mean(kl), np.mean(1 - dice)


def some(batch, **options):
    logits, labels = batch(**options)
    return logits, labels[:, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ignoring", [False, True])
@pytest.mark.parametrize(("classes", "shape"), [(2, (3, 4)), (4, (2, 3, 3))])
def test_is_the_definition(batch, kind, ignoring, classes, shape):
    logits, target = some(batch, classes=classes, shape=shape)
    ignored = None
    if ignoring:
        ignored = 255
        target[torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) > 0.6] = 255
    ace, kl, dice = plain(logits.numpy(), target.numpy(), kind, ignored)
    found = evidential_terms(logits, target, kind, ignore_index=ignored)
    assert [float(term) for term in found] == pytest.approx([ace, kl, dice], rel=1e-10)
    for progress in (0.0, 0.1, 0.2, 0.75, 1.0):
        annealed = min(1, progress / 0.2)
        expected = {
            "a": 10 * ace + annealed * kl + 10 * dice,
            "b": ace + annealed * kl + (1 - 0.01 ** (1 - progress)) * dice,
        }
        for form, value in expected.items():
            loss = evidential_loss(logits, target, progress, form, kind, ignore_index=ignored)
            assert loss.item() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize(("classes", "expected"), [(2, 0.86178), (3, 1.32045), (4, 1.63415)])
def test_closed_forms_at_zero_logits(classes, expected):
    logits = torch.zeros(2, classes, 3, 4, dtype=torch.float64)
    target = torch.arange(24).view(2, 3, 4) % classes
    assert uncertainty(logits).numpy() == pytest.approx(1 / (1 + math.log(2)))
    assert probabilities(logits).numpy() == pytest.approx(1 / classes)
    ace = evidential_terms(logits, target).ace.item()
    psi = special.digamma(classes * (1 + math.log(2))) - special.digamma(1 + math.log(2))
    assert ace == pytest.approx(psi, rel=1e-12)
    assert ace == pytest.approx(expected, abs=1e-5)


def test_no_evidence():
    logits = torch.full((1, 3, 2, 2), -80.0, dtype=torch.float64)
    target = torch.zeros(1, 2, 2, dtype=torch.long)
    assert uncertainty(logits).numpy() == pytest.approx(1.0)
    assert evidential_terms(logits, target).kl.item() == pytest.approx(0.0, abs=1e-12)


def test_laws_of_the_dirichlet(batch):
    logits, _ = batch(classes=5, spread=4.0)
    p, u = probabilities(logits), uncertainty(logits)
    assert torch.equal(p.argmax(1), logits.argmax(1))
    assert p.sum(1).numpy() == pytest.approx(1.0)
    assert ((u > 0) & (u <= 1)).all()
    assert (uncertainty(logits + 1) < u).all()  # more evidence, less uncertainty: no softmax


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["a", "b"])
@pytest.mark.parametrize("ignoring", [False, True])
def test_slopes(batch, kind, form, ignoring):
    logits, target = some(batch, shape=(3, 4))
    if ignoring:
        target[:, 1] = 9
    ignored = 9 if ignoring else None
    assert torch.autograd.gradcheck(
        lambda z: evidential_loss(z, target, 0.3, form, kind, ignore_index=ignored),
        (logits.requires_grad_(),),
    )


def test_voxels_that_do_not_count_change_nothing(batch):
    logits, target = some(batch)
    target[1, :, 2:] = 255
    other = logits.clone()
    other[1, :, :, 2:] = 7.0
    logits.requires_grad_()
    losses = [evidential_loss(z, target, 0.5, ignore_index=255) for z in (logits, other)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-12)
    losses[0].backward()
    assert not logits.grad[1, :, :, 2:].any()
    assert logits.grad[0].all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["a", "b"])
def test_nothing_that_counts_costs_nothing(batch, kind, form):
    logits, target = some(batch, dtype=torch.float32)
    logits.requires_grad_()
    loss = evidential_loss(logits, torch.full_like(target, 255), 0.5, form, kind, ignore_index=255)
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad.any()


def test_samples_in_any_order(batch):
    logits, target = some(batch, samples=4)
    order = [2, 0, 3, 1]
    found = [
        evidential_loss(z, t, 0.4).item() for z, t in ((logits, target), (logits[order], target[order]))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_a_class_that_is_nowhere_and_a_batch_of_one(batch):
    logits, target = some(batch, samples=1)
    logits.requires_grad_()
    evidential_loss(logits, target.clamp(max=1), 0.4).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_along_the_slope_lowers_it(batch, kind):
    logits, target = some(batch)
    logits.requires_grad_()
    loss = evidential_loss(logits, target, 0.5, kind=kind)
    loss.backward()
    assert loss > 0
    assert evidential_loss(logits - 1e-3 * logits.grad, target, 0.5, kind=kind) < loss


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_worked_on_in_single(batch, dtype):
    logits, target = some(batch, dtype=torch.float32)
    half = logits.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = evidential_loss(half, target, 0.5)
        u = uncertainty(half)
    assert loss.dtype == u.dtype == torch.float32
    assert torch.equal(loss, evidential_loss(half.detach().float(), target, 0.5))
    loss.backward()
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("size", [200.0, 1e4])
def test_large_logits_have_finite_slopes(size):
    logits = (torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * size).requires_grad_()
    loss = evidential_loss(logits, torch.randint(3, (1, 4, 4)), 1.0)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_what_does_not_fit_is_told(batch):
    logits, target = some(batch)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 5, 6\).*without an axis of channels"):
        evidential_loss(logits, target[:, None], 0.5)
    with pytest.raises(ValueError, match="one channel"):
        evidential_loss(logits[:, :1], target, 0.5)
    with pytest.raises(ValueError, match="sample 0 of the batch holds the label"):
        evidential_loss(logits, target + 3, 0.5)
    with pytest.raises(ValueError, match="progress is 5"):
        evidential_loss(logits, target, 5)
    with pytest.raises(ValueError, match="'digamma', 'log', 'mse'"):
        evidential_loss(logits, target, 0.5, kind="mae")
    with pytest.raises(ValueError, match="form is 'c'"):
        evidential_loss(logits, target, 0.5, form="c")
    logits[1, 0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="sample 1 of the batch hold 1 values"):
        evidential_loss(logits, target, 0.5)
