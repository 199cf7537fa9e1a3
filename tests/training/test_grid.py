"""The working grid, what lies on it, and the network for it."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from aleaseg.case import Case, Geometry, Voxels
from aleaseg.errors import CaseError, Unreadable
from aleaseg.training.grid import (
    WorkingGrid,
    choose_grid,
    full_grid,
    median_spacing,
    working_shape,
)
from aleaseg.training.plan import NetworkPlan
from aleaseg.training.preprocessing import (
    IGNORE,
    Preprocessing,
    fit_normalisation,
    nearest,
    normalise,
    prepare_label,
    resize,
)
from aleaseg.training.schedule import default_steps


def geometries(*cases):
    return [Geometry(shape, spacing) for shape, spacing in cases]


def divides(grid):
    for size, level in zip(grid.patch, grid.levels, strict=True):
        assert size % 2**level == 0
        assert size >= 2**level


KINDS = {
    "small isotropic": ((36, 50, 35), (1.0, 1.0, 1.0)),
    "thin stack": ((10, 256, 216), (10.0, 1.4, 1.4)),
    "body ct": ((400, 512, 512), (1.0, 0.8, 0.8)),
    "one slice": ((1, 256, 256), (5.0, 1.0, 1.0)),
    "flat": ((256, 256), (1.0, 1.0)),
    "large flat": ((4000, 3000), (0.1, 0.1)),
    "tiny": ((3, 4, 5), (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_for_data_of_every_kind(kind):
    shape, spacing = KINDS[kind]
    grid = choose_grid(geometries((shape, spacing)) * 5)
    divides(grid)
    working = grid.shape(Geometry(shape, spacing))
    assert all(w <= n for w, n in zip(working, shape, strict=True)), "never finer than the data"
    assert np.prod(working) <= {2: 160 * 160, 3: 400_000}[len(shape)] * 1.05
    assert np.prod(grid.patch) <= {2: 160 * 160, 3: 110_000}[len(shape)] * 1.5


def test_small_data_are_kept_as_they_are():
    grid = choose_grid(geometries(((36, 50, 35), (1.0, 1.0, 1.0))) * 3)
    assert grid.spacing_mm == (1, 1, 1)
    assert grid.shape(Geometry((36, 50, 35), (1.0, 1.0, 1.0))) == (36, 50, 35)


def test_a_thin_stack_keeps_its_slices_and_halves_them_less_often():
    grid = choose_grid(geometries(((10, 400, 400), (10.0, 0.7, 0.7))) * 3)
    assert grid.spacing_mm[0] == 10
    assert grid.spacing_mm[1] > 0.7
    assert grid.levels[0] < grid.levels[1]


def test_sizes_differ_and_the_field_of_view_is_kept():
    grid = choose_grid(
        geometries(((40, 60, 60), (2.0, 1, 1)), ((80, 60, 60), (1.0, 1, 1)), ((40, 90, 60), (2, 1, 1)))
    )
    a, b = (
        grid.shape(Geometry(shape, mm))
        for shape, mm in (((40, 60, 60), (2, 1, 1)), ((80, 60, 60), (1, 1, 1)))
    )
    assert a == b
    assert WorkingGrid.from_dict(json.loads(json.dumps(asdict(grid)))) == grid


def test_mixed_dimensions_and_nothing_are_refused():
    with pytest.raises(ValueError, match=r"one dimension, got \[2, 3\]"):
        choose_grid(geometries(((8, 8), (1, 1)), ((8, 8, 8), (1, 1, 1))))
    with pytest.raises(ValueError, match="no cases"):
        choose_grid([])


def test_steps_grow_with_the_data_within_limits():
    assert default_steps(1, 1, 4) == 375
    assert default_steps(10**6, 1, 4) == 3000
    assert default_steps(320, 2, 4) < default_steps(320, 16, 4) < default_steps(640, 16, 4) <= 3000
    assert default_steps(320, 2, 8) < default_steps(320, 2, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gives_logits_of_the_patch(kind):
    import torch

    shape, spacing = KINDS[kind]
    grid = choose_grid(geometries((shape, spacing)) * 2)
    small = WorkingGrid(grid.spacing_mm, tuple(2**level * 2 for level in grid.levels), grid.levels)
    network = NetworkPlan("small").build(Preprocessing(small, [None] * 2, (1, 2, 3)), train=True)
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, *small.patch)).shape == (1, 4, *small.patch)


# -- prepare -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 8, 10), (8, 10)])
def test_resize_keeps_constants_means_and_shapes(shape):
    rng = np.random.default_rng(0)
    assert resize(rng.normal(size=(2, *shape)), shape).shape == (2, *shape)
    target = tuple(n // 2 + 1 for n in shape)
    np.testing.assert_allclose(resize(np.full((1, *shape), 3.5, np.float32), target), 3.5, rtol=1e-5)
    ramp = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), (1, *shape))
    small = resize(np.ascontiguousarray(ramp), tuple(n // 2 for n in shape))
    assert (np.diff(small[0], axis=-1) > 0).all()
    assert small.mean() == pytest.approx(ramp.mean(), rel=0.05)


def test_labels_become_indices_and_no_new_value_appears():
    label = np.random.default_rng(0).choice([0, 3, 7, 9], (6, 8, 10))
    same = prepare_label(label, label.shape, (3, 7), 9)
    expected = np.select([label == 3, label == 7, label == 9], [1, 2, IGNORE], 0)
    np.testing.assert_array_equal(same, expected)
    assert same.dtype == np.uint8
    small = prepare_label(label, (3, 5, 7), (3, 7), 9)
    assert small.shape == (3, 5, 7)
    assert set(np.unique(small)) <= {0, 1, 2, IGNORE}
    np.testing.assert_array_equal(prepare_label(label, label.shape, (3, 7), None) == IGNORE, False)
    with pytest.raises(ValueError, match="255 label values"):
        prepare_label(label, label.shape, range(1, 256), None)


def test_normalised_by_the_case_unit_and_offset_are_gone():
    image = np.random.default_rng(0).normal(40, 9, (1, 9, 9, 9)).astype(np.float32)
    plain = normalise(image, [None])
    assert plain.mean() == pytest.approx(0, abs=1e-2)
    assert plain.std() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(normalise(image * 30 + 500, [None]), plain, atol=1e-3)
    spike = image.copy()
    spike[0, 0, 0, 0] = 1e9
    assert np.isfinite(normalise(spike, [None]).astype(np.float16)).all()
    assert np.abs(normalise(np.full((1, 4, 4), 7.0), [None])).max() < 1e-3


def case(index, shape=(4, 8, 8), broken=False):
    rng = np.random.default_rng(index)
    image = np.stack([rng.normal(-500, 10, shape), rng.normal(5, 1, shape)]).astype(np.float32)
    label = np.zeros(shape, np.uint8)
    label[1:3, 2:6, 2:6] = 1
    image[0][label == 1] += 550
    geometry = Geometry(shape, (1.0, 1.0, 1.0))

    def read():
        if broken:
            raise Unreadable(f"c{index}", "nothing", "an image", "copy it again")
        return Voxels(image, geometry)

    return Case(f"c{index}", (), (), read, lambda: Voxels(label, geometry), lambda: geometry)


def test_ct_is_normalised_by_the_foreground_of_the_data_set():
    cases = [case(0), case(1, broken=True), *(case(i) for i in range(2, 40))]
    ct, other = fit_normalisation(cases, ("ct", "T2"), (1,))
    assert other is None
    assert ct["mean"] == pytest.approx(50, abs=1)
    assert ct["std"] == pytest.approx(10, rel=0.1)
    assert 15 < ct["low"] < 35
    assert fit_normalisation(cases, ("T1", "T2"), (1,)) == [None, None]
    normal = normalise(case(0).read_image().array, [ct, other])
    assert normal[0].min() == pytest.approx((ct["low"] - ct["mean"]) / ct["std"], rel=1e-4)


def test_one_case_with_nan_does_not_spoil_the_rule_of_all():
    sick = case(1)
    sick.read_image().array[0, 1, 3, 3] = np.nan
    clean = [case(0), *(case(i) for i in range(2, 10))]
    assert fit_normalisation([clean[0], sick, *clean[1:]], ("CT", "T2"), (1,)) == fit_normalisation(
        clean, ("CT", "T2"), (1,)
    )


# -- the data's own resolution --------------------------------------------------------------------


def test_the_median_spacing_and_thin_slices_among_thick_ones():
    alike = geometries(*[((80, 90, 100), (mm, 1.0, 1.2)) for mm in (1.0, 1.5, 2.5)])
    assert median_spacing(alike) == (1.5, 1.0, 1.2)
    # 10 mm against 1.5 mm, and 12 slices of 200 rows: the 10th percentile, not the median.
    thick = geometries(*[((12, 200, 200), (mm, 1.5, 1.5)) for mm in (5.0, 10.0, 10.0, 10.0, 10.0)])
    assert median_spacing(thick) == (pytest.approx(np.percentile([5, 10, 10, 10, 10], 10)), 1.5, 1.5)
    # But never finer than the others.
    one_thin = geometries(*[((12, 200, 200), (mm, 1.5, 1.5)) for mm in (1.0, *[10.0] * 8)])
    assert median_spacing(one_thin)[0] == pytest.approx(max(1.5, np.percentile([1.0, *[10.0] * 8], 10)))
    finest = geometries(*[((12, 200, 200), (mm, 1.5, 1.5)) for mm in (0.5, 0.5, 10.0, 10.0, 10.0)])
    assert median_spacing(finest)[0] == 1.5
    # As coarse, but as many: an image that is large along that axis.
    assert median_spacing(geometries(*[((100, 200, 200), (10.0, 1.5, 1.5))] * 3)) == (10.0, 1.5, 1.5)


def test_full_grid_keeps_the_patch_and_says_how_often_it_is_halved():
    grid = full_grid(geometries(((40, 50, 60), (2.0, 1.0, 1.0))), (96, 96, 12))
    assert grid.spacing_mm == (2.0, 1.0, 1.0)
    assert (grid.patch, grid.levels) == ((96, 96, 12), (3, 3, 1))
    with pytest.raises(ValueError, match="a patch of 2 axes for 3D images"):
        full_grid(geometries(((40, 50, 60), (2.0, 1.0, 1.0))), (96, 96))


def test_what_is_usual_decides_what_is_far_too_large():
    grid = full_grid(geometries(((40, 50, 60), (1.0, 1.0, 1.0))), (32, 32, 32))
    large = Geometry((400, 500, 600), (1.0, 1.0, 1.0), None)
    assert working_shape(grid, "a", large, usual=1e8) == (400, 500, 600)
    with pytest.raises(CaseError, match=r"at most 1\.9e\+06"):
        working_shape(grid, "a", large, usual=40 * 50 * 60)


SHAPES = [
    ((12, 31, 40), (5, 31, 13)),
    ((1, 33, 20), (1, 10, 41)),
    ((37, 64), (9, 70)),
    ((5, 6, 7), (5, 6, 7)),
]


@pytest.mark.parametrize(("shape", "target"), SHAPES)
def test_resize_is_smoothing_and_then_what_torch_interpolates(shape, target):
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    sigma = [0.0, *(max(0.0, (n / m - 1) / 2) for n, m in zip(shape, target, strict=True))]
    smooth = torch.from_numpy(ndimage.gaussian_filter(image, sigma, mode="nearest"))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    wanted = torch.nn.functional.interpolate(smooth[None], target, mode=mode, align_corners=False)[
        0
    ].numpy()
    found = resize(image, target)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


@given(st.integers(1, 400), st.integers(1, 400))
def test_nearest_takes_the_voxels_that_torch_takes(old, new):
    line = np.arange(old)
    there = torch.from_numpy(line.astype(np.float32))[None, None]
    wanted = torch.nn.functional.interpolate(there, new, mode="nearest-exact")[0, 0].numpy()
    np.testing.assert_array_equal(nearest(line, (new,)), wanted)


def test_a_label_has_the_numbers_that_it_would_have_if_all_of_it_were_renumbered_first():
    label = np.random.default_rng(1).integers(0, 12, (9, 20, 31)).astype(np.int16)
    every = prepare_label(label, label.shape, (3, 7, 11), 9)
    small = prepare_label(label, (4, 21, 10), (3, 7, 11), 9)
    np.testing.assert_array_equal(small, nearest(every, (4, 21, 10)))
