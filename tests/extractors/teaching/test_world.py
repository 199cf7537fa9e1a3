"""The synthetic world: the same for the same seed, prompts that belong to what they mean, much that differs."""

import numpy as np
import pytest
import torch

from aleaseg.extractors.teaching.chance import Chance
from aleaseg.extractors.teaching.prompts import _edges, _inside, _points
from aleaseg.extractors.teaching.world import KINDS, World, _Scene, prompted_scenes

SMALL = World(scene=48, side=32, group=8, views=2)


@pytest.fixture(scope="module")
def scenes():
    drawn = [prompted_scenes(seed, SMALL) for seed in range(12)]
    return torch.cat([seen for seen, _ in drawn]), torch.cat([truth for _, truth in drawn])


def test_the_same_seed_is_the_same_scene():
    one, other, another = (prompted_scenes(seed, SMALL) for seed in (3, 3, 4))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert one[0].shape != another[0].shape or not torch.equal(one[0], another[0])


def test_shapes_ranges_and_shares(scenes):
    seen, truth = scenes
    assert seen.shape[1:] == (5, 32, 32)
    assert truth.shape == (len(seen), 32, 32)
    assert len(seen) > 0.7 * 12 * SMALL.group * SMALL.views
    assert torch.isfinite(seen).all()
    assert seen[:, :3].min() >= 0
    assert seen[:, :3].max() <= 1
    assert set(np.unique(truth)) == {0, 1}
    assert set(np.unique(seen[:, 3])) <= {0, 1}
    assert set(np.unique(seen[:, 4])) <= {-1, 0, 1}
    assert (truth.flatten(1).sum(1) >= 12).all()
    # Windows are about the thing, so that it takes a good part of the square, and never all of it.
    assert 0.08 < truth.mean() < 0.5


def test_regions_hold_the_thing_and_points_lie_where_they_say(scenes):
    seen, truth = scenes
    region, points = seen[:, 3], seen[:, 4]
    prompted = region.flatten(1).any(1)
    assert 0.85 < prompted.float().mean() < 1
    held = (region * truth).flatten(1).sum(1) / truth.flatten(1).sum(1)
    assert held[prompted].median() > 0.85  # boxes are shaken, inwards too
    with_points = points.flatten(1).any(1)
    assert (with_points | prompted).all()  # nothing is meant without a prompt
    assert 0.1 < with_points.float().mean() < 0.5
    # Disks reach a little over the border; their middles do not.
    inside = ((points > 0) * truth).sum() / (points > 0).sum()
    outside = ((points < 0) * (1 - truth)).sum() / (points < 0).sum()
    assert inside > 0.45  # things of a few pixels, disks of five
    assert outside > 0.8


def test_scenes_differ_in_contrast(scenes):
    seen, truth = scenes
    middle = seen[:, 1]
    inside = (middle * truth).flatten(1).sum(1) / truth.flatten(1).sum(1)
    around = (middle * (1 - truth)).flatten(1).sum(1) / (1 - truth).flatten(1).sum(1)
    difference = inside - around
    assert (difference > 0.1).float().mean() > 0.15
    assert (difference < -0.1).float().mean() > 0.15
    assert (difference.abs() < 0.1).float().mean() > 0.05


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_every_kind_of_thing_is_there_and_ends(kind):
    scene = _Scene(World(scene=64, group=16), seed=5)
    scene.at = scene.at * torch.tensor([1.0, 1, 0.01])[None, :, None, None, None]  # through the middle
    there = scene.thing(torch.zeros(16, 3, 1, 1, 1), torch.full((16, 1, 1, 1), 0.5), kind)
    share = there.float().mean((1, 2, 3))
    assert (share > 0.002).float().mean() > 0.7
    assert share.max() < 0.5
    edge = torch.cat([there[..., 0], there[..., -1], there[..., 0, :], there[..., -1, :]], dim=-1)
    assert edge.float().mean() < 0.05


def test_edges_are_the_tight_box():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = np.zeros((1, 20, 20), bool)
        y, x = np.sort(rng.integers(0, 20, 2)), np.sort(rng.integers(0, 20, 2))
        mask[0, y[0] : y[1] + 1, x[0] : x[1] + 1] = rng.random((y[1] - y[0] + 1, x[1] - x[0] + 1)) > 0.5
        if not mask.any():
            continue
        rows, columns = np.nonzero(mask[0])
        expected = [columns.min(), columns.max(), rows.min(), rows.max()]
        edges = _edges(torch.from_numpy(mask))
        assert edges[0].tolist() == expected
        filled = _inside(edges, 20)[0].numpy()
        assert filled.sum() == (expected[1] - expected[0] + 1) * (expected[3] - expected[2] + 1)
        assert filled[mask[0]].all()


def test_points_of_an_empty_side_do_not_lie():
    mask = torch.zeros(4, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 4:12] = True
    found = _points(mask, Chance(0, 4))
    for sign, of in ((1, mask), (-1, ~mask)):
        centres = torch.nonzero((found == sign) & of)
        assert len(centres) or not (found == sign).any()
