"""DUOLoss: the reference, the oracles, laws, every option, bad input, and the wrappers that it goes into."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from aleaseg.losses import DUOLoss, frequency_weights, scale_weights
from aleaseg.spectral import semantic_perception_scale


def noise_for(logits, background=1, seed=3):
    rng = np.random.default_rng(seed)
    shape = (logits.shape[0], logits.shape[1] - background, *logits.shape[2:])
    return torch.tensor(rng.normal(0, 0.6, shape), dtype=logits.dtype)


# -- the definition -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 5, 6), (7, 9)])
@pytest.mark.parametrize("with_noise", [True, False])
def test_is_the_definition(reference, batch, shape, with_noise):
    logits, labels = batch(shape=shape)
    noise = noise_for(logits) if with_noise else None
    loss = DUOLoss(alpha=0.7, beta=0.3)
    value = loss(logits, labels, noise)
    given_noise = None if noise is None else noise.numpy()
    losses, scales = reference.parts(logits.numpy(), labels.numpy(), given_noise, beta=0.3)
    assert value.item() == pytest.approx((losses / (1 + 0.7 * scales)).mean(), abs=1e-12)
    assert value.item() == pytest.approx(
        reference.duo(logits.numpy(), labels.numpy(), given_noise, alpha=0.7, beta=0.3), abs=1e-12
    )
    np.testing.assert_allclose(loss.last_scales, scales, atol=1e-12)
    np.testing.assert_allclose(loss.last_weights, 1 / (1 + 0.7 * scales), atol=1e-12)


def test_with_alpha_0_and_no_noise_it_is_the_plain_loss(reference, batch):
    # Oracle 12, first half.
    logits, labels = batch()
    plain = reference.parts(logits.numpy(), labels.numpy())[0].mean()
    zero = torch.zeros(2, 2, *logits.shape[2:])
    assert DUOLoss(alpha=0)(logits, labels).item() == pytest.approx(plain, abs=1e-12)
    assert DUOLoss(alpha=0)(logits, labels, zero).item() == pytest.approx(plain, abs=1e-7)
    assert DUOLoss(reweight=False)(logits, labels).item() == pytest.approx(plain, abs=1e-12)


def test_the_weight_of_full_certainty_is_two_thirds():
    # Oracle 12, second half: orthonormal rows have S = 1. A map of rank 1 has S = 0.
    logits = torch.zeros(1, 3, 4, 2, 2)
    logits[0, 1] = torch.eye(4).reshape(4, 2, 2)
    logits[0, 2] = 1.5
    loss = DUOLoss(alpha=0.5)
    loss(logits, torch.zeros(1, 1, 4, 2, 2, dtype=torch.long))
    assert loss.last_scales.tolist() == [[pytest.approx(1.0), pytest.approx(0.0, abs=1e-6)]]
    assert loss.last_weights.tolist() == [[pytest.approx(2 / 3), pytest.approx(1.0)]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions(batch, reduction):
    logits, labels = batch()
    each = DUOLoss(reduction="none")(logits, labels)
    assert each.shape == (2, 2)
    value = DUOLoss(reduction=reduction)(logits, labels)
    expected = {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]
    assert torch.allclose(value, expected)


# -- laws -----------------------------------------------------------------------------------------

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_scaling_the_logits_leaves_s(batch, seed, factor):
    logits, labels = batch(seed=seed)
    loss = DUOLoss()
    loss(logits, labels)
    before = loss.last_scales
    loss(factor * logits, labels)
    assert torch.allclose(loss.last_scales, before, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, order=st.permutations(range(4)))
def test_permuted_samples_have_permuted_weights(batch, seed, order):
    logits, labels = batch(samples=4, seed=seed)
    loss = DUOLoss(reduction="none")
    each, weights = loss(logits, labels), loss.last_weights
    permuted = loss(logits[list(order)], labels[list(order)])
    assert torch.allclose(loss.last_weights, weights[list(order)])
    assert torch.allclose(permuted, each[list(order)])


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, alpha=st.floats(0, 4))
def test_weights_are_in_their_range_and_renormed_ones_have_mean_1(batch, seed, alpha):
    logits, labels = batch(seed=seed, samples=3)
    plain, renormed = DUOLoss(alpha=alpha), DUOLoss(alpha=alpha, renorm=True)
    plain(logits, labels), renormed(logits, labels)
    assert (plain.last_weights <= 1).all()
    assert (plain.last_weights >= 1 / (1 + alpha) - 1e-12).all()
    assert renormed.last_weights.mean().item() == pytest.approx(1, abs=1e-12)
    ratio = renormed.last_weights / plain.last_weights
    assert torch.allclose(ratio, ratio[:1, :1].expand_as(ratio))


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, other=SEEDS)
def test_what_stands_under_the_ignore_label_does_not_matter(batch, seed, other):
    logits, labels = batch(seed=seed)
    ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    labels[ignored] = 9
    noise, noise2 = noise_for(logits), noise_for(logits, seed=other)
    noise2 = torch.where(ignored, noise2, noise)
    loss = DUOLoss(ignore_index=9)
    assert loss(logits, labels, noise).item() == loss(logits, labels, noise2).item()
    # The prediction there only speaks through S.
    moved = torch.where(ignored, batch(seed=other)[0], logits)
    loss = DUOLoss(ignore_index=9, reweight=False)
    assert loss(logits, labels, noise).item() == loss(moved, labels, noise).item()
    logits.requires_grad_()
    DUOLoss(ignore_index=9)(logits, labels, noise).backward()
    assert not logits.grad[ignored.expand_as(logits)].any()


def test_the_ignore_label_is_the_definition_on_the_rest(reference, batch):
    logits, labels = batch()
    labels[:, :, :, :2] = 7
    assert DUOLoss(ignore_index=7)(logits, labels).item() == pytest.approx(
        reference.duo(logits.numpy(), labels.numpy(), ignore=7), abs=1e-12
    )


def test_a_whole_batch_that_is_ignored_costs_nothing(batch):
    logits, labels = batch()
    logits.requires_grad_()
    value = DUOLoss(ignore_index=7)(logits, torch.full_like(labels, 7))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("renorm", [True, False])
def test_gradients(batch, detached, sigmoid, renorm):
    logits, labels = batch(shape=(3, 2, 3))
    noise = noise_for(logits, background=not sigmoid) + 0.001
    target = torch.cat([labels == c for c in range(3)], 1) if sigmoid else labels
    loss = DUOLoss(sigmoid=sigmoid, detach_scale=detached, renorm=renorm)
    if not detached:
        assert torch.autograd.gradcheck(
            lambda z, n: loss(z, target, n), (logits.requires_grad_(), noise.requires_grad_())
        )
        return
    # Detached, the gradient is that of the loss with the weights held.
    logits.requires_grad_()
    loss(logits, target, noise).backward()
    plain = DUOLoss(sigmoid=sigmoid, reweight=False, reduction="none")(logits, target, noise)
    expected = torch.autograd.grad((loss.last_weights * plain).mean(), logits)[0]
    assert torch.allclose(logits.grad, expected)


@pytest.mark.parametrize("variant", ["paper", "official_readme"])
@pytest.mark.parametrize("make", ["zeros", "a map of rank 1", "an empty slice", "one equal number"])
def test_gradients_are_finite_where_singular_values_vanish(batch, variant, make):
    logits, labels = batch(dtype=torch.float32)
    if make == "zeros":
        logits = torch.zeros_like(logits)
    elif make == "a map of rank 1":
        logits = logits[:, :, :1] * torch.arange(1.0, 5)[:, None, None]
    elif make == "an empty slice":
        logits[:, :, 1] = 0
    else:
        logits = torch.full_like(logits, 3.0)
    logits = logits.clone().requires_grad_()
    value = DUOLoss(detach_scale=False, variant=variant)(logits, labels)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_the_gradient_through_s_is_there_when_asked_for(batch):
    logits, labels = batch()
    logits.requires_grad_()
    of = [
        torch.autograd.grad(DUOLoss(detach_scale=detached)(logits, labels), logits)[0]
        for detached in (True, False)
    ]
    assert not torch.allclose(*of)


# -- how channels are read ------------------------------------------------------------------------


def test_softmax_takes_label_maps_and_one_hot(batch):
    logits, labels = batch()
    one_hot = torch.cat([labels == c for c in range(3)], 1)
    expected = DUOLoss()(logits, labels)
    assert torch.equal(DUOLoss()(logits, one_hot), expected)
    assert torch.equal(DUOLoss()(logits, one_hot.float()), expected)
    assert torch.equal(DUOLoss()(logits, labels.float()), expected)
    assert torch.equal(DUOLoss(softmax=True, to_onehot_y=True)(logits, labels), expected)
    assert torch.equal(DUOLoss(softmax=True, to_onehot_y=False)(logits, one_hot), expected)


def test_the_background_can_count(batch):
    logits, labels = batch()
    loss = DUOLoss(include_background=True, reduction="none")
    each = loss(logits, labels)
    assert each.shape == (2, 3)
    assert torch.allclose(each[:, 1:], DUOLoss(reduction="none")(logits, labels))
    assert torch.allclose(each, loss(logits, torch.cat([labels == c for c in range(3)], 1)))


def test_sigmoid_without_a_background_channel(batch):
    # Channels 0, 1, 2 are the classes 1, 2, 3.
    logits, _ = batch()
    labels = torch.randint(0, 4, (2, 1, 4, 5, 6))
    regions = torch.cat([labels == c for c in (1, 2, 3)], 1)
    assert torch.equal(DUOLoss(sigmoid=True)(logits, labels), DUOLoss(sigmoid=True)(logits, regions))
    # As MONAI reads channels: label c is channel c.
    monai = [
        DUOLoss(sigmoid=True, include_background=b, reduction="none")(logits, labels.clamp(max=2))
        for b in (True, False)
    ]
    assert torch.allclose(monai[0][:, 1:], monai[1])


def test_overlapping_regions_with_a_last_channel_for_what_is_ignored(reference, batch):
    logits, _ = batch()
    regions = torch.rand(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) < 0.4
    ignored = torch.rand(2, 1, 4, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.3
    target = torch.cat([regions, ignored], 1)
    loss = DUOLoss(sigmoid=True, ignore_index=4, reduction="none")
    for kind in (torch.bool, torch.float32, torch.int16):
        each = loss(logits, target.to(kind))
        for b in range(2):
            for c in range(3):
                here = ~ignored[b, 0].numpy()
                p = reference.sigmoid(logits[b, c].numpy())[here]
                t = regions[b, c].numpy()[here].astype(float)
                expected = 0.5 * reference.dice(p, t) + 0.5 * reference.bce(p, t)
                expected /= 1 + 0.5 * reference.scale(logits[b, c].numpy())
                assert each[b, c].item() == pytest.approx(expected, abs=1e-12)
    assert DUOLoss(sigmoid=True, reduction="none")(logits, regions).shape == (2, 3)


def test_one_class_only(batch):
    logits, labels = batch(classes=2)
    two = DUOLoss(reduction="none")(logits, labels)
    assert two.shape == (2, 1)
    difference = logits[:, 1:] - logits[:, :1]  # its sigmoid is the softmax of the two
    one = DUOLoss(sigmoid=True, reweight=False)(difference, labels)
    assert torch.allclose(one, DUOLoss(reweight=False)(logits, labels))
    labels[0, 0, 0, 0, :3] = 5
    ignoring = DUOLoss(sigmoid=True, reweight=False, ignore_index=5)(difference, labels)
    assert torch.allclose(ignoring, DUOLoss(reweight=False, ignore_index=5)(logits, labels))


def test_a_class_that_no_voxel_has_still_has_a_weight(batch):
    logits, labels = batch()
    loss = DUOLoss(reduction="none")
    each = loss(logits, torch.zeros_like(labels))
    assert each.isfinite().all()
    assert ((loss.last_weights < 1) & (loss.last_weights > 2 / 3)).all()


# -- where S is not defined -----------------------------------------------------------------------


def test_a_patch_of_one_slice_is_read_as_its_rows(batch):
    logits, labels = batch(shape=(1, 7, 9))
    loss, flat = DUOLoss(), DUOLoss()
    assert torch.allclose(loss(logits, labels), flat(logits[:, :, 0], labels[:, :, 0]))
    assert torch.allclose(loss.last_scales, flat.last_scales)


@pytest.mark.parametrize(
    ("shape", "unfold"), [((1, 1, 1), None), ((1, 1, 6), None), ((1, 4, 4), "d_hw"), ((1, 5), None)]
)
@pytest.mark.parametrize("renorm", [True, False])
def test_a_map_of_one_row_is_not_weighted(batch, shape, unfold, renorm):
    logits, labels = batch(shape=shape)
    loss = DUOLoss(unfold=unfold, renorm=renorm)
    assert torch.allclose(loss(logits, labels), DUOLoss(reweight=False)(logits, labels))
    assert loss.last_scales.isnan().all()
    assert (loss.last_weights == 1).all()


@pytest.mark.parametrize("unfold", ["d_hw", "h_dw", "w_dh"])
def test_other_unfoldings(batch, unfold):
    logits, labels = batch()
    loss = DUOLoss(unfold=unfold)
    loss(logits, labels)
    assert torch.allclose(loss.last_scales, semantic_perception_scale(logits[:, 1:], unfold=unfold))


# -- options --------------------------------------------------------------------------------------


def test_the_official_snippet(reference, batch):
    logits, labels = batch()
    g = torch.rand(2, 2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    loss = DUOLoss(variant="official_readme", alpha=0.5)
    value = loss(logits.requires_grad_(), labels, g)
    total = 0.0
    for b in range(2):
        for c in (1, 2):
            z = logits[b, c].detach().numpy()
            t = (labels[b, 0] == c).numpy() * (1 - g[b, c - 1].detach().numpy())
            total += reference.bce(reference.sigmoid(z), t) / (1 + 0.5 * reference.official_scale(z))
    assert value.item() == pytest.approx(total / 4, abs=1e-9)
    value.backward()
    assert g.grad is None  # the target is detached
    held = torch.autograd.grad(
        DUOLoss(variant="official_readme", detach_scale=True)(logits, labels, g), logits
    )[0]
    assert not torch.allclose(logits.grad, held)  # and S is not


def test_static_weights(batch):
    logits, labels = batch()
    each = DUOLoss(reweight=False, reduction="none")(logits, labels)
    for weights in (scale_weights([0.2, 0.8], alpha=0.5), frequency_weights([900, 100])):
        loss = DUOLoss(class_weight=weights, reduction="none")
        assert torch.allclose(loss(logits, labels), each * weights)
        assert torch.allclose(loss.last_weights, weights.double().expand(2, 2))
        assert loss.last_scales is None
    assert DUOLoss(class_weight=[1.0, 3.0], renorm=True)(logits, labels).item() == pytest.approx(
        (each * torch.tensor([0.5, 1.5])).mean().item()
    )
    with pytest.raises(ValueError, match="3 weights; expected one for each of the 2 classes"):
        DUOLoss(class_weight=[1.0, 1.0, 1.0])(logits, labels)


def test_another_certainty_in_place_of_s(batch):
    logits, labels = batch()
    t = torch.tensor([[0.0, 1.0], [torch.nan, 0.5]])
    loss = DUOLoss(certainty=lambda z: t)
    loss(logits, labels)
    assert loss.last_weights.tolist() == [[1.0, pytest.approx(2 / 3)], [1.0, pytest.approx(0.8)]]
    for wrong in (t + 1, t[:1]):
        with pytest.raises(ValueError, match=r"certainty gave shape .* expected \(2, 2\) in \[0, 1\]"):
            DUOLoss(certainty=lambda z, wrong=wrong: wrong)(logits, labels)


def test_nothing_of_it_is_saved_with_a_model(batch):
    assert not DUOLoss(class_weight=[1.0, 2.0]).state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1}, "alpha is -1; expected a number >= 0"),
        ({"beta": 1.5}, r"beta is 1.5; expected a share in \[0, 1\]"),
        ({"softmax": True, "sigmoid": True}, "expected one of the two"),
        ({"softmax": False}, "expected one of the two"),
        ({"variant": "readme"}, "'readme'; expected one of 'paper', 'official_readme'"),
        ({"reduction": "average"}, "expected one of 'mean', 'sum', 'none'"),
        ({"class_weight": [1.0, -1.0]}, "expected a weight >= 0 for each class"),
        ({"class_weight": [0.0, 0.0]}, "one above 0"),
        ({"class_weight": [1.0], "certainty": len}, "both given"),
        ({"class_weight": [1.0, 2.0], "reweight": False}, "reweight is False"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        DUOLoss(**options)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("reweight", [True, False])
def test_nan_names_sample_and_class(batch, bad, reweight):
    logits, labels = batch(samples=3)
    logits[2, 1, 0, 0, :2] = bad
    message = (
        r"logits of sample 2 of the batch, class 1 \(channel 1\), holds 2 values that are NaN or infinite"
    )
    with pytest.raises(ValueError, match=message):
        DUOLoss(reweight=reweight)(logits, labels)
    with pytest.raises(
        ValueError, match=r"logits of sample 2 of the batch, class 2 \(channel 1\), holds 2"
    ):
        DUOLoss(sigmoid=True, reweight=reweight)(logits, labels)


def test_nan_in_target_or_noise_names_sample_and_class(batch):
    logits, labels = batch()
    noise = noise_for(logits)
    noise[1, 0, 0, 0, 0] = torch.nan
    with pytest.raises(
        ValueError, match=r"noise of sample 1 of the batch, class 1 \(channel 1\), holds 1 "
    ):
        DUOLoss()(logits, labels, noise)
    soft = torch.cat([labels == c for c in range(3)], 1).double()
    soft[0, 2, 0, 0, 0] = torch.nan
    with pytest.raises(
        ValueError, match=r"target of sample 0 of the batch, class 2 \(channel 2\), holds 1 "
    ):
        DUOLoss()(logits, soft)


def test_bad_input(batch):
    logits, labels = batch()
    loss = DUOLoss()
    seven = labels.clone()
    seven[1, 0, 0, 0, 0] = 7
    for target in (seven, seven.float()):
        with pytest.raises(
            ValueError, match="sample 1 of the batch holds the label 7; expected whole numbers from 0 to 2"
        ):
            loss(logits, target)
    with pytest.raises(
        ValueError, match=r"label -1; .* from 0 to 2, for which there are channels, or 9 to ignore"
    ):
        DUOLoss(ignore_index=9)(logits, labels - 1)
    with pytest.raises(ValueError, match=r"the label 0.5"):
        loss(logits, labels / 2)
    with pytest.raises(ValueError, match=r"hold values from 0 to 255; expected \[0, 1\]"):
        loss(logits, torch.cat([labels == c for c in range(3)], 1) * 255)
    for target in (labels[:1], labels[..., :-1], labels.expand(-1, 2, -1, -1, -1), labels[:, 0]):
        with pytest.raises(
            ValueError, match=r"expected a label map \(2, 1, 4, 5, 6\) or channels \(2, 3, 4, 5, 6\)"
        ):
            loss(logits, target)
    with pytest.raises(
        ValueError, match=r"channels \(2, 4, 4, 5, 6\), the last of which marks the voxels to ignore"
    ):
        DUOLoss(ignore_index=9)(logits, labels.expand(-1, 3, -1, -1, -1))
    with pytest.raises(
        ValueError, match=r"the noise has shape \(2, 3, 4, 5, 6\); expected \(2, 2, 4, 5, 6\)"
    ):
        loss(logits, labels, torch.zeros_like(logits))
    with pytest.raises(ValueError, match="one channel, whose softmax is always 1; pass sigmoid=True"):
        loss(logits[:, :1], labels)
    with pytest.raises(ValueError, match=r"logits have shape \(2, 3, 4\); expected"):
        loss(logits[..., 0, 0], labels[..., 0, 0])
    with pytest.raises(ValueError, match=r"logits have shape \(0, 3, 4, 5, 6\); expected"):
        loss(logits[:0], labels[:0])
    with pytest.raises(ValueError, match="unfold is 'h_w' for maps of shape"):
        DUOLoss(unfold="h_w")(logits, labels)
    with pytest.raises(ValueError, match="unfold is 'd_hw' for maps of shape"):
        DUOLoss(unfold="d_hw")(logits[:, :, 0], labels[:, :, 0])


# -- where it is used -----------------------------------------------------------------------------


@pytest.mark.parametrize("reweight", [True, False])
def test_under_autocast_it_is_the_loss_of_the_same_logits(batch, reweight):
    logits, labels = batch(dtype=torch.float32)
    noise = noise_for(logits)
    half = logits.bfloat16().requires_grad_()
    loss, plain = DUOLoss(reweight=reweight), DUOLoss(reweight=reweight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels, noise)
        value.backward()
    assert value.dtype == torch.float32
    single = half.detach().float().requires_grad_()
    expected = plain(single, labels, noise)
    expected.backward()
    assert value.item() == expected.item()
    if reweight:
        assert torch.allclose(loss.last_scales, plain.last_scales, atol=1e-6)  # bfloat16 would be 1e-3 off
    assert torch.equal(half.grad, single.grad.bfloat16())


def levels(logits):
    """Under deep supervision: the finest first."""
    return [logits, logits[..., ::2, ::2, ::2], logits[..., :1, :1, :1]]


def test_in_monai_deep_supervision(batch):
    from monai.losses import DeepSupervisionLoss

    logits, labels = batch(dtype=torch.float32)
    outputs = levels(logits)
    found = DeepSupervisionLoss(DUOLoss(), weights=[1.0, 0.5, 0.25])(outputs, labels.float())
    expected = sum(
        weight * DUOLoss()(z, interpolate(labels.float(), z.shape[2:], mode="nearest-exact"))
        for weight, z in zip((1.0, 0.5, 0.25), outputs, strict=True)
    )
    assert found.item() == pytest.approx(expected.item())


def test_in_nnunet_deep_supervision(batch):
    wrapper = pytest.importorskip("nnunetv2.training.loss.deep_supervision").DeepSupervisionWrapper
    logits, labels = batch(dtype=torch.float32)
    outputs, targets = levels(logits), [labels, labels[..., ::2, ::2, ::2], labels[..., :1, :1, :1]]
    noises = [noise_for(z) for z in outputs]
    loss = DUOLoss()
    seen = []
    loss.register_forward_hook(lambda module, inputs, value: seen.append(module.last_weights))
    found = wrapper(loss, (0.6, 0.4, 1e-6))(outputs, targets, noises)
    expected = sum(
        weight * DUOLoss()(*one)
        for weight, one in zip((0.6, 0.4, 1e-6), zip(outputs, targets, noises, strict=True), strict=True)
    )
    assert found.item() == pytest.approx(expected.item())
    assert len(seen) == 3
    assert (seen[0] < 1).all()
    assert (seen[2] == 1).all()  # 1 x 1 x 1 has no S


def test_monai_tensors_come_out_as_plain_ones(batch):
    from monai.data import MetaTensor

    logits, labels = batch()
    value = DUOLoss()(MetaTensor(logits), MetaTensor(labels), MetaTensor(noise_for(logits)))
    assert type(value) is torch.Tensor
    assert value.item() == DUOLoss()(logits, labels, noise_for(logits)).item()
