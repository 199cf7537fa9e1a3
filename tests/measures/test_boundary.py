"""The border of a mask: closed forms, laws, and plain loops beside it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.measures.boundary import BOUNDARY_SHAPE, NO_BORDER, boundary_contrast, boundary_shape

QUICK = settings(max_examples=20, deadline=None)


def blob(seed, dims):
    """A smooth random mask that touches no face of the array."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    shape = (7, 24, 26)[-dims:]
    field = gaussian_filter(rng.normal(size=shape), 2)
    mask = field > np.quantile(field, 0.75)
    for axis in range(dims):
        np.moveaxis(mask, axis, 0)[[0, -1]] = False
    return mask


def a_picture(seed, mask):
    rng = np.random.default_rng(seed)
    return (mask * rng.uniform(-3, 3) + rng.normal(size=mask.shape)).astype(np.float32)


MASKS = st.builds(blob, st.integers(0, 10_000), st.sampled_from([2, 3]))


# -- shape -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [3, 4, 9])
def test_a_square_is_straight_and_loses_its_corners(side):
    mask = np.zeros((15, 15), dtype=bool)
    mask[2 : 2 + side, 3 : 3 + side] = True
    found = boundary_shape(mask)
    assert found == {"roughness": pytest.approx(4 / side**2), "step": pytest.approx(math.log(side))}


def test_a_box_is_as_straight_across_the_slices_as_it_is_long():
    mask = np.zeros((9, 20, 20), dtype=bool)
    mask[2:6, 4:12, 4:12] = True
    found = boundary_shape(mask)
    assert found["step"] == pytest.approx(math.log(8))
    # Seen from either side the border has two runs of 8 and two of 4 in each plane.
    assert found["step_across"] == pytest.approx(math.log(6))
    # Of a box everything but its edges is in a cross that fits in it.
    edges = 4 * (4 + 8 + 8) - 2 * 8
    assert found["roughness"] == pytest.approx(edges / mask.sum())


def opened(mask):
    """The union of all crosses that fit in a mask, by loops."""
    padded = np.pad(mask, 1)
    found = np.zeros_like(padded)
    steps = [np.zeros(mask.ndim, int)]
    for axis in range(mask.ndim):
        for sign in (1, -1):
            step = np.zeros(mask.ndim, int)
            step[axis] = sign
            steps.append(step)
    for place in np.argwhere(padded):
        cross = [tuple(place + step) for step in steps]
        if all(padded[voxel] for voxel in cross):
            for voxel in cross:
                found[voxel] = True
    return found


def runs_of_faces(flat):
    """Lengths of the straight runs of faces of a flat mask, by loops."""
    padded = np.pad(flat, 1)
    found = []
    for turned in (padded, padded.T):
        for row in range(len(turned) - 1):
            for side in (True, False):
                here = (turned[row] == side) & (turned[row + 1] != side)
                length = 0
                for face in [*here, False]:
                    if face:
                        length += 1
                    elif length:
                        found.append(length)
                        length = 0
    return found


@QUICK
@given(MASKS)
def test_shape_is_what_loops_find(mask):
    found = boundary_shape(mask)
    assert found["roughness"] == pytest.approx(1 - opened(mask).sum() / mask.sum())
    slices = mask if mask.ndim == 3 else mask[None]
    runs = [run for one in slices for run in runs_of_faces(one)]
    assert found["step"] == pytest.approx(math.log(np.mean(runs)))
    if mask.ndim == 3:
        across = [
            run for axis in (1, 2) for one in np.moveaxis(mask, axis, 0) for run in runs_of_faces(one)
        ]
        assert found["step_across"] == pytest.approx(math.log(np.mean(across)))


@QUICK
@given(MASKS, st.integers(2, 4))
def test_a_grid_that_is_coarser_by_k_makes_every_step_k_times_as_long(mask, k):
    coarse = np.kron(mask, np.ones((k,) * mask.ndim, dtype=bool)).astype(bool)
    fine, found = boundary_shape(mask), boundary_shape(coarse)
    for name in BOUNDARY_SHAPE[1 : mask.ndim]:
        assert found[name] == pytest.approx(fine[name] + math.log(k))


@QUICK
@given(MASKS, st.integers(0, 2))
def test_shape_does_not_know_where_a_mask_lies_or_which_way_it_looks(mask, axis):
    found = boundary_shape(mask)
    assert boundary_shape(np.pad(mask, 3)) == pytest.approx(found)
    assert boundary_shape(np.flip(mask, axis % mask.ndim)) == pytest.approx(found)
    assert boundary_shape(np.swapaxes(mask, -1, -2)) == pytest.approx(found)


def test_a_mask_that_touches_every_face_has_a_border_there():
    found = boundary_shape(np.ones((4, 4), dtype=bool))
    assert found["step"] == pytest.approx(math.log(4))


# -- contrast ----------------------------------------------------------------------------------------


def test_an_even_object_on_an_even_ground_has_all_of_it():
    rows, columns = np.mgrid[:40, :40]
    mask = (rows - 20) ** 2 + (columns - 20) ** 2 < 81
    found = boundary_contrast(mask, np.where(mask, 7.0, 2.0))
    assert found["rim_contrast"] > 1.9
    assert found["rim_spread"] == pytest.approx(0, abs=1e-6)
    assert found["edge_alignment"] == pytest.approx(1, abs=0.01)


def test_noise_shows_no_border():
    rows, columns = np.mgrid[:80, :80]
    mask = (rows - 40) ** 2 + (columns - 40) ** 2 < 900
    found = boundary_contrast(mask, np.random.default_rng(0).normal(size=mask.shape))
    assert found == {name: pytest.approx(value, abs=0.12) for name, value in NO_BORDER.items()}


@QUICK
@given(MASKS, st.integers(0, 1000))
def test_contrast_is_what_loops_find(mask, seed):
    image = a_picture(seed, mask)
    ring = np.zeros_like(mask)
    for place in np.argwhere(~mask):
        for d in range(-3, 4):
            for e in range(abs(d) - 3, 4 - abs(d)):
                row, column = place[-2] + d, place[-1] + e
                if 0 <= row < mask.shape[-2] and 0 <= column < mask.shape[-1]:
                    ring[tuple(place)] |= mask[(*place[:-2], row, column)]
    inside, around = image[mask].astype(float), image[ring].astype(float)
    sd = np.concatenate([inside, around]).std()
    found = boundary_contrast(mask, image)
    assert found["rim_contrast"] == pytest.approx((inside.mean() - around.mean()) / sd)
    assert found["rim_spread"] == pytest.approx(inside.std() / sd)


@QUICK
@given(MASKS, st.integers(0, 1000), st.floats(0.1, 50), st.floats(-100, 100))
def test_contrast_does_not_know_the_scale_of_the_grey_values(mask, seed, scale, shift):
    image = a_picture(seed, mask)
    found = boundary_contrast(mask, image)
    assert boundary_contrast(mask, scale * image + shift) == pytest.approx(found, rel=1e-3, abs=1e-3)
    turned = boundary_contrast(mask, -image)
    assert turned["rim_contrast"] == pytest.approx(-found["rim_contrast"], rel=1e-5)
    assert turned["edge_alignment"] == pytest.approx(found["edge_alignment"], rel=1e-4)


def test_a_mask_that_lies_off_its_object_shows_less_in_every_statistic():
    rows, columns = np.mgrid[:60, :60]
    mask = (rows - 30) ** 2 + (columns - 30) ** 2 < 150
    image = mask + np.random.default_rng(0).normal(0, 0.1, mask.shape)
    there, off = boundary_contrast(mask, image), boundary_contrast(np.roll(mask, 6, axis=1), image)
    for name, nothing in NO_BORDER.items():
        assert abs(off[name] - nothing) < abs(there[name] - nothing)


def test_what_nobody_looked_at_is_no_ring():
    mask = np.zeros((30, 30), dtype=bool)
    mask[10:20, 10:20] = True
    image = np.where(mask, 5.0, 1.0) + np.random.default_rng(0).normal(0, 0.1, mask.shape)
    image[:, :10] = 1e4
    valid = np.ones_like(mask)
    valid[:, :10] = False
    clean = image.copy()
    clean[:, :10] = 1.0
    found = boundary_contrast(mask, image, valid)
    assert found["rim_contrast"] == pytest.approx(boundary_contrast(mask, clean, valid)["rim_contrast"])
    assert np.isnan(list(boundary_contrast(mask, image, mask).values())).all()


@pytest.mark.parametrize("shape", [(6, 6), (3, 6, 6)])
def test_nothing_to_measure_is_nan(shape):
    empty, image = np.zeros(shape, dtype=bool), np.random.default_rng(0).normal(size=shape)
    assert np.isnan(list(boundary_shape(empty).values())).all()
    assert np.isnan(list(boundary_contrast(empty, image).values())).all()
    full = np.ones(shape, dtype=bool)
    assert np.isnan(list(boundary_contrast(full, image).values())).all()
    one = empty.copy()
    one[(0,) * len(shape)] = True
    assert np.isnan(list(boundary_contrast(one, np.full(shape, 3.0)).values())).all()


def test_one_slice_of_a_volume_and_one_voxel():
    thin = np.zeros((1, 12, 12), dtype=bool)
    thin[0, 3:9, 3:9] = True
    assert boundary_shape(thin)["roughness"] == 1  # nothing of it is thick
    point = np.zeros((5, 5, 5), dtype=bool)
    point[2, 2, 2] = True
    assert boundary_shape(point) == {"roughness": 1.0, "step": 0.0, "step_across": 0.0}


def test_other_shapes_are_refused():
    mask = np.ones((4, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(4, 5\)"):
        boundary_contrast(mask, np.zeros((4, 5)))
    with pytest.raises(ValueError, match="two or three axes"):
        boundary_shape(np.ones(4, dtype=bool))
