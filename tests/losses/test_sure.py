"""SURE's terms: against loops in NumPy, closed forms, slopes, laws; and the passes that they take."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from aleaseg.cues import distance_map, gradient_map
from aleaseg.losses.evidential import evidential_loss, uncertainty
from aleaseg.losses.gradient_rule import block_gradient_order, draw_pairs
from aleaseg.losses.noise_rule import distance_order, far_mean, level_order
from aleaseg.losses.patches import Patches
from aleaseg.losses.sure import (
    VARIANTS,
    SureSettings,
    gradient_order,
    kept_statistics,
    nu_loss,
    ramp,
    sure_terms,
)

SURE = VARIANTS["sure"]


def mean_of_positive(values):
    found = [value for value in values if value > 0]
    return sum(found) / len(found) if found else 0.0


def maps(shape=(8, 9), samples=3, seed=0, empty=True, ignored=False):
    """u (3, B, *X) float64, d and g (B, *X): squares in noise, the last sample without foreground."""
    rng = np.random.default_rng(seed)
    label = np.zeros((samples, *shape), np.int64)
    for sample in range(samples - empty):
        at = rng.integers(1, 3)
        label[(sample, *[slice(at, at + 3)] * len(shape))] = 1 + sample % 2
    if ignored:
        label[rng.uniform(size=label.shape) > 0.8] = 255
    d = np.stack([distance_map(each, ignore_index=255) for each in label])
    g = np.stack([gradient_map(each[None]) for each in rng.normal(size=label.shape)])
    u = torch.tensor(rng.uniform(size=(3, *label.shape)))
    return u, torch.tensor(d), torch.tensor(g), torch.tensor(label)


def random_patches(shape, samples=3, number=6, edge=3, seed=0):
    rng = np.random.default_rng(seed)
    starts = np.stack([rng.integers(0, length - edge + 1, (samples, number)) for length in shape], -1)
    there = rng.uniform(size=(samples, number)) > 0.2
    return Patches(torch.tensor(starts), torch.tensor(there), edge)


# -- L_gu ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "ignored"), [((8, 9), False), ((8, 9), True), ((6, 7, 6), True)])
def test_gradient_order_is_pair_by_pair(shape, ignored):
    u, d, g, _ = maps(shape, ignored=ignored)
    pairs = draw_pairs(d, np.random.default_rng(1), most=200)
    of_samples = []
    for sample, (first, second) in enumerate(pairs):
        edge = [x for x in np.ndindex(shape) if d[sample][x] <= 1]
        assert len(first) == min(200, math.comb(len(edge), 2))
        if not len(first):
            continue
        found = []
        for i, j in zip(first, second, strict=True):
            p, q = edge[i], edge[j]
            found.append(float((g[sample][p] - g[sample][q]) * (u[0, sample][p] - u[0, sample][q])))
        of_samples.append(mean_of_positive(found))
    assert len(of_samples) == 2  # the third has no boundary
    assert min(of_samples) > 0
    loss = gradient_order(u[0], g, d, pairs)
    assert loss.item() == pytest.approx(np.mean(of_samples), rel=1e-6)
    assert block_gradient_order(u[0], g, d, pairs).item() == pytest.approx(sum(of_samples) / 3, rel=1e-6)


def test_gradient_order_of_an_order():
    _, d, g, _ = maps()
    pairs = draw_pairs(d, np.random.default_rng(1))
    falls = torch.exp(-g.double()).requires_grad_()
    loss = gradient_order(falls, g, d, pairs)
    assert loss.item() == 0
    loss.backward()
    assert not falls.grad.any()
    assert gradient_order(torch.exp(g.double()), g, d, pairs) > 0


def test_slopes_of_gradient_order():
    u, d, g, _ = maps()
    pairs = draw_pairs(d, np.random.default_rng(1), most=50)
    u = u[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda u: gradient_order(u, g.double(), d, pairs), (u,))
    g.requires_grad_()
    loss = gradient_order(u, g, d, pairs)
    loss.backward()
    assert g.grad is None
    assert not u.grad[2].any()
    assert not u.grad[d > 1].any()
    assert gradient_order(u - 1e-3 * u.grad, g, d, pairs) < loss


def test_samples_in_any_order():
    u, d, g, _ = maps()
    pairs, to = draw_pairs(d, np.random.default_rng(1)), [2, 0, 1]
    whole = gradient_order(u[0], g, d, pairs).item()
    assert gradient_order(u[0][to], g[to], d[to], [pairs[k] for k in to]).item() == pytest.approx(whole)


def test_a_voxel_with_itself_is_no_pair():
    _, d, g, _ = maps(samples=2, empty=False)
    rises = g.double()
    found = [
        gradient_order(rises, g, d, [first, second]).item()
        for first, second in ((([3, 0], [3, 1]), ([2, 2], [2, 2])), (([0], [1]), ([], [])))
    ]
    assert found[0] == found[1] > 0  # the second sample has no pair: it does not count
    assert gradient_order(rises, g, d, [([2], [2]), ([], [])]).item() == 0


def test_what_has_no_pairs():
    u, d, g, _ = maps(samples=1)
    u.requires_grad_()
    pairs = draw_pairs(d, np.random.default_rng(1))
    assert pairs[0].shape == (2, 0)
    for of in (gradient_order, block_gradient_order):
        loss = of(u[0], g, d, pairs)
        assert loss.item() == 0
        loss.backward()
    assert not u.grad.any()


def test_blocks_are_summed():
    u, d, g, _ = maps(samples=1, empty=False)
    pairs = draw_pairs(d, np.random.default_rng(1), most=90)
    parts = [gradient_order(u[0], g, d, [pairs[0][:, k : k + 25]]).item() for k in range(0, 90, 25)]
    if (pairs[0][0] == pairs[0][1]).any():  # they are dropped first
        pairs = [pairs[0][:, pairs[0][0] != pairs[0][1]]]
        count = pairs[0].shape[1]
        parts = [gradient_order(u[0], g, d, [pairs[0][:, k : k + 25]]).item() for k in range(0, count, 25)]
    assert block_gradient_order(u[0], g, d, pairs, block=25).item() == pytest.approx(sum(parts), rel=1e-9)


def test_pairs_that_do_not_fit_are_told():
    u, d, g, _ = maps()
    with pytest.raises(ValueError, match=r"sample 0 of the batch has .* an index 5000"):
        gradient_order(u[0], g, d, [([0], [5000]), ([], []), ([], [])])
    with pytest.raises(ValueError, match="pairs of 1 samples"):
        gradient_order(u[0], g, d, [([0], [1])])
    with pytest.raises(ValueError, match="expected"):
        gradient_order(u[0], g[:, :4], d, [([0], [1])] * 3)


# -- L_nu ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 14), (8, 9, 8)])
@pytest.mark.parametrize("levels", [(0.3, 0.8), (0.8, 0.3)])
def test_nu_is_patch_by_patch(shape, levels):
    u, d, _, _ = maps(shape, ignored=True)
    patches = random_patches(shape)
    centres = patches.starts.numpy() + 1
    mu = 0.0
    for high, low, step in ((2, 1, levels[1] - levels[0]), (1, 0, levels[0]), (2, 0, levels[1])):
        v = []
        for b, p in np.ndindex(centres.shape[:2]):
            x = (b, *centres[b, p])
            if patches.there[b, p] and d[x] <= 4:
                v.append(float(-(u[high][x] - u[low][x]) * step))
        mu += mean_of_positive(v)
    of_samples = []
    for b in range(3):
        kept = [
            x
            for p, x in enumerate(map(tuple, centres[b]))
            if patches.there[b, p] and np.isfinite(float(d[b][x]))
        ]
        if len(kept) < 2:
            continue
        total = 0.0
        for level in (1, 2):
            du = [float(u[level][b][x] - u[0][b][x]) if d[b][x] <= 4 else 0.0 for x in kept]
            v = [
                (float(d[b][kept[j]]) - float(d[b][kept[k]])) * (du[j] - du[k])
                for j in range(len(kept))
                for k in range(j + 1, len(kept))
            ]
            total += mean_of_positive(v)
        of_samples.append(total)
    assert len(of_samples) == 2
    far = [
        float(u[:, b][(slice(None), *x)].sum()) for b in range(3) for x in np.ndindex(shape) if d[b][x] > 4
    ]
    loss, terms = nu_loss(u, d, patches, levels, replace(SURE, level=2.0, distance=3.0, far=5.0))
    assert terms.level.item() == pytest.approx(mu, rel=1e-6)
    assert terms.distance.item() == pytest.approx(np.mean(of_samples), rel=1e-6)
    assert terms.far.item() == pytest.approx(np.mean(far), rel=1e-6)
    assert loss.item() == pytest.approx(2 * mu + 3 * np.mean(of_samples) + 5 * np.mean(far), rel=1e-6)


def test_the_clean_map_learns_from_far_alone():
    u, d, _, _ = maps((12, 14))
    u.requires_grad_()
    patches = random_patches((12, 14))
    loss, _ = nu_loss(u, d, patches, (0.3, 0.8), replace(SURE, far=0.0))
    (slope,) = torch.autograd.grad(loss, u)
    assert loss > 0
    assert not slope[0].any()
    assert slope[1:].any()
    loss, terms = nu_loss(u, d, patches, (0.3, 0.8), SURE)
    (slope,) = torch.autograd.grad(loss, u)
    assert terms.far > 0
    assert (slope[0] > 0).equal(d > 4)


def test_slopes_of_nu():
    u, d, _, _ = maps((12, 14))
    patches = random_patches((12, 14))
    others = u[1:].clone().requires_grad_()
    of = lambda noised: nu_loss([u[0], *noised], d, patches, (0.3, 0.8), SURE)[0]  # noqa: E731
    assert torch.autograd.gradcheck(of, (others,))
    loss = of(others)
    (slope,) = torch.autograd.grad(loss, others)
    assert of(others - 1e-4 * slope) < loss


def test_nu_of_an_order_is_nothing():
    u, d, _, _ = maps((12, 14))
    d = d.clamp(max=4)  # nothing is far
    rises = 0.1 * (5 - d).double()
    u = torch.stack([u[0], u[0] + 0.3 * rises, u[0] + 0.8 * rises]).requires_grad_()
    loss, terms = nu_loss(u, d, random_patches((12, 14)), (0.3, 0.8), SURE)
    assert [term.item() for term in (*terms, loss)] == pytest.approx([0, 0, 0, 0], abs=1e-12)
    loss.backward()
    assert u.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 5)])
def test_nothing_far_and_no_patch(shape):
    u, d, _, _ = maps(shape, samples=2, empty=False)
    u.requires_grad_()
    none = Patches(torch.zeros(2, 0, len(shape), dtype=torch.long), torch.zeros(2, 0, dtype=torch.bool), 3)
    assert not (d > 4).any()
    loss, terms = nu_loss(u, d, none, (0.3, 0.8), SURE)
    assert [term.item() for term in terms] == [0, 0, 0]
    loss.backward()
    assert not u.grad.any()


def test_far_at_zero_logits():
    u = uncertainty(torch.zeros(2, 4, 5, 6, dtype=torch.float64))
    far = far_mean([u] * 3, torch.full(u.shape, torch.inf))
    assert far.item() == pytest.approx(3 / (1 + math.log(2)))
    assert far.item() == pytest.approx(1.77185, abs=1e-5)


def test_the_official_form_drops_far_where_nothing_is_violated():
    u, d, _, _ = maps((12, 14))
    none = random_patches((12, 14))._replace(there=torch.zeros(3, 6, dtype=torch.bool))
    assert nu_loss(u, d, none, (0.3, 0.8), SURE)[0] > 0
    assert nu_loss(u, d, none, (0.3, 0.8), VARIANTS["sure2025"])[0] == 0
    some = random_patches((12, 14))
    ours, official = (nu_loss(u, d, some, (0.3, 0.8), each)[0] for each in (SURE, VARIANTS["sure2025"]))
    assert ours == official > 0


def test_permuted_samples():
    u, d, _, _ = maps((12, 14))
    patches, to = random_patches((12, 14)), [2, 0, 1]
    moved = patches._replace(starts=patches.starts[to], there=patches.there[to])
    found = [
        nu_loss(x, y, p, (0.3, 0.8), SURE)[0].item()
        for x, y, p in ((u, d, patches), (u[:, to], d[to], moved))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_the_terms_by_themselves_are_0_without_points():
    nothing = torch.zeros(2, 0)
    mask = torch.zeros(2, 0, dtype=torch.bool)
    assert level_order([nothing] * 3, (0.1, 0.2), mask).item() == 0
    assert distance_order([nothing] * 3, nothing, mask, mask).item() == 0


# -- settings --------------------------------------------------------------------------------------


def test_the_ramp():
    assert [ramp(t / 100) for t in (0, 29.9, 30, 65, 100)] == pytest.approx([0, 0, 0.01, 0.1, 1])


def test_variants():
    assert not VARIANTS["edl"].ordered
    assert not VARIANTS["edl_b"].ordered
    assert VARIANTS["edl"] == replace(SURE, beta=0.0, gamma=0.0)
    assert VARIANTS["sure2025"].noise == "mu"
    for wrong in (
        {"beta": -1.0},
        {"begin": 1.0},
        {"start": 0.0},
        {"noise": "rho"},
        {"form": "c"},
        {"pairs": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SureSettings(**wrong)


# -- the passes ------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two convolutions; counts its passes."""

    def __init__(self, axes=2, norm="batch"):
        super().__init__()
        conv, batch, instance = (
            (nn.Conv2d, nn.BatchNorm2d, nn.InstanceNorm2d)
            if axes == 2
            else (nn.Conv3d, nn.BatchNorm3d, nn.InstanceNorm3d)
        )
        self.first, self.last = conv(1, 4, 3, padding=1), conv(4, 3, 1)
        self.norm = batch(4) if norm == "batch" else instance(4, affine=True, track_running_stats=True)
        self.passes = []

    def forward(self, image):
        self.passes.append((image.detach().clone(), torch.is_grad_enabled()))
        return [self.last(self.norm(self.first(image)).relu()), None]


def batch_of(axes=2, samples=2, edge=16, seed=0):
    rng = np.random.default_rng(seed)
    shape = (edge,) * axes
    label = np.zeros((samples, *shape), np.int64)
    label[(slice(None), *[slice(3, 7)] * axes)] = 1
    label[(slice(None), *[slice(6, 9)] * axes)] = 2
    image = (rng.normal(size=(samples, 1, *shape)) + label[:, None]).astype(np.float32)
    distance = np.stack([distance_map(each) for each in label])
    gradient = np.stack([gradient_map(each) for each in image])
    return tuple(map(torch.tensor, (image, label, distance, gradient)))


def terms_of(network, batch, progress=1.0, seed=(7, 3), settings=SURE):
    image, label, distance, gradient = batch
    logits = network(image)[0]
    return sure_terms(network, image, logits, label, distance, gradient, progress, seed, settings)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


@pytest.mark.parametrize("axes", [2, 3])
def test_three_passes_with_their_noise(axes):
    torch.manual_seed(0)
    network, batch = Small(axes), batch_of(axes)
    loss, parts = terms_of(network, batch)
    assert set(parts) == {"gradient", "level", "distance", "far"}
    expected = parts["gradient"] + parts["level"] + parts["distance"] + parts["far"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (clean, _), (whole, learns), *noised = network.passes
    assert not learns
    assert [grad for _, grad in noised] == [True, True]
    field = (whole - clean)[:, 0]
    assert torch.allclose(field[0], field[1], atol=1e-6)  # one for all samples
    assert field.std().item() == pytest.approx(0.3, rel=0.2)
    places = [(image != clean) for image, _ in noised]
    assert torch.equal(*places)  # two levels at the same places
    assert 0 < places[0].sum() <= 2 * 9 * 3**axes
    loss.backward()
    assert all(
        parameter.grad.isfinite().all() and parameter.grad.any() for parameter in network.last.parameters()
    )


def test_noise_goes_where_uncertainty_does_not_rise():
    image = torch.zeros(2, 1, 32, 32)
    label = torch.zeros(2, 32, 32, dtype=torch.long)
    label[:, 4:12] = 1
    distance = torch.tensor(np.stack([distance_map(each) for each in label.numpy()]))
    side = torch.ones(32)
    side[:16] = -1  # noise takes evidence away on the left, and adds to it on the right
    seen = []

    def network(x):
        seen.append(x)
        return (x.square() * side).expand(-1, 2, -1, -1)

    logits = network(image)
    sure_terms(network, image, logits, label, distance, torch.ones_like(distance), 1.0, 0, SURE)
    noised = (seen[2] != 0)[:, 0].nonzero()[:, 2]
    assert len(noised) == 2 * 6 * 9
    assert noised.min() >= 15  # centres on the right


def test_the_same_seed_the_same_terms(network):
    batch = batch_of()
    once, again, other = (
        terms_of(network, batch, seed=seed)[0].item() for seed in ((7, 3), (7, 3), (7, 4))
    )
    assert once == again != other


def test_nothing_before_its_time(network):
    batch = batch_of()
    for progress, settings in ((0.29, SURE), (1.0, VARIANTS["edl"])):
        network.passes.clear()
        loss, parts = terms_of(network, batch, progress, settings=settings)
        assert loss.item() == 0
        assert parts == {}
        assert len(network.passes) == 1
        loss.backward()
    gu, _ = terms_of(network, batch, settings=replace(SURE, gamma=0.0))
    assert len(network.passes) == 2  # L_gu takes none
    tenth, _ = terms_of(network, batch, 0.65, settings=replace(SURE, gamma=0.0))
    assert tenth.item() == pytest.approx(gu.item() / 10, rel=1e-6)


def test_sure_without_weights_is_edl_bit_for_bit(network):
    image, label, *_ = batch = batch_of()
    logits = network(image)[0]
    edl = evidential_loss(logits, label, 0.9)
    added, _ = terms_of(network, batch, 0.9, settings=replace(SURE, beta=0.0, gamma=0.0))
    assert torch.equal(edl + added, edl)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", ["sure", "sure2025"])
def test_running_statistics(norm, name):
    torch.manual_seed(0)
    network, batch = Small(norm=norm), batch_of()
    network(batch[0])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    image, label, distance, gradient = batch
    with kept_statistics(network):
        logits = network(image)[0]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    sure_terms(network, image, logits, label, distance, gradient, 1.0, 0, VARIANTS[name])
    moved = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert bool(moved) == (name == "sure2025")
    network(image)
    assert not torch.equal(network.norm.running_mean, before["norm.running_mean"])  # it learns again


def test_within_the_statistics_of_the_batch_count():
    torch.manual_seed(0)
    network, batch = Small(), batch_of()
    plain = network(batch[0])[0]
    with kept_statistics(network):
        assert torch.equal(network(batch[0])[0], plain)
    network.eval()
    evaluated = network(batch[0])[0]
    with kept_statistics(network):
        assert torch.equal(network(batch[0])[0], evaluated)
    tracked = ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    before = {key: network.state_dict()[key].clone() for key in tracked}
    with pytest.raises(RuntimeError, match="on purpose"), kept_statistics(network.train()):
        raise RuntimeError("on purpose")
    network(batch[0])
    assert all(not torch.equal(network.state_dict()[key], before[key]) for key in tracked)


def test_under_autocast_the_noised_passes_learn():
    torch.manual_seed(0)
    network, batch = Small(), batch_of()
    image, label, distance, gradient = batch
    logits = network(image)[0].detach()
    slopes = []
    for mixed in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            # The pass without gradients is the first here: what it casts must not be kept.
            loss, _ = sure_terms(
                network, image, logits, label, distance, gradient, 1.0, 0, replace(SURE, beta=0.0)
            )
        assert loss.dtype == torch.float32
        loss.backward()
        assert network.first.weight.grad is not None
        slopes.append(network.last.weight.grad.flatten().clone())
    assert torch.cosine_similarity(*slopes, dim=0) > 0.9


@pytest.mark.parametrize("name", ["sure", "sure2025"])
def test_odd_batches_have_finite_slopes(name):
    torch.manual_seed(0)
    network = Small(norm="instance")
    image, label, _, _ = batch_of()
    for change in ("no foreground", "all ignored", "one class", "one sample", "tiny"):
        im, target = image.clone(), label.clone()
        if change == "no foreground":
            target[:] = 0
        elif change == "all ignored":
            target[:] = 255
        elif change == "one class":
            target.clamp_(max=1)
        elif change == "one sample":
            im, target = im[:1], target[:1]
        else:
            im, target = im[..., :2, 2:4], target[..., :2, 2:4]
        phantom = VARIANTS[name].phantom
        d = np.stack([distance_map(each, ignore_index=255, phantom=phantom) for each in target.numpy()])
        g = np.stack([gradient_map(each) for each in im.numpy()])
        network.zero_grad()
        loss, parts = terms_of(
            network, (im, target, torch.tensor(d), torch.tensor(g)), settings=VARIANTS[name]
        )
        assert loss.isfinite(), change
        assert all(part.isfinite() for part in parts.values())
        if change == "all ignored":
            assert loss.item() == 0
        loss.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None), change


def test_a_callable_and_shapes_that_do_not_fit(network):
    image, label, distance, gradient = batch_of()
    logits = network(image)[0]
    loss, _ = sure_terms(lambda x: network(x)[0], image, logits, label, distance, gradient, 1.0, 0, SURE)
    assert loss > 0
    with pytest.raises(ValueError, match=r"expected \(B, C, \*spatial\)"):
        sure_terms(network, image, logits, label[:, None], distance, gradient, 1.0, 0, SURE)


def test_a_few_steps_bring_uncertainty_into_order():
    torch.manual_seed(0)
    network, batch = Small(), batch_of(samples=3)
    optimizer = torch.optim.Adam(network.parameters(), 5e-2)
    found = []
    for _ in range(30):
        optimizer.zero_grad()
        loss, parts = terms_of(network, batch, seed=0)
        loss.backward()
        optimizer.step()
        found.append((loss.item(), parts["far"].item()))
    assert found[-1][0] < 0.8 * found[0][0]
    assert found[-1][1] < found[0][1]
