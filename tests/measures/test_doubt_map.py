"""The map of doubt: closed forms, laws, and plain loops beside it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from aleaseg.measures.boundary import boundary_contrast, boundary_shape
from aleaseg.measures.doubt_map import UsualBorder, belief, border_doubt, both

QUICK = settings(max_examples=20, deadline=None)
SHAPE = (5, 14, 15)


def blob(seed, dims, share=0.8):
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=SHAPE[-dims:]), 1.5)
    return field > np.quantile(field, share)


def a_picture(seed, mask):
    """Brighter inside by a step that differs from place to place."""
    rng = np.random.default_rng(seed)
    step = 3 * gaussian_filter(rng.normal(size=mask.shape), 3) + 1
    return (mask * step + rng.normal(size=mask.shape)).astype(np.float32)


SEEDS, DIMS = st.integers(0, 10_000), st.sampled_from([2, 3])


@pytest.mark.parametrize("shape", [(7, 20, 22), (1, 20, 22), (20, 22)])
@pytest.mark.parametrize("voxels", [1, 500])
def test_a_few_slices_at_a_time_are_the_whole(shape, voxels, monkeypatch):
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=shape), 1.5)
    label = np.digitize(field, np.quantile(field, [0.6, 0.85]))
    other = np.roll(label, 2, axis=-1)
    usual = UsualBorder(0.01, 1.1, 1.1, (2.0,))
    spacing = (2.5, 0.7, 0.9)[-len(shape) :]

    def both_maps():
        mask = label == 1
        return belief(label, other, spacing), border_doubt(mask, usual, a_picture(1, mask)[None])

    whole = both_maps()
    monkeypatch.setattr("aleaseg.measures.regions._SLAB", voxels)
    for one, two in zip(whole, both_maps(), strict=True):
        np.testing.assert_array_equal(one, two)
        assert len(np.unique(one)) > 10


# -- what a predictor of labels alone is taken to believe ----------------------------------------------


def believed(label, predicted, spacing):
    """By loops over all pairs of voxels."""
    step = min(spacing[-2:])
    places = list(itertools.product(*map(range, label.shape)))
    found = np.zeros(label.shape)
    for at in places:
        seen = predicted == label[at]
        if not seen.any():
            continue
        inside = predicted[at] == label[at]
        away = [
            math.dist(np.multiply(at, spacing), np.multiply(other, spacing))
            for other in places
            if seen[other] != inside
        ]
        s = (min(away) - step / 2) * (1 if inside else -1) if away else math.inf
        found[at] = 1 / (1 + math.exp(-s / step)) if math.isfinite(s) else 1.0
    return found


@given(SEEDS)
@settings(max_examples=6, deadline=None)
def test_belief_is_what_loops_say(seed):
    rng = np.random.default_rng(seed)
    label, predicted = (rng.integers(0, 3, (3, 5, 6)) for _ in range(2))
    spacing = (2.5, 1.0, 1.5)
    found = belief(label, predicted, spacing)
    np.testing.assert_allclose(found, believed(label, predicted, spacing), atol=1e-6)


def test_belief_of_a_straight_border():
    predicted = np.zeros((4, 12), int)
    predicted[:, 6:] = 1
    found = belief(np.ones_like(predicted), predicted, (2.0, 2.0))
    s = np.array([-5.5, -4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_allclose(found, np.tile(1 / (1 + np.exp(-s)), (4, 1)), atol=1e-6)


@given(SEEDS, DIMS)
@QUICK
def test_belief_says_who_agrees_and_falls_with_distance(seed, dims):
    label, predicted = blob(seed, dims).astype(int), blob(seed + 1, dims).astype(int)
    found = belief(label, predicted, (1.0,) * dims)
    np.testing.assert_array_equal(found > 0.5, label == predicted)
    # Of millimetres twice as long the voxels are, too.
    np.testing.assert_allclose(belief(label, predicted, (2.0,) * dims), found, atol=1e-6)


def test_what_lies_far_from_all_that_is_marked_changes_nothing():
    """A small thing in a large picture is told as in a small one."""
    label, predicted = np.zeros((60, 70), int), np.zeros((60, 70), int)
    label[30:36, 30:37], predicted[31:38, 29:36] = 1, 1
    found = belief(label, predicted, (1.0, 1.0))
    near = np.s_[15:52, 14:53]
    np.testing.assert_allclose(found[near], believed(label[near], predicted[near], (1.0, 1.0)), atol=1e-5)
    found[near] = 1
    assert (found > 1 - 1e-5).all()
    assert (belief(np.zeros((5, 5), int), np.zeros((5, 5), int), (1.0, 1.0)) == 1).all()


def test_a_label_that_is_predicted_nowhere_is_not_believed():
    label = np.zeros((6, 6), int)
    label[2:4, 2:4] = 2
    found = belief(label, np.zeros_like(label), (1.0, 1.0))
    np.testing.assert_array_equal(found[label == 2], 0)
    assert (found[label == 0] > 0.99).all()


# -- the border ----------------------------------------------------------------------------------------


def cross(dims):
    steps = [np.zeros(dims, int)]
    for axis in range(dims):
        for side in (1, -1):
            step = np.zeros(dims, int)
            step[axis] = side
            steps.append(step)
    return steps


def is_in(mask, at):
    return all(0 <= a < size for a, size in zip(at, mask.shape, strict=True)) and bool(mask[tuple(at)])


def spikes_and_gaps(mask):
    """Outside the array there is nothing; by loops."""
    steps = cross(mask.ndim)
    lost, filled = mask.copy(), ~mask
    wider = [range(-1, size + 1) for size in mask.shape]
    for centre in itertools.product(*wider):
        places = [np.add(centre, step) for step in steps]
        if all(is_in(mask, at) for at in places):
            for at in places:
                lost[tuple(at)] = False
        if not any(is_in(mask, at) for at in places):
            for at in places:
                if all(0 <= a < size for a, size in zip(at, mask.shape, strict=True)):
                    filled[tuple(at)] = False
    return lost, filled


def longest_run(mask, pairs):
    """At each voxel the longest run of faces that one of its faces lies in, by walking along them."""
    found = np.zeros(mask.shape, int)
    for across, along in pairs:
        step, way = np.zeros(mask.ndim, int), np.zeros(mask.ndim, int)
        step[across] = way[along] = 1
        for at in itertools.product(*[range(-1, size) for size in mask.shape]):

            def face(at, step=step):
                return int(is_in(mask, np.add(at, step))) - int(is_in(mask, at))

            if face(at) == 0:
                continue
            run = 1
            for sign in (1, -1):
                beside = np.add(at, sign * way)
                while face(beside) == face(at):
                    run, beside = run + 1, np.add(beside, sign * way)
            for voxel in (np.array(at), np.add(at, step)):
                if all(0 <= a < size for a, size in zip(voxel, mask.shape, strict=True)):
                    found[tuple(voxel)] = max(found[tuple(voxel)], run)
    return found


def excess(usual, value):
    return np.clip(1 - usual / np.maximum(value, 1e-9), 0, 1)


@given(SEEDS, DIMS)
@settings(max_examples=10, deadline=None)
def test_spikes_are_what_loops_say(seed, dims):
    mask = blob(seed, dims)
    lost, filled = spikes_and_gaps(mask)
    rough = lost.sum() / mask.sum()
    found = border_doubt(mask, UsualBorder(roughness=0.4 * rough))
    np.testing.assert_allclose(found, 0.5 * 0.6 * (lost | filled), atol=1e-6)


@given(SEEDS, DIMS)
@settings(max_examples=10, deadline=None)
def test_straight_runs_are_what_loops_say(seed, dims):
    mask = blob(seed, dims)
    shape = boundary_shape(mask)
    axes = (mask.ndim - 2, mask.ndim - 1)
    step = math.exp(shape["step"])
    one = excess(0.7 * step, step) * excess(0.7 * step, longest_run(mask, [axes, axes[::-1]]))
    found = border_doubt(mask, UsualBorder(step=0.7 * step))
    np.testing.assert_allclose(found, one / 2, atol=1e-6)
    if dims == 3:
        step = math.exp(shape["step_across"])
        runs = longest_run(mask, [(0, 1), (0, 2), (1, 0), (2, 0)])
        other = excess(0.7 * step, step) * excess(0.7 * step, runs)
        found = border_doubt(mask, UsualBorder(step_across=0.7 * step))
        np.testing.assert_allclose(found, other / 2, atol=1e-6)


@given(SEEDS, DIMS)
@settings(max_examples=10, deadline=None)
def test_contrast_is_what_loops_say(seed, dims):
    mask = blob(seed, dims)
    image = a_picture(seed, mask)
    whole = boundary_contrast(mask, image)["rim_contrast"]
    usual = 2 * abs(whole) + 0.5
    flat, grey = (array.reshape(-1, *array.shape[-2:]) for array in (mask, image.astype(float)))
    found = border_doubt(mask, UsualBorder(contrast=(usual,)), image[None]).reshape(flat.shape)
    rows, columns = np.mgrid[: flat.shape[1], : flat.shape[2]]
    rings, wide, narrow = [], [], []
    for one in flat:
        # In the city-block metric, which is that of crosses laid side by side.
        to = [
            np.min([abs(rows - r) + abs(columns - c) for r, c in np.argwhere(part)], axis=0, initial=99)
            for part in (one, ~one)
        ]
        rings.append((to[0] <= 3) & ~one)
        wide.append(to[0] <= 2)
        narrow.append(one & (to[1] > 2))
    ring = np.array(rings)
    spread = grey[flat | ring].std()
    near = np.array(wide) & ~np.array(narrow)
    weight = excess_of = 1 - np.clip(whole / usual, 0, 1)
    for k, r, c in np.argwhere(near)[::7]:
        kernel = np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * 2.0**2))
        kernel[(abs(rows - r) > 8) | (abs(columns - c) > 8)] = 0  # four standard deviations
        inside, outside = (
            (kernel * part * grey[k]).sum() / (kernel * part).sum() for part in (flat[k], ring[k])
        )
        expected = excess_of * np.clip(1 - (inside - outside) / spread / usual, 0, 1) / 2
        assert found[k, r, c] == pytest.approx(expected, abs=2e-3)
    assert weight > 0
    np.testing.assert_array_equal(found[~near], 0)


def usual_of(mask, image, times=1.0):
    """What is usual where the mask is `times` as odd as is usual."""
    shape = boundary_shape(mask)
    return UsualBorder(
        shape["roughness"] / times,
        math.exp(shape["step"]) / times,
        math.exp(shape.get("step_across", 0)) / times,
        (boundary_contrast(mask, image)["rim_contrast"] * times,),
    )


@given(SEEDS, DIMS)
@QUICK
def test_a_border_that_is_as_usual_is_not_doubtful(seed, dims):
    mask = blob(seed, dims)
    image = a_picture(seed, mask)
    usual = usual_of(mask, image)
    assert border_doubt(mask, usual, image[None]).max() < 1e-6
    # Nor is one that is smoother and shows more.
    assert border_doubt(mask, usual_of(mask, image, 0.8), image[None]).max() < 1e-6
    assert not border_doubt(mask, UsualBorder(contrast=(float("nan"),)), image[None]).any()
    assert not border_doubt(np.zeros_like(mask), usual, image[None]).any()


@given(SEEDS, DIMS, st.floats(1.2, 4))
@QUICK
def test_the_border_s_doubt_is_at_most_a_half_and_rises_with_how_odd_it_is(seed, dims, times):
    mask = blob(seed, dims)
    image = a_picture(seed, mask)
    before = mask.copy(), image.copy()
    some, more = (border_doubt(mask, usual_of(mask, image, t), image[None]) for t in (times, 1.5 * times))
    assert some.min() >= 0
    assert more.max() <= 0.5
    assert (more >= some - 1e-6).all()
    assert some.any()
    np.testing.assert_array_equal(mask, before[0])
    np.testing.assert_array_equal(image, before[1])


@given(SEEDS, DIMS, st.floats(0.01, 100), st.floats(-50, 50))
@QUICK
def test_grey_values_have_no_unit_and_a_plane_no_side(seed, dims, factor, shift):
    mask = blob(seed, dims)
    image = a_picture(seed, mask)
    usual = usual_of(mask, image, 2.0)
    found = border_doubt(mask, usual, image[None])
    scaled = (factor * (image + shift)).astype(np.float32)
    np.testing.assert_allclose(border_doubt(mask, usual, scaled[None]), found, atol=5e-3)
    turned = border_doubt(mask[..., ::-1].swapaxes(-1, -2), usual, image[None][..., ::-1].swapaxes(-1, -2))
    np.testing.assert_allclose(turned, found[..., ::-1].swapaxes(-1, -2), atol=1e-4)


def test_what_nobody_looked_at_is_not_doubtful():
    mask = blob(3, 3)
    image = a_picture(3, mask)
    valid = np.ones_like(mask)
    valid[:, :, :7] = False
    usual = usual_of(mask, image, 2.0)
    found = border_doubt(mask & valid, usual, image[None], valid)
    assert found.any()
    assert not found[~valid].any()


def test_a_mask_in_blocks_is_doubtful_along_its_blocks():
    """The corners of a disc in blocks of four stand where the disc's own border does not."""
    rows, columns = np.mgrid[:48, :48]
    disc = (rows - 24) ** 2 + (columns - 24) ** 2 < 15**2
    blocks = np.kron(disc[1::4, 1::4], np.ones((4, 4))).astype(bool)
    usual = UsualBorder(boundary_shape(disc)["roughness"], math.exp(boundary_shape(disc)["step"]))
    found = border_doubt(blocks, usual)
    wrong = blocks != disc
    assert found[wrong].mean() > 5 * found[~wrong].mean()
    assert not border_doubt(disc, usual).any()


def test_two_doubts_are_more_than_one():
    one, other = np.meshgrid(
        np.linspace(0, 1, 11, dtype=np.float32), np.linspace(0, 1, 11, dtype=np.float32)
    )
    found = both(one, other)
    np.testing.assert_allclose(found, both(other, one))
    assert (found >= np.maximum(one, other) - 1e-6).all()
    assert (found <= np.minimum(1, one + other) + 1e-6).all()
    np.testing.assert_allclose(both(one, np.zeros_like(one)), one, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_two_or_three_axes(shape):
    with pytest.raises(ValueError, match="two or three axes"):
        border_doubt(np.ones(shape, bool), UsualBorder(0.1, 1.0))
