"""Where noise goes: places that fit, whatever is drawn; noise against loops; an end where no room is left."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.losses.patches import (
    Patches,
    add_patches,
    choose_places,
    draw_patch_noise,
    draw_whole_noise,
    hard_patches,
    patch_edge,
)


def lattice(shape, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, shape)
    return rng.uniform(size=shape) > 0.5, label, rng.uniform(0, 8, shape)


@given(
    st.lists(st.integers(2, 14), min_size=2, max_size=3),
    st.sampled_from([3, 4, 7]),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_places_lie_inside_and_apart(shape, edge, seed):
    candidates, label, distance = lattice(shape, seed)
    places = choose_places(candidates, label, distance, 3, edge, np.random.default_rng(seed))
    assert len(places) <= 9
    taken = np.zeros(shape, int)
    for place in places:
        box = tuple(slice(x, x + edge) for x in place)
        assert taken[box].shape == (edge,) * len(shape)
        taken[box] += 1
    assert taken.max() <= 1
    if len(places) < 9:  # fewer only where there is no room
        for start in np.ndindex(*[max(0, length - edge + 1) for length in shape]):
            assert taken[tuple(slice(x, x + edge) for x in start)].any()


@pytest.mark.parametrize("seed", range(5))
def test_three_of_each_class_at_candidates(seed):
    shape = (60, 60)
    candidates, label, distance = lattice(shape, seed)
    places = choose_places(candidates, label, distance, 3, 3, np.random.default_rng(seed))
    centres = tuple((places + 1).T)
    assert label[centres].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert candidates[centres].all()
    assert (distance[centres][:3] < 4).all()


def test_the_rest_is_anywhere():
    shape = (40, 40)
    nowhere, label = np.zeros(shape, bool), np.zeros(shape, int)
    drawn = [
        choose_places(nowhere, label, np.full(shape, np.inf), 2, 3, np.random.default_rng(seed))
        for seed in range(200)
    ]
    assert {len(places) for places in drawn} == {6}
    first = np.array([places[0] for places in drawn])  # uniform over 0 .. 37
    assert first.mean(0) == pytest.approx(18.5, abs=3)
    assert first.min() < 3
    assert first.max() > 34


def test_the_background_is_taken_near_alone():
    shape = (30, 30)
    everywhere, label = np.ones(shape, bool), np.zeros(shape, int)
    distance = np.full(shape, 9.0)
    distance[10, 10] = 3.9
    places = choose_places(everywhere, label, distance, 1, 3, None)
    assert places.tolist() == [[9, 9]]
    assert choose_places(everywhere, label, np.full(shape, np.nan), 1, 3, None).size == 0


def test_no_room_is_an_end():
    for shape in ((2, 9), (0, 9), (2, 2, 2)):
        places = choose_places(
            np.ones(shape, bool), np.ones(shape, int), np.zeros(shape), 3, 3, np.random.default_rng(0)
        )
        assert places.shape == (0, len(shape))
    full = choose_places(
        np.ones((3, 4), bool), np.ones((3, 4), int), np.zeros((3, 4)), 3, 3, np.random.default_rng(0)
    )
    assert len(full) == 1


def test_places_of_a_batch():
    maps = [lattice((7, 30), seed) for seed in (0, 1)]
    candidates, label, distance = (torch.tensor(np.stack(each)) for each in zip(*maps, strict=True))
    candidates[1] = False
    label[1] = 255
    found = [
        hard_patches(candidates, label, distance, 3, 3, np.random.default_rng(5), per_class=2)
        for _ in range(2)
    ]
    assert torch.equal(found[0].starts, found[1].starts)
    rng = np.random.default_rng(5)
    for sample in range(2):
        maps = (each[sample].numpy() for each in (candidates, label, distance))
        expected = choose_places(*maps, 3, 3, rng, per_class=2)
        there = found[0].there[sample]
        assert found[0].starts[sample][there].tolist() == expected.tolist()


@pytest.mark.parametrize("axes", [2, 3])
def test_noise_is_added_at_the_places_alone(axes):
    rng = np.random.default_rng(0)
    shape, edge = (9, 10, 11)[:axes], 3
    image = rng.normal(size=(2, 2, *shape))
    starts = np.array([[[0] * axes, [3] * axes], [[6] * axes, [0] * axes]])
    there = np.array([[True, True], [True, False]])
    noise = rng.normal(size=(2, *[edge] * axes))
    expected = image.copy()
    for b, p in np.ndindex(2, 2):
        if there[b, p]:
            expected[(b, slice(None), *[slice(x, x + edge) for x in starts[b, p]])] += noise
    patches = Patches(torch.tensor(starts), torch.tensor(there), edge)
    given_ = torch.tensor(image)
    found = add_patches(given_, patches, torch.tensor(noise))
    assert found.numpy() == pytest.approx(expected)
    assert np.array_equal(given_.numpy(), image)
    centres = patches.at_centres(given_[:, 0])
    for b, p in zip(*there.nonzero(), strict=True):
        assert centres[b, p] == image[(b, 0, *(starts[b, p] + 1))]


def test_noise_of_both_cues():
    rng = np.random.default_rng(0)
    for noise, mean in (("sigma", 0.0), ("mu", 0.5)):
        field = draw_whole_noise((200, 200), noise, rng)
        assert (field.mean(), field.std()) == pytest.approx((mean, 0.3), abs=0.01)
        drawn = [draw_patch_noise(2, 31, 2, noise, rng) for _ in range(40)]
        levels = np.stack([each for each, _ in drawn])
        assert ((levels > 0) & (levels < 1)).all()
        assert levels.mean() == pytest.approx(0.5, abs=0.1)
        patches = np.stack([each for _, each in drawn])
        assert patches.shape == (40, 2, 2, 31, 31)
        spread, middle = patches.std((2, 3, 4)), patches.mean((2, 3, 4))
        if noise == "sigma":
            assert spread == pytest.approx(levels, rel=0.1)
            same = patches / levels[:, :, None, None, None]
            assert same[:, 0] == pytest.approx(same[:, 1], rel=1e-4, abs=1e-4)  # one z
        else:
            assert middle == pytest.approx(levels, abs=0.03)
            assert spread == pytest.approx(0.3, abs=0.03)
            apart = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in patches]
            assert np.abs(apart).max() < 0.2  # two draws


def test_how_long_a_patch_is():
    assert [patch_edge(shape) for shape in ((128, 128), (512, 512), (256, 256), (16, 300, 300))] == [
        3,
        7,
        7,
        3,
    ]
