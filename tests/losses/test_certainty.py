"""Certainties in place of S: against the measures of the package, and what moving averages must do."""

import doctest

import numpy as np
import pytest
import torch

from aleaseg.losses import (
    DUOLoss,
    FisherCertainty,
    MahalanobisCertainty,
    certainty,
    frequency_weights,
    scale_weights,
)
from aleaseg.measures.fisher import fisher_certainty


def test_examples():
    result = doctest.testmod(certainty)
    assert result.attempted
    assert not result.failed


def test_fisher_is_the_measure(batch):
    logits, _ = batch(classes=4)
    logits[0, 3] = -9  # never predicted
    found = FisherCertainty()(logits)
    for b in range(2):
        expected = fisher_certainty(logits[b].numpy(), logits[b].argmax(0).numpy())
        np.testing.assert_allclose(found[b], expected, atol=1e-10)
    assert found[0].isnan().tolist() == [False, False, True]


def test_fisher_of_regions(batch):
    logits, _ = batch()
    found = FisherCertainty(softmax=False)(logits)
    assert found.shape == (2, 3)
    two = torch.stack([torch.full_like(logits[:, 1], -99), logits[:, 1]], 1)
    for b in range(2):
        expected = fisher_certainty(two[b].numpy(), (logits[b, 1] > 0).long().numpy())
        assert found[b, 1].item() == pytest.approx(expected[0], abs=1e-10)


def test_in_the_loss_a_class_that_is_not_predicted_has_weight_1(batch):
    logits, labels = batch()
    logits[0, 2] = -9
    loss = DUOLoss(certainty=FisherCertainty())
    assert loss(logits.float(), labels).isfinite()
    assert loss.last_weights[0, 1].item() == 1
    assert loss.last_scales[0, 1].isnan()
    assert (loss.last_weights[1] < 1).all()


def population(rng, odd=0.0):
    """Logits whose classes are blocks, with mean logits that vary from sample to sample."""
    labels = np.zeros((2, 6, 6, 6), int)
    labels[:, 2:4], labels[:, 4:] = 1, 2
    mean = 6 * np.eye(3)[labels].transpose(0, 4, 1, 2, 3)
    mean = mean + rng.normal(0, 0.5, (2, 3, 1, 1, 1))
    mean[0, :, 2:4] += odd * np.array([0.0, 1.0, 1.0])[:, None, None, None]
    return torch.tensor(mean + rng.normal(0, 0.2, mean.shape))


def test_mahalanobis_learns_its_population_and_sees_what_is_odd():
    rng = np.random.default_rng(0)
    measure = MahalanobisCertainty(3, momentum=0.9, warm_up=5)
    for step in range(40):
        t = measure(population(rng))
        assert t.shape == (2, 2)
        assert t.isnan().all() == (step < 5)
    assert ((t >= 0) & (t <= 1)).all()
    # The means are about those that the logits were drawn with.
    assert torch.allclose(measure.mean, torch.tensor([[0.0, 6, 0], [0, 0, 6]]).double(), atol=0.5)
    measure.eval()
    before = {name: buffer.clone() for name, buffer in measure.named_buffers()}
    t = measure(population(rng, odd=4.0))
    assert t[0, 0].item() == 0  # farther than anything in the range
    assert (t[1] > 0).all()
    for name, buffer in measure.named_buffers():
        assert torch.equal(buffer, before[name]), f"{name} was learned in eval mode"


def test_mahalanobis_is_the_distance():
    rng = np.random.default_rng(1)
    measure = MahalanobisCertainty(3, momentum=0.5, warm_up=2)
    for _ in range(6):
        measure(population(rng))
    measure.eval()
    logits = population(rng)
    found = measure(logits)
    mean, sigma = measure.mean.numpy(), measure.covariance.numpy()
    sigma = 0.9 * sigma + 0.1 * np.trace(sigma) / 3 * np.eye(3)
    for b in range(2):
        z = logits[b].numpy().reshape(3, -1)
        for c in (1, 2):
            d = z[:, z.argmax(0) == c].mean(1) - mean[c - 1]
            log_m = np.log(d @ np.linalg.inv(sigma) @ d)
            t = 1 - (log_m - measure.low.item()) / (measure.high.item() - measure.low.item())
            assert found[b, c - 1].item() == pytest.approx(np.clip(t, 0, 1), abs=1e-9)


def test_mahalanobis_goes_on_where_it_was():
    rng = np.random.default_rng(2)
    one, two = (MahalanobisCertainty(3, warm_up=2) for _ in range(2))
    for _ in range(5):
        one(population(rng))
    two.load_state_dict(one.state_dict())
    logits = population(rng)
    assert torch.equal(one(logits), two(logits))
    assert "certainty.mean" in DUOLoss(certainty=one).state_dict()


def test_mahalanobis_of_a_class_that_is_not_predicted():
    measure = MahalanobisCertainty(3, warm_up=1)
    rng = np.random.default_rng(3)
    for _ in range(4):
        logits = population(rng)
        logits[:, 2] = -50
        t = measure(logits)
    assert t[:, 0].isfinite().all()
    assert t[:, 1].isnan().all()
    assert all(buffer.isfinite().all() for buffer in measure.buffers())
    with pytest.raises(ValueError, match="momentum is 1"):
        MahalanobisCertainty(3, momentum=1)


@pytest.mark.parametrize("finest_first", [True, False])
def test_mahalanobis_learns_from_the_finest_output_alone(finest_first):
    """Whatever the order of the levels, and after a resume too."""
    rng = np.random.default_rng(4)
    alone, deep = (MahalanobisCertainty(3, warm_up=2) for _ in range(2))
    for step in range(6):
        fine = population(rng)
        alone(fine)
        levels = [fine, 3 * fine[..., ::2, ::2, ::2]]
        for level in levels if finest_first else levels[::-1]:
            deep(level)
        if step == 3:
            resumed = MahalanobisCertainty(3, warm_up=2)
            resumed.load_state_dict(deep.state_dict())
            deep = resumed
    for name, buffer in alone.named_buffers():
        assert torch.equal(buffer, dict(deep.named_buffers())[name]), (
            f"{name} learned from a coarser output"
        )


def test_a_population_of_other_channels():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\); expected 4 channels"):
        MahalanobisCertainty(4)(torch.randn(2, 3, 4, 4))


def test_weights_that_cannot_be():
    with pytest.raises(ValueError, match=r"expected S of each class, in \[0, 1\]"):
        scale_weights([0.5, 1.5])
    with pytest.raises(ValueError, match="expected a number > 0 for each class"):
        frequency_weights([10, 0])
    assert frequency_weights([1, 9, 40]).mean().item() == pytest.approx(1)
